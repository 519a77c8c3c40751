/**
 * Recordings of the output: begun, ended, listed. Loaded where the server makes some, and only then.
 */

import { authorization } from "../shared/access.js";
import { byId, setText } from "../shared/dom.js";
import { addressOf, requestJson } from "../shared/http.js";
import { asProblem } from "../shared/problems.js";
import { RECORD } from "./strings.js";

const BYTES_PER_MB = 1_000_000;

/**
 * The event `recording`.
 * @typedef {{stream: string, is_on: boolean, reason: string}} RecordingState
 */

/** The button, the line that says how it is, and the list of the stream's files. */
export class RecordingPanel {
  #stream = "";
  #isOn = false;
  #button = byId("record", HTMLButtonElement);
  #status = byId("record-status");
  #list = document.createElement("ul");

  constructor() {
    this.#button.hidden = false;
    this.#button.addEventListener("click", () => this.#toggle());
    this.#list.setAttribute("aria-label", RECORD.list);
    this.#status.after(this.#list);
  }

  /** @param {RecordingState} state */
  showState({ stream, is_on: isOn, reason }) {
    this.#stream = stream;
    this.#press(isOn);
    setText(this.#status, isOn ? RECORD.runs : reason ? RECORD.ended(reason) : "");
    this.#ask(() => this.#showFiles());
  }

  /** The call has ended, and with it what was known of its recording. */
  callEnded() {
    this.#press(false);
    setText(this.#status, "");
  }

  /** @param {boolean} isOn */
  #press(isOn) {
    this.#isOn = isOn;
    this.#button.setAttribute("aria-pressed", String(isOn));
  }

  get #path() {
    return `/api/v1/streams/${encodeURIComponent(this.#stream)}/recording`;
  }

  #toggle() {
    this.#ask(async () => {
      this.showState(await requestJson(this.#path, { method: this.#isOn ? "DELETE" : "POST" }));
    });
  }

  /** @param {() => Promise<void>} what of the server; a refusal is told */
  async #ask(what) {
    try {
      await what();
    } catch (error) {
      setText(this.#status, asProblem(error).advice);
    }
  }

  async #showFiles() {
    const { recordings } = await requestJson(`${this.#path}s`);
    this.#list.replaceChildren(...recordings.map((
      /** @type {{file: string, bytes: number}} */ { file, bytes },
    ) => {
      const [row, link] = [document.createElement("li"), document.createElement("a")];
      const address = addressOf(`${this.#path}s/${file}`);
      const token = authorization().Authorization?.split(" ")[1];
      if (token) address.searchParams.set("token", token); // a link sends no header
      [link.href, link.download] = [address.href, file];
      link.textContent = RECORD.file(file, (bytes / BYTES_PER_MB).toFixed(1));
      row.append(link);
      return row;
    }));
  }
}
