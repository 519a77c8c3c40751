/**
 * The last picture of a video, kept over it while the video itself has none.
 */

import { BLANK_PX } from "./video_frames.js";

/** A canvas over a video. */
export class KeptPicture {
  #video;
  #canvas;

  /** @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas in the same place */
  constructor(video, canvas) {
    this.#video = video;
    this.#canvas = canvas;
  }

  /** Whether it is shown. */
  get isShown() {
    return !this.#canvas.hidden;
  }

  /** Keep the video's picture, if it has one; to be called before its connection closes. */
  keep() {
    const { videoWidth, videoHeight } = this.#video;
    if (!this.#canvas.hidden || videoWidth <= BLANK_PX || videoHeight <= BLANK_PX) return;
    [this.#canvas.width, this.#canvas.height] = [videoWidth, videoHeight];
    this.#canvas.getContext("2d")?.drawImage(this.#video, 0, 0);
    this.#canvas.hidden = false;
  }

  /** The video has a picture of its own again, or none is wanted. */
  drop() {
    this.#canvas.hidden = true;
  }
}
