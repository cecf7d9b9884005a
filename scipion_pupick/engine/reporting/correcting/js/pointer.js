// SPDX-License-Identifier: GPL-3.0-or-later
// The mouse over the micrograph.

import { screenRatio } from "../../js/dom.js";
import { click, confirmAt } from "./actions.js";
import { redraw } from "./run.js";
import { sheet } from "./sheet.js";
import { panBy, placeOf, stage, view, zoomBy } from "./stage.js";

// px of CSS that a hand may tremble
const TREMOR = 4;
let from = null, last = [], isDrag = false;

function press(e) {
  from = [e.clientX, e.clientY];
  isDrag = false;
  stage.setPointerCapture(e.pointerId);
}

function move(e) {
  // browsers say so as well when something moves below a mouse that rests
  if (!from && e.clientX === last[0] && e.clientY === last[1]) return;
  last = [e.clientX, e.clientY];
  if (sheet.width) view.mouse = placeOf(e);
  sheet.selected = null;
  if (from) drag(e);
  redraw();
}

function drag(e) {
  const dx = from[0] - e.clientX, dy = from[1] - e.clientY;
  isDrag = isDrag || Math.hypot(dx, dy) > TREMOR;
  if (!isDrag) return;
  stage.classList.add("moving");
  panBy(dx * screenRatio(), dy * screenRatio());
  from = [e.clientX, e.clientY];
}

function release(e) {
  const isClick = from && !isDrag && sheet.width;
  from = null;
  stage.classList.remove("moving");
  if (!isClick) return;
  view.mouse = placeOf(e);
  if (e.button === 2 || (e.button === 0 && e.shiftKey)) confirmAt(view.mouse);
  else if (e.button === 0) click(view.mouse);
}

export function listenToPointer() {
  stage.addEventListener("pointerdown", press);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", () => { from = null; });
  stage.addEventListener("pointerleave", () => {
    view.mouse = null;
    redraw();
  });
  stage.addEventListener("contextmenu", (e) => e.preventDefault());
  stage.addEventListener("wheel", (e) => {
    e.preventDefault();
    const factor = e.deltaY < 0 ? 1.2 : 1 / 1.2;
    if (sheet.width) zoomBy(factor, e.offsetX * screenRatio(), e.offsetY * screenRatio());
  }, { passive: false });
}
