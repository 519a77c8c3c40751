/**
 * What the picture on the screen is worth: whether new ones come, and if not, why. Pure.
 */

import { silenceText } from "../shared/silence.js";
import { KEPT } from "./strings.js";

/**
 * @typedef {object} PictureClues
 * @property {import("./call.js").State} state of the call
 * @property {boolean} isPaused
 * @property {boolean} isRefused the browser plays nothing before a tap
 * @property {string} interruption of the connection or the engine, or empty
 * @property {string} cameraTrouble why the camera gives no pictures, or empty
 * @property {number | null} silent_s since the camera's last picture reached the server, if that is
 *   too long
 * @property {number | null} stale_s since the last new picture on the screen, if that is too long
 */

/**
 * @typedef {object} PictureState
 * @property {"none" | "fresh" | "kept"} picture none yet; new ones come; the last one is kept
 * @property {string} reason why it is only kept, for people; else empty
 * @property {string} advice what to do, or empty
 */

/** @param {PictureClues} clues @returns {PictureState} */
export function judgePicture(clues) {
  if (clues.state !== "live") return { picture: "none", reason: "", advice: "" };
  const [reason, advice] = reasonOf(clues);
  return { picture: reason ? "kept" : "fresh", reason, advice };
}

/** @param {PictureClues} clues @returns {string[]} */
function reasonOf({ isPaused, isRefused, interruption, cameraTrouble, silent_s, stale_s }) {
  if (isRefused) return KEPT.tap;
  if (interruption) return [interruption, ""];
  if (isPaused) return KEPT.paused;
  if (cameraTrouble) return [cameraTrouble, KEPT.held];
  if (silent_s !== null) return [silenceText(silent_s), KEPT.silent];
  return stale_s === null ? ["", ""] : KEPT.stale(stale_s);
}
