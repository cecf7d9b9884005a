// SPDX-License-Identifier: GPL-3.0-or-later
// The threshold: what it gives, and all that follows it.

import { countsNow, data, estimated, levelOf, state, tables, threshold } from "./data.js";
import { byId, element } from "./dom.js";
import { clamp, percent, signed, whole } from "./numbers.js";

const PRECISIONS = [0.8, 0.9, 0.95];
const followers = [];
let waiting = false;

// call `draw` with the picks of each micrograph whenever the threshold has moved
export function follow(draw) {
  followers.push(draw);
}

export function setLevel(level) {
  state.level = clamp(level, 0, tables.grid.length - 1);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    update();
  });
}

export function update() {
  const picks = tables.counts[state.level];
  describeOutcome(picks, data.names.length);
  document.documentElement.dataset.picks = picks;
  const counts = countsNow();
  followers.forEach((draw) => draw(counts));
}

function describeOutcome(picks, micrographs) {
  const value = threshold();
  byId("threshold").value = state.level;
  byId("threshold").setAttribute("aria-valuetext", `${signed(value)}, ${whole(picks)} particles`);
  if (document.activeElement !== byId("exact")) byId("exact").value = value.toFixed(2);
  byId("printed").textContent = signed(value);
  byId("picks").textContent = whole(picks);
  byId("mean").textContent = micrographs ? whole(picks / micrographs) : "–";
  for (const name of ["precision", "recall"]) {
    const [middle, range] = picks ? interval(name) : ["–", ""];
    byId(name).replaceChildren(middle, element("small", { textContent: range }));
  }
  const exact = state.level === tables.own ? value : value.toFixed(2);
  byId("command").textContent
    = `pupick threshold ${data.run} --threshold=${exact} --output ${data.chosen}`;
}

function interval(name) {
  const at = (column) => estimated(column, state.level);
  const low = percent(at(`${name}_low`)), high = percent(at(`${name}_high`));
  return [percent(at(name)), low === high ? "" : ` ${low.replace(" %", "")}–${high}`];
}

// ---- thresholds to go to

function levelOfPrecision(wanted) {
  const picked = tables.counts.filter((count) => count > 0).length;
  let first = picked;
  while (first > 0 && estimated("precision", first - 1) >= wanted) first--;
  return first < picked ? first : null;
}

export function makeJumps() {
  const jumps = [["as picked", tables.own], ["best estimated F1", tables.best]];
  for (const share of PRECISIONS) {
    jumps.push([`precision ${percent(share)}`, levelOfPrecision(share)]);
  }
  const possible = jumps.filter(([, level]) => level !== null);
  byId("jumps").replaceChildren(...possible.map(([textContent, level]) =>
    element("button", { type: "button", textContent, onclick: () => setLevel(level) })));
}

export function listenToThreshold() {
  byId("threshold").max = tables.grid.length - 1;
  byId("threshold").oninput = (e) => setLevel(Number(e.target.value));
  byId("exact").oninput = (e) => {
    if (e.target.value !== "") setLevel(levelOf(Number(e.target.value)));
  };
  byId("exact").min = tables.grid[0];
  byId("copy").onclick = copyCommand;
}

// ---- the command

async function copyCommand() {
  const text = byId("command").textContent;
  try { await navigator.clipboard.writeText(text); } catch { copyByHand(); }
  byId("copy").textContent = "Copied";
  setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
}

// where the clipboard is closed to a page from the file system
function copyByHand() {
  getSelection().selectAllChildren(byId("command"));
  document.execCommand("copy");
}
