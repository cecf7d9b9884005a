// SPDX-License-Identifier: GPL-3.0-or-later
// The open micrograph on a canvas: picture, picks in the colours of their scores, and marks, which
// differ in shape as well as in colour.

import { isOn } from "../../js/dom.js";
import { css, shadeOf, shadesBetween } from "../../js/palette.js";
import { constants } from "./constants.js";
import { colourRangeNow, scores } from "./scores.js";
import { areaHere, openInArea, radius, sheet } from "./sheet.js";

const PALETTE = shadesBetween(constants.scoreColours);
const BELOW = "rgba(255,255,255,.5)";
const HALO = "rgba(0,0,0,.55)";
const MARK_COLOURS = { removed: "#ff7f50", added: "#56d0ff", confirmed: "#ffffff" };

// draw so that the point (x, y) lies in the corner, `scale` screen px to one of the micrograph's
export function paint(context, { scale, x, y, width, height, line }, pointed) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  if (!sheet.width) return;
  context.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
  context.fillStyle = "#777";
  context.fillRect(0, 0, sheet.width, sheet.height);
  if (sheet.picture) {
    context.imageSmoothingEnabled = scale * sheet.width < 4 * sheet.picture.width;
    context.drawImage(sheet.picture, 0, 0, sheet.width, sheet.height);
  }
  // the centre of the first pixel is 0
  context.translate(0.5, 0.5);
  const shown = { left: x, top: y, right: x + width / scale, bottom: y + height / scale };
  paintPeaks(context, shown, line / scale);
  if (isOn("show-picks")) {
    paintMarks(context, shown, line / scale);
    paintArea(context, line / scale);
  }
  if (pointed) ring(context, pointed, 2 * line / scale, 1.12, "#fff");
  if (sheet.selected) cursor(context, sheet.selected, line / scale);
}

function isWithin({ left, top, right, bottom }, { x, y }) {
  const edge = radius();
  return x > left - edge && x < right + edge && y > top - edge && y < bottom + edge;
}

function circle(path, { x, y }, size) {
  path.moveTo(x + size, y);
  path.arc(x, y, size, 0, 2 * Math.PI);
}

// unmarked peaks, one stroke a shade, the highest scores on top
function paintPeaks(context, shown, line) {
  const paths = new Map(), size = radius(), range = colourRangeNow();
  const above = isOn("show-picks"), below = isOn("show-below");
  for (const peak of sheet.peaks) {
    const isPick = peak.score >= scores.threshold;
    if (!(isPick ? above : below) || sheet.marks.has(peak.key) || !isWithin(shown, peak)) continue;
    const shade = isPick ? shadeOf(peak.score, range) : -1;
    if (!paths.has(shade)) paths.set(shade, new Path2D());
    circle(paths.get(shade), peak, size);
  }
  context.lineWidth = line;
  for (const [shade, path] of [...paths].sort((a, b) => a[0] - b[0])) {
    context.strokeStyle = shade < 0 ? BELOW : css(PALETTE[shade]);
    context.stroke(path);
  }
}

function outlines() {
  const shapes = {};
  for (const mark of Object.keys(MARK_COLOURS)) {
    shapes[mark] = { rings: new Path2D(), signs: new Path2D() };
  }
  return shapes;
}

function paintMarks(context, shown, line) {
  const shapes = outlines(), unit = constants.stepsPerPx, size = radius();
  for (const { x, y, mark } of sheet.marks.values()) {
    const at = { x: x / unit, y: y / unit };
    if (isWithin(shown, at)) addMark(shapes[mark], mark, at, size, line);
  }
  for (const [mark, { rings, signs }] of Object.entries(shapes)) {
    context.setLineDash(mark === "removed" ? [2 * line, 2.5 * line] : []);
    strokeTwice(context, rings, line, MARK_COLOURS[mark]);
    context.setLineDash([]);
    strokeTwice(context, signs, line, MARK_COLOURS[mark]);
  }
}

// removed: dotted, with a cross; added: with a plus; confirmed: two rings
function addMark({ rings, signs }, mark, at, size, line) {
  const { x, y } = at, arm = Math.max(size / 3, 3 * line);
  circle(rings, at, size);
  if (mark === "confirmed") circle(rings, at, Math.max(size - 3 * line, line));
  const arms = { removed: [[1, 1], [1, -1]], added: [[1, 0], [0, 1]], confirmed: [] }[mark];
  for (const [dx, dy] of arms) {
    signs.moveTo(x - arm * dx, y - arm * dy);
    signs.lineTo(x + arm * dx, y + arm * dy);
  }
}

// round the area that is worth a look, while a pick in it has no mark: a frame
function paintArea(context, line) {
  if (sheet.done || !openInArea().length) return;
  const path = new Path2D(), [left, top, right, bottom] = areaHere(), beyond = radius();
  path.rect(left - beyond, top - beyond, right - left + 2 * beyond, bottom - top + 2 * beyond);
  strokeTwice(context, path, line, "#fff");
}

function strokeTwice(context, path, line, colour) {
  for (const [width, style] of [[2 * line, HALO], [1.1 * line, colour]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke(path);
  }
}

function ring(context, at, line, share, colour) {
  const path = new Path2D();
  circle(path, at, share * radius());
  context.lineWidth = line;
  context.strokeStyle = colour;
  context.stroke(path);
}

// a cross that leaves its middle open, as wide as a particle
function cursor(context, { x, y }, line) {
  const path = new Path2D(), near = radius() * 0.75, far = radius() * 1.5;
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + near * dx, y + near * dy);
    path.lineTo(x + far * dx, y + far * dy);
  }
  strokeTwice(context, path, 1.5 * line, "#fff");
}
