// SPDX-License-Identifier: GPL-3.0-or-later
// What the page is about, and what is chosen in it.
//
// Thresholds are levels: indices into the grid of scores (`tables.grid`). `tables` is null where
// nothing has been picked.

import { byId } from "./dom.js";
import { countsAt, unpack } from "./packed.js";

export const data = JSON.parse(byId("data").textContent);
export const tables = data.tables;
// level: of the threshold; current: index of the micrograph in the viewer; x, y: its point in the
// viewer's corner, px of the image
export const state = { level: tables ? tables.own : 0, current: 0, zoom: 1, x: 0, y: 0 };

// ---- levels

export const threshold = () => tables.grid[state.level];
export const estimated = (name, level) => tables.quality[name][level];

export function levelOf(value) {
  let best = 0;
  tables.grid.forEach((score, level) => {
    if (Math.abs(score - value) < Math.abs(tables.grid[best] - value)) best = level;
  });
  return best;
}

// first level whose threshold is not below a value
export function levelUp(value) {
  let low = 0, high = tables.grid.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tables.grid[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// ---- all micrographs: only how many are picked

const countTable = tables && unpack(tables.perMicrograph);

// picks of each micrograph at the threshold
export const countsNow = () => countsAt(countTable, tables.levels, state.level, data.names.length);

// ---- micrographs that are shown: all their peaks

const PEAK_STEPS = 16;

export const shown = data.shown.map((m, index) => ({
  ...m, index,
  order: data.names.indexOf(m.name),
  peaks: unpack(m.peaks), ranks: unpack(m.ranks), reference: unpack(m.reference),
}));
// micrographs that are worth a look, in their order: why, which of their peaks, and the area
// that holds these, in shares of width and height
export const look = data.look.map(([name, reason, which, area]) => (
  { m: shown.find((m) => m.name === name), reason, which, area }));
look.forEach((entry, rank) => Object.assign(entry.m, { look: entry, lookRank: rank }));
export const baseName = (name) => name.split("/").pop();
export const radiusOf = (m) => data.diameter / m.pixelSize / 2;

// the i-th point (x, y), px, of packed coordinates
export function pointOf(packed, i) {
  return [packed[2 * i] / PEAK_STEPS, packed[2 * i + 1] / PEAK_STEPS];
}

export function picksOf(m) {
  let count = 0;
  for (const rank of m.ranks) count += rank >= state.level;
  return count;
}
