/**
 * How long a change takes from the hand to the eye. Pure: times come in, nothing reads a clock.
 */

const REMEMBERED_FRAMES = 120;
const HALF_RTP_RANGE = 2 ** 31;

/**
 * @typedef {object} Trip
 * @property {number} rev
 * @property {string} what what was changed, for people: "Prompt", "Strength"
 * @property {number} sent_ms
 * @property {"sent" | "accepted" | "applied" | "on_air" | "shown" | "rejected"} stage
 * @property {number | null} applied_ms after sending: the engine works with it
 * @property {number | null} shown_ms after sending: the first picture made with it is on the screen
 * @property {string[]} errors why it was rejected
 */

/** Follows the newest change to the screen; older ones are overtaken by it. */
export class RoundTrip {
  /** @type {Trip | null} */
  #trip = null;
  /** @type {number | null | undefined} of the first frame made with it; undefined until told */
  #rtp = undefined;
  /** @type {import("../shared/video_frames.js").Presented[]} */
  #frames = [];

  get trip() {
    return this.#trip;
  }

  /** Forget everything: a new call numbers its frames anew. */
  reset() {
    this.#trip = null;
    this.#rtp = undefined;
    this.#frames = [];
  }

  /** @param {number} rev @param {string} what @param {number} now_ms */
  sent(rev, what, now_ms) {
    this.#rtp = undefined;
    this.#trip = {
      rev, what, sent_ms: now_ms, stage: "sent", applied_ms: null, shown_ms: null, errors: [],
    };
  }

  /** @param {number} rev @param {string} status @param {string[]} errors */
  acknowledged(rev, status, errors) {
    if (this.#trip?.rev !== rev) return;
    if (status === "rejected") {
      this.#trip.stage = "rejected";
      this.#trip.errors = errors;
    } else if (this.#trip.stage === "sent") {
      this.#trip.stage = "accepted";
    }
  }

  /** @param {number} rev @param {number} now_ms */
  applied(rev, now_ms) {
    if (this.#trip?.rev !== rev || this.#trip.applied_ms !== null) return;
    this.#trip.applied_ms = now_ms - this.#trip.sent_ms;
    if (["sent", "accepted"].includes(this.#trip.stage)) this.#trip.stage = "applied";
  }

  /**
   * The first frame made with `rev` left the server. It may have overtaken this message, so the
   * frames already shown are looked through too.
   * @param {number} rev
   * @param {number | null} rtp that frame's RTP timestamp; null: the next frame shown counts
   */
  onAir(rev, rtp) {
    if (this.#trip?.rev !== rev || this.#trip.stage === "shown") return;
    this.#trip.stage = "on_air";
    this.#rtp = rtp;
    const sent_ms = this.#trip.sent_ms;
    const early = rtp === null ? undefined : this.#frames.find(
      (frame) => frame.shown_ms >= sent_ms && reaches(frame.rtp, rtp),
    );
    if (early) this.#arrived(early.shown_ms);
  }

  /** @param {import("../shared/video_frames.js").Presented} frame */
  presented(frame) {
    this.#frames.push(frame);
    if (this.#frames.length > REMEMBERED_FRAMES) this.#frames.shift();
    if (this.#trip?.stage !== "on_air" || this.#rtp === undefined) return;
    if (this.#rtp === null || reaches(frame.rtp, this.#rtp)) this.#arrived(frame.shown_ms);
  }

  /** @param {number} shown_ms */
  #arrived(shown_ms) {
    const trip = /** @type {Trip} */ (this.#trip);
    trip.stage = "shown";
    trip.shown_ms = shown_ms - trip.sent_ms;
  }
}

/**
 * Whether RTP timestamp `rtp` is `target` or later; they wrap at 32 bits. A browser that does not
 * tell a frame's timestamp gets the benefit of the doubt.
 * @param {number | null} rtp
 * @param {number} target
 */
function reaches(rtp, target) {
  return rtp === null || ((rtp - target) >>> 0) < HALF_RTP_RANGE;
}
