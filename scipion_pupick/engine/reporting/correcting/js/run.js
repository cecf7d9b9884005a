// SPDX-License-Identifier: GPL-3.0-or-later
// The run: its micrographs, which are known by numbers, and what has been corrected.

import { PATIENT, askJson, known } from "./server.js";

// corrected: [removed, added, confirmed, done] by number; suggested: { reason, area }, why
// and where (px) a look at it teaches most, by number, the best first; other: the folder of another
// run, if that is served at the page's address now
export const run = {
  folder: "", names: [], numbers: new Map(), failed: new Map(), diameter: 1, threshold: 0,
  corrected: new Map(), suggested: new Map(), life: "", edition: 0, changes: 0, other: "",
};
// what draws the micrograph, and what draws all the rest
const followers = { stage: [], rest: [] };
const waiting = new Set();

// call functions whenever the micrograph has to be drawn, or the rest of the page
export function follow(part, ...draw) {
  followers[part].push(...draw);
}

export function redraw(...parts) {
  if (!waiting.size) requestAnimationFrame(drawWaiting);
  for (const part of ["stage", ...parts]) waiting.add(part);
}

export const redrawAll = () => redraw("rest");

function drawWaiting() {
  const parts = [...waiting];
  waiting.clear();
  for (const part of parts) followers[part].forEach((draw) => draw());
}

const byNumber = (object) => Object.entries(object).map(([number, value]) => [Number(number), value]);

// a page stays with the run that it was opened for
function isOther({ folder }) {
  run.other = run.folder && folder !== run.folder ? folder : "";
  return run.other !== "";
}

export async function loadRun() {
  const found = await askJson("/run");
  if (isOther(found)) return;
  known.life = found.life;
  // numbers of micrographs are of a life of the server
  const suggested = found.life === run.life ? run.suggested : new Map();
  Object.assign(run, found, {
    suggested,
    numbers: new Map(found.names.map((name, number) => [name, number])),
    failed: new Map(byNumber(found.failed)),
    corrected: new Map(byNumber(found.corrected)),
  });
}

export async function loadSuggestions() {
  const { life } = run, { suggested } = await askJson("/suggestions", null, PATIENT);
  if (life === run.life) run.suggested = new Map(suggested);
}

// what others have changed: numbers of micrographs; null where all has to be loaded again
export async function lookForChanges() {
  const found = await askJson(`/changes?since=${run.changes}`);
  if (isOther(found) || found.life !== run.life || found.edition !== run.edition) return null;
  run.changes = found.changes;
  const changed = byNumber(found.corrected);
  for (const [number, summary] of changed) run.corrected.set(number, summary);
  return changed.map(([number]) => number);
}
