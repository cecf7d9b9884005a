// SPDX-License-Identifier: GPL-3.0-or-later
// Edits on their way to the server. Until it has saved them, they are kept in this browser as well,
// and whoever opens the page there again sends them.

import { byId } from "../../js/dom.js";
import { constants } from "./constants.js";
import { hush, say, sayBriefly } from "./messages.js";
import { redrawAll, run } from "./run.js";
import { askJson } from "./server.js";
import { markAgain, reload, setUnsaved, sheet, takeState } from "./sheet.js";

const AGAIN = 3000;
// of HTTP: sent again, the same would come of it
const HOPELESS = [400, 404, 405, 411, 413, 415, 422];
const OWN = crypto.getRandomValues(new Uint32Array(2)).join("-");

// { name of the micrograph, rows [[name, x, y, before, after]], done, shown }, in their order; shown is
// the fingerprint of the picks that it rests on, or null
let queue = [];
let sending = false, timer = 0, number = 0, problem = "";

const keyOfPage = (page) => `pupick-unsaved:${run.folder}:${page}`;
const notDone = new Set();
export const newName = () => `${OWN}-${++number}`;
const editsIn = (items) => items.reduce((sum, item) => sum + item.rows.length + (item.done !== null), 0);

setUnsaved((name) => queue.filter((item) => item.name === name));

export function enqueue(item) {
  queue.push(item);
  keep();
  markAgain();
  send();
}

// after the page has been opened: take over what an earlier one could not save
export function adopt() {
  const keys = Object.keys(localStorage).filter((key) => key === keyOfPage(key.split(":").pop()));
  for (const key of keys) {
    queue.push(...readKept(localStorage.getItem(key)));
    localStorage.removeItem(key);
  }
  keep();
  send();
}

function readKept(text) {
  try {
    return JSON.parse(text).filter(({ name, rows }) => typeof name === "string" && Array.isArray(rows));
  } catch {
    return [];
  }
}

function keep() {
  const key = keyOfPage(OWN);
  try {
    if (queue.length) localStorage.setItem(key, JSON.stringify(queue));
    else localStorage.removeItem(key);
    hush("full");
  } catch {
    say("full", "This browser keeps no more: do not close this page before all is saved.");
  }
  describeSaving();
}

export const isAllSaved = () => !queue.length;

// the first edits that are of one micrograph; what rests on all that was shown goes by itself
function firstBatch() {
  if (queue[0].shown) return [queue[0]];
  const end = queue.findIndex((item) => item.name !== queue[0].name || item.shown);
  const items = end < 0 ? [...queue] : queue.slice(0, end);
  let rows = 0;
  return items.filter((item, i) => (rows += item.rows.length) <= constants.mostEdits || i === 0);
}

export async function send() {
  clearTimeout(timer);
  if (sending) return;
  if (run.other) {
    describeSaving();
    return;
  }
  sending = true;
  try {
    while (queue.length) await sendBatch(firstBatch());
    problem = "";
  } catch (failure) {
    problem = failure.message;
    timer = setTimeout(send, AGAIN);
  }
  sending = false;
  describeSaving();
}

async function sendBatch(items) {
  const { name } = items[0], target = run.numbers.get(name);
  const done = items.filter((item) => item.done !== null).pop()?.done ?? null;
  const edits = items.flatMap((item) => item.rows), { shown } = items[0];
  if (target === undefined) return putAside(items, "it is not in the run any more");
  let state;
  try {
    state = await askJson(`/micrographs/${target}`, { micrograph: name, edits, done, shown });
  } catch (failure) {
    if (!HOPELESS.includes(failure.status)) throw failure;
    return putAside(items, failure.message);
  }
  drop(items);
  noteSaved(name, state);
  const refused = Object.keys(state.refused).length;
  if (refused) sayRefused(name, refused, shown && shown !== state.shown);
  noteDone(name, done && !state.done, refused);
  return undefined;
}

function drop(items) {
  queue = queue.filter((item) => !items.includes(item));
  keep();
}

function noteSaved(name, state) {
  // else the sheet and the list have been loaded from the server that was started since
  if (state.life !== run.life) return;
  const counts = { removed: 0, added: 0, confirmed: 0 };
  for (const [, , mark] of state.marks) counts[mark]++;
  run.corrected.set(run.numbers.get(name), [counts.removed, counts.added, counts.confirmed, state.done]);
  // else the next look at what has changed would find it
  if (state.changes === run.changes + 1) run.changes = state.changes;
  if (name === sheet.name) {
    takeState(state);
    if (!sheet.isLoading && state.shown !== sheet.shown) reload().catch(() => {});
  }
  redrawAll();
}

function sayRefused(name, count, isOutdated) {
  const what = count === 1 ? "One correction was" : `${count} corrections were`;
  const why = isOutdated ? "the run was picked again, or has another threshold, since its picks were shown"
    : "somebody else has changed the same picks meanwhile, or they are no longer there";
  sayBriefly("refused", `${what} not taken in ${name}: ${why}. What is shown now is what is saved.`);
}

// who has said that all is right has seen the marks that were refused; isRefused: done itself was
function noteDone(name, isRefused, refused) {
  const later = refused ? queue.filter((item) => item.name === name && item.done) : [];
  for (const item of later) item.done = null;
  if (later.length) {
    keep();
    markAgain();
  }
  if (!isRefused && !later.length) return;
  notDone.add(name);
  say("undone", `Not done after all: ${[...notDone].join(", ")}. The picks or the marks are others than `
    + "were shown. Look at what is shown now, and press Done again.", ["Close", () => notDone.clear()]);
}

function putAside(items, reason) {
  drop(items);
  markAgain();
  const retry = () => {
    queue.push(...items);
    keep();
    send();
  };
  say(`aside ${items[0].name}`, `${editsIn(items)} corrections of ${items[0].name} cannot be saved: `
    + reason, ["Try again", retry], ["Forget them", () => {}]);
}

function describeSaving() {
  const count = editsIn(queue), saved = byId("saved");
  saved.dataset.state = (problem || run.other) && count ? "unsaved" : count ? "saving" : "saved";
  const what = count === 1 ? "1 correction is" : `${count} corrections are`;
  saved.textContent = { saved: "All saved", saving: "Saving", unsaved: `${count} not saved` }[saved.dataset.state];
  // the page says of another run what becomes of them
  if (saved.dataset.state === "unsaved" && !run.other) {
    say("unsaved", `Not saved: ${problem} ${what} kept in this browser and sent again by itself.`,
      ["Send now", send]);
  } else hush("unsaved");
}

addEventListener("beforeunload", (e) => {
  if (queue.length) e.preventDefault();
});
