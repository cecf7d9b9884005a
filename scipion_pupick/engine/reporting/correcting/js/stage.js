// SPDX-License-Identifier: GPL-3.0-or-later
// The canvas: what part of the micrograph it shows, and what the mouse points at.

import { byId, screenRatio } from "../../js/dom.js";
import { clamp } from "../../js/numbers.js";
import { paint } from "./paint.js";
import { redraw, redrawAll } from "./run.js";
import { nearest, radius, sheet } from "./sheet.js";

export const stage = byId("canvas");
const CLOSEST = 40;
const LINE = 1.8;
// zoom: to the whole; x, y: px of the micrograph in the corner; mouse: in px of the micrograph
export const view = { zoom: 1, x: 0, y: 0, mouse: null };

const fitScale = () => Math.min(stage.width / sheet.width, stage.height / sheet.height);
const scaleNow = () => fitScale() * view.zoom;

export function sizeStage() {
  const width = Math.round(stage.clientWidth * screenRatio());
  const height = Math.round(stage.clientHeight * screenRatio());
  if (width === stage.width && height === stage.height) return;
  Object.assign(stage, { width, height });
  redrawAll();
}

export function drawStage() {
  const { width, height } = stage, scale = sheet.width ? scaleNow() : 1;
  const spareX = width / scale - sheet.width, spareY = height / scale - sheet.height;
  view.x = spareX > 0 ? -spareX / 2 : clamp(view.x, 0, -spareX);
  view.y = spareY > 0 ? -spareY / 2 : clamp(view.y, 0, -spareY);
  const part = { scale, x: view.x, y: view.y, width, height, line: LINE * screenRatio() };
  paint(stage.getContext("2d"), part, pointedAt());
}

export const pointedAt = () => view.mouse && nearest(view.mouse.x, view.mouse.y, radius());

// where an event is, px of the micrograph
export function placeOf(event) {
  const scale = scaleNow() / screenRatio();
  return { x: view.x + event.offsetX / scale - 0.5, y: view.y + event.offsetY / scale - 0.5 };
}

// zoom round a point of the canvas
export function zoomBy(factor, px = stage.width / 2, py = stage.height / 2) {
  const before = scaleNow();
  view.zoom = clamp(view.zoom * factor, 1, CLOSEST);
  const after = scaleNow();
  view.x += px / before - px / after;
  view.y += py / before - py / after;
  redraw();
}

export function panBy(dx, dy) {
  view.x += dx / scaleNow();
  view.y += dy / scaleNow();
  redraw();
}

export function fit() {
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  redraw();
}

// move so that a point (px) is within what is shown
export function reveal({ x, y }) {
  const wide = stage.width / scaleNow(), high = stage.height / scaleNow(), edge = 2 * radius();
  const isIn = x > view.x + edge && x < view.x + wide - edge
    && y > view.y + edge && y < view.y + high - edge;
  if (!isIn) Object.assign(view, { x: x - wide / 2, y: y - high / 2 });
  redraw();
}
