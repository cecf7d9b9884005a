// SPDX-License-Identifier: GPL-3.0-or-later
// The list of all micrographs, of which only the rows in sight exist; and going through it.

import { byId, element } from "../../js/dom.js";
import { clamp, whole } from "../../js/numbers.js";
import { redrawAll, run } from "./run.js";
import { doubtCount, pickCount, scores } from "./scores.js";
import { openSheet, pictureOf, reload, sheet, showPicture } from "./sheet.js";
import { fit } from "./stage.js";

// px; a third line, where there are any, says why a micrograph is worth a look
const rowHeight = () => (run.suggested.size ? 62 : 48);
const SPARE_ROWS = 4;
const NONE = [0, 0, 0, false];
let order = [], sortedFor = "", drawnFor = "";

const summaryOf = (number) => run.corrected.get(number) || NONE;
export const clicksIn = ([removed, added, confirmed]) => removed + added + confirmed;
export const smoothingNow = () => Number(byId("smoothing").value);

function ranks() {
  const place = new Map([...run.suggested.keys()].map((number, i) => [number, i]));
  const last = run.names.length;
  const count = (number) => pickCount(number) ?? -1;
  return {
    order: () => 0,
    suggested: (a, b) => (place.get(a) ?? last) - (place.get(b) ?? last),
    open: (a, b) => summaryOf(a)[3] - summaryOf(b)[3],
    corrected: (a, b) => clicksIn(summaryOf(b)) - clicksIn(summaryOf(a)),
    doubtful: (a, b) => (doubtCount(b) ?? -1) - (doubtCount(a) ?? -1),
    most: (a, b) => count(b) - count(a),
    fewest: (a, b) => count(a) - count(b),
    name: (a, b) => run.names[a].localeCompare(run.names[b], "en", { numeric: true }),
  };
}

// sort when another order is asked for, not whenever a correction moves a micrograph
function sortAgain() {
  const how = byId("sort").value, wanted = byId("filter").value.toLowerCase();
  const basis = [how, wanted, run.life, run.edition, Boolean(scores.table), ...run.suggested.keys()].join("\n");
  if (basis === sortedFor) return;
  sortedFor = basis;
  order = run.names.map((name, number) => number)
    .filter((number) => run.names[number].toLowerCase().includes(wanted));
  const compare = ranks()[how];
  order.sort((a, b) => compare(a, b) || a - b);
}

function describeCorrections(number) {
  const [removed, added, confirmed, done] = summaryOf(number);
  const parts = [removed && `−${removed}`, added && `+${added}`, confirmed && `✓${confirmed}`,
    done && "done"];
  return parts.filter(Boolean).join(" ");
}

// what a row says
function words(number) {
  const count = pickCount(number), known = count === null ? "" : `${whole(count)} picks`;
  return {
    picks: run.failed.has(number) ? "failed" : known,
    reason: run.suggested.get(number)?.reason || "",
    state: describeCorrections(number),
  };
}

function row(number, place) {
  const { picks, reason, state } = words(number);
  const line = element("small", {},
    element("span", { className: "picks", textContent: picks }),
    element("span", { className: "state", textContent: state }));
  const node = element("div", { className: "micrograph", title: run.names[number] },
    element("b", {}, element("bdi", { textContent: run.names[number] })), line,
    element("span", { className: "reason", textContent: reason }));
  node.style.top = `${place * rowHeight()}px`;
  node.style.height = `${rowHeight() - 2}px`;
  node.dataset.number = number;
  node.setAttribute("role", "option");
  node.setAttribute("aria-selected", String(number === sheet.number));
  node.classList.toggle("done", summaryOf(number)[3]);
  return node;
}

export function drawList() {
  sortAgain();
  const list = byId("list"), height = rowHeight();
  const first = Math.max(0, Math.floor(list.scrollTop / height) - SPARE_ROWS);
  const last = first + Math.ceil(list.clientHeight / height) + 2 * SPARE_ROWS;
  const inSight = order.slice(first, last);
  // rows that stay as they are can be clicked all the time
  const shown = inSight.map((number) => [number, run.names[number], words(number)]);
  const basis = JSON.stringify([first, height, sheet.number, order.length, shown]);
  if (basis !== drawnFor) {
    byId("rows").style.height = `${order.length * height}px`;
    byId("rows").replaceChildren(...inSight.map((number, i) => row(number, first + i)));
    drawnFor = basis;
  }
  describeProgress();
}

function describeProgress() {
  const summaries = [...run.corrected.values()];
  const corrected = summaries.filter((s) => clicksIn(s) || s[3]).length;
  const done = summaries.filter((s) => s[3]).length;
  byId("progress").textContent
    = `${whole(corrected)} of ${whole(run.names.length)} corrected, ${whole(done)} done`;
}

export async function open(number) {
  fit();
  const opened = openSheet(number, smoothingNow());
  scrollTo(number);
  await opened;
  const after = order[order.indexOf(number) + 1];
  if (sheet.number === number && after !== undefined && !run.failed.has(after)) {
    pictureOf(run.names[after], smoothingNow()).catch(() => {});
  }
}

function scrollTo(number) {
  const list = byId("list"), top = order.indexOf(number) * rowHeight(), end = top + rowHeight();
  if (top < list.scrollTop) list.scrollTop = top;
  if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
  redrawAll();
}

export function openNext(by) {
  const next = order[clamp(order.indexOf(sheet.number) + by, 0, order.length - 1)];
  if (next !== undefined && next !== sheet.number) open(next);
}

export function openFirst() {
  sortAgain();
  const first = order.find((number) => !run.failed.has(number) && !summaryOf(number)[3]);
  const number = first ?? order[0];
  if (number !== undefined) open(number);
}

// show what others have changed, as far as it is in sight
export async function takeChanges(numbers) {
  if (numbers.includes(sheet.number)) await reload();
  if (numbers.length) redrawAll();
}

// after the run or its list has changed, or the server was started again
export async function renewSheet() {
  // the rows in sight have numbers of before
  sortAgain();
  redrawAll();
  const number = run.numbers.get(sheet.name);
  if (number === undefined) {
    openFirst();
    return;
  }
  sheet.number = number;
  try {
    await reload();
    showPicture(smoothingNow()).catch(() => {});
  } catch {
    // this says what is wrong
    await openSheet(number, smoothingNow());
  }
}

export function listenToList() {
  const list = byId("list");
  byId("sort").onchange = byId("filter").oninput = () => {
    list.scrollTop = 0;
    redrawAll();
  };
  list.onscroll = redrawAll;
  list.onclick = (e) => {
    const chosen = e.target.closest(".micrograph");
    if (chosen) open(Number(chosen.dataset.number));
  };
  list.onkeydown = (e) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!by) return;
    e.preventDefault();
    e.stopPropagation();
    openNext(by);
  };
}
