/**
 * The mixture as it stands in the mixer, kept in this tab over a reload.
 */

import { recall, store } from "../shared/storage.js";
import { checkMix } from "./look.js";

const KEY = "mix"; // of sessionStorage

/**
 * @typedef {object} KeptMix
 * @property {import("./prompt_mix.js").Mix} mix
 * @property {boolean} isDraft whether a text was edited and not applied
 */

/** @param {KeptMix} kept */
export function keepMix({ mix, isDraft }) {
  store("sessionStorage", KEY, JSON.stringify({ mix, isDraft }));
}

/** @returns {KeptMix | null} null if there is none that this page can read */
export function keptMix() {
  try {
    const { mix, isDraft } = JSON.parse(recall("sessionStorage", KEY) ?? "");
    return { mix: checkMix(mix, "mix"), isDraft: isDraft === true };
  } catch {
    return null; // none, or another version's
  }
}
