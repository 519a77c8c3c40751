/**
 * The output: its video, the notice in place of a picture, the badges on it, and the status line.
 */

import { byId, setText } from "../shared/dom.js";
import { sentence } from "../shared/problems.js";
import { formatDuration } from "./format.js";

/**
 * @typedef {object} CallStatus
 * @property {import("./connection.js").State} state
 * @property {import("../shared/problems.js").Problem | null} problem
 * @property {import("./connection.js").Milestones} milestones
 * @property {boolean} isPaused
 * @property {string} interruption why no new pictures come though the call goes on, or empty
 * @property {number | null} stale_s since the last picture, if that is too long
 * @property {import("./server_status.js").Health | null} health null if the server does not answer
 */

/**
 * @param {CallStatus} status
 * @returns {[string, string]} title and advice of the notice
 */
function noticeOf({ state, problem, health }) {
  if (problem) return [problem.title, problem.advice];
  switch (state) {
    case "connecting":
      return ["Connecting", "If the browser asks for the camera, allow it."];
    case "warming":
      return ["Connected", "The first picture is being made."];
  }
  if (health && !health.ready) {
    return [
      health.engine_state === "starting" ? "The model is loading" : "The engine is not running",
      `${sentence(health.engine_detail || health.engine_state)} Start works once it is ready.`,
    ];
  }
  return [
    "Ready when you are",
    "Press Start, allow the camera, and say what the video should become. "
      + "Everything can be changed while it runs.",
  ];
}

/** @param {CallStatus} status @returns {string} one line, also read aloud */
function statusLineOf(status) {
  const { state, problem, milestones, isPaused, interruption, stale_s } = status;
  if (problem) return `${problem.title}.`;
  if (interruption) return interruption;
  if (state === "live") {
    if (isPaused) return "Paused";
    if (stale_s !== null) return `No new picture for ${stale_s} s`;
    return `Live, first picture after ${formatDuration(milestones.picture_ms)}`;
  }
  if (state === "idle") {
    const [title] = noticeOf(status);
    return status.health?.ready ? "Ready" : title;
  }
  return state === "connecting" ? "Connecting…" : "Connected, waiting for the first picture…";
}

/** The output's video and what is shown around it. */
export class OutputPanel {
  /** The element that plays the output. */
  video = byId("output", HTMLVideoElement);
  #frame = byId("stage");
  #section = /** @type {HTMLElement} */ (this.#frame.parentElement);

  constructor() {
    const pip = byId("pip");
    pip.hidden = !document.pictureInPictureEnabled;
    pip.addEventListener("click", () => this.#togglePictureInPicture());
    const fullscreen = byId("fullscreen");
    fullscreen.hidden = !document.fullscreenEnabled;
    fullscreen.addEventListener("click", () => this.#toggleFullscreen());
    this.video.addEventListener("dblclick", () => this.#toggleFullscreen());
  }

  /** @param {MediaStream} stream to play; the last picture stays in sight until it has one */
  play(stream) {
    keepLastPicture(this.video);
    this.video.srcObject = stream;
    this.video.play().catch(({ message }) => console.info("the output does not play:", message));
  }

  /** @param {CallStatus} status */
  showStatus(status) {
    document.body.dataset.state = status.state;
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
    this.#section.style.setProperty("--aspect", String(width_px / height_px));
  }

  /** @param {number | null} age_ms @param {number | null} fps */
  showBadges(age_ms, fps) {
    setText(byId("badge-age"), age_ms === null ? "" : `${formatDuration(age_ms)} old`);
    setText(byId("badge-fps"), fps === null ? "" : `${fps.toFixed(0)} fps`);
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

/**
 * Make the current picture the poster, which is shown until the next stream has a picture.
 * @param {HTMLVideoElement} video
 */
function keepLastPicture(video) {
  if (!video.videoWidth) return;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  video.poster = canvas.toDataURL("image/jpeg");
}
