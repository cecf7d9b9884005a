// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const tables = data.tables;
const byId = (id) => document.getElementById(id);
const state = { level: tables ? tables.own : 0, current: 0, zoom: 1, x: 0, y: 0 };

// ---- numbers and texts

function unpack(packed) {
  const kinds = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
  const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  return new kinds[packed.type](bytes.buffer);
}
const short = (value) => value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : whole(value);
const whole = (value) => Math.round(value).toLocaleString("en-GB");
const percent = (value) => `${Math.round(100 * value)} %`;
const signed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
const threshold = () => tables.grid[state.level];
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const baseName = (name) => name.split("/").pop();

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function levelOf(value) {
  let best = 0;
  tables.grid.forEach((t, i) => { if (Math.abs(t - value) < Math.abs(tables.grid[best] - value)) best = i; });
  return best;
}

const estimated = (name, level) => tables.quality[name][level];

// ---- counts of each micrograph at the threshold

const table = tables && unpack(tables.perMicrograph);

function countsNow() {
  const levels = tables.levels, width = levels.length, n = data.names.length;
  let right = levels.findIndex((level) => level >= state.level);
  const left = levels[right] === state.level ? right : right - 1;
  const share = left === right ? 0 : (state.level - levels[left]) / (levels[right] - levels[left]);
  const counts = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    counts[i] = (1 - share) * table[i * width + left] + share * table[i * width + right];
  }
  return counts;
}

// ---- micrographs that are shown

const shown = data.shown.map((m, index) => ({
  ...m, index,
  order: data.names.indexOf(m.name),
  peaks: unpack(m.peaks), ranks: unpack(m.ranks), reference: unpack(m.reference),
}));
const PEAK_STEPS = 16;
const picksOf = (m) => { let n = 0; for (const rank of m.ranks) n += rank >= state.level; return n; };
const radiusOf = (m) => data.diameter / m.pixelSize / 2;

function hexColour(text) { return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)); }

const LUT = Array.from({ length: 32 }, (_, i) => {
  const anchors = data.scoreColours.map(hexColour), place = (i / 31) * (anchors.length - 1);
  const low = Math.min(Math.floor(place), anchors.length - 2), share = place - low;
  return anchors[low].map((c, j) => Math.round(c + share * (anchors[low + 1][j] - c)));
});
const css = (rgb) => `rgb(${rgb.join(",")})`;

// colours run from a little below the run's threshold to a score that one pick of fifty exceeds
const colourRange = (() => {
  if (!tables) return [0, 1];
  const low = tables.grid[tables.own] - 1, wanted = tables.counts[tables.own] / 50;
  let high = tables.counts.findIndex((count) => count <= wanted);
  if (high < 0) high = tables.grid.length - 1;
  return [low, Math.max(tables.grid[high], low + 2)];
})();
const colourOf = (score) => clamp(Math.floor(32 * (score - colourRange[0]) / (colourRange[1] - colourRange[0])), 0, 31);

async function decode(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

async function loadImages(m) {
  if (m.image) m.picture = await decode(m.image);
  if (m.map) m.overlay = colourMap(await decode(m.map));
}

function colourMap(image) {
  const canvas = element("canvas", { width: image.width, height: image.height });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height);
  const faint = colourRange[0] - 3;
  for (let i = 0; i < pixels.data.length; i += 4) {
    const score = data.mapRange[0] + pixels.data[i] / 255 * (data.mapRange[1] - data.mapRange[0]);
    pixels.data.set([...LUT[colourOf(score)], 255 * Math.sqrt(clamp((score - faint) / (colourRange[1] - faint), 0, 1))], i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const switchOn = (id) => byId(id).checked;

// draw a micrograph so that its point (x, y) lies in the corner, `scale` screen px to one of its own
function paint(context, m, scale, x, y, width, height, line) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(scale, 0, 0, scale, -x * scale, -y * scale);
  context.imageSmoothingEnabled = scale < 3;
  context.fillStyle = "#777";
  context.fillRect(0, 0, m.width, m.height);
  if (m.picture) context.drawImage(m.picture, 0, 0, m.width, m.height);
  if (m.overlay && switchOn("show-map")) {
    context.imageSmoothingEnabled = true;
    // a score is of the pixel in the middle of its step, which begins half a step before
    const step = m.mapStep, corner = (0.5 * step / data.stride) - step / 2;
    context.drawImage(m.overlay, corner, corner, m.overlay.width * step, m.overlay.height * step);
  }
  context.lineWidth = line / scale;
  if (tables && switchOn("show-below")) circles(context, m, (rank) => rank < state.level, () => 0, "rgba(255,255,255,.55)");
  if (tables && switchOn("show-picks")) circles(context, m, (rank) => rank >= state.level, (rank) => colourOf(tables.grid[rank]));
  if (switchOn("show-reference")) marks(context, m, scale);
}

function circles(context, m, wanted, bin, fixed) {
  const paths = new Map(), radius = radiusOf(m);
  for (let i = 0; i < m.ranks.length; i++) {
    if (!wanted(m.ranks[i])) continue;
    const key = bin(m.ranks[i]);
    if (!paths.has(key)) paths.set(key, new Path2D());
    const cx = m.peaks[2 * i] / PEAK_STEPS, cy = m.peaks[2 * i + 1] / PEAK_STEPS;
    paths.get(key).moveTo(cx + radius, cy);
    paths.get(key).arc(cx, cy, radius, 0, 2 * Math.PI);
  }
  for (const [key, path] of [...paths].sort((a, b) => a[0] - b[0])) {
    context.strokeStyle = fixed || css(LUT[key]);
    context.stroke(path);
  }
}

// known particles: crosses over picks, and circles where there are none
function marks(context, m, scale) {
  const path = new Path2D(), radius = radiusOf(m), arm = Math.max(radius / 3, 2.5 / scale);
  for (let i = 0; i < m.reference.length; i += 2) {
    const cx = m.reference[i] / PEAK_STEPS, cy = m.reference[i + 1] / PEAK_STEPS;
    path.moveTo(cx - arm, cy); path.lineTo(cx + arm, cy);
    path.moveTo(cx, cy - arm); path.lineTo(cx, cy + arm);
    if (!tables) { path.moveTo(cx + radius, cy); path.arc(cx, cy, radius, 0, 2 * Math.PI); }
  }
  context.strokeStyle = data.referenceColour;
  context.stroke(path);
}

// ---- the viewer

const canvas = byId("canvas");

function fitScale(m) { return Math.min(canvas.width / m.width, canvas.height / m.height); }

function sizeStage() {
  const width = canvas.clientWidth, height = Math.max(320, Math.min(width * 0.75, innerHeight - 270));
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  byId("micrographs").style.setProperty("--stage", `${height + 36}px`);
}

function drawStage() {
  const m = shown[state.current];
  if (!m) return;
  const scale = fitScale(m) * state.zoom;
  const spareX = canvas.width / scale - m.width, spareY = canvas.height / scale - m.height;
  state.x = spareX > 0 ? -spareX / 2 : clamp(state.x, 0, -spareX);
  state.y = spareY > 0 ? -spareY / 2 : clamp(state.y, 0, -spareY);
  paint(canvas.getContext("2d"), m, scale, state.x, state.y, canvas.width, canvas.height, 1.8 * (devicePixelRatio || 1));
  const count = tables ? `${whole(picksOf(m))} particles` : `${whole(m.reference.length / 2)} labels`;
  const map = byId("show-map");
  map.disabled = !m.map;
  map.parentElement.title = m.map ? "" : "only some of the micrographs have one here";
  byId("current").textContent = `${baseName(m.name)}: ${count}${m.picture ? "" : " (the image cannot be read)"}`;
  canvas.setAttribute("aria-label", `${m.name}: ${count}`);
}

function zoomBy(factor, px = canvas.width / 2, py = canvas.height / 2) {
  const m = shown[state.current], before = fitScale(m) * state.zoom;
  state.zoom = clamp(state.zoom * factor, 1, 24);
  const after = fitScale(m) * state.zoom;
  state.x += px / before - px / after;
  state.y += py / before - py / after;
  drawStage();
}

function panBy(dx, dy) {
  const scale = fitScale(shown[state.current]) * state.zoom;
  state.x += dx / scale; state.y += dy / scale;
  drawStage();
}

function fit() { state.zoom = 1; state.x = state.y = 0; drawStage(); }

function select(index, centre) {
  state.current = index;
  state.zoom = 1; state.x = state.y = 0;
  if (centre) {
    const m = shown[index];
    state.zoom = 5;
    const scale = fitScale(m) * state.zoom;
    state.x = centre[0] * m.width - canvas.width / scale / 2;
    state.y = centre[1] * m.height - canvas.height / scale / 2;
  }
  for (const button of document.querySelectorAll("#thumbnails button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.index) === index));
  }
  drawStage();
}

function step(by) {
  const order = [...document.querySelectorAll("#thumbnails button")].map((b) => Number(b.dataset.index));
  const next = order[clamp(order.indexOf(state.current) + by, 0, order.length - 1)];
  if (next !== undefined) select(next);
  document.querySelector('#thumbnails [aria-pressed="true"]')?.scrollIntoView({ block: "nearest" });
}

function listenToStage() {
  let from = null;
  const ratio = () => devicePixelRatio || 1;
  canvas.addEventListener("pointerdown", (e) => { from = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointermove", (e) => {
    if (!from) return;
    panBy((from[0] - e.clientX) * ratio(), (from[1] - e.clientY) * ratio());
    from = [e.clientX, e.clientY];
  });
  canvas.addEventListener("pointerup", () => { from = null; });
  canvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    zoomBy(e.deltaY < 0 ? 1.2 : 1 / 1.2, e.offsetX * ratio(), e.offsetY * ratio());
  }, { passive: false });
  const keys = {
    "+": () => zoomBy(1.3), "=": () => zoomBy(1.3), "-": () => zoomBy(1 / 1.3), "0": fit,
    n: () => step(1), p: () => step(-1),
    ArrowLeft: () => panBy(-60, 0), ArrowRight: () => panBy(60, 0), ArrowUp: () => panBy(0, -60), ArrowDown: () => panBy(0, 60),
  };
  canvas.addEventListener("keydown", (e) => {
    const act = keys[e.key] || keys[e.key.toLowerCase()];
    if (act && !e.ctrlKey && !e.metaKey && !e.altKey) { e.preventDefault(); act(); }
  });
  byId("zoom-in").onclick = () => zoomBy(1.5);
  byId("zoom-out").onclick = () => zoomBy(1 / 1.5);
  byId("fit").onclick = fit;
  for (const id of ["show-picks", "show-below", "show-reference", "show-map"]) byId(id).onchange = () => { drawStage(); drawThumbnails(); };
  byId("sort").onchange = listThumbnails;
  addEventListener("resize", () => { sizeStage(); drawStage(); drawRows(); });
}

// ---- thumbnails

const failed = [...document.querySelectorAll("#failed + table tbody tr")].slice(0, 20)
  .map((row) => ({ name: row.cells[0].textContent, reason: row.cells[1].textContent }));

function sorted(list, how, count) {
  const compare = {
    order: (a, b) => a.order - b.order, failed: (a, b) => a.order - b.order,
    most: (a, b) => count(b) - count(a), fewest: (a, b) => count(a) - count(b),
    name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
  };
  return [...list].sort(compare[how]);
}

function thumbnail(m) {
  const height = Math.round(260 * m.height / m.width);
  m.small = element("canvas", { width: 260, height });
  m.caption = element("span");
  const button = element("button", { type: "button", title: m.name }, m.small, m.caption,
    element("span", { className: "name" }, element("bdi", { textContent: baseName(m.name) })));
  button.dataset.index = m.index;
  button.setAttribute("aria-pressed", String(m.index === state.current));
  button.onclick = () => select(m.index);
  return element("li", {}, button);
}

function listThumbnails() {
  const how = byId("sort").value, list = byId("thumbnails");
  const good = sorted(shown, how, tables ? picksOf : (m) => m.reference.length).map(thumbnail);
  const bad = failed.map((f) => element("li", {}, element("span", { className: "failed", textContent: `${baseName(f.name)}: ${f.reason}` })));
  list.replaceChildren(...(how === "failed" ? [...bad, ...good] : [...good, ...bad]));
  drawThumbnails();
}

function drawThumbnails() {
  for (const m of shown) {
    if (!m.small) continue;
    paint(m.small.getContext("2d"), m, m.small.width / m.width, 0, 0, m.small.width, m.small.height, 1.4);
    m.caption.textContent = tables ? `${whole(picksOf(m))} particles` : `${whole(m.reference.length / 2)} labels`;
  }
}

// ---- gallery: rows of cut-outs round the threshold

const gallery = data.gallery;
const AVERAGED = 48;

const ROWS = [
  ["Best", "the highest scores", (above) => above],
  ["Middle of the picks", "the median pick", (above) => around(above, above.length >> 1)],
  ["Just above", "the last that are picked", (above) => [...above].reverse()],
  ["Just below", "the first that are not", (above, below) => below],
  ["Far below", "halfway to the lowest", (above, below) => around(below, below.length >> 1)],
];

function around(list, middle) {
  return list.map((tile, i) => [Math.abs(i - middle), tile]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
}

function makeRows() {
  byId("rows").replaceChildren(...ROWS.map(([title, note], i) => {
    const pixels = element("canvas", { id: `row-${i}` });
    pixels.setAttribute("role", "img");
    return element("div", { className: i === 3 ? "row cut" : "row" },
      element("div", {}, element("h3", { textContent: title }), element("p", { textContent: note, id: `row-note-${i}` })), pixels);
  }));
}

function drawRows() {
  if (!gallery.sheet) return;
  const tiles = gallery.ranks.map((rank, i) => i);
  const above = tiles.filter((i) => gallery.ranks[i] >= state.level), below = tiles.filter((i) => gallery.ranks[i] < state.level);
  ROWS.forEach(([, note, choose], i) => drawRow(byId(`row-${i}`), byId(`row-note-${i}`), note, choose(above, below)));
}

function drawRow(pixels, label, note, tiles) {
  const ratio = devicePixelRatio || 1, size = 76, gap = 6;
  const room = Math.max(3, Math.floor((pixels.parentElement.clientWidth - 192 + gap) / (size + gap)));
  pixels.width = Math.round((room * (size + gap) - gap) * ratio);
  pixels.height = size * ratio;
  pixels.style.width = `${room * (size + gap) - gap}px`;
  const context = pixels.getContext("2d");
  context.scale(ratio, ratio);
  const listed = tiles.slice(0, room - 1);
  if (tiles.length) context.drawImage(average(tiles.slice(0, AVERAGED)), 0, 0, size, size);
  listed.forEach((tile, i) => drawTile(context, tile, (i + 1) * (size + gap) + gap, size));
  const scores = listed.map((tile) => tables.grid[gallery.ranks[tile]]);
  const range = scores.length ? `${signed(Math.max(...scores), 1)} to ${signed(Math.min(...scores), 1)}` : "none";
  label.textContent = `${note}: ${range}`;
  pixels.setAttribute("aria-label", `Cut-outs, scores ${range}; first their average`);
  pixels.onclick = (e) => {
    const tile = listed[Math.floor((e.offsetX - gap) / (size + gap)) - 1];
    if (tile === undefined) return;
    select(gallery.micrographs[tile], gallery.centres[tile]);
    byId("micrographs").scrollIntoView();
  };
}

function drawTile(context, tile, left, size) {
  const side = gallery.side, column = tile % gallery.columns, row = Math.floor(tile / gallery.columns);
  context.drawImage(gallery.sheet, column * side, row * side, side, side, left, 0, size, size);
}

function average(tiles) {
  const side = gallery.side, sum = new Float64Array(side * side);
  for (const tile of tiles) {
    const from = (Math.floor(tile / gallery.columns) * side * gallery.columns + (tile % gallery.columns)) * side;
    for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) sum[y * side + x] += gallery.grey[from + y * side * gallery.columns + x];
  }
  const low = Math.min(...sum), high = Math.max(...sum);
  const small = element("canvas", { width: side, height: side }), context = small.getContext("2d");
  const pixels = context.createImageData(side, side);
  sum.forEach((value, i) => { pixels.data.fill(255 * (value - low) / (high - low || 1), 4 * i, 4 * i + 3); pixels.data[4 * i + 3] = 255; });
  context.putImageData(pixels, 0, 0);
  return small;
}

async function loadGallery() {
  if (!gallery.ranks.length) return;
  const image = await decode(gallery.image);
  const sheet = element("canvas", { width: image.width, height: image.height }), context = sheet.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height).data;
  gallery.grey = Uint8Array.from({ length: pixels.length / 4 }, (_, i) => pixels[4 * i]);
  gallery.sheet = sheet;
}

// ---- plots

function ticks(from, to, most) {
  const low = Math.min(from, to), high = Math.max(from, to);
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough || 1));
  const unit = [1, 2, 5, 10].map((f) => f * power).find((u) => u >= rough) || power;
  const found = [];
  for (let t = Math.ceil(low / unit - 1e-9) * unit; t <= high + 1e-9 * unit; t += unit) found.push(Math.abs(t) < unit / 1e6 ? 0 : t);
  return found;
}

// a frame with axes: where to draw (`at`), and how to map values to its pixels
function frame(host, { x, y, xName, yName, width = 640, height = 260, whole: integers = false, yText = String, xText = (v) => String(v).replace("-", "−") }) {
  const left = 58, right = 12, top = 10, bottom = 40;
  const mapX = (v) => left + (v - x[0]) / (x[1] - x[0] || 1) * (width - left - right);
  const mapY = (v) => height - bottom - (v - y[0]) / (y[1] - y[0] || 1) * (height - top - bottom);
  const at = drawing("g");
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${yName} by ${xName}` });
  for (const t of ticks(y[0], y[1], height / 50)) {
    svg.append(drawing("line", { class: "tick", x1: left, x2: width - right, y1: mapY(t), y2: mapY(t) }),
      drawing("text", { x: left - 6, y: mapY(t) + 4, "text-anchor": "end" }, yText(Number(t.toPrecision(6)))));
  }
  for (const t of ticks(x[0], x[1], width / 80)) {
    if (integers && !Number.isInteger(t)) continue;
    svg.append(drawing("text", { x: mapX(t), y: height - bottom + 16, "text-anchor": "middle" }, xText(Number(t.toPrecision(6)))));
  }
  svg.append(drawing("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    drawing("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, xName),
    drawing("text", { transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yName), at);
  host.replaceChildren(svg);
  return { svg, at, mapX, mapY, left, right, top, bottom, width, height };
}

const path = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");

function choosable(plot, range) {
  plot.svg.classList.add("choosable");
  const choose = (e) => {
    const box = plot.svg.getBoundingClientRect(), px = (e.clientX - box.left) / box.width * plot.width;
    const share = (px - plot.left) / (plot.width - plot.left - plot.right);
    setLevel(levelOf(range[0] + share * (range[1] - range[0])));
  };
  plot.svg.addEventListener("pointerdown", (e) => { plot.svg.setPointerCapture(e.pointerId); choose(e); });
  plot.svg.addEventListener("pointermove", (e) => { if (e.buttons) choose(e); });
}

function marker(plot) {
  const line = drawing("line", { y1: plot.top, y2: plot.height - plot.bottom, stroke: "var(--second)", "stroke-width": 2 });
  plot.at.append(line);
  return () => { const px = plot.mapX(threshold()); line.setAttribute("x1", px); line.setAttribute("x2", px); };
}

const updates = [];

function scoreRange() {
  const grid = tables.grid, first = tables.counts.findIndex((count) => count < tables.counts[0]);
  let last = tables.counts.findIndex((count) => count === 0);
  if (last < 0) last = grid.length - 1;
  return [Math.max(grid[0], Math.min(grid[Math.max(first, 0)], threshold()) - 0.2), Math.max(grid[last], threshold()) + 0.2];
}

function plotHistogram(range) {
  const bins = 90, width = (range[1] - range[0]) / bins;
  const edges = Array.from({ length: bins + 1 }, (_, i) => range[0] + i * width);
  const levels = edges.map((v) => Math.min(levelUp(v), tables.grid.length - 1));
  const above = levels.map((level) => tables.counts[level]), particles = levels.map((level) => tables.counts[level] * estimated("precision", level));
  const bars = edges.slice(0, -1).map((v, i) => [v, above[i] - above[i + 1], clamp(particles[i] - particles[i + 1], 0, above[i] - above[i + 1])]);
  const plot = frame(byId("histogram"), { x: range, y: [0, Math.max(1, ...bars.map((b) => b[1])) * 1.05], xName: "score (log-odds)", yName: "peaks", yText: short });
  for (const [i, colour] of [[1, "var(--bar)"], [2, "var(--accent)"]]) {
    const outline = bars.map((b) => `M${plot.mapX(b[0])} ${plot.mapY(0)}V${plot.mapY(b[i])}H${plot.mapX(b[0] + width)}V${plot.mapY(0)}Z`).join("");
    plot.at.append(drawing("path", { d: outline, fill: colour }));
  }
  plot.at.append(drawing("rect", { x: plot.left + 8, y: plot.top, width: 11, height: 11, fill: "var(--accent)" }),
    drawing("text", { x: plot.left + 24, y: plot.top + 10 }, "particles (estimated)"),
    drawing("rect", { x: plot.left + 8, y: plot.top + 18, width: 11, height: 11, fill: "var(--bar)" }),
    drawing("text", { x: plot.left + 24, y: plot.top + 28 }, "other peaks"));
  updates.push(marker(plot));
  choosable(plot, range);
}

// first level whose threshold is not below a value
function levelUp(value) {
  let low = 0, high = tables.grid.length;
  while (low < high) { const middle = (low + high) >> 1; if (tables.grid[middle] < value) low = middle + 1; else high = middle; }
  return low;
}

function plotCurves(range) {
  const plot = frame(byId("curves"), { x: range, y: [0, 1], xName: "threshold (log-odds)", yName: "share", yText: percent });
  const rows = tables.grid.map((t, i) => i).filter((i) => tables.counts[i] && tables.grid[i] >= range[0] && tables.grid[i] <= range[1]);
  for (const [name, colour, band, dash] of [["precision", "var(--accent)", "var(--band)", ""], ["recall", "var(--second)", "var(--band-second)", "7 4"]]) {
    const line = (column) => rows.map((i) => [plot.mapX(tables.grid[i]), plot.mapY(estimated(column, i))]);
    if (!rows.length) continue;
    plot.at.append(drawing("path", { d: path([...line(`${name}_low`), ...line(`${name}_high`).reverse()]), fill: band }),
      drawing("path", { d: path(line(name)), fill: "none", stroke: colour, "stroke-width": 2.2, "stroke-dasharray": dash }));
  }
  updates.push(marker(plot));
  const middle = (plot.left + plot.width - plot.right) / 2;
  [["precision", "var(--accent)", "", -120], ["recall", "var(--second)", "7 4", 20]].forEach(([name, colour, dash, dx]) => {
    plot.at.append(drawing("line", { x1: middle + dx, x2: middle + dx + 28, y1: plot.height - 52, y2: plot.height - 52, stroke: colour, "stroke-width": 2.2, "stroke-dasharray": dash }),
      drawing("text", { x: middle + dx + 34, y: plot.height - 48 }, name));
  });
  choosable(plot, range);
}

const MOST_DOTS = 800;

function plotPerMicrograph() {
  const n = data.names.length, host = byId("per-micrograph"), size = Math.ceil(n / MOST_DOTS);
  updates.push((counts) => {
    const most = Math.max(1, ...counts), plot = frame(host, { x: [0.5, n + 0.5], y: [0, most * 1.08], xName: "micrograph", yName: "particles", width: 1300, height: 220, whole: true, yText: short, xText: whole });
    const dots = [], spans = [];
    for (let i = 0; i < n; i += size) {
      const group = [...counts.subarray(i, i + size)], px = plot.mapX(i + (group.length + 1) / 2);
      const mean = group.reduce((a, b) => a + b, 0) / group.length;
      dots.push(`M${px.toFixed(1)} ${plot.mapY(mean).toFixed(1)}h0`);
      if (size > 1) spans.push(`M${px.toFixed(1)} ${plot.mapY(Math.min(...group)).toFixed(1)}V${plot.mapY(Math.max(...group)).toFixed(1)}`);
    }
    plot.at.append(drawing("path", { d: spans.join(""), stroke: "var(--bar)", fill: "none" }),
      drawing("path", { d: dots.join(""), stroke: "var(--accent)", "stroke-width": n > 200 ? 4 : 7, "stroke-linecap": "round" }));
    const inOrder = [...counts].sort((a, b) => a - b), median = inOrder[n >> 1];
    plot.at.append(drawing("line", { x1: plot.left, x2: plot.width - plot.right, y1: plot.mapY(median), y2: plot.mapY(median), stroke: "var(--second)", "stroke-dasharray": "5 4" }),
      drawing("text", { x: plot.width - plot.right, y: plot.mapY(median) - 5, "text-anchor": "end" }, `median ${whole(median)}`));
    plot.svg.addEventListener("pointermove", (e) => {
      const box = plot.svg.getBoundingClientRect(), px = (e.clientX - box.left) / box.width * plot.width;
      const i = clamp(Math.round((px - plot.left) / (plot.width - plot.left - plot.right) * n - 0.5), 0, n - 1);
      plot.svg.replaceChildren(...[...plot.svg.childNodes].filter((c) => c.nodeName !== "title"), drawing("title", {}, `${data.names[i]}: ${whole(counts[i])}`));
    });
    byId("per-micrograph").previousElementSibling.textContent = "Particles per micrograph, in the order of acquisition"
      + (size > 1 ? ` (dots: means of ${size} in a row; lines: their range)` : "");
  });
}

// distances (Å) to the nearest other pick in one micrograph, looked up in cells of a grid
function neighbours(m) {
  const cell = 2 * radiusOf(m), cells = new Map(), points = [], found = [];
  const key = (cx, cy) => cx * 65536 + cy;
  for (let i = 0; i < m.ranks.length; i++) {
    if (m.ranks[i] < state.level) continue;
    const p = [m.peaks[2 * i] / PEAK_STEPS, m.peaks[2 * i + 1] / PEAK_STEPS];
    points.push(p);
    const k = key(Math.floor(p[0] / cell), Math.floor(p[1] / cell));
    if (!cells.has(k)) cells.set(k, []);
    cells.get(k).push(p);
  }
  for (const p of points) {
    const cx = Math.floor(p[0] / cell), cy = Math.floor(p[1] / cell);
    let best = Infinity;
    for (let reach = 1; reach <= 3 && best > (reach - 1) * cell; reach++) {
      for (let a = cx - reach; a <= cx + reach; a++) for (let b = cy - reach; b <= cy + reach; b++) {
        for (const q of cells.get(key(a, b)) || []) if (q !== p) best = Math.min(best, Math.hypot(p[0] - q[0], p[1] - q[1]));
      }
    }
    if (best < Infinity) found.push(best * m.pixelSize);
  }
  return found;
}

function plotNeighbours() {
  const host = byId("neighbours"), bins = 60, most = 3 * data.diameter;
  updates.push(() => {
    const histogram = new Array(bins).fill(0);
    for (const m of shown) for (const d of neighbours(m)) if (d < most) histogram[Math.floor(d / most * bins)]++;
    const plot = frame(host, { x: [0, most], y: [0, Math.max(1, ...histogram) * 1.08], xName: "distance (Å)", yName: "particles", yText: short });
    const outline = histogram.map((count, i) => `M${plot.mapX(i * most / bins)} ${plot.mapY(0)}V${plot.mapY(count)}H${plot.mapX((i + 1) * most / bins)}V${plot.mapY(0)}Z`).join("");
    plot.at.append(drawing("path", { d: outline, fill: "var(--accent)" }),
      drawing("line", { x1: plot.mapX(data.diameter), x2: plot.mapX(data.diameter), y1: plot.top, y2: plot.height - plot.bottom, stroke: "var(--second)", "stroke-width": 2, "stroke-dasharray": "5 4" }),
      drawing("text", { x: plot.mapX(data.diameter) + 5, y: plot.top + 10 }, `diameter ${data.diameter} Å`));
  });
  if (shown.length < data.names.length) host.previousElementSibling.append(` (in the ${shown.length} micrographs shown)`);
}

function plotPlane() {
  const host = byId("plane"), cells = tables.cells, counts = unpack(tables.plane);
  const picture = element("canvas", { width: cells, height: cells });
  updates.push(() => {
    let nearest = 0;
    tables.planeLevels.forEach((level, i) => { if (Math.abs(level - state.level) < Math.abs(tables.planeLevels[nearest] - state.level)) nearest = i; });
    const part = counts.subarray(nearest * cells * cells, (nearest + 1) * cells * cells), most = Math.max(1, ...part);
    const context = picture.getContext("2d"), pixels = context.createImageData(cells, cells);
    const colour = hexColour(getComputedStyle(document.documentElement).getPropertyValue("--accent").trim());
    part.forEach((count, i) => pixels.data.set([...colour, 255 * count / most], 4 * i));
    context.putImageData(pixels, 0, 0);
    const plot = frame(host, { x: [0, 100], y: [100, 0], xName: "x (% of the width)", yName: "y (% of the height)" });
    const image = drawing("image", { x: plot.mapX(0), y: plot.mapY(0), width: plot.mapX(100) - plot.mapX(0), height: plot.mapY(100) - plot.mapY(0), preserveAspectRatio: "none", href: picture.toDataURL(), style: "image-rendering: pixelated" });
    plot.at.append(image);
    host.previousElementSibling.textContent = `Picks over the image plane (from none to ${whole(most)} in a cell)`;
  });
}

function plotTraining() {
  const t = data.training, host = byId("epochs");
  byId("training-note").textContent = t.best ? `The weights are those of epoch ${t.best}, marked by a line. π, the share of particles assumed in unlabelled regions, was ${Number(t.pi[t.pi.length - 1].toPrecision(3))}.` : "";
  for (const [name, title] of [["loss", "Loss"], ["penalty", "Part of the loss from unlabelled regions (GE penalty)"], ["reconstruction", "Reconstruction error (squared grey values per pixel)"], ["held_out_ap", "Average precision of held-out labels"]]) {
    const points = t.epoch.map((e, i) => [e, t[name] && t[name][i]]).filter((p) => p[1] !== null && p[1] !== undefined);
    const figure = element("figure", {}, element("figcaption", { textContent: title })), box = element("div");
    figure.append(box);
    host.append(figure);
    if (!points.length) { box.append(element("p", { className: "hint", textContent: "none: too few labels to hold some out" })); continue; }
    const values = points.map((p) => p[1]), low = Math.min(...values), high = Math.max(...values), margin = (high - low || Math.abs(high) || 1) * 0.08;
    const plot = frame(box, { x: [Math.min(...t.epoch) - 0.3, Math.max(...t.epoch) + 0.3], y: [low - margin, high + margin], xName: "epoch", yName: "", width: 330, height: 220, whole: true });
    if (t.best) plot.at.append(drawing("line", { x1: plot.mapX(t.best), x2: plot.mapX(t.best), y1: plot.top, y2: plot.height - plot.bottom, stroke: "var(--second)", "stroke-dasharray": "5 4" }));
    const line = points.map((p) => [plot.mapX(p[0]), plot.mapY(p[1])]);
    plot.at.append(drawing("path", { d: path(line), fill: "none", stroke: "var(--accent)", "stroke-width": 2 }),
      drawing("path", { d: line.map(([a, b]) => `M${a} ${b}h0`).join(""), stroke: "var(--accent)", "stroke-width": 6, "stroke-linecap": "round" }));
  }
}

// ---- the list of all micrographs

let rowsShown = 25;

function listAll(counts) {
  const wanted = byId("filter").value.toLowerCase(), exact = tables.levels.includes(state.level);
  const rows = data.names.map((name, order) => ({ name, order, count: counts[order] })).filter((m) => m.name.toLowerCase().includes(wanted));
  const listed = sorted(rows, byId("all-sort").value, (m) => m.count);
  byId("list").replaceChildren(...listed.slice(0, rowsShown).map((m) => element("tr", {},
    element("td", { textContent: m.name }), element("td", { className: "number", textContent: (exact ? "" : "about ") + whole(m.count) }))));
  byId("more").hidden = listed.length <= rowsShown;
}

function listenToList() {
  byId("filter").oninput = byId("all-sort").onchange = () => listAll(countsNow());
  byId("more").onclick = () => { rowsShown += 100; listAll(countsNow()); };
}

// ---- the threshold

let waiting = false;

function setLevel(level) {
  state.level = clamp(level, 0, tables.grid.length - 1);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; update(); });
}

function interval(name) {
  const at = (column) => estimated(column, state.level);
  const low = percent(at(`${name}_low`)), high = percent(at(`${name}_high`));
  return [percent(at(name)), low === high ? "" : ` ${low.replace(" %", "")}–${high}`];
}

function update() {
  const picks = tables.counts[state.level], n = data.names.length, value = threshold();
  byId("threshold").value = state.level;
  byId("threshold").setAttribute("aria-valuetext", `${signed(value)}, ${whole(picks)} particles`);
  if (document.activeElement !== byId("exact")) byId("exact").value = value.toFixed(2);
  byId("printed").textContent = signed(value);
  byId("picks").textContent = whole(picks);
  byId("mean").textContent = n ? whole(picks / n) : "–";
  for (const name of ["precision", "recall"]) {
    const [middle, range] = picks ? interval(name) : ["–", ""];
    byId(name).replaceChildren(middle, element("small", { textContent: range }));
  }
  byId("command").textContent = `pupick threshold ${data.run} --threshold=${state.level === tables.own ? value : value.toFixed(2)} --output ${data.chosen}`;
  document.documentElement.dataset.picks = picks;
  const counts = countsNow();
  updates.forEach((draw) => draw(counts));
  drawStage(); drawThumbnails(); drawRows(); listAll(counts);
}

function levelOfPrecision(wanted) {
  const picked = tables.counts.filter((count) => count > 0).length;
  let first = picked;
  while (first > 0 && estimated("precision", first - 1) >= wanted) first--;
  return first < picked ? first : null;
}

function makeJumps() {
  const jumps = [["as picked", tables.own]];
  if (tables.best !== null) jumps.push(["best estimated F1", tables.best]);
  for (const share of [0.8, 0.9, 0.95]) jumps.push([`precision ${percent(share)}`, levelOfPrecision(share)]);
  byId("jumps").replaceChildren(...jumps.filter((j) => j[1] !== null).map(([text, level]) =>
    element("button", { type: "button", textContent: text, onclick: () => setLevel(level) })));
}

function listenToThreshold() {
  byId("threshold").max = tables.grid.length - 1;
  byId("threshold").oninput = (e) => setLevel(Number(e.target.value));
  byId("exact").oninput = (e) => { if (e.target.value !== "") setLevel(levelOf(Number(e.target.value))); };
  byId("exact").min = tables.grid[0];
  byId("copy").onclick = async () => {
    const text = byId("command").textContent;
    try { await navigator.clipboard.writeText(text); } catch { copyByHand(); }
    byId("copy").textContent = "Copied";
    setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
  };
}

// where the clipboard is closed to a page from the file system
function copyByHand() {
  getSelection().selectAllChildren(byId("command"));
  document.execCommand("copy");
}

// ---- the page

function listenToTheme() {
  byId("theme").onclick = () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    if (tables) update();
  };
}

function showParts() {
  const parts = {
    chooser: tables, scores: tables, micrographs: shown.length || failed.length, gallery: gallery.ranks.length,
    distributions: tables && data.names.length, training: data.training, all: tables && data.names.length,
  };
  for (const [id, wanted] of Object.entries(parts)) byId(id).hidden = !wanted;
  for (const section of document.querySelectorAll("main section:not([hidden]) > h2")) {
    byId("parts").append(element("a", { href: `#${section.parentElement.id}`, textContent: section.textContent }));
  }
}

function describeViewer() {
  const known = shown.some((m) => m.reference.length), maps = shown.some((m) => m.map);
  for (const label of document.querySelectorAll(".if-reference")) label.hidden = !known;
  for (const label of document.querySelectorAll(".if-map")) label.hidden = !maps;
  for (const id of ["show-picks", "show-below"]) byId(id).parentElement.hidden = !tables;
  byId("reference-name").textContent = data.referenceIs;
  if (tables && shown.length < data.names.length) {
    byId("shown-note").textContent = `${shown.length} of ${whole(data.names.length)}: those with the most and the fewest particles, and others spread evenly over the run.`;
  }
  const legend = byId("legend");
  if (tables) {
    const scale = element("span", { className: "scale" });
    scale.style.background = `linear-gradient(90deg, ${data.scoreColours.join(",")})`;
    legend.append(`Circles: ${data.diameter} Å, score ${signed(colourRange[0], 1)}`, scale, signed(colourRange[1], 1));
  }
  if (known) {
    const cross = element("span", { className: "cross", textContent: "+" });
    cross.style.color = data.referenceColour;
    legend.append(tables ? "; " : `Circles: ${data.diameter} Å; `, cross, ` ${data.referenceIs}`);
  }
}

async function start() {
  showParts();
  listenToTheme();
  if (data.training) plotTraining();
  await Promise.all([...shown.map(loadImages), loadGallery()]);
  describeViewer();
  sizeStage();
  listenToStage();
  listThumbnails();
  if (tables) {
    const range = scoreRange();
    if (tables.counts[0]) { plotHistogram(range); plotCurves(range); }
    if (data.names.length) { plotPerMicrograph(); plotNeighbours(); plotPlane(); }
    makeRows(); makeJumps(); listenToThreshold(); listenToList();
    update();
  } else if (shown.length) {
    drawStage();
  }
  document.documentElement.dataset.ready = "yes";
}

start();
})();
