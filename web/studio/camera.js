/**
 * The cameras of this machine, OBS's virtual one among them, and its screens.
 */

import { browserProblem, cameraEnded, cameraProblem } from "../shared/problems.js";

/** The choice that means a screen, a window or a tab, which the browser then asks for. */
export const SCREEN = "screen";

// asked for, never insisted on: a camera that has no such mode is still a camera
const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };

/**
 * @typedef {object} Choice
 * @property {string} id
 * @property {string} label
 */

/** The one camera in use. */
export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  #lost;

  /** @param {(problem: import("../shared/problems.js").Problem) => void} lost it went away */
  constructor(lost) {
    this.#lost = lost;
  }

  get stream() {
    return this.#stream;
  }

  /**
   * Labels are known only after the camera was allowed once; until then entries are nameless.
   * @returns {Promise<Choice[]>}
   */
  static async choices() {
    if (!navigator.mediaDevices?.enumerateDevices) return [];
    const devices = await navigator.mediaDevices.enumerateDevices();
    const cameras = devices.filter(({ kind }) => kind === "videoinput");
    return cameras.map(({ deviceId, label }, index) => ({
      id: deviceId,
      label: label || (cameras.length > 1 ? `Camera ${index + 1}` : "Camera"),
    }));
  }

  /**
   * Open `choice` and let go of the one before.
   * @param {string} choice a camera's id, empty for the browser's own choice, or SCREEN
   * @returns {Promise<MediaStreamTrack>}
   * @throws {import("../shared/problems.js").Problem}
   */
  async open(choice) {
    const impossible = browserProblem();
    if (impossible) throw impossible;
    const stream = await request(choice);
    this.close();
    this.#stream = stream;
    const [track] = stream.getVideoTracks();
    // the size of the picture matters to the model more than its rate
    track.contentHint = choice === SCREEN ? "detail" : "motion";
    track.addEventListener("ended", () => {
      if (this.#stream === stream) this.#lost(cameraEnded());
    });
    return track;
  }

  close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }
}

/** @param {string} choice */
async function request(choice) {
  try {
    if (choice === SCREEN) {
      return await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } } });
    }
    const device = choice ? { deviceId: { exact: choice } } : {};
    return await navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...device } });
  } catch (error) {
    throw cameraProblem(/** @type {DOMException} */ (error), choice === SCREEN);
  }
}
