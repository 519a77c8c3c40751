/**
 * The output's frame: what is said in it while there is no picture, and what lies over the picture.
 */

import { milliseconds } from "./metrics_panel.js";
import { sentence } from "../shared/problems.js";

/**
 * @typedef {object} Standing
 * @property {import("./connection.js").State} state
 * @property {import("../shared/problems.js").Problem | null} problem
 * @property {import("./connection.js").Milestones} milestones
 * @property {boolean} isPaused
 * @property {string} interruption why no new picture comes though the call goes on, else empty
 * @property {number | null} stale_s since the last picture, where that is too long
 * @property {import("../shared/signaling.js").Health | null} health null where the server does not answer
 */

/** Title and advice for each state without a picture. */
function words(/** @type {Standing} */ { state, problem, health }) {
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

/** @param {Standing} standing @returns {string} one line, also read aloud */
function statusWords(standing) {
  const { state, problem, milestones, isPaused, interruption, stale_s } = standing;
  if (problem) return `${problem.title}.`;
  if (interruption) return interruption;
  if (state === "live") {
    if (isPaused) return "Paused";
    if (stale_s !== null) return `No new picture for ${stale_s} s`;
    return `Live, first picture after ${milliseconds(milestones.picture_ms)}`;
  }
  if (state === "idle") {
    const [title] = words(standing);
    return standing.health?.ready ? "Ready" : title;
  }
  return state === "connecting" ? "Connecting…" : "Connected, waiting for the first picture…";
}

/** The frame around the output. */
export class Stage {
  #video = /** @type {HTMLVideoElement} */ (document.getElementById("output"));
  #frame = byId("stage");
  #section = /** @type {HTMLElement} */ (this.#frame.parentElement);

  constructor() {
    const pip = byId("pip");
    pip.hidden = !document.pictureInPictureEnabled;
    pip.addEventListener("click", () => this.#togglePip());
    const full = byId("fullscreen");
    full.hidden = !document.fullscreenEnabled;
    full.addEventListener("click", () => this.#toggleFullscreen());
    this.#video.addEventListener("dblclick", () => this.#toggleFullscreen());
  }

  /** @param {Standing} standing */
  show(standing) {
    document.body.dataset.state = standing.state;
    setText(byId("status-title"), statusWords(standing));
    setText(byId("status-advice"), standing.problem?.advice ?? "");
    const [title, advice] = words(standing);
    setText(byId("notice-title"), title);
    setText(byId("notice-advice"), advice);
    for (const item of byId("milestones").children) {
      const { milestone } = /** @type {any} */ (item).dataset;
      const value = /** @type {any} */ (standing.milestones)[milestone];
      const figure = /** @type {HTMLElement} */ (item.lastElementChild);
      item.classList.toggle("reached", value !== null);
      setText(figure, value === null ? "" : milliseconds(value));
    }
  }

  /** The frame takes the picture's shape before the first picture comes. */
  shape(/** @type {number} */ width_px, /** @type {number} */ height_px) {
    this.#section.style.setProperty("--aspect", String(width_px / height_px));
  }

  /** @param {number | null} age_ms @param {number | null} fps */
  badges(age_ms, fps) {
    setText(byId("badge-age"), age_ms === null ? "" : `${milliseconds(age_ms)} old`);
    setText(byId("badge-fps"), fps === null ? "" : `${fps.toFixed(0)} fps`);
  }

  async #toggleFullscreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.#frame.requestFullscreen();
  }

  async #togglePip() {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await this.#video.requestPictureInPicture();
  }
}

/** @param {string} id */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** Touch the page only where it changes, so that screen readers hear it once. */
function setText(/** @type {HTMLElement} */ element, /** @type {string} */ text) {
  if (element.textContent !== text) element.textContent = text;
}
