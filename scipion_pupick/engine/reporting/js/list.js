// SPDX-License-Identifier: GPL-3.0-or-later
// The list of all micrographs.

import { countsNow, data, state, tables } from "./data.js";
import { byId, element } from "./dom.js";
import { percent, whole } from "./numbers.js";
import { sorted } from "./thumbnails.js";

const MORE = 100;
let rowsShown = 25;

function listRow(m, about) {
  const count = { className: "number", textContent: about + whole(m.count) };
  const row = element("tr", {}, element("td", { textContent: m.name }), element("td", count));
  if (tables.usable) {
    row.append(element("td", { className: "number", textContent: percent(m.usable) }));
  }
  return row;
}

export function listAll(counts) {
  const wanted = byId("filter").value.toLowerCase();
  const about = tables.levels.includes(state.level) ? "" : "about ";
  const rows = data.names
    .map((name, order) => ({ name, order, count: counts[order], usable: tables.usable?.[order] }))
    .filter((m) => m.name.toLowerCase().includes(wanted));
  const listed = sorted(rows, byId("all-sort").value, (m) => m.count);
  byId("list").replaceChildren(...listed.slice(0, rowsShown).map((m) => listRow(m, about)));
  byId("more").hidden = listed.length <= rowsShown;
}

export function listenToList() {
  byId("filter").oninput = byId("all-sort").onchange = () => listAll(countsNow());
  byId("more").onclick = () => {
    rowsShown += MORE;
    listAll(countsNow());
  };
}

// show a micrograph by its name alone, where it is not among those with a picture
export function findInList(name) {
  byId("filter").value = name;
  listAll(countsNow());
  byId("all").scrollIntoView();
}
