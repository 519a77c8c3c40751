/**
 * The camera's side of the page: the list, the picture, and whether it is mirrored.
 */

import { byId } from "../shared/dom.js";
import { Camera, SCREEN } from "./camera.js";

// keys of localStorage
const CAMERA_KEY = "camera";
const MIRROR_KEY = "mirror";

/** Lets the user choose a camera, and shows the one in use. */
export class CameraPanel {
  #camera;
  #list = byId("camera", HTMLSelectElement);
  #video = byId("input", HTMLVideoElement);
  #mirror = byId("mirror", HTMLInputElement);

  /**
   * @param {(problem: import("../shared/problems.js").Problem) => void} onLost the camera in use
   *   ended by itself
   * @param {() => void} onSwitch another camera was chosen while one is in use
   */
  constructor(onLost, onSwitch) {
    this.#camera = new Camera(onLost);
    this.#mirror.checked = localStorage.getItem(MIRROR_KEY) !== "false";
    this.#mirror.addEventListener("change", () => {
      localStorage.setItem(MIRROR_KEY, String(this.#mirror.checked));
      this.#applyMirror();
    });
    this.#list.addEventListener("change", () => {
      localStorage.setItem(CAMERA_KEY, this.#list.value);
      if (this.isOpen) onSwitch();
      else this.#applyMirror();
    });
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.listCameras());
    this.#applyMirror();
  }

  /** Whether a camera is in use. */
  get isOpen() {
    return this.#camera.stream !== null;
  }

  /**
   * Open the chosen camera, in place of the one in use.
   * @throws {import("../shared/problems.js").Problem} if the browser does not give it
   */
  async open() {
    const track = await this.#camera.open(this.#list.value);
    this.#showPicture();
    return track;
  }

  close() {
    this.#camera.close();
    this.#showPicture();
  }

  /** List the cameras anew and select the one in use. */
  async selectInUse() {
    const [track] = this.#camera.stream?.getVideoTracks() ?? [];
    await this.listCameras(track?.getSettings().deviceId);
  }

  /** @param {string} [selected] id of a camera; else the selection stays, or is the last choice */
  async listCameras(selected) {
    const list = this.#list;
    const wanted = list.value === SCREEN ? SCREEN
      : selected ?? (list.value || localStorage.getItem(CAMERA_KEY) || "");
    const choices = await Camera.choices();
    list.replaceChildren(...choices.map(({ id, label }) => new Option(label, id)));
    if (choices.length === 0) list.add(new Option("No camera found", ""));
    if (navigator.mediaDevices && "getDisplayMedia" in navigator.mediaDevices) {
      list.add(new Option("Screen or window…", SCREEN));
    }
    if ([...list.options].some(({ value }) => value === wanted)) list.value = wanted;
  }

  #showPicture() {
    this.#video.srcObject = this.#camera.stream;
    document.body.classList.toggle("has-camera", this.isOpen);
    this.#applyMirror();
  }

  /** A screen is never mirrored. */
  #applyMirror() {
    const isMirrored = this.#mirror.checked && this.#list.value !== SCREEN;
    document.body.classList.toggle("mirrored", isMirrored);
  }
}
