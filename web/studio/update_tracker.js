/**
 * How long a parameter update takes from the control to the screen. Pure: times come in, no clock
 * is read.
 */

const REMEMBERED_FRAMES = 120;
const HALF_RTP_RANGE = 2 ** 31;

/**
 * @typedef {object} TrackedUpdate
 * @property {number} rev its number
 * @property {string} label what was changed, for people: "Prompt", "Strength"
 * @property {number} sent_ms
 * @property {"sent" | "accepted" | "applied" | "on_air" | "shown" | "rejected"} stage
 * @property {number | null} applied_ms after sending: the engine works with it
 * @property {number | null} shown_ms after sending: the first picture made with it is on the screen
 * @property {string[]} errors why it was rejected
 */

/** Follows the newest update to the screen; a newer one replaces it. */
export class UpdateTracker {
  /** @type {TrackedUpdate | null} */
  #update = null;
  /** @type {number | null | undefined} of the first frame made with it; undefined before `onAir` */
  #rtp = undefined;
  /** @type {import("../shared/video_frames.js").PresentedFrame[]} */
  #frames = [];

  /** The newest update, with the stage it has reached; null before the first. */
  get update() {
    return this.#update;
  }

  /** Forget everything: a new call numbers its frames anew. */
  reset() {
    this.#update = null;
    this.#rtp = undefined;
    this.#frames = [];
  }

  /** @param {number} rev @param {string} label @param {number} now_ms */
  sent(rev, label, now_ms) {
    this.#rtp = undefined;
    this.#update = {
      rev, label, sent_ms: now_ms, stage: "sent", applied_ms: null, shown_ms: null, errors: [],
    };
  }

  /** @param {number} rev @param {string} status @param {string[]} errors */
  acknowledged(rev, status, errors) {
    if (this.#update?.rev !== rev) return;
    if (status === "rejected") {
      this.#update.stage = "rejected";
      this.#update.errors = errors;
    } else if (this.#update.stage === "sent") {
      this.#update.stage = "accepted";
    }
  }

  /** @param {number} rev @param {number} now_ms */
  applied(rev, now_ms) {
    if (this.#update?.rev !== rev || this.#update.applied_ms !== null) return;
    this.#update.applied_ms = now_ms - this.#update.sent_ms;
    if (["sent", "accepted"].includes(this.#update.stage)) this.#update.stage = "applied";
  }

  /**
   * The first frame made with `rev` left the server. The frame may have arrived before this
   * message, so the frames already shown are searched too.
   * @param {number} rev
   * @param {number | null} rtp that frame's RTP timestamp; null: the next frame shown counts
   */
  onAir(rev, rtp) {
    if (this.#update?.rev !== rev || this.#update.stage === "shown") return;
    this.#update.stage = "on_air";
    this.#rtp = rtp;
    const sent_ms = this.#update.sent_ms;
    const early = rtp === null ? undefined : this.#frames.find(
      (frame) => frame.shown_ms >= sent_ms && isAtOrAfter(frame.rtp, rtp),
    );
    if (early) this.#shown(early.shown_ms);
  }

  /** @param {import("../shared/video_frames.js").PresentedFrame} frame */
  addFrame(frame) {
    this.#frames.push(frame);
    if (this.#frames.length > REMEMBERED_FRAMES) this.#frames.shift();
    if (this.#update?.stage !== "on_air" || this.#rtp === undefined) return;
    if (this.#rtp === null || isAtOrAfter(frame.rtp, this.#rtp)) this.#shown(frame.shown_ms);
  }

  /** @param {number} now_ms */
  #shown(now_ms) {
    const update = /** @type {TrackedUpdate} */ (this.#update);
    update.stage = "shown";
    update.shown_ms = now_ms - update.sent_ms;
  }
}

/**
 * Whether RTP timestamp `rtp` is `target` or later; they wrap at 32 bits. If the browser does not
 * report a frame's timestamp, the frame counts.
 * @param {number | null} rtp
 * @param {number} target
 */
function isAtOrAfter(rtp, target) {
  return rtp === null || ((rtp - target) >>> 0) < HALF_RTP_RANGE;
}
