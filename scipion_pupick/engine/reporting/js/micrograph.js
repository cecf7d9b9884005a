// SPDX-License-Identifier: GPL-3.0-or-later
// A micrograph on a canvas: image, score map, picks, reference.

import { LUT, colourOf, colourRange } from "./colours.js";
import { data, pointOf, radiusOf, state, tables } from "./data.js";
import { element, isOn } from "./dom.js";
import { clamp } from "./numbers.js";
import { css } from "./palette.js";

const STRIPES = 12;
const BELOW = "rgba(255,255,255,.55)";

export async function decode(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

export async function loadImages(m) {
  if (m.image) m.picture = await decode(m.image);
  if (m.dirt) m.hatching = hatch(await decode(m.dirt), m);
  if (m.map) m.overlay = colourMap(await decode(m.map));
}

// scores in colours, the fainter the lower
function colourMap(image) {
  const map = element("canvas", { width: image.width, height: image.height });
  const context = map.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height);
  const [low, high] = data.mapRange, faint = colourRange[0] - 3;
  for (let i = 0; i < pixels.data.length; i += 4) {
    const score = low + pixels.data[i] / 255 * (high - low);
    const strength = Math.sqrt(clamp((score - faint) / (colourRange[1] - faint), 0, 1));
    pixels.data.set([...LUT[colourOf(score)], 255 * strength], i);
  }
  context.putImageData(pixels, 0, 0);
  return map;
}

// dark and light stripes, which everybody can tell from any grey
function stripes() {
  const tile = element("canvas", { width: STRIPES, height: STRIPES });
  const context = tile.getContext("2d");
  for (const [colour, across] of [["#000", 0], ["#fff", 1.2]]) {
    context.strokeStyle = colour;
    context.beginPath();
    for (const start of [-STRIPES, 0, STRIPES]) {
      context.moveTo(start + across, STRIPES);
      context.lineTo(start + STRIPES + across, 0);
    }
    context.stroke();
  }
  return tile;
}

// stripes where the mask is white, as large as the micrograph is shown
function hatch(mask, m) {
  const inside = element("canvas", { width: mask.width, height: mask.height });
  const masking = inside.getContext("2d");
  masking.drawImage(mask, 0, 0);
  const pixels = masking.getImageData(0, 0, mask.width, mask.height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i];
  masking.putImageData(pixels, 0, 0);
  const sheet = element("canvas", { width: m.width, height: m.height });
  const context = sheet.getContext("2d"), corner = m.dirtCorner;
  context.imageSmoothingEnabled = false;
  context.drawImage(inside, corner, corner, mask.width * m.dirtStep, mask.height * m.dirtStep);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = context.createPattern(stripes(), "repeat");
  context.fillRect(0, 0, m.width, m.height);
  return sheet;
}

// draw so that the point (x, y) lies in the corner, `scale` screen px to one of the micrograph's
export function paint(context, m, { scale, x, y, width, height, line }) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
  context.imageSmoothingEnabled = scale < 3;
  context.fillStyle = "#777";
  context.fillRect(0, 0, m.width, m.height);
  if (m.picture) context.drawImage(m.picture, 0, 0, m.width, m.height);
  overlay(context, m);
  context.lineWidth = line / scale;
  if (tables && isOn("show-below")) {
    circles(context, m, (rank) => rank < state.level, () => 0, BELOW);
  }
  if (tables && isOn("show-picks")) {
    circles(context, m, (rank) => rank >= state.level, (rank) => colourOf(tables.grid[rank]));
  }
  if (isOn("show-reference")) marks(context, m, scale);
  if (m.look && isOn("show-doubtful")) areaFrame(context, m);
}

function overlay(context, m) {
  if (m.overlay && isOn("show-map")) drawScores(context, m);
  if (m.hatching && isOn("show-dirt")) context.drawImage(m.hatching, 0, 0);
}

function drawScores(context, m) {
  context.imageSmoothingEnabled = true;
  // a score is of the pixel in the middle of its step, which begins half a step before
  const step = m.mapStep, corner = m.mapFirst - step / 2;
  context.drawImage(m.overlay, corner, corner, m.overlay.width * step, m.overlay.height * step);
}

function addCircle(path, [x, y], radius) {
  path.moveTo(x + radius, y);
  path.arc(x, y, radius, 0, 2 * Math.PI);
}

// peaks of the wanted ranks, one stroke a bin, the highest bin on top
function circles(context, m, wanted, binOf, colour) {
  const paths = new Map(), radius = radiusOf(m);
  for (let i = 0; i < m.ranks.length; i++) {
    if (!wanted(m.ranks[i])) continue;
    const bin = binOf(m.ranks[i]);
    if (!paths.has(bin)) paths.set(bin, new Path2D());
    addCircle(paths.get(bin), pointOf(m.peaks, i), radius);
  }
  for (const [bin, path] of [...paths].sort((a, b) => a[0] - b[0])) {
    context.strokeStyle = colour || css(LUT[bin]);
    context.stroke(path);
  }
}

// the reference: crosses over picks, and circles where there are none
function marks(context, m, scale) {
  const path = new Path2D(), radius = radiusOf(m), arm = Math.max(radius / 3, 2.5 / scale);
  for (let i = 0; i < m.reference.length / 2; i++) {
    const [x, y] = pointOf(m.reference, i);
    path.moveTo(x - arm, y);
    path.lineTo(x + arm, y);
    path.moveTo(x, y - arm);
    path.lineTo(x, y + arm);
    if (!tables) addCircle(path, [x, y], radius);
  }
  context.strokeStyle = data.referenceColour;
  context.stroke(path);
}

// round the area that is worth a look: a frame, which differs from circles without any colour
function areaFrame(context, m) {
  const path = new Path2D(), beyond = radiusOf(m), sides = [m.width, m.height];
  const [left, top, right, bottom] = m.look.area.map((share, i) => share * sides[i % 2]);
  path.rect(left - beyond, top - beyond, right - left + 2 * beyond, bottom - top + 2 * beyond);
  const line = context.lineWidth;
  for (const [width, colour] of [[2.2 * line, "#000"], [1.2 * line, "#fff"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
  context.lineWidth = line;
}
