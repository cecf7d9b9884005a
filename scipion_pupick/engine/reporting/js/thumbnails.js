// SPDX-License-Identifier: GPL-3.0-or-later
// Small pictures of the micrographs that are shown, and the names of those that failed.

import { baseName, picksOf, shown, state, tables } from "./data.js";
import { byId, element } from "./dom.js";
import { paint } from "./micrograph.js";
import { countText, drawStage, select } from "./viewer.js";

const WIDTH = 260;
const MOST_FAILED = 20;
const SWITCHES = ["show-picks", "show-below", "show-doubtful", "show-reference", "show-map",
  "show-dirt"];

export const failed = [...document.querySelectorAll("#failed + table tbody tr")]
  .slice(0, MOST_FAILED)
  .map((row) => ({ name: row.cells[0].textContent, reason: row.cells[1].textContent }));

export function sorted(list, how, count) {
  const compare = {
    look: (a, b) => (a.lookRank ?? Infinity) - (b.lookRank ?? Infinity) || a.order - b.order,
    order: (a, b) => a.order - b.order,
    failed: (a, b) => a.order - b.order,
    most: (a, b) => count(b) - count(a),
    fewest: (a, b) => count(a) - count(b),
    dirtiest: (a, b) => a.usable - b.usable,
    name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
  };
  return [...list].sort(compare[how]);
}

function thumbnail(m) {
  m.small = element("canvas", { width: WIDTH, height: Math.round(WIDTH * m.height / m.width) });
  m.caption = element("span");
  const name = element("bdi", { textContent: baseName(m.name) });
  const button = element("button", { type: "button", title: m.name },
    m.small, m.caption, element("span", { className: "name" }, name));
  button.dataset.index = m.index;
  button.setAttribute("aria-pressed", String(m.index === state.current));
  button.onclick = () => select(m.index);
  return element("li", {}, button);
}

function failure({ name, reason }) {
  const textContent = `${baseName(name)}: ${reason}`;
  return element("li", {}, element("span", { className: "failed", textContent }));
}

export function listThumbnails() {
  const how = byId("sort").value, count = tables ? picksOf : (m) => m.reference.length;
  const good = sorted(shown, how, count).map(thumbnail), bad = failed.map(failure);
  byId("thumbnails").replaceChildren(...(how === "failed" ? [...bad, ...good] : [...good, ...bad]));
  drawThumbnails();
}

export function drawThumbnails() {
  for (const m of shown) {
    if (!m.small) continue;
    const { width, height } = m.small;
    const view = { scale: width / m.width, x: 0, y: 0, width, height, line: 1.4 };
    paint(m.small.getContext("2d"), m, view);
    m.caption.textContent = countText(m);
  }
}

export function listenToSwitches() {
  for (const id of SWITCHES) {
    byId(id).onchange = () => {
      drawStage();
      drawThumbnails();
    };
  }
  byId("sort").onchange = listThumbnails;
}
