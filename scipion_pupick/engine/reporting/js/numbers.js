// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers, and how they are written.

// faster than asking anew for each number
const GROUPED = new Intl.NumberFormat("en-GB");

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
export const whole = (value) => GROUPED.format(Math.round(value));
export const percent = (value) => `${Math.round(100 * value)} %`;
export const signed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

export function short(value) {
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1e4 ? `${value / 1e3}k` : whole(value);
}

// the middle one of some numbers, or the mean of the two in the middle
export function median(values) {
  const ordered = [...values].sort((a, b) => a - b), half = ordered.length / 2;
  return (ordered[Math.ceil(half) - 1] + ordered[Math.floor(half)]) / 2;
}
