/**
 * What the picture on the screen is worth: whether new ones come, and if not, why. Pure.
 */

/**
 * @typedef {object} PictureClues
 * @property {import("./call.js").State} state of the call
 * @property {boolean} isPaused
 * @property {boolean} isRefused the browser plays nothing before a tap
 * @property {string} interruption of the connection or the engine, or empty
 * @property {string} cameraTrouble why the camera gives no pictures, or empty
 * @property {number | null} stale_s since the last picture, if that is too long
 * @property {number | null} fpsIn pictures of the camera that reach the server, in a second
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
function reasonOf({ isPaused, isRefused, interruption, cameraTrouble, stale_s, fpsIn }) {
  if (isRefused) return ["Tap to play", "This browser starts no video by itself."];
  if (interruption) return [interruption, ""];
  if (isPaused) return ["Paused", "Resume goes on from here."];
  if (cameraTrouble) return [cameraTrouble, "The stream is held, nobody who watches is cut off."];
  if (stale_s === null) return ["", ""];
  const cause = fpsIn ? "The server makes none, or the network brings none here."
    : "No pictures of the camera reach the server.";
  return [`No new picture for ${stale_s} s`, cause];
}
