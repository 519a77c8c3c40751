/**
 * What the picture on the screen is worth: whether new ones come, and if not, why. Pure.
 */

import { silenceText } from "../shared/silence.js";

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

/** @param {PictureClues} clues @returns {[string, string]} */
function reasonOf({ isPaused, isRefused, interruption, cameraTrouble, silent_s, stale_s }) {
  if (isRefused) return ["Tap to play", "This browser starts no video by itself."];
  if (interruption) return [interruption, ""];
  if (isPaused) return ["Paused", "Resume goes on from here."];
  if (cameraTrouble) return [cameraTrouble, "The stream is held, nobody who watches is cut off."];
  if (silent_s !== null) {
    return [silenceText(silent_s), "Its last picture stays until it sends another."];
  }
  if (stale_s === null) return ["", ""];
  return [
    `No new picture for ${stale_s} s`, "The server makes none, or the network brings none here.",
  ];
}
