// SPDX-License-Identifier: GPL-3.0-or-later
// Changes of marks, which can be undone and made again.

import { sheet } from "./sheet.js";
import { enqueue, newName } from "./unsaved.js";

const made = [], undone = [];

// change marks of the open micrograph, { x, y, before, after } in steps, and maybe whether it is done;
// isOfAll: whether they rest on all that is shown, as what is done does
export function change(changes, done = null, isOfAll = false) {
  if (!changes.length && done === null) return;
  const { name, shown } = sheet;
  const entry = { name, shown, changes, isOfAll, done: done === null ? null : [sheet.done, done] };
  made.push(entry);
  undone.length = 0;
  submit(entry);
}

function submit({ name, shown, changes, done, isOfAll }) {
  const rows = changes.map(({ x, y, before, after }) => [newName(), x, y, before, after]);
  enqueue({ name, rows, done: done && done[1], shown: isOfAll || (done && done[1]) ? shown : null });
}

function reversed({ name, shown, changes, done }) {
  const back = changes.map((c) => ({ ...c, before: c.after, after: c.before })).reverse();
  return { name, shown, changes: back, isOfAll: false, done: done && [done[1], done[0]] };
}

export const canUndo = () => made.length > 0;
export const canRedo = () => undone.length > 0;

// both return the name of the micrograph that has changed
export function undoLast() {
  const entry = made.pop();
  if (!entry) return sheet.name;
  undone.push(entry);
  submit(reversed(entry));
  return entry.name;
}

export function redoLast() {
  const entry = undone.pop();
  if (!entry) return sheet.name;
  made.push(entry);
  submit(entry);
  return entry.name;
}
