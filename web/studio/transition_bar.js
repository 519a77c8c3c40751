/**
 * The bar that shows how far a change of the prompts has come, begun on this page or elsewhere.
 */

import { byId } from "../shared/dom.js";
import { ChunkRate, TransitionProgress } from "./transition.js";

const SHOW_EVERY_MS = 200;

export class TransitionBar {
  #bar = byId("blend-progress", HTMLProgressElement);
  #rate = new ChunkRate();
  #fps = 0;
  #progress = new TransitionProgress();
  #timer = 0;

  /** @param {number} fps of the output, by which a change over seconds is counted */
  showRate(fps) {
    this.#fps = fps;
    this.#rate.showFps(fps);
  }

  /** @param {number | undefined} frames of a chunk */
  showChunkFrames(frames) {
    this.#rate.showChunkFrames(frames);
  }

  /** @param {number} duration_s @returns {number} chunks that are made in it */
  chunks(duration_s) {
    return this.#rate.chunks(duration_s);
  }

  /** @param {number} rev of an update to the prompts @param {any} update */
  sent(rev, update) {
    this.#progress.sent(rev, update.transition?.num_steps ?? 0);
    this.#watch();
  }

  /** @param {number} rev that the engine has begun with */
  applied(rev) {
    this.#progress.applied(rev, performance.now());
  }

  /**
   * @param {number | null} chunks of a change that has begun, wherever it was made; 0: one at once,
   *   null: none
   */
  begun(chunks) {
    if (chunks === null) return;
    this.#progress.begun(chunks, performance.now());
    this.#watch();
  }

  /** @param {number} rev that was rejected, or given up for a later one */
  ended(rev) {
    this.#progress.ended(rev);
  }

  /** A new call begins. */
  reset() {
    this.#progress.stop();
    this.#fps = 0;
  }

  #watch() {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#show(), SHOW_EVERY_MS);
    this.#show();
  }

  #show() {
    const share = this.#progress.share(performance.now(), this.#fps > 0 ? this.#rate.chunksPerS : 0);
    this.#bar.hidden = share === null;
    this.#bar.value = share ?? 0;
    if (share === null) clearInterval(this.#timer);
  }
}
