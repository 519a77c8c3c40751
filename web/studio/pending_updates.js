/**
 * Parameters that are changed while the server cannot be reached, until it can. Pure.
 */

/** The three ways to say what the video should become; the newest replaces the others. */
const PROMPTS = ["prompt", "prompts", "transition"];

/** @param {object} update @returns {boolean} whether it says what the video should become */
export function touchesPrompts(update) {
  return PROMPTS.some((key) => key in update);
}

/** Merges updates, key by key. */
export class PendingUpdates {
  /** @type {Record<string, unknown>} */
  #update = {};
  #labels = new Set();

  /** @param {Record<string, unknown>} update @param {string} label what is changed, for people */
  add(update, label) {
    if (touchesPrompts(update)) for (const key of PROMPTS) delete this.#update[key];
    Object.assign(this.#update, update);
    this.#labels.add(label);
  }

  /**
   * Take all of them, once.
   * @returns {{update: Record<string, unknown>, label: string} | null} null if there is none
   */
  take() {
    if (this.#labels.size === 0) return null;
    const taken = { update: this.#update, label: [...this.#labels].join(", ") };
    this.clear();
    return taken;
  }

  clear() {
    this.#update = {};
    this.#labels = new Set();
  }
}
