/**
 * The texts of recordings, for people: a translation is another such file. Pure.
 */

export const RECORD = {
  list: "Recordings",
  runs: "Recording…",
  ended: (/** @type {string} */ reason) => `The recording has ended: ${reason}`,
  file: (/** @type {string} */ name, /** @type {string} */ megabytes) => `${name} · ${megabytes} MB`,
};
