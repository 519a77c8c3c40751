/**
 * The output: its video, the notice in place of a picture, the badges on it, and the status line.
 */

import { byId, setText } from "../shared/dom.js";
import { KeptPicture } from "../shared/kept_picture.js";
import { playOrAsk } from "../shared/playback.js";
import { sentence } from "../shared/problems.js";
import { formatDuration } from "./format.js";
import { CALL, FIGURES, NOTICE, SOUND, UNITS } from "./strings.js";

/**
 * @typedef {object} CallStatus
 * @property {import("./call.js").State} state
 * @property {import("../shared/problems.js").Problem | null} problem
 * @property {import("./call.js").Milestones} milestones
 * @property {import("./picture_state.js").PictureState} picture
 * @property {string} farewell what the server has told of the call's end, or empty
 * @property {string} crowd that others wait for a place, or empty
 * @property {string} interruption why the call comes back from a loss, or empty
 * @property {string} silence that no picture of the camera reaches the server, or empty
 * @property {import("./server_status.js").Health | null} waitsFor a server that is not ready yet
 * @property {import("../shared/problems.js").Queued | null} queued where a server is full
 * @property {import("./server_status.js").Health | null} health null if the server does not answer
 */

/**
 * @param {CallStatus} status
 * @returns {string[]} title and advice of the notice
 */
function noticeOf({ state, problem, silence, health, waitsFor, queued }) {
  if (problem) return [problem.title, problem.advice];
  if (waitsFor) return [notReady(waitsFor), NOTICE.beginsByItself(detailOf(waitsFor))];
  if (queued) return [NOTICE.waiting, NOTICE.beginsByItself(sentence(queued.reason))];
  if (state === "idle" && health?.status === "stopping") {
    return [notReady(health), NOTICE.takesNone];
  }
  switch (state) {
    case "connecting":
      return NOTICE.connecting;
    case "warming":
      return [NOTICE.connected, sentence(silence || NOTICE.firstPicture)];
  }
  if (health && !health.ready) {
    return [notReady(health), NOTICE.mayStart(detailOf(health))];
  }
  return NOTICE.ready;
}

/** @param {import("./server_status.js").Health} health */
function notReady({ status, engine_state }) {
  if (status === "stopping") return NOTICE.serverStops;
  return engine_state === "starting" ? NOTICE.modelLoads : NOTICE.noEngine;
}

/** @param {import("./server_status.js").Health} health */
function detailOf({ engine_detail, engine_state }) {
  return sentence(engine_detail || engine_state);
}

/** @param {CallStatus} status @returns {string} one line, also read aloud */
function statusLineOf(status) {
  const { state, problem, picture, interruption, farewell, silence } = status;
  const { waitsFor, queued, crowd } = status;
  if (problem) return `${problem.title}.`;
  if (state === "live") return picture.reason || farewell || crowd || CALL.live;
  if (interruption) return interruption;
  if (waitsFor) return CALL.begins(notReady(waitsFor));
  if (queued) return CALL.inLine(queued.place, queued.waiting);
  if (state === "idle") {
    const [title] = noticeOf(status);
    return status.health?.ready ? CALL.ready : title;
  }
  if (state === "connecting") return CALL.connecting;
  return silence || CALL.connected;
}

/** The output's video and what is shown around it. */
export class OutputPanel {
  /** The element that plays the output. */
  video = byId("output", HTMLVideoElement);
  #frame = byId("stage");
  #kept = new KeptPicture(this.video, byId("kept", HTMLCanvasElement));
  #tap = byId("tap");

  constructor() {
    const pip = byId("pip");
    pip.hidden = !document.pictureInPictureEnabled;
    pip.addEventListener("click", () => this.#togglePictureInPicture());
    const fullscreen = byId("fullscreen");
    fullscreen.hidden = !document.fullscreenEnabled;
    fullscreen.addEventListener("click", () => this.#toggleFullscreen());
    byId("hear").addEventListener("click", () => this.#toggleSound());
    this.video.addEventListener("dblclick", () => this.#toggleFullscreen());
  }

  /** Whether the browser plays nothing before a tap. */
  get isRefused() {
    return !this.#tap.hidden;
  }

  /** @param {MediaStream} stream to play; the last picture stays in sight until it has one */
  play(stream) {
    this.keepPicture();
    this.video.srcObject = stream;
    playOrAsk(this.video, this.#tap);
  }

  /** Keep the last picture in sight; to be called before its connection is closed. */
  keepPicture() {
    this.#kept.keep();
  }

  /** None is wanted of the last call's. */
  forgetPicture() {
    this.#kept.forget();
  }

  /** @param {CallStatus} status */
  showStatus(status) {
    document.body.dataset.state = status.state;
    document.body.dataset.picture = status.picture.picture;
    setText(byId("veil-reason"), status.picture.reason);
    setText(byId("veil-advice"), status.picture.advice);
    byId("status").setAttribute("role", status.problem ? "alert" : "status");
    setText(byId("status-title"), statusLineOf(status));
    setText(byId("status-advice"), status.problem?.advice ?? "");
    const [title, advice] = noticeOf(status);
    setText(byId("notice-title"), title);
    setText(byId("notice-advice"), advice);
    for (const item of byId("milestones").children) {
      const { milestone } = /** @type {any} */ (item).dataset;
      const value_ms = /** @type {any} */ (status.milestones)[milestone];
      item.classList.toggle("reached", value_ms !== null);
      const figure = /** @type {HTMLElement} */ (item.lastElementChild);
      setText(figure, value_ms === null ? "" : formatDuration(value_ms));
    }
  }

  /**
   * Give the frame the picture's aspect ratio before the first picture comes.
   * @param {number} width_px
   * @param {number} height_px
   */
  setSize(width_px, height_px) {
    this.#frame.style.setProperty("--aspect", String(width_px / height_px));
  }

  /** @param {number | null} age_ms @param {number | null} fps */
  showBadges(age_ms, fps) {
    setText(byId("badge-age"), age_ms === null ? "" : FIGURES.old(formatDuration(age_ms)));
    setText(byId("badge-fps"), fps === null ? "" : UNITS.fps(fps.toFixed(0)));
  }

  #toggleSound() {
    const hear = byId("hear");
    this.video.muted = !this.video.muted;
    hear.setAttribute("aria-pressed", String(!this.video.muted));
    hear.title = this.video.muted ? SOUND.hear : SOUND.mute;
    playOrAsk(this.video, this.#tap);
  }

  async #toggleFullscreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.#frame.requestFullscreen();
  }

  async #togglePictureInPicture() {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await this.video.requestPictureInPicture();
  }
}
