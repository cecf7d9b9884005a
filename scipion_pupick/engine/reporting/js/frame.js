// SPDX-License-Identifier: GPL-3.0-or-later
// Plots: a frame with axes, and what several of them draw.

import { drawing } from "./dom.js";

const MARGINS = { left: 58, right: 12, top: 10, bottom: 40 };
const DEFAULTS = {
  width: 640, height: 260, integers: false,
  xText: (value) => String(value).replace("-", "−"), yText: String,
};

function ticks(from, to, most, least = 0) {
  const low = Math.min(from, to), high = Math.max(from, to);
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough || 1));
  const fine = [1, 2, 5, 10].map((f) => f * power).find((u) => u >= rough) || power;
  const unit = Math.max(fine, least);
  const values = [];
  for (let t = Math.ceil(low / unit - 1e-9) * unit; t <= high + 1e-9 * unit; t += unit) {
    values.push(Math.abs(t) < unit / 1e6 ? 0 : t);
  }
  return values;
}

// Draw axes into `host`; x and y are their ranges. The plot that is returned has a group to draw
// in (`at`), and maps values to its pixels.
export function frame(host, options) {
  const plot = { ...MARGINS, ...DEFAULTS, ...options };
  const { x, y, width, height, left, right, top, bottom } = plot;
  plot.mapX = (v) => left + (v - x[0]) / (x[1] - x[0] || 1) * (width - left - right);
  plot.mapY = (v) => height - bottom - (v - y[0]) / (y[1] - y[0] || 1) * (height - top - bottom);
  plot.at = drawing("g");
  const label = `${plot.yName} by ${plot.xName}`;
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label };
  plot.svg = drawing("svg", attributes, ...yTicks(plot), ...xTicks(plot), ...axes(plot), plot.at);
  host.replaceChildren(plot.svg);
  return plot;
}

const tickText = (write, value) => write(Number(value.toPrecision(6)));

function yTicks({ y, yText, mapY, left, right, width, height }) {
  return ticks(y[0], y[1], height / 50).flatMap((t) => [
    drawing("line", { class: "tick", x1: left, x2: width - right, y1: mapY(t), y2: mapY(t) }),
    drawing("text", { x: left - 6, y: mapY(t) + 4, "text-anchor": "end" }, tickText(yText, t)),
  ]);
}

function xTicks({ x, xText, mapX, bottom, width, height, integers }) {
  const values = ticks(x[0], x[1], width / 80, integers ? 1 : 0);
  return values.map((t) => {
    const place = { x: mapX(t), y: height - bottom + 16, "text-anchor": "middle" };
    return drawing("text", place, tickText(xText, t));
  });
}

function axes({ xName, yName, left, right, top, bottom, width, height }) {
  const base = height - bottom, middle = (left + width - right) / 2;
  const turned = `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`;
  return [
    drawing("line", { class: "axis", x1: left, x2: width - right, y1: base, y2: base }),
    drawing("text", { x: middle, y: height - 4, "text-anchor": "middle" }, xName),
    drawing("text", { transform: turned, "text-anchor": "middle" }, yName),
  ];
}

// where the pointer is along the x axis, from 0 to 1
export function shareOf(plot, event) {
  const box = plot.svg.getBoundingClientRect();
  const px = (event.clientX - box.left) / box.width * plot.width;
  return (px - plot.left) / (plot.width - plot.left - plot.right);
}

// outlines in the language of SVG: of points in px, and of bars (from, to, height) in values
export function lineThrough(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

export function barsOutline({ mapX, mapY }, bars) {
  const base = mapY(0);
  return bars
    .map(([from, to, height]) => `M${mapX(from)} ${base}V${mapY(height)}H${mapX(to)}V${base}Z`)
    .join("");
}

export function verticalLine(plot, value, attributes) {
  const x = plot.mapX(value), y1 = plot.top, y2 = plot.height - plot.bottom;
  return drawing("line", { x1: x, x2: x, y1, y2, stroke: "var(--second)", ...attributes });
}
