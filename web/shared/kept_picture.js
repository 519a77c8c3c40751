/**
 * The last picture of a video, kept over it until a later connection brings a picture of its own.
 */

import { BLANK_PX, watchFrames } from "./video_frames.js";

const SPARE_EVERY_MS = 1000;
const SAMPLES = 8; // rows and columns by which a picture is told from the browser's black one
const BLACK_MAX = 2; // of 255: a camera's own noise in the dark is above

/** A canvas over a video. */
export class KeptPicture {
  #video;
  #canvas;
  /**
   * A picture of the last second: the browser paints black, in the picture's own size too, before
   * the page hears of the end.
   */
  #spare = document.createElement("canvas");
  #copied = document.createElement("canvas");
  #spared_ms = -Infinity;
  /**
   * What the video played when its picture was kept. A last frame of it may still come, and then
   * the browser's black one, while the track says that it is live: the end is told to it later.
   * @type {MediaProvider | null}
   */
  #keptOf = null;

  /** @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas in the same place */
  constructor(video, canvas) {
    this.#video = video;
    this.#canvas = canvas;
    watchFrames(video, ({ shown_ms }) => {
      if (video.srcObject === this.#keptOf) return;
      this.#drop();
      if (shown_ms - this.#spared_ms < SPARE_EVERY_MS || !this.#hasPicture) return;
      copy(video, video.videoWidth, video.videoHeight, this.#copied);
      if (isBlack(this.#copied)) return;
      [this.#spare, this.#copied] = [this.#copied, this.#spare];
      this.#spared_ms = shown_ms;
    });
  }

  /** Whether it is shown. */
  get isShown() {
    return !this.#canvas.hidden;
  }

  /**
   * Keep the video's picture, if it has had one; best called before its connection closes. What it
   * still brings of that connection is not shown.
   */
  keep() {
    this.#keptOf = this.#video.srcObject;
    if (this.isShown) return;
    const { videoWidth, videoHeight } = this.#video;
    const hasPicture = this.#hasPicture;
    if (hasPicture) copy(this.#video, videoWidth, videoHeight, this.#canvas);
    if (this.#spared_ms > 0 && (!hasPicture || isBlack(this.#canvas))) {
      copy(this.#spare, this.#spare.width, this.#spare.height, this.#canvas);
    } else if (!hasPicture) return;
    this.#canvas.hidden = false;
  }

  /** None is wanted of what has been shown so far. */
  forget() {
    this.#drop();
    this.#spared_ms = -Infinity;
  }

  #drop() {
    this.#canvas.hidden = true;
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

/** @param {HTMLCanvasElement} picture @returns {boolean} */
function isBlack(picture) {
  const small = document.createElement("canvas");
  [small.width, small.height] = [SAMPLES, SAMPLES];
  const context = small.getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  context.drawImage(picture, 0, 0, SAMPLES, SAMPLES);
  const { data } = context.getImageData(0, 0, SAMPLES, SAMPLES);
  return data.every((value, at) => at % 4 === 3 || value <= BLACK_MAX);
}
