// SPDX-License-Identifier: GPL-3.0-or-later
// Plots of the run at the threshold: where something odd would show.

import { data, pointOf, radiusOf, shown, state, tables } from "./data.js";
import { byId, drawing, element } from "./dom.js";
import { barsOutline, frame, shareOf, verticalLine } from "./frame.js";
import { clamp, median, short, whole } from "./numbers.js";
import { unpack } from "./packed.js";
import { hexColour } from "./palette.js";
import { follow } from "./threshold.js";

const DASHED = { "stroke-dasharray": "5 4" };

// ---- particles per micrograph

const MOST_DOTS = 800;

// a dot for each group of micrographs that follow each other, and a line for its range; what is
// not known is left out
export function dotsOf(plot, values, groupSize) {
  const dots = [], ranges = [];
  for (let i = 0; i < values.length; i += groupSize) {
    const group = [...values.subarray(i, i + groupSize)].filter(Number.isFinite);
    if (!group.length) continue;
    const last = Math.min(i + groupSize, values.length);
    const px = plot.mapX((i + 1 + last) / 2).toFixed(1);
    const y = (value) => plot.mapY(value).toFixed(1);
    dots.push(`M${px} ${y(group.reduce((a, b) => a + b, 0) / group.length)}h0`);
    if (groupSize > 1) ranges.push(`M${px} ${y(Math.min(...group))}V${y(Math.max(...group))}`);
  }
  const size = values.length > 200 ? 4 : 7, stroke = "var(--accent)";
  return [
    drawing("path", { d: ranges.join(""), stroke: "var(--bar)", fill: "none" }),
    drawing("path", { d: dots.join(""), stroke, "stroke-width": size, "stroke-linecap": "round" }),
  ];
}

function drawMedian(plot, counts) {
  const middle = median(counts), text = `median ${middle % 1 ? middle.toFixed(1) : whole(middle)}`;
  const right = plot.width - plot.right, y = plot.mapY(middle);
  const ends = { x1: plot.left, x2: right, y1: y, y2: y };
  plot.at.append(drawing("line", { ...ends, stroke: "var(--second)", ...DASHED }),
    drawing("text", { x: right, y: y - 5, "text-anchor": "end" }, text));
}

function nameUnderPointer(plot, counts) {
  const n = counts.length;
  plot.svg.addEventListener("pointermove", (e) => {
    const i = clamp(Math.round(shareOf(plot, e) * n - 0.5), 0, n - 1);
    const title = drawing("title", {}, `${data.names[i]}: ${whole(counts[i])}`);
    const others = [...plot.svg.childNodes].filter((node) => node.nodeName !== "title");
    plot.svg.replaceChildren(...others, title);
  });
}

export function plotPerMicrograph() {
  const n = data.names.length, host = byId("per-micrograph");
  const groupSize = Math.ceil(n / MOST_DOTS);
  const note = ` (dots: means of ${groupSize} in a row; lines: their range)`;
  host.previousElementSibling.textContent
    = `Particles per micrograph, in the order of acquisition${groupSize > 1 ? note : ""}`;
  const look = { width: 1300, height: 220, integers: true, yText: short, xText: whole };
  follow((counts) => {
    const y = [0, Math.max(1, ...counts) * 1.08];
    const axes = { x: [0.5, n + 0.5], y, xName: "micrograph", yName: "particles" };
    const plot = frame(host, { ...axes, ...look });
    plot.at.append(...dotsOf(plot, counts, groupSize));
    drawMedian(plot, counts);
    nameUnderPointer(plot, counts);
  });
}

// ---- distances to the nearest neighbour

const FARTHEST_CELL = 3;
const cellKey = (column, row) => column * 65536 + row;

// picks (x, y), px, by the cell of a grid
function sortIntoCells(picks, cell) {
  const cells = new Map();
  for (const pick of picks) {
    const key = cellKey(Math.floor(pick[0] / cell), Math.floor(pick[1] / cell));
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(pick);
  }
  return cells;
}

function* picksAround(cells, column, row, reach) {
  for (let i = column - reach; i <= column + reach; i++) {
    for (let j = row - reach; j <= row + reach; j++) yield* cells.get(cellKey(i, j)) || [];
  }
}

// px; infinite where no other pick is within three cells
function nearestDistance(pick, cells, cell) {
  const column = Math.floor(pick[0] / cell), row = Math.floor(pick[1] / cell);
  let best = Infinity;
  for (let reach = 1; reach <= FARTHEST_CELL && best > (reach - 1) * cell; reach++) {
    for (const other of picksAround(cells, column, row, reach)) {
      if (other === pick) continue;
      best = Math.min(best, Math.hypot(pick[0] - other[0], pick[1] - other[1]));
    }
  }
  return best;
}

// distances (Å) from each pick of a micrograph to the nearest other
function neighbours(m) {
  const picks = [];
  m.ranks.forEach((rank, i) => { if (rank >= state.level) picks.push(pointOf(m.peaks, i)); });
  const cell = 2 * radiusOf(m), cells = sortIntoCells(picks, cell);
  const distances = picks.map((pick) => nearestDistance(pick, cells, cell));
  return distances.filter((distance) => distance < Infinity).map((px) => px * m.pixelSize);
}

export function plotNeighbours() {
  const host = byId("neighbours"), bins = 60, most = 3 * data.diameter;
  follow(() => {
    const histogram = new Array(bins).fill(0);
    for (const distance of shown.flatMap(neighbours)) {
      if (distance < most) histogram[Math.floor(distance / most * bins)]++;
    }
    const y = [0, Math.max(1, ...histogram) * 1.08];
    const axes = { x: [0, most], y, xName: "distance (Å)", yName: "particles" };
    const plot = frame(host, { ...axes, yText: short });
    const bars = histogram.map((count, i) => [i * most / bins, (i + 1) * most / bins, count]);
    const place = { x: plot.mapX(data.diameter) + 5, y: plot.top + 10 };
    plot.at.append(drawing("path", { d: barsOutline(plot, bars), fill: "var(--accent)" }),
      verticalLine(plot, data.diameter, { "stroke-width": 2, ...DASHED }),
      drawing("text", place, `diameter ${data.diameter} Å`));
  });
  if (shown.length < data.names.length) {
    host.previousElementSibling.append(` (in the ${shown.length} micrographs shown)`);
  }
}

// ---- picks over the image plane

// which of the levels that the plane was counted at is nearest to the threshold
function nearestPlane() {
  const away = tables.planeLevels.map((level) => Math.abs(level - state.level));
  return away.indexOf(Math.min(...away));
}

function drawCells(picture, counts, most) {
  const context = picture.getContext("2d"), { width, height } = picture;
  const pixels = context.createImageData(width, height);
  const accent = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  const colour = hexColour(accent.trim());
  counts.forEach((count, i) => pixels.data.set([...colour, 255 * count / most], 4 * i));
  context.putImageData(pixels, 0, 0);
}

function planeImage({ mapX, mapY }, picture) {
  return drawing("image", {
    x: mapX(0), y: mapY(0), width: mapX(100) - mapX(0), height: mapY(100) - mapY(0),
    preserveAspectRatio: "none", href: picture.toDataURL(), style: "image-rendering: pixelated",
  });
}

export function plotPlane() {
  const host = byId("plane"), cells = tables.cells, counts = unpack(tables.plane);
  const picture = element("canvas", { width: cells, height: cells });
  const names = { xName: "x (% of the width)", yName: "y (% of the height)" };
  follow(() => {
    const first = nearestPlane() * cells * cells;
    const plane = counts.subarray(first, first + cells * cells), most = Math.max(1, ...plane);
    drawCells(picture, plane, most);
    const plot = frame(host, { x: [0, 100], y: [100, 0], ...names });
    plot.at.append(planeImage(plot, picture));
    host.previousElementSibling.textContent
      = `Picks over the image plane (from none to ${whole(most)} in a cell)`;
  });
}
