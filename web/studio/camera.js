/**
 * The cameras of this machine, OBS's virtual camera among them, and its screens.
 */

import { browserProblem, cameraEnded, cameraProblem } from "../shared/problems.js";

/** The choice of a screen, a window or a tab; the browser then asks which. */
export const SCREEN = "screen";

// wishes, not conditions: a camera without such a mode still works
const CONSTRAINTS = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };

/**
 * @typedef {object} Choice
 * @property {string} id
 * @property {string} label
 */

/** The one camera in use. */
export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  #onLost;

  /**
   * @param {(problem: import("../shared/problems.js").Problem) => void} onLost the camera ended by
   *   itself
   */
  constructor(onLost) {
    this.#onLost = onLost;
  }

  get stream() {
    return this.#stream;
  }

  /**
   * Labels are known only once a camera was allowed; before, cameras are numbered.
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
   * Open `choice` and close the one before.
   * @param {string} choice a camera's id, empty for the browser's own choice, or SCREEN
   * @returns {Promise<MediaStreamTrack>}
   * @throws {import("../shared/problems.js").Problem} if the browser does not give it
   */
  async open(choice) {
    const problem = browserProblem();
    if (problem) throw problem;
    const stream = await openStream(choice);
    this.close();
    this.#stream = stream;
    const [track] = stream.getVideoTracks();
    // on a slow network a screen keeps its sharpness, a camera its frame rate
    track.contentHint = choice === SCREEN ? "detail" : "motion";
    track.addEventListener("ended", () => {
      if (this.#stream === stream) this.#onLost(cameraEnded());
    });
    return track;
  }

  close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }
}

/** @param {string} choice */
async function openStream(choice) {
  try {
    if (choice === SCREEN) {
      return await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } } });
    }
    const device = choice ? { deviceId: { exact: choice } } : {};
    return await navigator.mediaDevices.getUserMedia({ video: { ...CONSTRAINTS, ...device } });
  } catch (error) {
    throw cameraProblem(/** @type {DOMException} */ (error), choice === SCREEN);
  }
}
