/**
 * The size and the rate at which a camera, or what takes its place, is captured. Pure.
 */

/** Sizes to choose from, in pixels. @type {[number, number][]} */
export const SIZES_PX = [[320, 240], [640, 480], [1280, 720], [1920, 1080]];
/** Rates to choose from. */
export const RATES_FPS = [10, 15, 24, 30, 60];

const SMALLEST_PX = 16; // of a side: less is no picture that could be encoded

/**
 * @typedef {object} CaptureFormat
 * @property {number} width_px
 * @property {number} height_px
 * @property {number} fps
 */

/** @type {CaptureFormat} */
const USUAL = { width_px: 640, height_px: 480, fps: 30 };

/**
 * @param {string | null} text as `formatText` has made it; anything else means the usual format
 * @returns {CaptureFormat} one of those to choose from
 */
export function parseFormat(text) {
  const [width, height, fps] = (text ?? "").split(" ").map(Number);
  const size = SIZES_PX.find(([width_px, height_px]) => width === width_px && height === height_px);
  if (!size || !RATES_FPS.includes(fps)) return USUAL;
  return { width_px: size[0], height_px: size[1], fps };
}

/** @param {CaptureFormat} format @returns {string} */
export function formatText({ width_px, height_px, fps }) {
  return [width_px, height_px, fps].join(" ");
}

/**
 * @param {CaptureFormat} format
 * @returns {MediaTrackConstraints} wishes, not conditions: a camera without such a mode still works
 */
export function constraintsOf({ width_px, height_px, fps }) {
  return { width: { ideal: width_px }, height: { ideal: height_px }, frameRate: { ideal: fps } };
}

/**
 * The size at which a picture of another shape is captured: as large as the format allows, turned
 * where the picture is upright, with even sides, as encoders want them.
 * @param {CaptureFormat} format
 * @param {number} width_px of the picture
 * @param {number} height_px of the picture
 * @returns {[number, number]} width and height
 */
export function fittedSize(format, width_px, height_px) {
  const most = [format.width_px, format.height_px];
  const [wide, high] = height_px > width_px ? most.reverse() : most;
  const scale = Math.min(wide / width_px, high / height_px);
  const even = (/** @type {number} */ side) => (
    Math.max(SMALLEST_PX, 2 * Math.round((side * scale) / 2))
  );
  return [even(width_px), even(height_px)];
}
