/**
 * The cameras of this machine, OBS's virtual camera among them, and its screens.
 */

import { browserProblem, cameraProblem, cameraReplaced } from "../shared/problems.js";

/** The choice of a screen, a window or a tab; the browser then asks which. */
export const SCREEN = "screen";

/** The choices of a phone, which names its cameras only once one was allowed: to where it looks. */
const FACING = new Map([
  ["facing:user", { label: "Front camera", facingMode: "user" }],
  ["facing:environment", { label: "Back camera", facingMode: "environment" }],
]);

// wishes, not conditions: a camera without such a mode still works
const CONSTRAINTS = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
/** What the browser says where a camera cannot be had while another, or the same, is in use. */
const IN_USE = ["NotReadableError", "AbortError"];

/**
 * @typedef {object} Choice
 * @property {string} id
 * @property {string} label
 */

/**
 * @typedef {object} CameraListener
 * @property {() => void} onEnded the camera has ended by itself
 * @property {() => void} onMuted it gives no pictures for a while
 * @property {() => void} onUnmuted
 */

/** The one camera in use. */
export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  #listener;
  #opening = 0;

  /** @param {CameraListener} listener about the camera in use */
  constructor(listener) {
    this.#listener = listener;
  }

  get stream() {
    return this.#stream;
  }

  /** Whether its picture is that of a mirror: all but screens and cameras that look away. */
  get isOfOneself() {
    const [track] = this.#stream?.getVideoTracks() ?? [];
    return track?.getSettings().facingMode !== "environment";
  }

  /**
   * Labels are known only once a camera was allowed; before, cameras are numbered.
   * @returns {Promise<Choice[]>}
   */
  static async choices() {
    if (!navigator.mediaDevices?.enumerateDevices) return [];
    const devices = await navigator.mediaDevices.enumerateDevices();
    const cameras = devices.filter(({ kind }) => kind === "videoinput");
    const listed = cameras.map(({ deviceId, label }, index) => ({
      id: deviceId,
      label: label || (cameras.length > 1 ? `Camera ${index + 1}` : "Camera"),
    }));
    if (!hasFacings() || cameras.length === 0) return listed;
    const facings = [...FACING].map(([id, { label }]) => ({ id, label }));
    // of a phone with more than two, those are the wide and the far lens
    const areNamed = cameras.length > FACING.size && cameras.every(({ label }) => label);
    return areNamed ? [...facings, ...listed] : facings;
  }

  /**
   * Open `choice` and close the one before.
   * @param {string} choice a camera's id, empty for the browser's own choice, where it looks, or
   *   SCREEN
   * @returns {Promise<MediaStreamTrack>}
   * @throws {import("../shared/problems.js").Problem} if the browser does not give it, or another
   *   was opened or all were closed meanwhile
   */
  async open(choice) {
    const problem = browserProblem();
    if (problem) throw problem;
    const opening = ++this.#opening;
    const stream = await this.#openInstead(choice);
    if (opening !== this.#opening) {
      for (const track of stream.getTracks()) track.stop();
      throw cameraReplaced();
    }
    this.#closeStream();
    this.#stream = stream;
    const [track] = stream.getVideoTracks();
    // on a slow network a screen keeps its sharpness, a camera its frame rate
    track.contentHint = choice === SCREEN ? "detail" : "motion";
    const report = (/** @type {() => void} */ what) => () => {
      if (this.#stream === stream) what();
    };
    track.addEventListener("ended", report(this.#listener.onEnded));
    track.addEventListener("mute", report(this.#listener.onMuted));
    track.addEventListener("unmute", report(this.#listener.onUnmuted));
    return track;
  }

  close() {
    this.#opening += 1;
    this.#closeStream();
  }

  #closeStream() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }

  /** A phone gives no second camera while one is in use: that is given back then. */
  async #openInstead(/** @type {string} */ choice) {
    try {
      return await openStream(choice);
    } catch (error) {
      const { name } = /** @type {DOMException} */ (error);
      if (!this.#stream || choice === SCREEN || !IN_USE.includes(name)) {
        throw cameraProblem(/** @type {DOMException} */ (error), choice === SCREEN);
      }
    }
    const [before] = this.#stream.getVideoTracks();
    before.stop();
    try {
      return await openStream(choice);
    } catch (error) {
      before.dispatchEvent(new Event("ended")); // `stop` sends none: it is gone all the same
      throw cameraProblem(/** @type {DOMException} */ (error), false);
    }
  }
}

/** Whether this is a machine whose cameras look to the front and to the back. */
function hasFacings() {
  const { mediaDevices } = navigator;
  return matchMedia("(pointer: coarse)").matches
    && Boolean(mediaDevices.getSupportedConstraints?.().facingMode);
}

/** @param {string} choice */
async function openStream(choice) {
  if (choice === SCREEN) {
    return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } } });
  }
  const facing = FACING.get(choice);
  const device = facing ? { facingMode: { ideal: facing.facingMode } }
    : choice ? { deviceId: { exact: choice } } : {};
  return navigator.mediaDevices.getUserMedia({ video: { ...CONSTRAINTS, ...device } });
}
