// SPDX-License-Identifier: GPL-3.0-or-later
// How good the picks of each micrograph seem to be, in the order of acquisition; what is out of
// line is marked, and leads to its micrograph.

import { data, shown, tables } from "./data.js";
import { byId, drawing, element } from "./dom.js";
import { frame, lineThrough, shareOf } from "./frame.js";
import { findInList } from "./list.js";
import { clamp, percent, short, signed, whole } from "./numbers.js";
import { unpack } from "./packed.js";
import { dotsOf } from "./run_plots.js";
import { select } from "./viewer.js";

const MOST_LISTED = 20;
const DIAMOND = 6;
const MOST_DOTS_OF_COLUMN = 400;
const share = { text: percent, range: [0, 1], short: percent };
const free = (digits) => ({ text: (v) => signed(v, digits), short: (v) => signed(v, digits) });
const COLUMNS = {
  picks: { title: "Picks", text: whole, short, range: [0, 0] },
  precision: { title: "Expected precision", ...share },
  recall: { title: "Expected recall", ...share },
  usable: { title: "Usable area", ...share },
  crowding: { title: "Crowding: picks with another nearer than a diameter", ...share },
  contrast: { title: "Contrast of the particles", ...free(2) },
  score: { title: "Median score of the picks", ...free(1) },
};

function goTo(index) {
  const name = data.names[index], seen = shown.find((m) => m.name === name);
  if (!seen) return findInList(name);
  select(seen.index);
  return byId("micrographs").scrollIntoView();
}

// a little more than all values take, and what is natural for the column
function rangeOf(values, [low, high] = [Infinity, -Infinity]) {
  let least = low, most = high;
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const spare = 0.06 * (most - least || 1);
  return [least === low ? least : least - spare, most + spare];
}

function drawUsual(plot, usual, step) {
  const points = [...usual].map((value, i) => [plot.mapX(i * step + 1), plot.mapY(value)])
    .filter(([, y]) => Number.isFinite(y));
  const stroke = { stroke: "var(--text)", "stroke-width": 1.6, opacity: 0.75, fill: "none" };
  plot.at.append(drawing("path", { d: lineThrough(points), ...stroke }));
}

function drawOdd(plot, odd, describe) {
  for (const entry of odd) {
    const x = plot.mapX(entry.index + 1), y = plot.mapY(entry.value);
    const d = `M${x - DIAMOND} ${y}l${DIAMOND} ${-DIAMOND} ${DIAMOND} ${DIAMOND} ${-DIAMOND} ${DIAMOND}Z`;
    const mark = drawing("path", { d, class: "odd" }, drawing("title", {}, describe(entry)));
    mark.addEventListener("click", () => goTo(entry.index));
    plot.at.append(mark);
  }
}

// the title of what the pointer is near, along the axis
function nameNearest(plot, values, text) {
  const title = drawing("title");
  plot.svg.prepend(title);
  plot.svg.addEventListener("pointermove", (e) => {
    const i = clamp(Math.round(shareOf(plot, e) * values.length - 0.5), 0, values.length - 1);
    title.textContent = `${data.names[i]}: ${Number.isFinite(values[i]) ? text(values[i]) : "–"}`;
  });
}

function plotColumn({ name, values: packed, usual }, odd) {
  const values = unpack(packed), n = values.length, column = COLUMNS[name];
  const host = element("div"), caption = element("figcaption", { textContent: column.title });
  byId("quality-plots").append(element("figure", { id: `quality-${name}` }, caption, host));
  const look = { height: 170, integers: true, yText: column.short, xText: whole };
  const names = { xName: "micrograph", yName: "" };
  const plot = frame(host, { x: [0.5, n + 0.5], y: rangeOf(values, column.range), ...names, ...look });
  plot.svg.setAttribute("aria-label", `${column.title} by micrograph, ${odd.length} out of line`);
  plot.at.append(...dotsOf(plot, values, Math.ceil(n / MOST_DOTS_OF_COLUMN)));
  drawUsual(plot, unpack(usual), data.overTime.step);
  drawOdd(plot, odd, (entry) => `${data.names[entry.index]}: ${say(entry)}`);
  nameNearest(plot, values, column.text);
}
const say = ({ column, value, usual }) => {
  const { title, text } = COLUMNS[column];
  const what = title.replace(/:.*/, "").toLowerCase();
  return `${what} ${text(value)}, usual ${text(usual)}`;
};

// ---- the list

function oddRow(index, entries) {
  const name = element("button", { type: "button", textContent: data.names[index] });
  name.onclick = () => goTo(index);
  const what = element("td", { textContent: entries.map(say).join("; ") });
  return element("tr", {}, element("td", {}, name), what);
}

function groupBy(key, entries) {
  const groups = new Map();
  for (const entry of entries) {
    if (!groups.has(entry[key])) groups.set(entry[key], []);
    groups.get(entry[key]).push(entry);
  }
  return groups;
}

function listOdd(odd, order) {
  byId("none-odd").hidden = order.length > 0;
  byId("odd").hidden = !order.length;
  const plural = order.length === 1 ? " is" : "s are";
  byId("odd-title").textContent = `${whole(order.length)} micrograph${plural} out of line`;
  const entries = groupBy("index", odd);
  const list = (most) => {
    const rows = order.slice(0, most).map((index) => oddRow(index, entries.get(index)));
    byId("odd-list").replaceChildren(...rows);
    byId("more-odd").hidden = order.length <= most;
  };
  byId("more-odd").onclick = () => list(order.length);
  list(MOST_LISTED);
}

export function plotQuality() {
  const { columns, outliers, order, picks } = data.overTime;
  const odd = outliers.map(([index, column, value, usual]) => ({ index, column, value, usual }));
  byId("older-threshold").hidden = picks === tables.counts[tables.own];
  const entries = groupBy("column", odd);
  for (const column of columns) plotColumn(column, entries.get(column.name) || []);
  listOdd(odd, order);
}
