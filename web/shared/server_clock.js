/**
 * The server's clock, estimated from pings as NTP does (RFC 5905). Pure: times come in, no clock is
 * read.
 *
 * A ping and its answer bound the server's clock within their round trip; the estimate is the
 * middle, which is exact if both directions took equally long. So the fastest round trip has the
 * smallest error, until it is so old that drift makes a slower but newer one better. Two pings that
 * contradict each other mean another clock: a server on another machine has taken over.
 */

const REMEMBERED_PINGS = 40;
const DRIFT = 1e-4; // 100 ppm, between two clocks
const RESOLUTION_MS = 1; // browsers round their clocks

/**
 * @typedef {object} Ping
 * @property {number} received_ms
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
   * Take in a ping's answer.
   * @param {number} sent_ms on the local clock
   * @param {number} server_ms on the server's clock, in between
   * @param {number} received_ms on the local clock
   */
  add(sent_ms, server_ms, received_ms) {
    if (!(received_ms >= sent_ms) || !Number.isFinite(server_ms)) return;
    const error_ms = (received_ms - sent_ms) / 2;
    const offset_ms = server_ms - sent_ms - error_ms;
    const errorNow = (/** @type {Ping} */ ping) => (
      ping.error_ms + DRIFT * (received_ms - ping.received_ms)
    );
    const best = this.#best;
    if (best && Math.abs(offset_ms - best.offset_ms) > error_ms + errorNow(best) + RESOLUTION_MS) {
      this.#pings = [];
    }
    this.#pings.push({ received_ms, offset_ms, error_ms });
    if (this.#pings.length > REMEMBERED_PINGS) this.#pings.shift();
    this.#best = this.#pings.reduce((best, ping) => (
      errorNow(ping) <= errorNow(best) ? ping : best
    ));
  }

  /** How far the server's clock is ahead of the local one; null before the first answer. */
  get offset_ms() {
    return this.#best?.offset_ms ?? null;
  }

  /** How wrong `offset_ms` may be. */
  get error_ms() {
    return this.#best?.error_ms ?? Infinity;
  }
}
