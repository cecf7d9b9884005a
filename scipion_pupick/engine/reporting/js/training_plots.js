// SPDX-License-Identifier: GPL-3.0-or-later
// Plots of the training of the model, epoch by epoch.

import { data } from "./data.js";
import { byId, drawing, element } from "./dom.js";
import { frame, lineThrough, verticalLine } from "./frame.js";

const CURVES_BY_EPOCH = [
  ["loss", "Loss"],
  ["penalty", "Part of the loss from unlabelled regions (GE penalty)"],
  ["reconstruction", "Reconstruction error (squared grey values per pixel)"],
  ["held_out_ap", "Average precision of held-out labels"],
];
const NONE = "none: too few labels to hold some out";

function describeTraining({ best, pi }) {
  if (!best) return "";
  const last = Number(pi[pi.length - 1].toPrecision(3));
  return `The weights are those of epoch ${best}, marked by a line. `
    + `π, the share of particles assumed in unlabelled regions, was ${last}.`;
}

function epochAxes(training, values) {
  const low = Math.min(...values), high = Math.max(...values);
  const margin = (high - low || Math.abs(high) || 1) * 0.08;
  return {
    x: [Math.min(...training.epoch) - 0.3, Math.max(...training.epoch) + 0.3],
    y: [low - margin, high + margin], xName: "epoch", yName: "",
  };
}

// points: (epoch, value)
function plotEpochs(host, training, points) {
  const axes = epochAxes(training, points.map((point) => point[1]));
  const plot = frame(host, { ...axes, width: 330, height: 220, integers: true });
  if (training.best) {
    plot.at.append(verticalLine(plot, training.best, { "stroke-dasharray": "5 4" }));
  }
  const line = points.map(([epoch, value]) => [plot.mapX(epoch), plot.mapY(value)]);
  const dots = line.map(([x, y]) => `M${x} ${y}h0`).join(""), stroke = "var(--accent)";
  plot.at.append(drawing("path", { d: lineThrough(line), fill: "none", stroke, "stroke-width": 2 }),
    drawing("path", { d: dots, stroke, "stroke-width": 6, "stroke-linecap": "round" }));
}

export function plotTraining() {
  const training = data.training;
  byId("training-note").textContent = describeTraining(training);
  for (const [name, title] of CURVES_BY_EPOCH) {
    const values = training[name] || [];
    const points = training.epoch.map((epoch, i) => [epoch, values[i]])
      .filter(([, value]) => value !== null && value !== undefined);
    const box = element("div"), caption = element("figcaption", { textContent: title });
    byId("epochs").append(element("figure", {}, caption, box));
    if (points.length) plotEpochs(box, training, points);
    else box.append(element("p", { className: "hint", textContent: NONE }));
  }
}
