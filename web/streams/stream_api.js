/**
 * A stream as the server's API has it, without a call.
 */

import { request, requestJson } from "../shared/http.js";
import { asProblem } from "../shared/problems.js";

const NOT_FOUND = 404;

/**
 * One live stream, as the server lists it.
 * @typedef {object} StreamEntry
 * @property {string} stream its name
 * @property {string} state
 * @property {boolean} published whether it is sent by WHIP
 * @property {number} viewers
 * @property {number} since_s since it began
 */

/** What became of an update. @typedef {"inForce" | "accepted" | "superseded"} Outcome */

/** @returns {Promise<StreamEntry[]>} the oldest first */
export async function liveStreams() {
  return (await requestJson("/api/v1/streams")).streams;
}

/**
 * @param {string} stream
 * @param {string} what of it
 */
export const pathOf = (stream, what) => `/api/v1/streams/${encodeURIComponent(stream)}/${what}`;

/** @param {string} stream @returns {Promise<Blob | null>} null where there is no picture yet */
export async function thumbnailOf(stream) {
  try {
    return await (await request(pathOf(stream, "thumbnail"), {})).blob();
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** @param {unknown} error @returns {boolean} whether the server knows no such thing */
export function isMissing(error) {
  return asProblem(error).status === NOT_FOUND;
}

/**
 * Why something failed, for people. A refusal's reason is in its advice; the advice of other
 * problems is about the studio's Start.
 * @param {unknown} error
 */
export function reasonOf(error) {
  const { status, title, advice } = asProblem(error);
  return status ? advice : `${title}.`;
}

/** The parameters of one stream: read, and changed by one update at a time. */
export class StreamParameters {
  #path;
  #onOutcome;
  /** @type {object | null} */
  #waiting = null;
  #isSending = false;

  /**
   * @param {string} stream
   * @param {(outcome: Outcome | null, reason: string) => void} onOutcome of the last update; null where
   *   one has failed, with the reason
   */
  constructor(stream, onOutcome) {
    this.#path = pathOf(stream, "parameters");
    this.#onOutcome = onOutcome;
  }

  /** @returns {Promise<any>} those in force */
  read() {
    return requestJson(this.#path);
  }

  /**
   * Send an update, or merge it into the one that waits until the one before is answered: a slider
   * asks for no more than the stream can follow, and its last value is always sent.
   * @param {object} update
   */
  async change(update) {
    this.#waiting = { ...this.#waiting, ...update };
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#waiting) {
      const body = this.#waiting;
      this.#waiting = null;
      await this.#send(body);
    }
    this.#isSending = false;
  }

  /** @param {object} body */
  async #send(body) {
    let answer;
    try {
      answer = await requestJson(this.#path, { method: "PATCH", body });
    } catch (error) {
      this.#onOutcome(null, reasonOf(error));
      return;
    }
    if (this.#waiting) return; // the outcome of what was set last is to come
    this.#onOutcome(answer.type === "applied" ? "inForce" : answer.status, "");
  }
}
