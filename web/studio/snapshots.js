/**
 * Looks that are kept under the numbers 1 to 9. Pure: each change makes a new list.
 */

import { SHOW } from "./strings.js";

/** How many there may be; each has a digit key. */
export const MOST_SNAPSHOTS = 9;
/** The most characters of a name. */
export const NAME_CHARS = 60;

const DRAWN_CHARS = 24;

/**
 * @typedef {object} Snapshot
 * @property {number} number 1 to 9
 * @property {string} name
 * @property {import("./look.js").Look} look
 */

/** @param {Snapshot[]} snapshots @param {number} number @returns {Snapshot | null} */
export function snapshotOf(snapshots, number) {
  return snapshots.find((one) => one.number === number) ?? null;
}

/**
 * Keep a look, in place of the one before.
 * @param {Snapshot[]} snapshots
 * @param {number} number
 * @param {import("./look.js").Look} look
 * @returns {Snapshot[]} in their order. A name that was given stays; one that was made of the
 *   prompts is made of the new ones
 */
export function withSnapshot(snapshots, number, look) {
  const before = snapshotOf(snapshots, number);
  const isGiven = before !== null && before.name !== nameOf(before.look);
  const name = isGiven ? before.name : nameOf(look);
  return inOrder([...withoutSnapshot(snapshots, number), { number, name, look }]);
}

/**
 * @param {Snapshot[]} snapshots
 * @param {number} number
 * @param {string} name empty: made of the prompts
 * @returns {Snapshot[]}
 */
export function withName(snapshots, number, name) {
  const given = name.trim().slice(0, NAME_CHARS);
  return snapshots.map((one) => (
    one.number === number ? { ...one, name: given || nameOf(one.look) } : one
  ));
}

/** @param {Snapshot[]} snapshots @param {number} number @returns {Snapshot[]} */
export function withoutSnapshot(snapshots, number) {
  return snapshots.filter((one) => one.number !== number);
}

/** @param {Snapshot[]} snapshots @returns {Snapshot[]} */
export function inOrder(snapshots) {
  return [...snapshots].sort((one, other) => one.number - other.number);
}

/** @param {import("./look.js").Look} look @returns {string} of its prompts, short */
function nameOf({ mix }) {
  const name = mix.rows.map(({ text }) => text.trim()).filter(Boolean).join(" + ");
  if (!name) return SHOW.noPrompt;
  return name.length > DRAWN_CHARS ? `${name.slice(0, DRAWN_CHARS - 1).trimEnd()}…` : name;
}
