// SPDX-License-Identifier: GPL-3.0-or-later
// Scores of the whole run, and the threshold from which on a peak is shown as a pick.

import { countsAt, unpack } from "../../js/packed.js";
import { percent } from "../../js/numbers.js";
import { run } from "./run.js";
import { askJson } from "./server.js";

const STEP = 0.05;
// log-odds: from 27 to 73 %
const DOUBT = 1;
// ms; the scores of very many micrographs take long to read
const PATIENT = 3_600_000;
const thresholdKey = () => `pupick-threshold:${run.folder}:${run.threshold}`;

export const scores = { threshold: 0, table: null, counts: null, doubtful: null };

export async function loadScores() {
  const table = await askJson("/tables", null, PATIENT);
  table.perMicrograph = unpack(table.perMicrograph);
  table.rows = new Map(table.names.map((name, row) => [name, row]));
  scores.table = table;
  countAgain();
}

export function startThreshold() {
  const kept = Number(localStorage.getItem(thresholdKey()) ?? NaN);
  scores.threshold = Number.isFinite(kept) ? kept : run.threshold;
}

export function setThreshold(value) {
  scores.threshold = value;
  localStorage.setItem(thresholdKey(), value);
  countAgain();
}

export function stepThreshold(steps) {
  const next = Math.round(scores.threshold / STEP + steps) * STEP;
  setThreshold(Number(next.toFixed(2)));
}

// first level of the table whose threshold is not below a score
function levelOf(score) {
  const { grid } = scores.table;
  const level = grid.findIndex((value) => value >= score - 1e-9);
  return level < 0 ? grid.length - 1 : level;
}

function countsOf(score) {
  const { table } = scores;
  return countsAt(table.perMicrograph, table.levels, levelOf(score), table.names.length);
}

function countAgain() {
  if (!scores.table?.names.length) return;
  const [above, upTo] = [countsOf(-DOUBT), countsOf(DOUBT)];
  scores.counts = countsOf(scores.threshold);
  scores.doubtful = above.map((count, row) => count - upTo[row]);
}

const at = (column, number) => column?.[scores.table.rows.get(run.names[number])] ?? null;

// picks of a micrograph at the threshold, and peaks that are as likely a particle as not; null
// where that is not known
export const pickCount = (number) => at(scores.counts, number);
export const doubtCount = (number) => at(scores.doubtful, number);

export function estimateText() {
  const { table } = scores;
  if (!table) return "reading the scores …";
  const level = levelOf(scores.threshold);
  if (!table.counts[level]) return "no picks";
  const [precision, recall] = ["precision", "recall"].map((name) => table.quality[name][level]);
  return `precision ≈ ${percent(precision)}, recall ≈ ${percent(recall)}`;
}

// from a little below the run's threshold to a score that one pick of fifty exceeds
export function colourRangeNow() {
  const low = run.threshold - 1;
  if (!scores.table) return [low, low + 4];
  const { grid, counts, own } = scores.table, wanted = counts[own] / 50;
  const high = counts.findIndex((count) => count <= wanted);
  return [low, Math.max(grid[high < 0 ? grid.length - 1 : high], low + 2)];
}
