// SPDX-License-Identifier: GPL-3.0-or-later
// Edits on their way to the server. Until it has saved them, they are kept in this browser as well,
// and whoever opens the page there again sends them.

import { byId } from "../../js/dom.js";
import { constants } from "./constants.js";
import { hush, say, sayBriefly } from "./messages.js";
import { redrawAll, run } from "./run.js";
import { askJson } from "./server.js";
import { markAgain, setUnsaved, sheet, takeState } from "./sheet.js";

const AGAIN = 3000;
// of HTTP: sent again, the same would come of it
const HOPELESS = [400, 404, 405, 411, 413, 415, 422];
const OWN = crypto.getRandomValues(new Uint32Array(2)).join("-");

// { name of the micrograph, rows [[name, x, y, before, after]], done }, in their order
let queue = [];
let sending = false, timer = 0, number = 0, problem = "";

const prefix = () => `pupick-unsaved:${run.folder}:`;
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
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(prefix()));
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
  const key = prefix() + OWN;
  try {
    if (queue.length) localStorage.setItem(key, JSON.stringify(queue));
    else localStorage.removeItem(key);
    hush("full");
  } catch {
    say("full", "This browser keeps no more: do not close this page before all is saved.");
  }
  describeSaving();
}

// the first edits that are of one micrograph
function firstBatch() {
  const end = queue.findIndex((item) => item.name !== queue[0].name);
  const items = end < 0 ? [...queue] : queue.slice(0, end);
  let rows = 0;
  return items.filter((item, i) => (rows += item.rows.length) <= constants.mostEdits || i === 0);
}

export async function send() {
  clearTimeout(timer);
  if (sending) return;
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
  const decided = items.filter((item) => item.done !== null).pop();
  const edits = items.flatMap((item) => item.rows);
  if (target === undefined) return putAside(items, "it is not in the run any more");
  let state;
  try {
    const done = decided ? decided.done : null;
    state = await askJson(`/micrographs/${target}`, { micrograph: name, edits, done });
  } catch (failure) {
    if (!HOPELESS.includes(failure.status)) throw failure;
    return putAside(items, failure.message);
  }
  drop(items);
  noteSaved(target, state);
  const refused = Object.keys(state.refused).length;
  if (refused) sayRefused(name, refused);
  return undefined;
}

function drop(items) {
  queue = queue.filter((item) => !items.includes(item));
  keep();
}

function noteSaved(target, state) {
  const counts = { removed: 0, added: 0, confirmed: 0 };
  for (const [, , mark] of state.marks) counts[mark]++;
  run.corrected.set(target, [counts.removed, counts.added, counts.confirmed, state.done]);
  // else the next look at what has changed would find it
  if (state.changes === run.changes + 1) run.changes = state.changes;
  if (target === sheet.number) takeState(state);
  redrawAll();
}

function sayRefused(name, count) {
  const what = count === 1 ? "One correction was" : `${count} corrections were`;
  sayBriefly("refused", `${what} not taken in ${name}: somebody else has changed the same picks `
    + "meanwhile, or they are no longer there. What is shown now is what is saved.");
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
  saved.dataset.state = problem && count ? "unsaved" : count ? "saving" : "saved";
  const what = count === 1 ? "1 correction is" : `${count} corrections are`;
  saved.textContent = { saved: "All saved", saving: "Saving", unsaved: `${count} not saved` }[saved.dataset.state];
  if (saved.dataset.state === "unsaved") {
    say("unsaved", `Not saved: ${problem} ${what} kept in this browser and sent again by itself.`,
      ["Send now", send]);
  } else hush("unsaved");
}

addEventListener("beforeunload", (e) => {
  if (queue.length) e.preventDefault();
});
