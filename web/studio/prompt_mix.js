/**
 * A mixture of prompts as the page edits it: texts, weights, and a crossfader between sides. Pure.
 */

/** Prompts that the page mixes; the server takes more, and those set elsewhere are shown. */
export const MOST_PROMPTS = 4;

/** Prompts that the server takes. */
export const MOST_SHOWN = 8;
const REMEMBERED = 64;

/**
 * @typedef {object} MixRow
 * @property {string} text
 * @property {number} weight 0 to 1; more where it was set elsewhere
 * @property {"A" | "B" | "both"} side of the crossfader
 */

/**
 * @typedef {object} Mix
 * @property {MixRow[]} rows at least one
 * @property {number} fade 0: side A alone, 1: side B alone
 */

/**
 * @typedef {object} Prompt as the server takes it
 * @property {string} text
 * @property {number} weight
 */

/** @param {string} text @returns {Mix} of one prompt */
export function mixOfText(text) {
  return { rows: [{ text, weight: 1, side: "both" }], fade: 0 };
}

/**
 * @param {Prompt[]} prompts set elsewhere: their weights are those in force, so no side is faded
 * @returns {Mix}
 */
export function mixOfPrompts(prompts) {
  const rows = prompts.slice(0, MOST_SHOWN).map(({ text, weight }) => (
    /** @type {MixRow} */ ({ text, weight, side: "both" })
  ));
  if (rows.length === 1) rows[0].weight = 1; // alone, any weight is all of it
  return rows.length ? { rows, fade: 0 } : mixOfText("");
}

/**
 * With a second prompt the crossfader begins to mean something: the first is then side A.
 * @param {Mix} mix
 * @returns {Mix} with one more, empty, on side B
 */
export function withAnother(mix) {
  const isFirst = mix.rows.length === 1;
  const rows = mix.rows.map((row) => (isFirst ? /** @type {MixRow} */ ({ ...row, side: "A" }) : row));
  return { rows: [...rows, { text: "", weight: 1, side: "B" }], fade: isFirst ? 0.5 : mix.fade };
}

/**
 * @param {Mix} mix
 * @param {number} index of the row to take out; the last one stays
 * @returns {Mix}
 */
export function without(mix, index) {
  const rows = mix.rows.filter((_, at) => at !== index);
  if (rows.length === 0) return mix;
  return rows.length === 1 ? mixOfText(rows[0].text) : { ...mix, rows };
}

/**
 * @param {Mix} mix
 * @returns {Prompt[]} with the weights that slider and crossfader make together. Empty texts are
 *   left out, unless all are; one alone has all the weight. All weights may be 0.
 */
export function promptsOf({ rows, fade }) {
  if (rows.length === 1) return [{ text: rows[0].text.trim(), weight: 1 }];
  const gains = { A: 1 - fade, B: fade, both: 1 };
  const prompts = rows
    .map(({ text, weight, side }) => ({ text: text.trim(), weight: rounded(weight * gains[side]) }))
    .filter(({ text }) => text);
  return prompts.length ? prompts : [{ text: "", weight: 1 }];
}

/** @param {Prompt[]} prompts @returns {boolean} whether one has any weight, as the server wants */
export function hasWeight(prompts) {
  return prompts.some(({ weight }) => weight > 0);
}

/**
 * @param {Mix} mix
 * @returns {number[]} each row's share of the whole, 0 to 1; all 0 where no row has any weight
 */
export function sharesOf({ rows, fade }) {
  if (rows.length === 1) return [1];
  const gains = { A: 1 - fade, B: fade, both: 1 };
  const weights = rows.map(({ text, weight, side }) => (text.trim() ? weight * gains[side] : 0));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (total > 0 ? weight / total : 0));
}

/**
 * @param {Prompt[]} prompts
 * @param {number} chunks of the change to them; 0 for at once
 * @param {string} method of the change
 * @returns {Record<string, unknown>} the update for the server
 */
export function updateOf(prompts, chunks, method) {
  if (chunks > 0) {
    return {
      transition: {
        target_prompts: prompts, num_steps: chunks, temporal_interpolation_method: method,
      },
    };
  }
  const isPlain = prompts.length === 1 && prompts[0].weight === 1;
  return isPlain ? { prompt: prompts[0].text } : { prompts };
}

/**
 * Tells what this page has set from what was set elsewhere: the server reports both alike, and a
 * slider that is dragged is reported late.
 */
export class SentPrompts {
  /** @type {string[]} */
  #keys = [];

  /** @param {Prompt[]} prompts sent by this page */
  add(prompts) {
    this.#keys.push(keyOf(prompts));
    if (this.#keys.length > REMEMBERED) this.#keys.shift();
  }

  /** @param {Prompt[]} prompts reported by the server @returns {boolean} */
  isOwn(prompts) {
    const at = this.#keys.lastIndexOf(keyOf(prompts));
    if (at < 0) this.#keys = []; // from here on it is the other's that are in force
    else this.#keys = this.#keys.slice(at); // none before it is reported any more
    return at >= 0;
  }
}

/** @param {Prompt[]} prompts */
function keyOf(prompts) {
  return JSON.stringify(prompts.map(({ text, weight }) => [text, weight.toFixed(3)]));
}

/** @param {number} weight */
function rounded(weight) {
  return Math.round(weight * 1000) / 1000;
}
