// SPDX-License-Identifier: GPL-3.0-or-later
// What people do with picks, by mouse or by key.

import { byId } from "../../js/dom.js";
import { percent, signed, whole } from "../../js/numbers.js";
import { canRedo, canUndo, change, redoLast, undoLast } from "./edits.js";
import { open, openNext } from "./micrographs.js";
import { redraw, run } from "./run.js";
import { scores } from "./scores.js";
import { countMarks, nearest, openInArea, openPicks, radius, sheet, toStep } from "./sheet.js";
import { pointedAt, reveal, view } from "./stage.js";

// an added particle is put on a peak that is nearer than this, in radii
const SNAP = 0.5;

function changeOf(at, after) {
  const before = sheet.marks.get(at.key)?.mark || "";
  const [x, y] = at.key.split(",").map(Number);
  return { x, y, before, after };
}

const mark = (at, after) => change([changeOf(at, after)]);

// the place that a key is about: where the cross is, or else the mouse
const place = () => sheet.selected || view.mouse;
const found = () => {
  const at = place();
  return at && nearest(at.x, at.y, radius());
};

function toggleRemoved(at) {
  mark(at, at.mark === "removed" || at.mark === "added" ? "" : "removed");
}

function toggleConfirmed(at) {
  if (at.mark !== "added") mark(at, at.mark === "confirmed" ? "" : "confirmed");
}

function addAt(at) {
  const peak = nearest(at.x, at.y, SNAP * radius(), true);
  const last = (side) => toStep(side - 1);
  const x = toStep(at.x), y = toStep(at.y);
  if (x < 0 || y < 0 || x > last(sheet.width) || y > last(sheet.height)) return;
  // what the threshold hides has been picked all the same
  if (peak) mark(peak, peak.score >= sheet.threshold ? "confirmed" : "added");
  else change([{ x, y, before: "", after: "added" }]);
}

export function click(at) {
  if (!sheet.picked) return;
  const hit = nearest(at.x, at.y, radius());
  if (hit) toggleRemoved(hit);
  else addAt(at);
}

export function confirmAt(at) {
  const hit = sheet.picked && nearest(at.x, at.y, radius());
  if (hit) toggleConfirmed(hit);
}

export function removeHere() {
  const hit = found();
  if (hit) toggleRemoved(hit);
}

export function confirmHere() {
  const hit = found();
  if (hit) toggleConfirmed(hit);
}

export function addHere() {
  if (sheet.picked && place() && !found()) addAt(place());
}

// what is left in the area that is worth a look is right
export function confirmArea() {
  change(openInArea().map((peak) => changeOf(peak, "confirmed")), null, true);
}

// ---- going through the picks, doubtful ones first

export function selectPick(by) {
  const picks = openPicks().reverse();
  if (!picks.length) return;
  const now = picks.findIndex((peak) => peak.x === sheet.selected?.x && peak.y === sheet.selected?.y);
  const doubt = now < 0 ? picks.findIndex((peak) => peak.score > (sheet.selected?.score ?? -Infinity)) : now + by;
  const next = picks[(doubt + picks.length) % picks.length];
  sheet.selected = { x: next.x, y: next.y, score: next.score };
  reveal(sheet.selected);
}

export function moveCross(dx, dy) {
  const step = radius() / 4, from = sheet.selected || view.mouse
    || { x: sheet.width / 2, y: sheet.height / 2 };
  const within = (value, side) => Math.min(Math.max(value, 0), side - 1);
  const x = within(from.x + dx * step, sheet.width), y = within(from.y + dy * step, sheet.height);
  sheet.selected = { x, y };
  reveal(sheet.selected);
}

// ---- the whole micrograph

// what the threshold shows is right: below the run's own that is more, above it less than was picked
export function toggleDone() {
  if (!sheet.picked) return;
  if (sheet.done) {
    change([], false);
    return;
  }
  const low = Math.min(scores.threshold, sheet.threshold);
  const high = Math.max(scores.threshold, sheet.threshold);
  const between = sheet.peaks.filter(
    ({ key, score }) => score >= low && score < high && !sheet.marks.has(key));
  const after = scores.threshold < sheet.threshold ? "confirmed" : "removed";
  change(between.map((peak) => changeOf(peak, after)), true);
  openNext(1);
}

function show(name) {
  const number = run.numbers.get(name);
  if (number !== undefined && number !== sheet.number) open(number);
  redraw();
}

export const undo = () => show(undoLast());
export const redo = () => show(redoLast());

// ---- in words

function countText() {
  const counts = countMarks();
  const shown = openPicks().length + counts.added + counts.confirmed;
  const marks = Object.entries(counts).filter(([, count]) => count)
    .map(([name, count]) => `${count} ${name}`).join(", ");
  return `${whole(shown)} particles${marks ? ` (${marks})` : ""}`;
}

function stateText() {
  if (sheet.isLoading) return "…";
  return sheet.picked ? countText() : "not picked";
}

export function describe() {
  const reason = run.failed.get(sheet.number) || sheet.problem;
  const text = [stateText(), reason].filter(Boolean).join("; ");
  byId("name").textContent = sheet.name.split("/").pop();
  byId("count").textContent = `: ${text}`;
  byId("current").title = `${sheet.name}: ${text}`;
  byId("canvas").setAttribute("aria-label", `${sheet.name}: ${text}`);
  byId("done").setAttribute("aria-pressed", String(sheet.done));
  byId("done").textContent = sheet.done ? "Done ✓" : "Done, next";
  byId("area").disabled = sheet.done || !openInArea().length;
  byId("undo").disabled = !canUndo();
  byId("redo").disabled = !canRedo();
  describePointed();
}

function describePointed() {
  const at = sheet.selected ? found() : pointedAt();
  const score = at?.score;
  byId("pointed").textContent = score === undefined ? ""
    : `score ${signed(score)} (${percent(1 / (1 + Math.exp(-score)))})`;
}
