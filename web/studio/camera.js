/**
 * The cameras of this machine, OBS's virtual camera among them, and what takes their place: its
 * screens, a file, a test picture.
 */

import {
  browserProblem, cameraProblem, cameraReplaced, noFile, Problem,
} from "../shared/problems.js";
import { constraintsOf } from "./capture_format.js";
import { fileStream, testPicture } from "./drawn_source.js";
import { CAMERA } from "./strings.js";

/** The choice of a screen, a window or a tab; the browser then asks which. */
export const SCREEN = "screen";
/** The choice of an image or a video of this machine. */
export const FILE = "file";
const TEST = "test";

/** The choices of a phone, which names its cameras only once one was allowed: to where it looks. */
const FACING = new Map([
  ["facing:user", { label: CAMERA.front, facingMode: "user" }],
  ["facing:environment", { label: CAMERA.back, facingMode: "environment" }],
]);

/** What the browser says where a camera cannot be had while another, or the same, is in use. */
const IN_USE = ["NotReadableError", "AbortError"];

/**
 * @typedef {object} Choice
 * @property {string} id
 * @property {string} label
 */

/**
 * What is to be captured.
 * @typedef {object} Source
 * @property {string} choice a camera's id, empty for the browser's own choice, where it looks, or
 *   SCREEN, FILE or the test picture
 * @property {import("./capture_format.js").CaptureFormat} format
 * @property {File | null} file for FILE
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

  /** Whether it looks away from its user: then its picture is not that of a mirror. */
  get looksAway() {
    const [track] = this.#stream?.getVideoTracks() ?? [];
    return track?.getSettings().facingMode === "environment";
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
      label: label || (cameras.length > 1 ? CAMERA.numbered(index + 1) : CAMERA.one),
    }));
    if (!hasFacings() || cameras.length === 0) return listed;
    const facings = [...FACING].map(([id, { label }]) => ({ id, label }));
    // of a phone with more than two, those are the wide and the far lens
    const areNamed = cameras.length > FACING.size && cameras.every(({ label }) => label);
    return areNamed ? [...facings, ...listed] : facings;
  }

  /** @returns {Choice[]} what may take a camera's place in this browser */
  static substitutes() {
    const has = (/** @type {object | undefined} */ one, /** @type {string} */ name) => (
      one !== undefined && name in one
    );
    const screens = has(navigator.mediaDevices, "getDisplayMedia")
      ? [{ id: SCREEN, label: CAMERA.screen }] : [];
    const drawn = has(HTMLCanvasElement.prototype, "captureStream")
      ? [{ id: FILE, label: CAMERA.file }, { id: TEST, label: CAMERA.test }] : [];
    return [...screens, ...drawn];
  }

  /**
   * Open a source and close the one before.
   * @param {Source} source
   * @returns {Promise<MediaStreamTrack>}
   * @throws {import("../shared/problems.js").Problem} if the browser does not give it, or another
   *   was opened or all were closed meanwhile
   */
  async open(source) {
    const problem = browserProblem();
    if (problem) throw problem;
    const opening = ++this.#opening;
    const stream = await this.#openInstead(source);
    if (opening !== this.#opening) {
      for (const track of stream.getTracks()) track.stop();
      throw cameraReplaced();
    }
    this.#closeStream();
    this.#stream = stream;
    const [track] = stream.getVideoTracks();
    // on a slow network a screen keeps its sharpness, a camera its frame rate
    track.contentHint = source.choice === SCREEN ? "detail" : "motion";
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
  async #openInstead(/** @type {Source} */ source) {
    try {
      return await openStream(source);
    } catch (error) {
      if (error instanceof Problem) throw error;
      const { name } = /** @type {DOMException} */ (error);
      if (!this.#stream || !isCamera(source.choice) || !IN_USE.includes(name)) {
        throw cameraProblem(/** @type {DOMException} */ (error), source.choice === SCREEN);
      }
    }
    const [before] = this.#stream.getVideoTracks();
    before.stop();
    try {
      return await openStream(source);
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

/** @param {string} choice @returns {boolean} false for what takes a camera's place */
export function isCamera(choice) {
  return ![SCREEN, FILE, TEST].includes(choice);
}

/** @param {Source} source */
async function openStream({ choice, format, file }) {
  switch (choice) {
    case SCREEN: // sharp, at its own size
      return navigator.mediaDevices.getDisplayMedia({
        video: { frameRate: { ideal: format.fps } }, audio: true, // where the user shares it
      });
    case TEST:
      return testPicture(format);
    case FILE:
      if (!file) throw noFile();
      return fileStream(file, format);
  }
  const facing = FACING.get(choice);
  const device = facing ? { facingMode: { ideal: facing.facingMode } }
    : choice ? { deviceId: { exact: choice } } : {};
  return navigator.mediaDevices.getUserMedia({ video: { ...constraintsOf(format), ...device } });
}
