// SPDX-License-Identifier: GPL-3.0-or-later
// How the page begins, and how it follows what others do.

import { byId } from "../../js/dom.js";
import { describe } from "./actions.js";
import { listenToButtons, listenToKeys } from "./keys.js";
import { hush, say } from "./messages.js";
import { drawList, listenToList, openFirst, takeChanges } from "./micrographs.js";
import { listenToPointer } from "./pointer.js";
import { follow, loadRun, loadSuggestions, lookForChanges, redrawAll, run } from "./run.js";
import { estimateText, loadScores, scores, startThreshold } from "./scores.js";
import { takeToken } from "./server.js";
import { sheet } from "./sheet.js";
import { drawStage, sizeStage, stage } from "./stage.js";
import { startTraining } from "./training.js";
import { adopt, send } from "./unsaved.js";

const LOOK_AGAIN_FOR_CHANGES = 3000;
// for what is worth a look to be known, before the first micrograph is opened
const WAIT_FOR_SUGGESTIONS = 2000;
const page = document.documentElement;

function drawThreshold() {
  const { grid } = scores.table || {};
  if (grid) byId("threshold").max = Math.ceil(grid[grid.length - 1]);
  byId("threshold").value = scores.threshold;
  const exact = byId("exact");
  if (document.activeElement !== exact) exact.value = scores.threshold.toFixed(2);
  byId("estimate").textContent = estimateText();
  byId("own").disabled = scores.threshold === run.threshold;
}

async function keepUp() {
  try {
    if (!document.hidden) {
      const changed = await lookForChanges();
      if (changed) await takeChanges(changed);
      else await reload();
      hush("away");
    }
  } catch (failure) {
    say("away", `${failure.message} What you correct is kept in this browser meanwhile.`);
  }
  setTimeout(keepUp, LOOK_AGAIN_FOR_CHANGES);
}

// the server was started again, or the run has more micrographs now
async function reload() {
  const { name } = sheet;
  await loadRun();
  sheet.number = run.numbers.get(name) ?? sheet.number;
  await loadScores();
  redrawAll();
}

function listenToTheme() {
  byId("theme").onclick = () => {
    const dark = page.dataset.theme
      ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    page.dataset.theme = dark ? "light" : "dark";
  };
}

function showParts() {
  byId("main").hidden = false;
  const title = `Correct picks of ${run.folder}`;
  byId("title").textContent = document.title = title;
  byId("title").title = title;
}

async function begin() {
  await loadRun();
  hush("begin");
  showParts();
  startThreshold();
  follow("stage", drawStage, describe);
  follow("rest", drawThreshold, drawList);
  [listenToList, listenToPointer, listenToKeys, listenToButtons, startTraining].forEach((f) => f());
  new ResizeObserver(sizeStage).observe(stage);
  adopt();
  // a failure is said when they are asked for again
  await Promise.race([loadSuggestions().catch(() => {}), pause(WAIT_FOR_SUGGESTIONS)]);
  openFirst();
  stage.focus({ preventScroll: true });
  setTimeout(keepUp, LOOK_AGAIN_FOR_CHANGES);
  page.dataset.ready = "yes";
  await showScores();
}

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

async function showScores() {
  try {
    await loadScores();
    redrawAll();
    if (run.suggested.size) return;
    await loadSuggestions();
    redrawAll();
    if (run.suggested.size) offerSuggestions();
  } catch (failure) {
    say("scores", `The scores cannot be read: ${failure.message}`, ["Try again", showScores]);
  }
}

// where they were not known when the page was opened
function offerSuggestions() {
  say("suggested", `The list begins with ${run.suggested.size} micrographs that are worth a look.`,
    ["Go there", openFirst], ["Stay here", () => {}]);
}

async function tryToBegin() {
  try {
    await begin();
  } catch (failure) {
    say("begin", failure.message, ["Try again", tryToBegin]);
  }
}

addEventListener("hashchange", () => {
  takeToken();
  if (byId("main").hidden) tryToBegin();
  else send();
});
takeToken();
listenToTheme();
tryToBegin();
