/**
 * At which level of quality the stream is made, why, and the question before steps are taken away.
 */

import { setText } from "../shared/dom.js";

const SHOWN_MS = 10_000; // how long a move upwards is told of

/** Fills the element's parts, found by their `data-part`. */
export class QualityPanel {
  #root;
  #onAnswer;
  /** Why quality is below what was chosen; empty if it is not. */
  #lowered = "";
  #timer = 0;
  #questionTimer = 0;

  /** @param {HTMLElement} root @param {(keep: boolean) => void} onAnswer */
  constructor(root, onAnswer) {
    this.#root = root;
    this.#onAnswer = onAnswer;
    this.#part("keep").addEventListener("click", () => this.#answer(true));
    this.#part("allow").addEventListener("click", () => this.#answer(false));
    this.clear();
  }

  /** As before a call. */
  clear() {
    this.#lowered = "";
    this.#say("");
    this.#endQuestion();
  }

  /**
   * A picture of another size brings one too: what is told of a move stays.
   *
   * @param {{lowered?: string}} state the `state` event
   */
  showState({ lowered = "" }) {
    if (lowered === this.#lowered) return;
    this.#lowered = lowered;
    this.#say(lowered);
    this.#endQuestion();
  }

  /** @param {{text: string, lowered: string}} level the `level` event */
  showLevel({ text, lowered }) {
    this.#lowered = lowered;
    this.#say(text || lowered);
    this.#endQuestion();
    if (!lowered) this.#timer = setTimeout(() => this.#say(this.#lowered), SHOWN_MS);
  }

  /** @param {{text: string, within_s: number}} question the `level_question` event */
  ask({ text, within_s }) {
    setText(this.#part("question-text"), text);
    this.#part("question").hidden = false;
    clearTimeout(this.#questionTimer);
    this.#questionTimer = setTimeout(() => this.#endQuestion(), within_s * 1000);
  }

  /** @param {boolean} keep */
  #answer(keep) {
    this.#endQuestion();
    this.#onAnswer(keep);
  }

  #endQuestion() {
    clearTimeout(this.#questionTimer);
    this.#part("question").hidden = true;
  }

  /** @param {string} text */
  #say(text) {
    clearTimeout(this.#timer);
    setText(this.#part("text"), text);
    this.#part("text").hidden = !text;
  }

  /** @param {string} name @returns {HTMLElement} */
  #part(name) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(`[data-part="${name}"]`));
  }
}
