/**
 * The server's clock, seen from here by pings. Pure: times come in, nothing reads a clock.
 *
 * A ping and its answer bound the server's clock within their round trip; the truth is in the
 * middle if both ways took equally long. So the fastest round trip knows best, until it is so old
 * that two quartzes may have drifted further apart than a slower one is wrong. Two pings that cannot
 * both be true mean another clock: a server on another machine has taken over.
 */

const REMEMBERED_PINGS = 40;
const DRIFT = 1e-4; // 100 ppm, of two clocks against each other
const GRAIN_MS = 1; // browsers round their clocks

/**
 * @typedef {object} Ping
 * @property {number} came_ms
 * @property {number} offset_ms
 * @property {number} error_ms half the round trip
 */

/** Follows the offset between two monotonic clocks. */
export class ServerClock {
  /** @type {Ping[]} */
  #pings = [];
  /** @type {Ping | null} */
  #best = null;

  /** Forget everything: another server, or this one started anew. */
  reset() {
    this.#pings = [];
    this.#best = null;
  }

  /**
   * A ping's answer.
   * @param {number} sent_ms here
   * @param {number} server_ms there, in between
   * @param {number} came_ms here
   */
  add(sent_ms, server_ms, came_ms) {
    if (!(came_ms >= sent_ms) || !Number.isFinite(server_ms)) return;
    const error_ms = (came_ms - sent_ms) / 2;
    const offset_ms = server_ms - sent_ms - error_ms;
    const doubt = (/** @type {Ping} */ ping) => ping.error_ms + DRIFT * (came_ms - ping.came_ms);
    const best = this.#best;
    if (best && Math.abs(offset_ms - best.offset_ms) > error_ms + doubt(best) + GRAIN_MS) {
      this.#pings = [];
    }
    this.#pings.push({ came_ms, offset_ms, error_ms });
    if (this.#pings.length > REMEMBERED_PINGS) this.#pings.shift();
    this.#best = this.#pings.reduce((best, ping) => (doubt(ping) <= doubt(best) ? ping : best));
  }

  /** How far the server's clock is ahead of ours, in ms; null before the first answer. */
  get offset_ms() {
    return this.#best?.offset_ms ?? null;
  }

  /** How wrong `offset_ms` may be, in ms. */
  get error_ms() {
    return this.#best?.error_ms ?? Infinity;
  }
}
