/**
 * Resuming a stream after its connection was lost: with what, when to try, and across a reload.
 */

import { recall, store } from "../shared/storage.js";

const STORAGE_KEY = "resume";
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4_000;

/**
 * What a stream can be resumed with.
 * @typedef {object} ResumeToken
 * @property {string} token
 * @property {number} window_ms how long after the loss the server keeps the stream
 */

/** When to try again: at once, then with exponential back-off, until the resume window is over. */
export class ReconnectSchedule {
  #until_ms;
  #wait_ms = 0;

  /** @param {number} lost_ms @param {number} window_ms */
  constructor(lost_ms, window_ms) {
    this.#until_ms = lost_ms + window_ms;
  }

  /**
   * @param {number} now_ms
   * @returns {number | null} how long to wait before the next attempt; null if it would be too late
   */
  nextWait(now_ms) {
    const wait_ms = this.#wait_ms;
    if (now_ms + wait_ms > this.#until_ms) return null;
    this.#wait_ms = Math.min(LONGEST_WAIT_MS, Math.max(FIRST_WAIT_MS, 2 * wait_ms));
    return wait_ms;
  }

  /** The network may be back: start the back-off anew. */
  resetBackoff() {
    this.#wait_ms = 0;
  }
}

/**
 * Store the token for this tab's next page. Done only while a page is being left: a tab that is
 * duplicated during a call copies the storage, and would take the call over.
 * @param {ResumeToken} token
 */
export function storeResumeToken(token) {
  const text = JSON.stringify({ ...token, stored_ms: Date.now() });
  store("sessionStorage", STORAGE_KEY, text);
}

/** @returns {ResumeToken | null} the token of the page before, once, if the window is still open */
export function takeResumeToken() {
  const text = recall("sessionStorage", STORAGE_KEY);
  store("sessionStorage", STORAGE_KEY, null);
  if (!text) return null;
  const { token, window_ms, stored_ms } = JSON.parse(text);
  return Date.now() - stored_ms < window_ms ? { token, window_ms } : null;
}

/** Resumes a stream whose connection was lost, by attempts that follow a `ReconnectSchedule`. */
export class Resumption {
  /** @type {ResumeToken | null} null if the stream cannot be resumed */
  token = null;
  /** @type {import("./session.js").Session | null} whose connection was lost */
  lostSession = null;
  /** @type {ReconnectSchedule | null} */
  #schedule = null;
  #timer = 0;
  #attempt;

  /** @param {() => void} attempt to connect: with the token, or to a new stream where it is null */
  constructor(attempt) {
    this.#attempt = attempt;
  }

  /** Whether the connection is lost and attempts to resume are made. */
  get isActive() {
    return this.#schedule !== null;
  }

  /** Whether a lost connection can be resumed, or is being so. */
  get isPossible() {
    return this.isActive || this.token !== null;
  }

  /**
   * The connection is lost, perhaps that of an attempt to resume; `retry` follows.
   * @param {number} atLeast_ms how long to try, if the stream is kept for less
   */
  begin(atLeast_ms = 0) {
    const window_ms = Math.max(atLeast_ms, this.token?.window_ms ?? 0);
    this.#schedule ??= new ReconnectSchedule(performance.now(), window_ms);
  }

  /** Schedule the next attempt; after the resume window it is one last attempt, at a new stream. */
  retry() {
    clearTimeout(this.#timer);
    const wait_ms = this.#schedule?.nextWait(performance.now()) ?? null;
    if (wait_ms === null) this.token = this.#schedule = null;
    this.#timer = setTimeout(this.#attempt, wait_ms ?? 0);
  }

  /** The network may be back: start the back-off anew. */
  resetBackoff() {
    this.#schedule?.resetBackoff();
  }

  /** An attempt has connected. */
  succeed() {
    this.#schedule = this.lostSession = null;
  }

  /** The call is over. */
  end() {
    clearTimeout(this.#timer);
    this.token = this.#schedule = this.lostSession = null;
  }
}
