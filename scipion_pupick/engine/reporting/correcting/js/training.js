// SPDX-License-Identifier: GPL-3.0-or-later
// Training on the corrections: started, watched and stopped.

import { byId } from "../../js/dom.js";
import { whole } from "../../js/numbers.js";
import { clicksIn } from "./micrographs.js";
import { run } from "./run.js";
import { askJson } from "./server.js";

const LOOK_AGAIN = 1500;
const WORDS = {
  none: "No training has been started here yet.",
  running: "Training …",
  finished: "The training has ended. Its model lies in",
  stopped: "The training was stopped before its end. Its folder is",
  unfinished: "This training has not ended: it was stopped, or goes on without this page. Its folder is",
  failed: "The training has failed. The reason stands below; its folder is",
};
let watching = 0;

function describeBasis() {
  const all = [...run.corrected.values()].filter((s) => clicksIn(s) || s[3]);
  const sum = (i) => whole(all.reduce((total, summary) => total + Number(summary[i]), 0));
  byId("training-basis").textContent = `Corrected micrographs: ${whole(all.length)}, of which `
    + `${sum(3)} done. Picks: ${sum(0)} removed, ${sum(1)} added, ${sum(2)} confirmed. `
    + "Training takes minutes; corrections can go on meanwhile.";
  byId("start-training").disabled = !all.length;
}

function showState(found) {
  const isRunning = found.state === "running";
  const where = found.folder && !isRunning ? ` ${found.folder}` : "";
  byId("training-state").textContent = WORDS[found.state] + where;
  byId("open-training").textContent = isRunning ? "Training …" : "Train again";
  byId("start-training").hidden = isRunning;
  byId("stop-training").hidden = !isRunning;
  byId("training-next").hidden = !found.next;
  byId("training-command").textContent = found.next;
  showLines(found.lines.join("\n"));
  clearTimeout(watching);
  if (isRunning) watching = setTimeout(look, LOOK_AGAIN);
}

function showLines(text) {
  const lines = byId("training-lines");
  if (lines.textContent === text) return;
  const isAtEnd = lines.scrollTop + lines.clientHeight > lines.scrollHeight - 40;
  lines.textContent = text;
  if (isAtEnd) lines.scrollTop = lines.scrollHeight;
}

async function request(action) {
  try {
    showState(await askJson("/training", action && { action }));
  } catch (failure) {
    byId("training-state").textContent = failure.message;
    clearTimeout(watching);
    if (!action) watching = setTimeout(look, LOOK_AGAIN);
  }
}
const look = () => request();

async function copyCommand() {
  const text = byId("training-command").textContent;
  await navigator.clipboard.writeText(text);
  byId("copy").textContent = "Copied";
}

export function startTraining() {
  byId("open-training").onclick = () => {
    describeBasis();
    byId("training").showModal();
    look();
  };
  byId("start-training").onclick = () => request("start");
  byId("stop-training").onclick = () => request("stop");
  byId("copy").onclick = copyCommand;
  look();
}
