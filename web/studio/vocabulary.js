/**
 * The buttons of a model with a small vocabulary: its styles and its colours.
 */

import { byId } from "../shared/dom.js";
import { recall, store } from "../shared/storage.js";
import { joinPrompt, splitPrompt } from "./prompt_words.js";

const VOCABULARY_KEY = "vocabulary"; // of localStorage: "none" where the last model had none

/** Shows which words a prompt has, and edits them. */
export class Vocabulary {
  /** @type {string[]} */
  #colours = [];
  #text = "";

  /** @param {(text: string) => void} onChoose the prompt with the word that was pressed */
  constructor(onChoose) {
    byId("vocabulary").hidden = recall("localStorage", VOCABULARY_KEY) === "none";
    /** @param {Partial<import("./prompt_words.js").PromptWords>} words to replace */
    const edit = (words) => {
      onChoose(joinPrompt({ ...splitPrompt(this.#text, this.#colours), ...words }));
    };
    byId("styles").addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (chip) edit({ rest: chip.dataset.word ?? "" });
    });
    byId("colours").addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (!chip) return;
      const isOn = chip.getAttribute("aria-pressed") === "true";
      edit({ colour: isOn ? "" : chip.dataset.word ?? "" });
    });
  }

  /** @param {string[]} styles @param {string[]} colours none of both: the model takes any text */
  showWords(styles, colours) {
    this.#colours = colours;
    // its place is kept either way, so that nothing below it moves; the next visit knows better
    byId("vocabulary").classList.toggle("unknown", !styles.length);
    if (styles.length) byId("vocabulary").hidden = false;
    store("localStorage", VOCABULARY_KEY, styles.length ? null : "none");
    byId("colours").hidden = !colours.length;
    showChips(byId("styles"), styles);
    showChips(byId("colours"), colours);
    this.mark(this.#text);
  }

  /** @param {string} text the prompt that the buttons edit */
  mark(text) {
    this.#text = text;
    const { colour, rest } = splitPrompt(text, this.#colours);
    markChip(byId("styles"), rest);
    markChip(byId("colours"), colour);
  }
}

/**
 * @param {HTMLElement} list
 * @param {string[]} words one chip for each
 */
function showChips(list, words) {
  if (words.join() === list.dataset.shown) return;
  list.dataset.shown = words.join();
  list.replaceChildren(...words.map((word) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.dataset.word = word;
    chip.textContent = word;
    return chip;
  }));
}

/**
 * @param {HTMLElement} list of chips
 * @param {string} word of the one to mark as pressed
 */
function markChip(list, word) {
  for (const chip of list.querySelectorAll("button")) {
    chip.setAttribute("aria-pressed", String(chip.dataset.word === word));
  }
}
