/**
 * When a camera that has stopped giving pictures is taken again. Pure: times come in, no clock is
 * read.
 *
 * A cable that is loose, a phone that takes a call, a program that takes the camera for itself: the
 * track ends or is muted, and some seconds later the camera is there again.
 */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 4_000;
/** A track that is muted mostly comes back by itself; after this long it is taken anew. */
const MUTED_MS = 4_000;

/** @typedef {"giving" | "muted" | "gone"} CameraState */

/** Follows one camera through its losses. */
export class CameraRecovery {
  /** @type {CameraState} */
  #state = "giving";
  #next_ms = Infinity;
  #wait_ms = FIRST_WAIT_MS;

  /** @returns {CameraState} */
  get state() {
    return this.#state;
  }

  /** The camera is open, or its pictures have come back. */
  given() {
    this.#state = "giving";
    this.#next_ms = Infinity;
    this.#wait_ms = FIRST_WAIT_MS;
  }

  /** @param {number} now_ms */
  muted(now_ms) {
    if (this.#state !== "giving") return;
    this.#state = "muted";
    this.#next_ms = now_ms + MUTED_MS;
  }

  /** The track has ended: take the camera again at once. @param {number} now_ms */
  ended(now_ms) {
    this.#state = "gone";
    this.#next_ms = now_ms;
  }

  /** A camera was plugged in or out: the one that is gone may be there. @param {number} now_ms */
  devicesChanged(now_ms) {
    if (this.#state === "gone") this.#next_ms = now_ms;
  }

  /**
   * @param {number} now_ms
   * @returns {boolean} whether to take it now; the next time is then later
   */
  isDue(now_ms) {
    if (now_ms < this.#next_ms) return false;
    this.#next_ms = now_ms + this.#wait_ms;
    this.#wait_ms = Math.min(2 * this.#wait_ms, LONGEST_WAIT_MS);
    return true;
  }
}
