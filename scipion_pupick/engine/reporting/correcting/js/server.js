// SPDX-License-Identifier: GPL-3.0-or-later
// Asking the server. The token came with the address, and goes along in a header.

import { constants } from "./constants.js";

const TOKEN = "pupick-token";
// ms
const PATIENCE = 60_000;
// for what is worked out from the scores of very many micrographs
export const PATIENT = 3_600_000;

// which life of the server the page knows: another may be of another run, with other micrographs
// under the numbers, and refuses what is meant for this one
export const known = { life: "" };

// of the server that was opened last, maybe in another window after it was started again
const token = () => localStorage.getItem(TOKEN) || "";

export function takeToken() {
  const given = /^#token=([\w-]+)$/.exec(location.hash);
  if (!given) return;
  localStorage.setItem(TOKEN, given[1]);
  history.replaceState(null, "", location.pathname);
}

// status: of HTTP; 0 where there was no answer
class Failure extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function ask(path, body, patience = PATIENCE) {
  const headers = { [constants.tokenHeader]: token() };
  if (known.life) headers[constants.lifeHeader] = known.life;
  const options = { headers, cache: "no-store", signal: AbortSignal.timeout(patience) };
  if (body) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Failure(0, "The server does not answer.");
  }
  if (!answer.ok) throw new Failure(answer.status, await reasonOf(answer));
  return answer;
}

async function reasonOf(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `The server has answered with ${answer.status}.`;
  }
}

export async function askJson(path, body, patience) {
  const answer = await ask(path, body, patience);
  try {
    return await answer.json();
  } catch {
    throw new Failure(0, "The server has not finished its answer.");
  }
}
