// SPDX-License-Identifier: GPL-3.0-or-later
// Shades between colours.

import { clamp } from "./numbers.js";

const SHADES = 32;

export const css = (rgb) => `rgb(${rgb.join(",")})`;

export function hexColour(text) {
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}

// shades from the first colour to the last, each as red, green and blue
export function shadesBetween(colours) {
  const anchors = colours.map(hexColour);
  return Array.from({ length: SHADES }, (_, i) => {
    const place = (i / (SHADES - 1)) * (anchors.length - 1);
    const low = Math.min(Math.floor(place), anchors.length - 2), share = place - low;
    return anchors[low].map((c, j) => Math.round(c + share * (anchors[low + 1][j] - c)));
  });
}

// the shade of a score in a range
export function shadeOf(score, [low, high]) {
  return clamp(Math.floor(SHADES * (score - low) / (high - low)), 0, SHADES - 1);
}
