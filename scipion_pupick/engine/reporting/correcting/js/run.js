// SPDX-License-Identifier: GPL-3.0-or-later
// The run: its micrographs, which are known by numbers, and what has been corrected.

import { askJson } from "./server.js";

// corrected: [removed, added, confirmed, done] by number; suggested: numbers, the best first
export const run = {
  folder: "", names: [], numbers: new Map(), failed: new Map(), diameter: 1, threshold: 0,
  corrected: new Map(), suggested: [], life: "", count: 0, changes: 0,
};
const followers = [];
let waiting = false;

// call `draw` whenever something has changed
export function follow(draw) {
  followers.push(draw);
}

export function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    followers.forEach((draw) => draw());
  });
}

const byNumber = (object) => Object.entries(object).map(([number, value]) => [Number(number), value]);

export async function loadRun() {
  const found = await askJson("/run");
  Object.assign(run, found, {
    numbers: new Map(found.names.map((name, number) => [name, number])),
    failed: new Map(byNumber(found.failed)),
    corrected: new Map(byNumber(found.corrected)),
  });
}

// what others have changed: numbers of micrographs; null where all has to be loaded again
export async function lookForChanges() {
  const found = await askJson(`/changes?since=${run.changes}`);
  const isSame = ["life", "count", "threshold"].every((name) => found[name] === run[name]);
  if (!isSame) return null;
  run.changes = found.changes;
  const changed = byNumber(found.corrected);
  for (const [number, summary] of changed) run.corrected.set(number, summary);
  return changed.map(([number]) => number);
}
