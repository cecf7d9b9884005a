// SPDX-License-Identifier: GPL-3.0-or-later
// What has to be said, in words above the page.

import { byId, element } from "../../js/dom.js";

const LONG = 9000;

// say something under a name, which replaces what was said under it before
export function say(name, text, ...actions) {
  hush(name);
  const buttons = actions.map(([textContent, act]) =>
    element("button", { type: "button", textContent, onclick: () => { hush(name); act(); } }));
  const words = element("span", { textContent: text });
  const note = element("p", { className: "notice" }, words, element("span", {}, ...buttons));
  note.dataset.name = name;
  byId("messages").append(note);
}

export function hush(name) {
  for (const note of [...byId("messages").children]) {
    if (note.dataset.name === name) note.remove();
  }
}

export function sayBriefly(name, text) {
  say(name, text, ["Close", () => {}]);
  const note = byId("messages").lastChild;
  setTimeout(() => note.remove(), LONG);
}
