/**
 * What takes a camera's place: a test picture, an image or a video file, drawn on this page.
 *
 * While the page is hidden the browser lets it draw once a second only.
 */

import { unplayableFile } from "../shared/problems.js";
import { fittedSize } from "./capture_format.js";
import { CAMERA } from "./strings.js";

const OPEN_MS = 10_000;
const BARS = ["#fff", "#ff0", "#0ff", "#0f0", "#f0f", "#f00", "#00f", "#000"];
const ROUND_S = 4; // of the block that moves through the test picture

/** @typedef {import("./capture_format.js").CaptureFormat} CaptureFormat */

/**
 * Colour bars, a block that moves, and the number of the picture.
 * @param {CaptureFormat} format
 * @returns {MediaStream}
 */
export function testPicture(format) {
  const { width_px, height_px, fps } = format;
  return drawnStream([width_px, height_px], fps, (context, number) => {
    const bar = width_px / BARS.length;
    BARS.forEach((colour, index) => {
      context.fillStyle = colour;
      context.fillRect(Math.floor(index * bar), 0, Math.ceil(bar), height_px);
    });
    const [top, side] = [Math.round(0.72 * height_px), Math.round(0.28 * height_px)];
    context.fillStyle = "#222";
    context.fillRect(0, top, width_px, side);
    const share = (number / (ROUND_S * fps)) % 1;
    context.fillStyle = "#fff";
    context.fillRect(share * (width_px + side) - side, top, side, side);
    context.font = `${Math.round(0.1 * height_px)}px monospace`;
    context.fillStyle = "#888";
    context.fillText(String(number), 0.03 * width_px, 0.9 * height_px);
  });
}

/**
 * @param {File} file an image, or a video, which is played again and again
 * @param {CaptureFormat} format
 * @returns {Promise<MediaStream>}
 * @throws {import("../shared/problems.js").Problem} if this browser cannot play it
 */
export async function fileStream(file, format) {
  const address = URL.createObjectURL(file);
  try {
    return file.type.startsWith("image/") ? await imageStream(address, format)
      : await videoStream(address, format);
  } catch (error) {
    URL.revokeObjectURL(address);
    throw unplayableFile(file, /** @type {Error} */ (error).message);
  }
}

/** @param {string} address @param {CaptureFormat} format */
async function imageStream(address, format) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const size = fittedSize(format, image.naturalWidth, image.naturalHeight);
  return drawnStream(size, format.fps, (context) => {
    context.drawImage(image, 0, 0, ...size);
  }, () => URL.revokeObjectURL(address));
}

/** @param {string} address @param {CaptureFormat} format */
async function videoStream(address, format) {
  const video = document.createElement("video");
  [video.muted, video.loop, video.playsInline] = [true, true, true];
  await loaded(video, address);
  if (video.videoWidth === 0) throw new Error(CAMERA.noPicture);
  await video.play();
  const size = fittedSize(format, video.videoWidth, video.videoHeight);
  const stream = drawnStream(size, format.fps, (context) => context.drawImage(video, 0, 0, ...size), () => {
    video.pause();
    video.removeAttribute("src");
    URL.revokeObjectURL(address);
  });
  // @ts-ignore: not in every browser
  for (const track of video.captureStream?.().getAudioTracks() ?? []) stream.addTrack(track);
  return stream;
}

/** @param {HTMLVideoElement} video @param {string} address @returns {Promise<void>} */
function loaded(video, address) {
  return new Promise((done, fail) => {
    setTimeout(() => fail(new Error(CAMERA.tooLong)), OPEN_MS);
    video.addEventListener("loadeddata", () => done(), { once: true });
    video.addEventListener("error", () => fail(new Error(video.error?.message)), { once: true });
    video.src = address;
  });
}

/**
 * @param {[number, number]} size in pixels
 * @param {number} fps
 * @param {(context: CanvasRenderingContext2D, number: number) => void} draw picture after picture
 * @param {() => void} [onOver] the stream's track was stopped
 * @returns {MediaStream}
 */
function drawnStream([width_px, height_px], fps, draw, onOver = () => {}) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width_px, height_px];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const stream = canvas.captureStream(fps);
  const [track] = stream.getVideoTracks();
  let number = 0;
  const timer = setInterval(() => {
    if (track.readyState === "live") {
      draw(context, number);
      number += 1;
    } else {
      clearInterval(timer); // `stop` sends no event
      onOver();
    }
  }, 1000 / fps);
  draw(context, number);
  return stream;
}
