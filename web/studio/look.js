/**
 * A look: everything that makes the picture what it is, as the page sets it. Pure.
 */

import {
  checkBoolean, checkChoice, checkList, checkNumber, checkObject, checkText, checkWhole,
} from "../shared/checks.js";
import { MOST_SHOWN } from "./prompt_mix.js";

/** The most characters of a prompt, as the server takes it. */
const PROMPT_CHARS = 2_000;
/** The longest change to other prompts, in seconds. */
export const LONGEST_CHANGE_S = 60;

const MOST_WEIGHT = 10;
const MOST_STEPS = 4;
const SIDES = /** @type {const} */ (["A", "B", "both"]);
const METHODS = /** @type {const} */ (["linear", "slerp"]);

/**
 * How prompts change to others.
 * @typedef {object} Change
 * @property {number} over_s 0 for at once
 * @property {"linear" | "slerp"} method
 */

/**
 * @typedef {object} Look what is null is left as it is
 * @property {import("./prompt_mix.js").Mix} mix
 * @property {Change} change to the mix
 * @property {number | null} strength the share of noise, 0 to 1
 * @property {number | null} steps how many of the model's
 * @property {number | null} seed
 * @property {boolean | null} motion whether motion lowers the noise
 */

/**
 * @param {unknown} value @param {string} place
 * @returns {Look}
 * @throws {import("../shared/checks.js").FormatError} naming what is wrong, and where
 */
export function checkLook(value, place) {
  const look = checkObject(value, place, ["mix", "change", "strength", "steps", "seed", "motion"]);
  return {
    mix: checkMix(look.mix, `${place}.mix`),
    change: checkChange(look.change, `${place}.change`),
    strength: orNull(look.strength, (one) => checkNumber(one, `${place}.strength`, [0, 1])),
    steps: orNull(look.steps, (one) => checkWhole(one, `${place}.steps`, [1, MOST_STEPS])),
    seed: orNull(
      look.seed, (one) => checkWhole(one, `${place}.seed`, [0, Number.MAX_SAFE_INTEGER]),
    ),
    motion: orNull(look.motion, (one) => checkBoolean(one, `${place}.motion`)),
  };
}

/**
 * @param {unknown} value @param {string} place
 * @returns {import("./prompt_mix.js").Mix}
 * @throws {import("../shared/checks.js").FormatError} naming what is wrong, and where
 */
export function checkMix(value, place) {
  const mix = checkObject(value, place, ["rows", "fade"]);
  return {
    rows: checkList(mix.rows, `${place}.rows`, [1, MOST_SHOWN], checkRow),
    fade: checkNumber(mix.fade, `${place}.fade`, [0, 1]),
  };
}

/** @param {Look} one @param {Look} other @returns {boolean} */
export function isSameLook(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** @param {unknown} value @param {string} place @returns {import("./prompt_mix.js").MixRow} */
function checkRow(value, place) {
  const row = checkObject(value, place, ["text", "weight", "side"]);
  return {
    text: checkText(row.text, `${place}.text`, PROMPT_CHARS),
    weight: checkNumber(row.weight, `${place}.weight`, [0, MOST_WEIGHT]),
    side: checkChoice(row.side, `${place}.side`, SIDES),
  };
}

/** @param {unknown} value @param {string} place @returns {Change} */
function checkChange(value, place) {
  const change = checkObject(value, place, ["over_s", "method"]);
  return {
    over_s: checkNumber(change.over_s, `${place}.over_s`, [0, LONGEST_CHANGE_S]),
    method: checkChoice(change.method, `${place}.method`, METHODS),
  };
}

/**
 * @template Kind
 * @param {unknown} value
 * @param {(value: unknown) => Kind} check
 */
function orNull(value, check) {
  return value === null ? null : check(value);
}
