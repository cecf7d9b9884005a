// SPDX-License-Identifier: GPL-3.0-or-later
// The micrograph that is open: its picture, its peaks, and the marks that people have given them.
//
// Places are whole hundredths of a px of the micrograph, as "x,y"; so both sides name them alike.

import { unpack } from "../../js/packed.js";
import { constants } from "./constants.js";
import { sayBriefly } from "./messages.js";
import { redraw, run } from "./run.js";
import { scores } from "./scores.js";
import { ask, askJson } from "./server.js";

const MOST_PICTURES = 6;
const pictures = new Map();

// peaks: [{ key, x, y, score }] in px, best first; saved: marks that the server has; marks: those
// and what has not been saved yet, { x, y, mark } by key; threshold: of the run; shown: fingerprint
// of both the peaks and that, null where they are not known yet
export const sheet = {
  number: -1, name: "", picked: false, width: 0, height: 0, pixelSize: 1, peaks: [], byKey: new Map(),
  saved: new Map(), marks: new Map(), done: false, savedDone: false, picture: null, problem: "",
  selected: null, isLoading: false, life: "", changes: 0, threshold: 0, shown: null,
};
const unsavedOf = { name: () => [] };

const keyOf = (x, y) => `${x},${y}`;
export const toStep = (px) => Math.round(px * constants.stepsPerPx);
export const radius = () => run.diameter / sheet.pixelSize / 2;

// how edits that have not been saved are found: [{ rows, done }] by the micrograph's name
export function setUnsaved(find) {
  unsavedOf.name = find;
}

export function takeState(state) {
  // an answer that was overtaken by a later one
  if (state.life && state.life === sheet.life && state.changes < sheet.changes) return;
  if (state.life && state.life !== run.life) return;
  Object.assign(sheet, { life: state.life, changes: state.changes });
  sheet.saved = new Map(state.marks.map(([x, y, mark]) => [keyOf(x, y), { x, y, mark }]));
  sheet.savedDone = state.done;
  markAgain();
}

export function markAgain() {
  sheet.marks = new Map(sheet.saved);
  sheet.done = sheet.savedDone;
  for (const { rows, done } of unsavedOf.name(sheet.name)) {
    for (const [, x, y, , mark] of rows) {
      if (mark) sheet.marks.set(keyOf(x, y), { x, y, mark });
      else sheet.marks.delete(keyOf(x, y));
    }
    if (done !== null) sheet.done = done;
  }
  redraw();
}

export async function openSheet(number, smoothing) {
  Object.assign(sheet, { number, name: run.names[number], picture: null, problem: "", selected: null });
  Object.assign(sheet, { picked: false, peaks: [], byKey: new Map(), isLoading: true, shown: null });
  takeState({ marks: [], done: false });
  const { name } = sheet;
  try {
    if (takePicks(await askPicks(name))) await showPicture(smoothing);
  } catch (failure) {
    if (sheet.name === name) Object.assign(sheet, { problem: failure.message, isLoading: false });
  }
  redraw();
}

// a number is taken where it is sent: after the server was started again it may be another's
const askPicks = (name) => askJson(`/micrographs/${run.numbers.get(name)}`);

// returns whether they are of the micrograph that is open
function takePicks(found) {
  if (found.name !== sheet.name || found.life !== run.life) return false;
  if (found.shown === sheet.shown) {
    takeState(found);
    return true;
  }
  if (sheet.shown) {
    sayBriefly("renewed", `${sheet.name} has other picks now: the run was picked again, or has another `
      + "threshold. They are shown now.");
  }
  const steps = unpack(found.places), values = unpack(found.scores), unit = constants.stepsPerPx;
  sheet.peaks = Array.from(values, (score, i) => {
    const x = steps[2 * i], y = steps[2 * i + 1];
    return { key: keyOf(x, y), x: x / unit, y: y / unit, score };
  });
  sheet.byKey = new Map(sheet.peaks.map((peak) => [peak.key, peak]));
  const { picked, width = 0, height = 0, pixelSize = 1, threshold, shown } = found;
  Object.assign(sheet, { picked, width, height, pixelSize, threshold, shown });
  Object.assign(sheet, { isLoading: false, problem: "", selected: null });
  takeState(found);
  return true;
}

export async function reload() {
  takePicks(await askPicks(sheet.name));
}

export async function showPicture(smoothing) {
  const { name } = sheet, picture = await pictureOf(name, smoothing);
  if (sheet.name !== name) return;
  Object.assign(sheet, { picture, problem: "" });
  if (!sheet.width) Object.assign(sheet, { width: picture.width, height: picture.height });
  redraw();
}

// a picture is kept for a while, as is one that is on its way; never longer than the list stays
export function pictureOf(name, smoothing) {
  const key = `${run.life} ${run.edition} ${smoothing} ${name}`;
  const found = pictures.get(key) || loadPicture(run.numbers.get(name), smoothing);
  pictures.delete(key);
  pictures.set(key, found);
  found.catch(() => pictures.delete(key));
  while (pictures.size > MOST_PICTURES) pictures.delete(pictures.keys().next().value);
  return found;
}

async function loadPicture(number, smoothing) {
  const answer = await ask(`/micrographs/${number}/picture?smoothing=${smoothing}`);
  return createImageBitmap(await answer.blob());
}

// ---- what is where

// unmarked peaks that are picks at the threshold
export const openPicks = () => sheet.peaks.filter(
  (peak) => peak.score >= scores.threshold && !sheet.marks.has(peak.key));

// the area that is worth a look: [left, top, right, bottom] in px, if there is one
export const areaHere = () => run.suggested.get(sheet.number)?.area;

// unmarked picks in it
export function openInArea() {
  const area = areaHere();
  if (!area) return [];
  const [left, top, right, bottom] = area;
  return openPicks().filter(({ x, y }) => x >= left && x <= right && y >= top && y <= bottom);
}

// what is shown nearest to a point (px), within a distance: { key, x, y, score, mark }
export function nearest(x, y, distance, below = false) {
  let best = null, least = distance;
  const consider = (key, px, py, score, mark) => {
    const away = Math.hypot(px - x, py - y);
    if (away > least) return;
    least = away;
    best = { key, x: px, y: py, score, mark };
  };
  if (!below) {
    for (const [key, at] of sheet.marks) {
      const unit = constants.stepsPerPx;
      consider(key, at.x / unit, at.y / unit, sheet.byKey.get(key)?.score, at.mark);
    }
  }
  for (const { key, x: px, y: py, score } of sheet.peaks) {
    if (below === score < scores.threshold && !sheet.marks.has(key)) consider(key, px, py, score, "");
  }
  return best;
}

export function countMarks() {
  const counts = { removed: 0, added: 0, confirmed: 0 };
  for (const { mark } of sheet.marks.values()) counts[mark]++;
  return counts;
}
