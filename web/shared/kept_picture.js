/**
 * The last picture of a video, kept over it while the video itself has none.
 */

import { BLANK_PX, watchFrames } from "./video_frames.js";

const SPARE_EVERY_MS = 1000;

/** A canvas over a video. */
export class KeptPicture {
  #video;
  #canvas;
  /** A picture of the last second: the browser may paint black before the page hears of the end. */
  #spare = document.createElement("canvas");
  #spared_ms = -Infinity;

  /** @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas in the same place */
  constructor(video, canvas) {
    this.#video = video;
    this.#canvas = canvas;
    watchFrames(video, ({ shown_ms }) => {
      if (shown_ms - this.#spared_ms < SPARE_EVERY_MS || !this.#hasPicture) return;
      this.#spared_ms = shown_ms;
      copy(video, video.videoWidth, video.videoHeight, this.#spare);
    });
  }

  /** Whether it is shown. */
  get isShown() {
    return !this.#canvas.hidden;
  }

  /** Keep the video's picture, if it has had one; best called before its connection closes. */
  keep() {
    if (this.isShown) return;
    const { videoWidth, videoHeight } = this.#video;
    if (this.#hasPicture) copy(this.#video, videoWidth, videoHeight, this.#canvas);
    else if (this.#spared_ms > 0) {
      copy(this.#spare, this.#spare.width, this.#spare.height, this.#canvas);
    } else return;
    this.#canvas.hidden = false;
  }

  /** The video has a picture of its own again. */
  drop() {
    this.#canvas.hidden = true;
  }

  /** None is wanted of what has been shown so far. */
  forget() {
    this.drop();
    this.#spared_ms = -Infinity;
  }

  get #hasPicture() {
    return this.#video.videoWidth > BLANK_PX && this.#video.videoHeight > BLANK_PX;
  }
}

/**
 * @param {CanvasImageSource} picture
 * @param {number} width_px
 * @param {number} height_px
 * @param {HTMLCanvasElement} canvas
 */
function copy(picture, width_px, height_px, canvas) {
  [canvas.width, canvas.height] = [width_px, height_px];
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
}
