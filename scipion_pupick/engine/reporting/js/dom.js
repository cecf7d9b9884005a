// SPDX-License-Identifier: GPL-3.0-or-later
// Elements of the page: found, made, asked.

export const byId = (id) => document.getElementById(id);
export const isOn = (id) => byId(id).checked;
// pixels of the screen to one of CSS
export const screenRatio = () => devicePixelRatio || 1;

export function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

export function drawing(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
