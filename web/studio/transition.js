/**
 * Changes over some seconds: the server counts them in chunks, people in seconds. Pure: times and
 * rates come in, no clock is read.
 */

const LONGEST_CHUNKS = 1_000; // that the server takes
const USUAL_FPS = 24;
const USUAL_CHUNK_FRAMES = 4;

/** How many chunks a second the stream makes, as far as it is known. */
export class ChunkRate {
  #fps = USUAL_FPS;
  #chunkFrames = USUAL_CHUNK_FRAMES;

  /** @param {number} fps of the output; 0 while nothing is made */
  showFps(fps) {
    if (fps > 0) this.#fps = fps;
  }

  /** @param {number | undefined} frames of a chunk */
  showChunkFrames(frames) {
    this.#chunkFrames = frames ?? this.#chunkFrames;
  }

  get chunksPerS() {
    return this.#fps / this.#chunkFrames;
  }

  /**
   * @param {number} duration_s
   * @returns {number} chunks that are made in that time; 0 only for a change at once, and no more
   *   than the server takes
   */
  chunks(duration_s) {
    if (!(duration_s > 0)) return 0;
    return Math.min(Math.max(Math.round(duration_s * this.chunksPerS), 1), LONGEST_CHUNKS);
  }
}

/** How far a change has come, by the rate at which chunks are made meanwhile. */
export class TransitionProgress {
  #rev = -1;
  #chunks = 0;
  #done = 0;
  /** @type {number | null} null before the engine has begun with it */
  #last_ms = null;

  /** @param {number} rev of its update @param {number} chunks 0: a change at once, which ends one */
  sent(rev, chunks) {
    [this.#rev, this.#chunks, this.#done, this.#last_ms] = [rev, chunks, 0, null];
  }

  /**
   * The server tells of prompts that have come into force, set here or elsewhere. Where a change of
   * this page waits to be begun, that is the one to follow.
   * @param {number} chunks of the change to them; 0: a change at once
   * @param {number} now_ms
   */
  begun(chunks, now_ms) {
    const isWaiting = this.#chunks > 0 && this.#last_ms === null;
    if (!isWaiting) [this.#chunks, this.#done, this.#last_ms] = [chunks, 0, now_ms];
  }

  /** @param {number} rev that the engine has begun with @param {number} now_ms */
  applied(rev, now_ms) {
    if (rev === this.#rev && this.#last_ms === null) this.#last_ms = now_ms;
  }

  /** @param {number} rev that was rejected, or given up for a later one */
  ended(rev) {
    if (rev === this.#rev) this.stop();
  }

  stop() {
    this.#chunks = 0;
  }

  /**
   * @param {number} now_ms
   * @param {number} chunksPerS made since the last time; 0 where the stream stands still
   * @returns {number | null} 0 to 1; null where no change is on its way
   */
  share(now_ms, chunksPerS) {
    if (this.#chunks === 0) return null;
    if (this.#last_ms !== null) {
      this.#done += ((now_ms - this.#last_ms) / 1000) * chunksPerS;
      this.#last_ms = now_ms;
    }
    if (this.#done < this.#chunks) return this.#done / this.#chunks;
    this.stop();
    return null;
  }
}
