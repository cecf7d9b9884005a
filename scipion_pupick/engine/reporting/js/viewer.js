// SPDX-License-Identifier: GPL-3.0-or-later
// The viewer: one micrograph, to zoom and to pan.

import { baseName, picksOf, shown, state, tables } from "./data.js";
import { byId, screenRatio } from "./dom.js";
import { paint } from "./micrograph.js";
import { clamp, percent, whole } from "./numbers.js";

const stage = byId("canvas");
const CLOSE = 5;
const CLOSEST = 24;

const usableText = (m) => m.dirt ? `, ${percent(m.usable)} usable` : "";
export const countText = (m) => tables
  ? `${whole(picksOf(m))} particles${usableText(m)}` : `${whole(m.reference.length / 2)} labels`;
const fitScale = (m) => Math.min(stage.width / m.width, stage.height / m.height);
const scaleNow = () => fitScale(shown[state.current]) * state.zoom;

export function sizeStage() {
  const width = stage.clientWidth;
  const height = Math.max(320, Math.min(width * 0.75, innerHeight - 270));
  stage.width = Math.round(width * screenRatio());
  stage.height = Math.round(height * screenRatio());
  stage.style.height = `${height}px`;
  byId("micrographs").style.setProperty("--stage", `${height + 36}px`);
}

export function drawStage() {
  const m = shown[state.current];
  if (!m) return;
  const { width, height } = stage, scale = scaleNow();
  const spareX = width / scale - m.width, spareY = height / scale - m.height;
  state.x = spareX > 0 ? -spareX / 2 : clamp(state.x, 0, -spareX);
  state.y = spareY > 0 ? -spareY / 2 : clamp(state.y, 0, -spareY);
  const view = { scale, x: state.x, y: state.y, width, height, line: 1.8 * screenRatio() };
  paint(stage.getContext("2d"), m, view);
  describeStage(m);
}

function describeStage(m) {
  const count = countText(m), map = byId("show-map");
  map.disabled = !m.map;
  map.parentElement.title = m.map ? "" : "only some of the micrographs have one here";
  const missing = m.picture ? "" : " (the image cannot be read)";
  byId("current").textContent = `${baseName(m.name)}: ${count}${missing}`;
  stage.setAttribute("aria-label", `${m.name}: ${count}`);
}

// zoom round a point of the canvas
function zoomBy(factor, px = stage.width / 2, py = stage.height / 2) {
  const before = scaleNow();
  state.zoom = clamp(state.zoom * factor, 1, CLOSEST);
  const after = scaleNow();
  state.x += px / before - px / after;
  state.y += py / before - py / after;
  drawStage();
}

function panBy(dx, dy) {
  const scale = scaleNow();
  state.x += dx / scale;
  state.y += dy / scale;
  drawStage();
}

function resetView() {
  state.zoom = 1;
  state.x = state.y = 0;
}

function fit() {
  resetView();
  drawStage();
}

// ---- which micrograph

const thumbnailButtons = () => [...document.querySelectorAll("#thumbnails button")];

// show a micrograph, closely round a point (shares of its width and height) if there is one
export function select(index, centre) {
  state.current = index;
  resetView();
  if (centre) {
    const m = shown[index];
    state.zoom = CLOSE;
    const scale = scaleNow();
    state.x = centre[0] * m.width - stage.width / scale / 2;
    state.y = centre[1] * m.height - stage.height / scale / 2;
  }
  for (const button of thumbnailButtons()) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.index) === index));
  }
  drawStage();
}

function selectNext(by) {
  const order = thumbnailButtons().map((button) => Number(button.dataset.index));
  const next = order[clamp(order.indexOf(state.current) + by, 0, order.length - 1)];
  if (next !== undefined) select(next);
  const pressed = document.querySelector('#thumbnails [aria-pressed="true"]');
  pressed?.scrollIntoView({ block: "nearest" });
}

// ---- pointer and keys

function listenToPointer() {
  let from = null;
  stage.addEventListener("pointerdown", (e) => {
    from = [e.clientX, e.clientY];
    stage.setPointerCapture(e.pointerId);
  });
  stage.addEventListener("pointermove", (e) => {
    if (!from) return;
    panBy((from[0] - e.clientX) * screenRatio(), (from[1] - e.clientY) * screenRatio());
    from = [e.clientX, e.clientY];
  });
  stage.addEventListener("pointerup", () => { from = null; });
  stage.addEventListener("wheel", (e) => {
    e.preventDefault();
    const factor = e.deltaY < 0 ? 1.2 : 1 / 1.2;
    zoomBy(factor, e.offsetX * screenRatio(), e.offsetY * screenRatio());
  }, { passive: false });
}

const KEYS = {
  "+": () => zoomBy(1.3),
  "=": () => zoomBy(1.3),
  "-": () => zoomBy(1 / 1.3),
  "0": fit,
  n: () => selectNext(1),
  p: () => selectNext(-1),
  ArrowLeft: () => panBy(-60, 0),
  ArrowRight: () => panBy(60, 0),
  ArrowUp: () => panBy(0, -60),
  ArrowDown: () => panBy(0, 60),
};

export function listenToStage() {
  listenToPointer();
  stage.addEventListener("keydown", (e) => {
    const act = KEYS[e.key] || KEYS[e.key.toLowerCase()];
    if (!act || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    act();
  });
  byId("zoom-in").onclick = () => zoomBy(1.5);
  byId("zoom-out").onclick = () => zoomBy(1 / 1.5);
  byId("fit").onclick = fit;
}
