/**
 * Values that come from outside, checked one by one: what is wrong is named by its place. Pure.
 */

import { FORMAT } from "./strings.js";

const SHOWN_CHARS = 40;

/** A value that breaks a rule; the message has its place, the value and the rule, for people. */
export class FormatError extends Error {
  /** @param {string} place @param {unknown} value @param {string} rule what it must be */
  constructor(place, value, rule) {
    super(FORMAT.wrong(place, described(value), rule));
    this.name = "FormatError";
  }
}

/**
 * @param {unknown} value
 * @param {string} place
 * @param {string[]} keys those that it must have; with any other it is refused
 * @returns {Record<string, unknown>}
 * @throws {FormatError}
 */
export function checkObject(value, place, keys) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(place, value, FORMAT.object(keys.join(", ")));
  }
  const missing = keys.find((key) => !Object.keys(value).includes(key));
  if (missing) throw new FormatError(`${place}.${missing}`, undefined, FORMAT.there);
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown) throw new FormatError(FORMAT.keyOf(place), unknown, FORMAT.oneOf(keys.join(", ")));
  return /** @type {Record<string, unknown>} */ (value);
}

/**
 * @template Item
 * @param {unknown} value
 * @param {string} place
 * @param {[number, number]} counts the least and the most items
 * @param {(item: unknown, place: string) => Item} check of each item
 * @returns {Item[]}
 * @throws {FormatError}
 */
export function checkList(value, place, [least, most], check) {
  if (!Array.isArray(value)) throw new FormatError(place, value, FORMAT.list);
  if (value.length < least || value.length > most) {
    throw new FormatError(FORMAT.lengthOf(place), value.length, FORMAT.counts(least, most));
  }
  return value.map((item, index) => check(item, `${place}[${index}]`));
}

/**
 * @param {unknown} value
 * @param {string} place
 * @param {[number, number]} range
 * @returns {number}
 * @throws {FormatError}
 */
export function checkNumber(value, place, [least, most]) {
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new FormatError(place, value, FORMAT.number(least, most));
}

/**
 * @param {unknown} value
 * @param {string} place
 * @param {[number, number]} range
 * @returns {number}
 * @throws {FormatError}
 */
export function checkWhole(value, place, [least, most]) {
  if (Number.isSafeInteger(value)) return checkNumber(value, place, [least, most]);
  throw new FormatError(place, value, FORMAT.whole(least, most));
}

/**
 * @param {unknown} value
 * @param {string} place
 * @param {number} most_chars
 * @returns {string}
 * @throws {FormatError}
 */
export function checkText(value, place, most_chars) {
  if (typeof value === "string" && value.length <= most_chars) return value;
  throw new FormatError(place, value, FORMAT.text(most_chars));
}

/**
 * @param {unknown} value
 * @param {string} place
 * @returns {boolean}
 * @throws {FormatError}
 */
export function checkBoolean(value, place) {
  if (typeof value === "boolean") return value;
  throw new FormatError(place, value, FORMAT.boolean);
}

/**
 * @template {string} Choice
 * @param {unknown} value
 * @param {string} place
 * @param {readonly Choice[]} choices
 * @returns {Choice}
 * @throws {FormatError}
 */
export function checkChoice(value, place, choices) {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new FormatError(place, value, FORMAT.oneOf(choices.join(", ")));
}

/** @param {unknown} value @returns {string} short */
function described(value) {
  if (value === undefined) return FORMAT.missing;
  const text = JSON.stringify(value);
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
}
