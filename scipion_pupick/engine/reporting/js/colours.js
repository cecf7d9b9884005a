// SPDX-License-Identifier: GPL-3.0-or-later
// Colours of scores.

import { data, tables } from "./data.js";
import { shadeOf, shadesBetween } from "./palette.js";

export const LUT = shadesBetween(data.scoreColours);

// colours run from a little below the run's threshold to a score that one pick of fifty exceeds
function findColourRange() {
  if (!tables) return [0, 1];
  const low = tables.grid[tables.own] - 1, wanted = tables.counts[tables.own] / 50;
  let high = tables.counts.findIndex((count) => count <= wanted);
  if (high < 0) high = tables.grid.length - 1;
  return [low, Math.max(tables.grid[high], low + 2)];
}
export const colourRange = findColourRange();

export const colourOf = (score) => shadeOf(score, colourRange);
