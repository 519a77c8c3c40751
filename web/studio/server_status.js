/**
 * The server's health and the model it runs, as a page shows them before a call.
 */

import { requestJson } from "../shared/http.js";

/**
 * A model, as `/health` and the event `state` describe it.
 * @typedef {object} Model
 * @property {string} [note]
 * @property {number[]} [step_list] timesteps of the denoising steps, in their order
 * @property {number} [width_px]
 * @property {number} [height_px]
 * @property {number} [chunk_frames] pictures that are made at once
 * @property {[number, number]} [noise_scale_range] least and most
 * @property {string[]} [styles]
 * @property {string[]} [colours]
 * @property {object} [parameters] those in force
 * @property {string} [understood] what the model makes of the prompt
 */

/**
 * @typedef {object} Health
 * @property {"ok" | "degraded" | "stopping"} status
 * @property {boolean} ready whether the server would take a call now
 * @property {"starting" | "ready" | "down" | "stopped"} engine_state
 * @property {string} engine_detail for people
 * @property {string} pipeline
 * @property {string} preset
 * @property {Model | null} model that a new call would use
 */

/** @returns {Promise<Health>} */
export function fetchHealth() {
  return requestJson("/health");
}
