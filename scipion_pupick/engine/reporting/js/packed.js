// SPDX-License-Identifier: GPL-3.0-or-later
// Tables of numbers, as the engine packs them.

export function unpack(packed) {
  const kinds = {
    uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array,
    float32: Float32Array, float64: Float64Array,
  };
  const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  return new kinds[packed.type](bytes.buffer);
}

// picks of each of n micrographs at a level of the threshold, interpolated between the levels that
// the table has
export function countsAt(table, levels, wanted, n) {
  const width = levels.length;
  const right = levels.findIndex((level) => level >= wanted);
  const left = levels[right] === wanted ? right : right - 1;
  const span = levels[right] - levels[left];
  const share = left === right ? 0 : (wanted - levels[left]) / span;
  const counts = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const row = i * width;
    counts[i] = (1 - share) * table[row + left] + share * table[row + right];
  }
  return counts;
}
