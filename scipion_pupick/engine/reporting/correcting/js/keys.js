// SPDX-License-Identifier: GPL-3.0-or-later
// Keys, wherever on the page; and the buttons that do the same.

import { byId } from "../../js/dom.js";
import { addHere, confirmArea, confirmHere, moveCross, redo, removeHere, selectPick, toggleDone, undo } from "./actions.js";
import { openNext, smoothingNow } from "./micrographs.js";
import { redraw, redrawAll, run } from "./run.js";
import { setThreshold, stepThreshold } from "./scores.js";
import { showPicture } from "./sheet.js";
import { fit, panBy, zoomBy } from "./stage.js";

const PAN = 60;
const ZOOM = 1.3;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function toggleBox(id) {
  byId(id).checked = !byId(id).checked;
  redraw();
}

function moveThreshold(steps) {
  stepThreshold(steps);
  redrawAll();
}

const KEYS = {
  "+": () => zoomBy(ZOOM), "=": () => zoomBy(ZOOM), "-": () => zoomBy(1 / ZOOM), 0: fit,
  n: () => openNext(1), p: () => openNext(-1), d: toggleDone, u: undo, r: redo,
  x: removeHere, delete: removeHere, c: confirmHere, a: addHere, f: confirmArea,
  "[": () => moveThreshold(-1), "]": () => moveThreshold(1),
  b: () => toggleBox("show-below"), v: () => toggleBox("show-picks"),
  h: () => byId("help").showModal(), "?": () => byId("help").showModal(),
};
const WITH_CONTROL = { z: (e) => (e.shiftKey ? redo() : undo()), y: redo };
const WRITTEN_IN = ["INPUT", "SELECT", "TEXTAREA"];

function actionFor(e) {
  const key = e.key.toLowerCase();
  if (e.altKey) return null;
  if (e.ctrlKey || e.metaKey) return WITH_CONTROL[key];
  if (e.key === " ") return e.target.tagName === "BUTTON" ? null : () => selectPick(e.shiftKey ? -1 : 1);
  const direction = ARROWS[e.key];
  if (!direction) return KEYS[key];
  return () => (e.shiftKey ? moveCross(...direction) : panBy(...direction.map((by) => by * PAN)));
}

function isWriting(e) {
  return WRITTEN_IN.includes(e.target.tagName) && e.target.type !== "checkbox";
}

export function listenToKeys() {
  addEventListener("keydown", (e) => {
    if (isWriting(e) || document.querySelector("dialog[open]") || byId("main").inert) return;
    const act = actionFor(e);
    if (!act) return;
    e.preventDefault();
    act(e);
  });
}

export function listenToButtons() {
  const clicks = {
    previous: () => openNext(-1), next: () => openNext(1), undo, redo, done: toggleDone, area: confirmArea,
    "zoom-in": () => zoomBy(ZOOM), "zoom-out": () => zoomBy(1 / ZOOM), fit,
    "open-help": () => byId("help").showModal(), own: () => chooseThreshold(run.threshold),
  };
  for (const [id, act] of Object.entries(clicks)) byId(id).onclick = () => act();
  for (const id of ["show-picks", "show-below"]) byId(id).onchange = () => redraw();
  byId("smoothing").onchange = () => showPicture(smoothingNow()).catch(() => {});
  byId("threshold").oninput = (e) => chooseThreshold(Number(e.target.value));
  byId("exact").oninput = (e) => {
    if (e.target.value !== "") chooseThreshold(Number(e.target.value));
  };
}

function chooseThreshold(value) {
  setThreshold(value);
  redrawAll();
}
