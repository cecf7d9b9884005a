// SPDX-License-Identifier: GPL-3.0-or-later
// The page: which parts it has, and how they begin.

import { colourRange } from "./colours.js";
import { data, look, shown, tables } from "./data.js";
import { byId, element } from "./dom.js";
import { drawRows, gallery, loadGallery, makeRows } from "./gallery.js";
import { listAll, listenToList } from "./list.js";
import { drawLook, makeLook } from "./look.js";
import { loadImages } from "./micrograph.js";
import { signed, whole } from "./numbers.js";
import { plotQuality } from "./quality_plots.js";
import { plotNeighbours, plotPerMicrograph, plotPlane } from "./run_plots.js";
import { plotCurves, plotHistogram, scoreRange } from "./score_plots.js";
import { follow, listenToThreshold, makeJumps, update } from "./threshold.js";
import { drawThumbnails, failed, listThumbnails, listenToSwitches } from "./thumbnails.js";
import { plotTraining } from "./training_plots.js";
import { drawStage, listenToStage, select, sizeStage } from "./viewer.js";

function showParts() {
  const named = tables && data.names.length;
  const parts = {
    chooser: tables, scores: tables, look: look.length, micrographs: shown.length || failed.length,
    gallery: gallery.ranks.length, distributions: named,
    "over-time": named && data.overTime, training: data.training, all: named,
  };
  for (const [id, wanted] of Object.entries(parts)) byId(id).hidden = !wanted;
  for (const heading of document.querySelectorAll("main section:not([hidden]) > h2")) {
    const href = `#${heading.parentElement.id}`;
    byId("parts").append(element("a", { href, textContent: heading.textContent }));
  }
}

function listenToTheme() {
  const page = document.documentElement;
  byId("theme").onclick = () => {
    const dark = page.dataset.theme
      ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    page.dataset.theme = dark ? "light" : "dark";
    if (tables) update();
  };
}

function describeViewer() {
  const known = shown.some((m) => m.reference.length), maps = shown.some((m) => m.map);
  for (const label of document.querySelectorAll(".if-reference")) label.hidden = !known;
  for (const label of document.querySelectorAll(".if-map")) label.hidden = !maps;
  for (const label of document.querySelectorAll(".if-look")) label.hidden = !look.length;
  byId("show-dirt").parentElement.hidden = !shown.some((m) => m.dirt);
  for (const id of ["show-picks", "show-below"]) byId(id).parentElement.hidden = !tables;
  byId("reference-name").textContent = data.referenceIs;
  if (tables && shown.length < data.names.length) {
    byId("shown-note").textContent = `${shown.length} of ${whole(data.names.length)}: `
      + "those worth a look, those with the most and the fewest particles, and others spread "
      + "evenly over the run.";
  }
  describeColours(known);
}

function describeColours(known) {
  const legend = byId("legend"), size = `Circles: ${data.diameter} Å`;
  if (tables) {
    const scale = element("span", { className: "scale" });
    scale.style.background = `linear-gradient(90deg, ${data.scoreColours.join(",")})`;
    const [low, high] = colourRange.map((score) => signed(score, 1));
    legend.append(`${size}, score ${low}`, scale, high);
  }
  if (look.length) legend.append("; frame: worth a look");
  if (shown.some((m) => m.dirt)) legend.append("; hatched: contamination");
  if (known) {
    const cross = element("span", { className: "cross", textContent: "+" });
    cross.style.color = data.referenceColour;
    legend.append(tables ? "; " : `${size}; `, cross, ` ${data.referenceIs}`);
  }
}

function startViewer() {
  describeViewer();
  sizeStage();
  listenToStage();
  listenToSwitches();
  addEventListener("resize", () => {
    sizeStage();
    drawStage();
    drawRows();
    drawLook();
  });
  listThumbnails();
  makeLook();
  if (look.length) select(look[0].m.index);
}

function startThreshold() {
  const range = scoreRange();
  if (tables.counts[0]) [plotHistogram, plotCurves].forEach((plot) => plot(range));
  if (data.names.length) [plotPerMicrograph, plotNeighbours, plotPlane].forEach((plot) => plot());
  makeRows();
  makeJumps();
  listenToThreshold();
  listenToList();
  if (data.names.length && data.overTime) plotQuality();
  [drawStage, drawThumbnails, drawRows, listAll].forEach((draw) => follow(draw));
  update();
}

async function start() {
  showParts();
  listenToTheme();
  if (data.training) plotTraining();
  await Promise.all([...shown.map(loadImages), loadGallery()]);
  startViewer();
  if (tables) startThreshold();
  else if (shown.length) drawStage();
  document.documentElement.dataset.ready = "yes";
}

start();
