// SPDX-License-Identifier: GPL-3.0-or-later
// How the page begins, and how it follows what others do.

import { byId } from "../../js/dom.js";
import { describe } from "./actions.js";
import { listenToButtons, listenToKeys } from "./keys.js";
import { hush, say } from "./messages.js";
import { drawList, listenToList, openFirst, renewSheet, takeChanges } from "./micrographs.js";
import { listenToPointer } from "./pointer.js";
import { follow, loadRun, loadSuggestions, lookForChanges, redrawAll, run } from "./run.js";
import { estimateText, loadScores, scores, startThreshold } from "./scores.js";
import { takeToken } from "./server.js";
import { drawStage, sizeStage, stage } from "./stage.js";
import { startTraining } from "./training.js";
import { adopt, isAllSaved, send } from "./unsaved.js";

const LOOK_AGAIN_FOR_CHANGES = 3000;
// for what is worth a look to be known, before the first micrograph is opened
const WAIT_FOR_SUGGESTIONS = 2000;
const page = document.documentElement;
// what has changed and was not loaded wholly yet
let isBehind = false;

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
    if (!document.hidden || !isAllSaved()) {
      const changed = await lookForChanges();
      if (changed && !isBehind) await takeChanges(changed);
      else if (!run.other) await renew();
      stopForOther();
      hush("away");
    }
  } catch (failure) {
    say("away", `${failure.message} What you correct is kept in this browser meanwhile.`);
  }
  setTimeout(keepUp, LOOK_AGAIN_FOR_CHANGES);
}

// the server was started again, or the run has other micrographs, peaks or picks now
async function renew() {
  const { threshold } = run;
  isBehind = true;
  await loadRun();
  if (run.other) return;
  if (run.threshold !== threshold) startThreshold();
  await renewSheet();
  redrawAll();
  await loadScores();
  await loadSuggestions();
  isBehind = false;
  redrawAll();
}

// while another run is served here nothing can be corrected; goes on when this one is served again
function stopForOther() {
  const isOther = run.other !== "", main = byId("main");
  if (main.inert === isOther) return;
  main.inert = isOther;
  send();
  if (!isOther) {
    hush("other");
    return;
  }
  say("other", `Another run is served at this address now: ${run.other}. This page is of ${run.folder}, `
    + "of which nothing can be corrected until it is served here again. What is not saved of it is kept "
    + "in this browser, and sent then. To open the other run, reload the page.");
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
