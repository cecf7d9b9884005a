// SPDX-License-Identifier: GPL-3.0-or-later
// Colours of scores.

import { data, tables } from "./data.js";
import { clamp } from "./numbers.js";

const SHADES = 32;

export const css = (rgb) => `rgb(${rgb.join(",")})`;

export function hexColour(text) {
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}

export const LUT = Array.from({ length: SHADES }, (_, i) => {
  const anchors = data.scoreColours.map(hexColour);
  const place = (i / (SHADES - 1)) * (anchors.length - 1);
  const low = Math.min(Math.floor(place), anchors.length - 2), share = place - low;
  return anchors[low].map((c, j) => Math.round(c + share * (anchors[low + 1][j] - c)));
});

// colours run from a little below the run's threshold to a score that one pick of fifty exceeds
function findColourRange() {
  if (!tables) return [0, 1];
  const low = tables.grid[tables.own] - 1, wanted = tables.counts[tables.own] / 50;
  let high = tables.counts.findIndex((count) => count <= wanted);
  if (high < 0) high = tables.grid.length - 1;
  return [low, Math.max(tables.grid[high], low + 2)];
}
export const colourRange = findColourRange();

export function colourOf(score) {
  const [low, high] = colourRange;
  return clamp(Math.floor(SHADES * (score - low) / (high - low)), 0, SHADES - 1);
}
