/**
 * When a source or a screen counts as silent, and what is said of a silent source. Pure.
 */

import { cameraIsSilent } from "./strings.js";

const SILENT_AFTER_S = 3; // a camera of one picture in three seconds is slow, not silent

/**
 * @param {number | null} since_ms the last picture
 * @returns {number | null} in whole seconds, if it is too long
 */
export function tooLong_s(since_ms) {
  const since_s = Math.floor((since_ms ?? 0) / 1000);
  return since_s >= SILENT_AFTER_S ? since_s : null;
}

/** @param {number | null} silent_s @returns {string} empty if the source is not silent */
export function silenceText(silent_s) {
  return silent_s === null ? "" : cameraIsSilent(silent_s);
}
