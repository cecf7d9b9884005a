// SPDX-License-Identifier: GPL-3.0-or-later
// What is worth a look: micrographs with the reason, and cut-outs of the picks in doubt.

import { baseName, data, look, pointOf, radiusOf } from "./data.js";
import { byId, element, screenRatio } from "./dom.js";
import { select } from "./viewer.js";

// of a cut-out, and between two, px of CSS; what a cut-out shows, in radii of the particle
const CUT = 76;
const BETWEEN = 6;
const SEEN = 4;

const centreOf = (m, i) => pointOf(m.peaks, i).map((px, axis) => px / [m.width, m.height][axis]);

function go(m, centre) {
  select(m.index, centre);
  byId("micrographs").scrollIntoView();
}

export function makeLook() {
  byId("serve-command").textContent = `pupick serve ${data.run}`;
  byId("look-list").replaceChildren(...look.map((entry) => {
    const { m, reason, which } = entry;
    const name = element("button", { type: "button", textContent: baseName(m.name), title: m.name });
    name.onclick = () => go(m);
    entry.row = element("canvas", {});
    entry.row.setAttribute("role", "img");
    entry.row.setAttribute("aria-label", `${which.length} picks, those in most doubt first`);
    entry.row.onclick = (e) => {
      const place = Math.floor(e.offsetX / (CUT + BETWEEN));
      if (place < which.length) go(m, centreOf(m, which[place]));
    };
    return element("li", {}, name, element("p", { textContent: reason }), entry.row);
  }));
  drawLook();
}

export function drawLook() {
  for (const { m, which, row } of look) {
    const room = Math.max(1, Math.floor((row.parentElement.clientWidth + BETWEEN) / (CUT + BETWEEN)));
    const width = row.parentElement.clientWidth;
    row.width = Math.round(width * screenRatio());
    row.height = CUT * screenRatio();
    row.style.height = `${CUT}px`;
    const context = row.getContext("2d");
    context.scale(screenRatio(), screenRatio());
    row.hidden = !m.picture;
    if (m.picture) {
      which.slice(0, room).forEach((peak, i) => drawCut(context, m, peak, i * (CUT + BETWEEN)));
    }
  }
}

function drawCut(context, m, peak, left) {
  const [x, y] = pointOf(m.peaks, peak), side = SEEN * radiusOf(m), scale = CUT / side;
  context.save();
  context.beginPath();
  context.rect(left, 0, CUT, CUT);
  context.clip();
  context.fillStyle = "#777";
  context.fillRect(left, 0, CUT, CUT);
  context.translate(left, 0);
  context.scale(scale, scale);
  context.translate(side / 2 - x, side / 2 - y);
  context.drawImage(m.picture, 0, 0, m.width, m.height);
  context.restore();
}
