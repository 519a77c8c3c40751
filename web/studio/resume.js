/**
 * Coming back to a stream after its call broke off: with what, when to try, and over a reload.
 */

const KEY = "comeback";
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4_000;

/**
 * What a stream can be resumed with.
 * @typedef {object} Ticket
 * @property {string} token
 * @property {number} hold_ms how long after a break the server keeps the stream
 */

/** The times at which to try again: soon at first, then less often, until it is too late. */
export class Comeback {
  #until_ms;
  #wait_ms = 0;

  /** @param {number} broke_ms @param {number} hold_ms */
  constructor(broke_ms, hold_ms) {
    this.#until_ms = broke_ms + hold_ms;
  }

  /**
   * @param {number} now_ms
   * @returns {number | null} how long to wait before the next attempt, null when it is too late
   */
  next(now_ms) {
    const wait_ms = this.#wait_ms;
    if (now_ms + wait_ms > this.#until_ms) return null;
    this.#wait_ms = Math.min(LONGEST_WAIT_MS, Math.max(FIRST_WAIT_MS, 2 * wait_ms));
    return wait_ms;
  }

  /** The network is said to be back: the next attempts follow quickly. */
  hurry() {
    this.#wait_ms = 0;
  }
}

/**
 * Leave the ticket for this tab's next page. Only a page that is being left does so: a tab that is
 * duplicated during a call must not find it, it would take the call over.
 * @param {Ticket} ticket
 */
export function leaveTicket(ticket) {
  sessionStorage.setItem(KEY, JSON.stringify({ ...ticket, left_ms: Date.now() }));
}

/** @returns {Ticket | null} what the page before has left, once, if there is still time */
export function takeTicket() {
  const text = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (!text) return null;
  const { token, hold_ms, left_ms } = JSON.parse(text);
  return Date.now() - left_ms < hold_ms ? { token, hold_ms } : null;
}

/**
 * Keep the picture in sight while its element is given another stream.
 * @param {HTMLVideoElement} video
 */
export function keepPicture(video) {
  if (!video.videoWidth) return;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  video.poster = canvas.toDataURL("image/jpeg");
}
