/**
 * How the call is: its state, whether pictures still come, and before it how the server is.
 */

import { byId } from "../shared/dom.js";
import { browserProblem } from "../shared/problems.js";
import { silenceText, tooLong_s } from "../shared/silence.js";
import { WakeLock } from "../shared/wake_lock.js";
import { judgePicture } from "./picture_state.js";
import { fetchHealth } from "./server_status.js";
import { CALL } from "./strings.js";

const REFRESH_MS = 1_000;
const HEALTH_EVERY = 3; // refreshes

/**
 * @typedef {object} CallViewParts
 * @property {import("./call.js").Call} call
 * @property {import("./camera_panel.js").CameraPanel} camera
 * @property {import("./output_panel.js").OutputPanel} output
 * @property {import("./metrics_panel.js").MetricsPanel} metrics
 * @property {(model: import("./server_status.js").Model) => void} onModel the model that a call
 *   would use is known, or is another
 * @property {(isOpen: boolean) => void} onCall with each look: whether there is a call
 */

export class CallView {
  /** @type {number | null} since the camera's last picture, as the server counts it */
  sinceInput_ms = null;
  #parts;
  #wakeLock = new WakeLock();
  /** @type {import("./server_status.js").Health | null} null if the server does not answer */
  #health = null;
  #shownModel = "";
  #lastShown_ms = 0;
  #isFresh = false;
  #refreshes = 0;
  #start = byId("start", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #pause = byId("pause", HTMLButtonElement);
  #again = byId("again", HTMLButtonElement);

  /** @param {CallViewParts} parts */
  constructor(parts) {
    this.#parts = parts;
    document.addEventListener("visibilitychange", () => {
      this.#lastShown_ms = performance.now(); // hidden, no picture was shown
    });
  }

  /** Show it now and once a second. */
  async start() {
    setInterval(() => this.#refresh(), REFRESH_MS);
    await this.#refresh();
  }

  /** A new call begins. */
  reset() {
    this.#start.disabled = true;
    this.sinceInput_ms = null;
  }

  /** @param {number} shown_ms when a picture came onto the screen */
  pictureShown(shown_ms) {
    this.#lastShown_ms = shown_ms;
    if (!this.#isFresh) this.show(); // at once, not with the next second
  }

  show() {
    const { call, camera, output, metrics } = this.#parts;
    const { state, problem, milestones, isOpen, interruption } = call;
    const silent_s = tooLong_s(isOpen ? this.sinceInput_ms : null);
    const stale_s = document.hidden ? null : tooLong_s(performance.now() - this.#lastShown_ms);
    const picture = judgePicture({
      state,
      isPaused: call.isPaused,
      isRefused: output.isRefused,
      interruption,
      cameraTrouble: isOpen ? camera.trouble : "",
      silent_s,
      stale_s,
    });
    this.#isFresh = picture.picture === "fresh";
    output.showStatus({
      state,
      problem: problem ?? (state === "idle" ? browserProblem() : null),
      milestones,
      picture,
      interruption,
      farewell: call.farewell,
      silence: silenceText(silent_s),
      waitsFor: call.waitsFor,
      queued: call.queued,
      crowd: call.crowd,
      health: this.#health,
    });
    metrics.setStopped(!this.#isFresh && milestones.picture_ms !== null);
    this.#wakeLock.set(state === "live");
    document.body.classList.toggle("has-output", milestones.picture_ms !== null);
    this.#showButtons();
    this.#parts.onCall(isOpen);
    if (!this.#isFresh) output.showBadges(null, null);
  }

  #showButtons() {
    const { state, isOpen, isPaused } = this.#parts.call;
    this.#start.disabled = isOpen;
    this.#stop.disabled = !isOpen;
    this.#pause.disabled = state !== "live";
    this.#pause.setAttribute("aria-pressed", String(isPaused));
    this.#pause.textContent = isPaused ? CALL.resume : CALL.pause;
    this.#again.hidden = isOpen;
  }

  async #refresh() {
    if (document.hidden) return;
    const { call } = this.#parts;
    this.#refreshes += 1;
    if (!call.isOpen && this.#refreshes % HEALTH_EVERY === 1) {
      this.#health = await fetchHealth().catch(() => null);
      if (!call.isOpen && this.#health) this.#showServer(this.#health);
    }
    this.show();
  }

  /** @param {import("./server_status.js").Health} health */
  #showServer({ model, pipeline, preset }) {
    byId("model").textContent = `${pipeline} · ${preset}`;
    const description = JSON.stringify(model);
    if (!model || description === this.#shownModel) return; // once: what is chosen before a call stays
    this.#shownModel = description;
    this.#parts.onModel(model);
  }
}
