// SPDX-License-Identifier: GPL-3.0-or-later
// Plots by score, in which the threshold is shown and chosen.

import { estimated, levelOf, levelUp, tables, threshold } from "./data.js";
import { byId, drawing } from "./dom.js";
import { barsOutline, frame, lineThrough, shareOf } from "./frame.js";
import { clamp, percent, short } from "./numbers.js";
import { follow, setLevel } from "./threshold.js";

const BINS = 90;
const CURVES = [
  { name: "precision", colour: "var(--accent)", band: "var(--band)", dash: "", dx: -120 },
  { name: "recall", colour: "var(--second)", band: "var(--band-second)", dash: "7 4", dx: 20 },
];

// from where picks begin to be lost to where none is left, with the threshold inside
export function scoreRange() {
  const grid = tables.grid;
  const first = tables.counts.findIndex((count) => count < tables.counts[0]);
  let last = tables.counts.findIndex((count) => count === 0);
  if (last < 0) last = grid.length - 1;
  const low = Math.min(grid[Math.max(first, 0)], threshold()) - 0.2;
  return [Math.max(grid[0], low), Math.max(grid[last], threshold()) + 0.2];
}

function choosable(plot, range) {
  plot.svg.classList.add("choosable");
  const choose = (e) => {
    setLevel(levelOf(range[0] + shareOf(plot, e) * (range[1] - range[0])));
  };
  plot.svg.addEventListener("pointerdown", (e) => {
    plot.svg.setPointerCapture(e.pointerId);
    choose(e);
  });
  plot.svg.addEventListener("pointermove", (e) => { if (e.buttons) choose(e); });
}

function markThreshold(plot) {
  const ends = { y1: plot.top, y2: plot.height - plot.bottom };
  const line = drawing("line", { ...ends, stroke: "var(--second)", "stroke-width": 2 });
  plot.at.append(line);
  follow(() => {
    const px = plot.mapX(threshold());
    line.setAttribute("x1", px);
    line.setAttribute("x2", px);
  });
}

// ---- histogram

// for each bin of scores: from, to, all peaks, and how many of these are particles
function countBins(range) {
  const width = (range[1] - range[0]) / BINS;
  const edges = Array.from({ length: BINS + 1 }, (_, i) => range[0] + i * width);
  const levels = edges.map((score) => Math.min(levelUp(score), tables.grid.length - 1));
  const above = levels.map((level) => tables.counts[level]);
  const right = levels.map((level) => tables.counts[level] * estimated("precision", level));
  return edges.slice(0, -1).map((score, i) => {
    const peaks = above[i] - above[i + 1];
    const particles = clamp(right[i] - right[i + 1], 0, peaks);
    return { from: score, to: score + width, peaks, particles };
  });
}

function legendEntry(plot, dy, colour, text) {
  const x = plot.left + 8, y = plot.top + dy;
  plot.at.append(drawing("rect", { x, y, width: 11, height: 11, fill: colour }),
    drawing("text", { x: x + 16, y: y + 10 }, text));
}

export function plotHistogram(range) {
  const bins = countBins(range), most = Math.max(1, ...bins.map((bin) => bin.peaks));
  const axes = { x: range, y: [0, most * 1.05], xName: "score (log-odds)", yName: "peaks" };
  const plot = frame(byId("histogram"), { ...axes, yText: short });
  for (const [kind, fill] of [["peaks", "var(--bar)"], ["particles", "var(--accent)"]]) {
    const bars = bins.map((bin) => [bin.from, bin.to, bin[kind]]);
    plot.at.append(drawing("path", { d: barsOutline(plot, bars), fill }));
  }
  legendEntry(plot, 0, "var(--accent)", "particles (estimated)");
  legendEntry(plot, 18, "var(--bar)", "other peaks");
  markThreshold(plot);
  choosable(plot, range);
}

// ---- precision and recall

function drawCurve(plot, levels, { name, colour, band, dash }) {
  const points = (column) =>
    levels.map((i) => [plot.mapX(tables.grid[i]), plot.mapY(estimated(column, i))]);
  const interval = [...points(`${name}_low`), ...points(`${name}_high`).reverse()];
  const stroke = { fill: "none", stroke: colour, "stroke-width": 2.2, "stroke-dasharray": dash };
  plot.at.append(drawing("path", { d: lineThrough(interval), fill: band }),
    drawing("path", { d: lineThrough(points(name)), ...stroke }));
}

function nameCurve(plot, { name, colour, dash, dx }) {
  const x = (plot.left + plot.width - plot.right) / 2 + dx, y = plot.height - 52;
  const stroke = { stroke: colour, "stroke-width": 2.2, "stroke-dasharray": dash };
  plot.at.append(drawing("line", { x1: x, x2: x + 28, y1: y, y2: y, ...stroke }),
    drawing("text", { x: x + 34, y: y + 4 }, name));
}

export function plotCurves(range) {
  const axes = { x: range, y: [0, 1], xName: "threshold (log-odds)", yName: "share" };
  const plot = frame(byId("curves"), { ...axes, yText: percent });
  const inside = (score) => score >= range[0] && score <= range[1];
  const levels = [...tables.grid.keys()].filter((i) => tables.counts[i] && inside(tables.grid[i]));
  if (levels.length) CURVES.forEach((curve) => drawCurve(plot, levels, curve));
  markThreshold(plot);
  CURVES.forEach((curve) => nameCurve(plot, curve));
  choosable(plot, range);
}
