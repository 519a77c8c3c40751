/**
 * The camera's side of the page: the list, size and rate, the picture, whether it is mirrored, and
 * taking a camera again that has stopped. A shared screen that has ended waits for the user's choice.
 */

import { byId } from "../shared/dom.js";
import { asProblem } from "../shared/problems.js";
import { recall, store } from "../shared/storage.js";
import { Camera, FILE, isCamera, SCREEN } from "./camera.js";
import { CameraRecovery } from "./camera_recovery.js";
import { formatText, parseFormat, RATES_FPS, SIZES_PX } from "./capture_format.js";
import { CAMERA, UNITS } from "./strings.js";

// keys of localStorage
const CAMERA_KEY = "camera";
const MIRROR_KEY = "mirror";
const FORMAT_KEY = "capture";
const CHECK_MS = 250;

/**
 * @typedef {object} CameraPanelListener
 * @property {() => void} onSwitch another camera was chosen while one is in use
 * @property {(track: MediaStreamTrack) => void} onRetaken the camera had stopped and is there again
 * @property {() => void} onChange `trouble` is another
 */

/** Lets the user choose a camera, and shows the one in use. */
export class CameraPanel {
  #listener;
  #camera;
  #recovery = new CameraRecovery();
  /** What is in use, or chosen: an unplugged camera is missing from the list for a while. */
  #wanted = recall("localStorage", CAMERA_KEY) ?? "";
  #inUse = "";
  #trouble = "";
  #isTaking = false;
  /** A shared screen has ended; only the user can share it again, so that another is chosen. */
  #hasSharingEnded = false;
  #list = byId("camera", HTMLSelectElement);
  #size = byId("camera-size", HTMLSelectElement);
  #rate = byId("camera-rate", HTMLSelectElement);
  #file = byId("camera-file", HTMLInputElement);
  #video = byId("input", HTMLVideoElement);
  #mirror = byId("mirror", HTMLInputElement);

  /** @param {CameraPanelListener} listener */
  constructor(listener) {
    this.#listener = listener;
    this.#camera = new Camera({
      onEnded: () => this.#onEnded(),
      onMuted: () => {
        this.#recovery.muted(performance.now());
        this.#setTrouble(CAMERA.muted);
      },
      onUnmuted: () => this.#onGiven(),
    });
    this.#mirror.checked = recall("localStorage", MIRROR_KEY) !== "false";
    this.#mirror.addEventListener("change", () => {
      store("localStorage", MIRROR_KEY, String(this.#mirror.checked));
      this.#applyMirror();
    });
    this.#list.addEventListener("change", () => this.#choose(this.#list.value));
    this.#listenForFiles();
    this.#listFormats();
    navigator.mediaDevices?.addEventListener?.("devicechange", () => {
      this.#recovery.devicesChanged(performance.now());
      this.listCameras();
    });
    setInterval(() => this.#takeAgain(), CHECK_MS);
    this.#applyMirror();
  }

  /** Whether a camera is in use. */
  get isOpen() {
    return this.#camera.stream !== null;
  }

  /** What it gives, sound too where it has some; null while none is in use. */
  get stream() {
    return this.#camera.stream;
  }

  /** Why the camera in use gives no pictures, for people; empty if it does. */
  get trouble() {
    return this.#trouble;
  }

  /**
   * Open the chosen camera, in place of the one in use.
   * @throws {import("../shared/problems.js").Problem} if the browser does not give it
   */
  async open() {
    this.#isTaking = true;
    try {
      return await this.#take(this.#list.value);
    } catch (error) {
      if (this.isOpen) this.#wanted = this.#inUse; // it stays
      throw error;
    } finally {
      this.#isTaking = false;
    }
  }

  close() {
    this.#camera.close();
    this.#forgetSharing();
    this.#showPicture();
    this.#onGiven();
  }

  /** List the cameras anew and select the one in use. */
  async selectInUse() {
    const [track] = this.#camera.stream?.getVideoTracks() ?? [];
    const isListed = (/** @type {string} */ id) => (
      [...this.#list.options].some(({ value }) => value === id)
    );
    await this.listCameras();
    const { deviceId = "" } = track?.getSettings() ?? {};
    const isNamed = this.#wanted !== "" && isListed(this.#wanted);
    if (isNamed || !isListed(deviceId)) return;
    this.#list.value = this.#wanted = deviceId;
  }

  /** The selection stays where what is wanted is listed. */
  async listCameras() {
    const list = this.#list;
    const choices = await Camera.choices();
    list.replaceChildren(...choices.map(({ id, label }) => new Option(label, id)));
    if (choices.length === 0) list.add(new Option(CAMERA.none, ""));
    for (const { id, label } of Camera.substitutes()) list.add(new Option(label, id));
    if (this.#hasSharingEnded) {
      // nothing is chosen, so that the screen can be again
      list.prepend(new Option(CAMERA.again, ""));
      list.selectedIndex = 0;
    } else if ([...list.options].some(({ value }) => value === this.#wanted)) {
      list.value = this.#wanted;
    }
    this.#showFileButton();
  }

  /** @param {string} choice in the list */
  #choose(choice) {
    this.#wanted = choice;
    this.#showFileButton();
    // a file is no choice yet, and the browser forgets it with the page
    if (choice === FILE) return this.#file.click();
    store("localStorage", CAMERA_KEY, choice);
    return this.#switch();
  }

  #switch() {
    if (this.isOpen) this.#listener.onSwitch();
    else this.#applyMirror();
  }

  #listenForFiles() {
    byId("choose-file").addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => this.#switch());
    this.#file.addEventListener("cancel", () => {
      if (!this.isOpen || this.#file.files?.length) return;
      this.#wanted = this.#inUse; // it stays
      this.listCameras();
    });
  }

  #showFileButton() {
    byId("choose-file").hidden = this.#list.value !== FILE;
  }

  #listFormats() {
    const format = parseFormat(recall("localStorage", FORMAT_KEY));
    const options = SIZES_PX.map((size) => new Option(CAMERA.size(...size), size.join(" ")));
    this.#size.replaceChildren(...options);
    this.#size.value = [format.width_px, format.height_px].join(" ");
    this.#rate.replaceChildren(...RATES_FPS.map((fps) => new Option(UNITS.fps(String(fps)), String(fps))));
    this.#rate.value = String(format.fps);
    for (const list of [this.#size, this.#rate]) {
      list.addEventListener("change", () => {
        store("localStorage", FORMAT_KEY, formatText(this.#format));
        // a screen is not asked for again, it has its own size
        if (this.isOpen && this.#inUse !== SCREEN) this.#listener.onSwitch();
      });
    }
  }

  get #format() {
    return parseFormat(`${this.#size.value} ${this.#rate.value}`);
  }

  #onEnded() {
    if (this.#wanted === SCREEN) {
      this.#hasSharingEnded = true;
      this.listCameras();
      return this.#setTrouble(CAMERA.sharingEnded);
    }
    this.#recovery.ended(performance.now());
    return this.#setTrouble(CAMERA.stopped);
  }

  #forgetSharing() {
    if (!this.#hasSharingEnded) return;
    this.#hasSharingEnded = false;
    this.listCameras();
  }

  #onGiven() {
    this.#recovery.given();
    this.#setTrouble("");
  }

  /** @param {string} trouble */
  #setTrouble(trouble) {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#listener.onChange();
  }

  /** @param {string} choice */
  async #take(choice) {
    const track = await this.#camera.open({
      choice, format: this.#format, file: this.#file.files?.[0] ?? null,
    });
    this.#inUse = choice;
    this.#forgetSharing();
    this.#showPicture();
    if (!track.muted) this.#onGiven();
    return track;
  }

  /** Take the camera in use again, if it has stopped and it is time to try. */
  async #takeAgain() {
    // a page in the background gets no camera, and its track comes back with it
    if (!this.isOpen || this.#isTaking || document.hidden) return;
    if (!isCamera(this.#wanted)) return; // of a screen the browser would ask which
    if (!this.#recovery.isDue(performance.now())) return;
    const { stream } = this.#camera;
    this.#isTaking = true;
    try {
      const track = await this.#take(this.#wanted);
      await this.selectInUse();
      this.#listener.onRetaken(track);
    } catch (error) {
      if (this.#camera.stream !== stream) return;
      console.info("the camera is not there yet:", asProblem(error).title);
      if (this.#recovery.state === "gone") {
        this.#setTrouble(CAMERA.gone);
      }
    } finally {
      this.#isTaking = false;
    }
  }

  #showPicture() {
    this.#video.srcObject = this.#camera.stream;
    document.body.classList.toggle("has-camera", this.isOpen);
    this.#applyMirror();
  }

  /** Only a camera that looks at its user is mirrored. */
  #applyMirror() {
    const isOfOneself = isCamera(this.#wanted) && !this.#camera.looksAway;
    document.body.classList.toggle("mirrored", this.#mirror.checked && isOfOneself);
  }
}
