/**
 * The buttons of a model with a small vocabulary: its styles with their pictures, and its colours.
 */

import { byId } from "../shared/dom.js";
import { recall, store } from "../shared/storage.js";
import { joinPrompt, splitPrompt } from "./prompt_words.js";
import { VOCABULARY } from "./strings.js";
import { inOrderOfFavour, isFound, parseFavourites, withFavourite } from "./style_list.js";
import { STYLE_PICTURES } from "./style_pictures.js";

// keys of localStorage
const VOCABULARY_KEY = "vocabulary"; // "none" where the last model had none
const FAVOURITES_KEY = "favourites";

/** Shows which words a prompt has, and edits them. */
export class Vocabulary {
  /** @type {string[]} */
  #listed = [];
  /** @type {string[]} */
  #colours = [];
  #favourites = parseFavourites(recall("localStorage", FAVOURITES_KEY));
  #text = "";
  #styles = byId("styles");
  #find = byId("find-style", HTMLInputElement);
  #favourite = byId("favourite", HTMLButtonElement);

  /** @param {(text: string) => void} onChoose the prompt with the word that was pressed */
  constructor(onChoose) {
    byId("vocabulary").hidden = recall("localStorage", VOCABULARY_KEY) === "none";
    /** @param {Partial<import("./prompt_words.js").PromptWords>} words to replace */
    const edit = (words) => {
      onChoose(joinPrompt({ ...splitPrompt(this.#text, this.#colours), ...words }));
    };
    this.#styles.addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (chip) edit({ rest: chip.dataset.word ?? "" });
    });
    byId("colours").addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (!chip) return;
      const isOn = chip.getAttribute("aria-pressed") === "true";
      edit({ colour: isOn ? "" : chip.dataset.word ?? "" });
    });
    this.#find.addEventListener("input", () => this.#showFound());
    this.#find.addEventListener("keydown", ({ key }) => {
      if (key !== "Enter") return;
      const first = [...this.#styles.children].find((chip) => !(/** @type {HTMLElement} */ (chip).hidden));
      /** @type {HTMLElement | undefined} */ (first)?.click();
    });
    this.#favourite.addEventListener("click", () => this.#favour());
  }

  /** @param {string[]} styles @param {string[]} colours none of both: the model takes any text */
  showWords(styles, colours) {
    [this.#listed, this.#colours] = [styles, colours];
    // its place is kept either way, so that nothing below it moves; the next visit knows better
    byId("vocabulary").classList.toggle("unknown", !styles.length);
    if (styles.length) byId("vocabulary").hidden = false;
    store("localStorage", VOCABULARY_KEY, styles.length ? null : "none");
    byId("colours").hidden = !colours.length;
    this.#showStyles();
    showChips(byId("colours"), colours);
    this.mark(this.#text);
  }

  /** @param {string} text the prompt that the buttons edit */
  mark(text) {
    this.#text = text;
    const { colour, rest } = splitPrompt(text, this.#colours);
    markChip(this.#styles, rest);
    markChip(byId("colours"), colour);
    this.#favourite.disabled = !this.#listed.includes(rest);
    this.#favourite.setAttribute("aria-pressed", String(this.#favourites.includes(rest)));
  }

  /** The style of the prompt becomes a favourite, or is none any more. */
  #favour() {
    const { rest } = splitPrompt(this.#text, this.#colours);
    this.#favourites = withFavourite(this.#favourites, rest);
    store("localStorage", FAVOURITES_KEY, JSON.stringify(this.#favourites));
    this.#showStyles();
    this.mark(this.#text);
  }

  #showStyles() {
    showChips(this.#styles, inOrderOfFavour(this.#listed, this.#favourites));
    for (const chip of /** @type {Iterable<HTMLElement>} */ (this.#styles.children)) {
      const isFavourite = this.#favourites.includes(chip.dataset.word ?? "");
      chip.classList.toggle("favourite", isFavourite);
      chip.title = isFavourite ? VOCABULARY.favourite : "";
    }
    this.#showFound();
  }

  #showFound() {
    for (const chip of /** @type {Iterable<HTMLElement>} */ (this.#styles.children)) {
      chip.hidden = !isFound(chip.dataset.word ?? "", this.#find.value);
    }
  }
}

/**
 * @param {HTMLElement} list
 * @param {string[]} words one chip for each
 */
export function showChips(list, words) {
  if (words.join() === list.dataset.shown) return;
  list.dataset.shown = words.join();
  list.replaceChildren(...words.map((word) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.dataset.word = word;
    chip.append(...pictureOf(word), word);
    return chip;
  }));
}

/** @param {string} word @returns {HTMLElement[]} nothing where there is no picture of it */
function pictureOf(word) {
  const index = STYLE_PICTURES.indexOf(word);
  if (index < 0) return [];
  const picture = document.createElement("i");
  picture.className = "thumb";
  picture.style.backgroundPositionX = `${(100 * index) / (STYLE_PICTURES.length - 1)}%`;
  return [picture];
}

/**
 * @param {HTMLElement} list of chips
 * @param {string} word of the one to mark as pressed
 */
export function markChip(list, word) {
  for (const chip of list.querySelectorAll("button")) {
    chip.setAttribute("aria-pressed", String(chip.dataset.word === word));
  }
}
