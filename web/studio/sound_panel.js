/**
 * The sound that goes with the picture: of a microphone, or of the screen or file that is sent. Off
 * until it is chosen: nobody is heard by surprise.
 */

import { byId } from "../shared/dom.js";
import { soundProblem } from "../shared/problems.js";
import { recall, store } from "../shared/storage.js";
import { SOUND } from "./strings.js";

const SOUND_KEY = "sound"; // of localStorage
const OFF = "off";
/** The choice of whatever the picture's source brings. */
const OWN = "own";
const ANY_MICROPHONE = "";

/** Lets the user choose, and holds the microphone in use. */
export class SoundPanel {
  #list = byId("sound", HTMLSelectElement);
  #wanted = recall("localStorage", SOUND_KEY) ?? OFF;
  /** @type {MediaStream | null} of a microphone */
  #microphone = null;
  #opening = 0;

  /** @param {() => void} onChoose another was chosen */
  constructor(onChoose) {
    this.#list.addEventListener("change", () => {
      this.#wanted = this.#list.value;
      store("localStorage", SOUND_KEY, this.#wanted);
      onChoose();
    });
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.listChoices());
  }

  /** Labels are known only once a microphone was allowed. */
  async listChoices() {
    const devices = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
    const microphones = devices.filter(({ kind, deviceId, label }) => (
      kind === "audioinput" && deviceId && label
    ));
    const choices = [
      [OFF, SOUND.off], [ANY_MICROPHONE, SOUND.microphone], [OWN, SOUND.own],
      ...microphones.map(({ deviceId, label }) => [deviceId, label]),
    ];
    this.#list.replaceChildren(...choices.map(([id, label]) => new Option(label, id)));
    const isListed = choices.some(([id]) => id === this.#wanted);
    this.#list.value = isListed ? this.#wanted : ANY_MICROPHONE;
  }

  /**
   * Open what is chosen, in place of what was open.
   * @param {MediaStream | null} source of the picture
   * @returns {Promise<MediaStreamTrack | null>} null for silence
   * @throws {import("../shared/problems.js").Problem} if the browser does not give it
   */
  async open(source) {
    this.close();
    if (this.#wanted === OFF) return null;
    if (this.#wanted === OWN) {
      const [track] = source?.getAudioTracks() ?? [];
      if (!track && source) throw soundProblem(SOUND.noOwn);
      return track ?? null;
    }
    const opening = this.#opening;
    const device = this.#wanted ? { deviceId: { ideal: this.#wanted } } : true;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: device });
      if (opening !== this.#opening) {
        for (const track of stream.getTracks()) track.stop();
        return null;
      }
      this.#microphone = stream;
    } catch (error) {
      const { name, message } = /** @type {DOMException} */ (error);
      throw soundProblem(message || name, error);
    }
    await this.listChoices();
    return this.#microphone?.getAudioTracks()[0] ?? null;
  }

  close() {
    this.#opening += 1;
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    this.#microphone = null;
  }
}
