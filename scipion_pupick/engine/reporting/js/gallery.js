// SPDX-License-Identifier: GPL-3.0-or-later
// Rows of cut-outs round the threshold, each with its average.

import { data, state, tables } from "./data.js";
import { byId, element, screenRatio } from "./dom.js";
import { decode } from "./micrograph.js";
import { signed } from "./numbers.js";
import { select } from "./viewer.js";

export const gallery = data.gallery;
const AVERAGED = 48;
// of a cut-out, and between two, px of CSS; width of a row's title
const SIZE = 76;
const GAP = 6;
const TITLE = 192;

const ROWS = [
  ["Best", "the highest scores", (above) => above],
  ["Middle of the picks", "the median pick", (above) => around(above, above.length >> 1)],
  ["Just above", "the last that are picked", (above) => [...above].reverse()],
  ["Just below", "the first that are not", (above, below) => below],
  ["Far below", "halfway to the lowest", (above, below) => around(below, below.length >> 1)],
];
const FIRST_BELOW = 3;

// the entries of a list, those nearest to the middle first
function around(list, middle) {
  return list.map((tile, i) => [Math.abs(i - middle), tile])
    .sort((a, b) => a[0] - b[0])
    .map((pair) => pair[1]);
}

export async function loadGallery() {
  if (!gallery.ranks.length) return;
  const image = await decode(gallery.image);
  const sheet = element("canvas", { width: image.width, height: image.height });
  const context = sheet.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height).data;
  gallery.grey = Uint8Array.from({ length: pixels.length / 4 }, (_, i) => pixels[4 * i]);
  gallery.sheet = sheet;
}

export function makeRows() {
  byId("rows").replaceChildren(...ROWS.map(([title, note], i) => {
    const pixels = element("canvas", { id: `row-${i}` });
    pixels.setAttribute("role", "img");
    const heading = element("h3", { textContent: title });
    const label = element("p", { textContent: note, id: `row-note-${i}` });
    const className = i === FIRST_BELOW ? "row cut" : "row";
    return element("div", { className }, element("div", {}, heading, label), pixels);
  }));
}

export function drawRows() {
  if (!gallery.sheet) return;
  const tiles = gallery.ranks.map((rank, i) => i);
  const above = tiles.filter((i) => gallery.ranks[i] >= state.level);
  const below = tiles.filter((i) => gallery.ranks[i] < state.level);
  ROWS.forEach(([, note, choose], i) => drawRow(i, note, choose(above, below)));
}

function drawRow(index, note, tiles) {
  const pixels = byId(`row-${index}`);
  const room = fitRow(pixels), listed = tiles.slice(0, room - 1);
  const context = pixels.getContext("2d");
  context.scale(screenRatio(), screenRatio());
  if (tiles.length) context.drawImage(average(tiles.slice(0, AVERAGED)), 0, 0, SIZE, SIZE);
  listed.forEach((tile, i) => drawTile(context, tile, (i + 1) * (SIZE + GAP) + GAP));
  describeRow(pixels, byId(`row-note-${index}`), note, listed);
  pixels.onclick = (e) => {
    const tile = listed[Math.floor((e.offsetX - GAP) / (SIZE + GAP)) - 1];
    if (tile === undefined) return;
    select(gallery.micrographs[tile], gallery.centres[tile]);
    byId("micrographs").scrollIntoView();
  };
}

// make a row as wide as the page lets it, and say how many cut-outs it has room for
function fitRow(pixels) {
  const free = pixels.parentElement.clientWidth - TITLE;
  const room = Math.max(3, Math.floor((free + GAP) / (SIZE + GAP)));
  const width = room * (SIZE + GAP) - GAP;
  pixels.width = Math.round(width * screenRatio());
  pixels.height = SIZE * screenRatio();
  pixels.style.width = `${width}px`;
  return room;
}

function describeRow(pixels, label, note, tiles) {
  const scores = tiles.map((tile) => tables.grid[gallery.ranks[tile]]);
  const range = scores.length
    ? `${signed(Math.max(...scores), 1)} to ${signed(Math.min(...scores), 1)}` : "none";
  label.textContent = `${note}: ${range}`;
  pixels.setAttribute("aria-label", `Cut-outs, scores ${range}; first their average`);
}

function drawTile(context, tile, left) {
  const { side, columns } = gallery;
  const x = (tile % columns) * side, y = Math.floor(tile / columns) * side;
  context.drawImage(gallery.sheet, x, y, side, side, left, 0, SIZE, SIZE);
}

function sumOf(tiles) {
  const { side, columns, grey } = gallery, sum = new Float64Array(side * side);
  for (const tile of tiles) {
    const corner = (Math.floor(tile / columns) * side * columns + (tile % columns)) * side;
    for (let y = 0; y < side; y++) {
      const row = corner + y * side * columns;
      for (let x = 0; x < side; x++) sum[y * side + x] += grey[row + x];
    }
  }
  return sum;
}

function average(tiles) {
  const side = gallery.side, sum = sumOf(tiles);
  const low = Math.min(...sum), high = Math.max(...sum);
  const picture = element("canvas", { width: side, height: side });
  const context = picture.getContext("2d"), pixels = context.createImageData(side, side);
  sum.forEach((value, i) => {
    pixels.data.fill(255 * (value - low) / (high - low || 1), 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  });
  context.putImageData(pixels, 0, 0);
  return picture;
}
