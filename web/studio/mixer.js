/**
 * The mixer's rows below the prompt: text, weight and side of each, and the crossfader.
 */

import { byId, setText } from "../shared/dom.js";
import { hasWeight, MOST_PROMPTS, promptsOf, sharesOf, without } from "./prompt_mix.js";
import { MIXER, UNITS } from "./strings.js";

/**
 * @typedef {object} MixerListener
 * @property {(mix: import("./prompt_mix.js").Mix) => void} onDraft a text is being written
 * @property {(mix: import("./prompt_mix.js").Mix, how: "apply" | "slide" | "cut") => void} onMix
 *   to be sent: a text that was applied, a slider that is dragged, or anything else
 * @property {(index: number) => void} onFocus a row's text is being looked at
 */

/** Shows a mixture, and reports every change to it; the first row's text stands in the prompt. */
export class Mixer {
  #listener;
  #root = byId("mixer");
  #rows = byId("mix-rows");
  #fade = byId("fade", HTMLInputElement);
  /** @type {import("./prompt_mix.js").Mix} */
  #mix = { rows: [], fade: 0 };

  /** @param {MixerListener} listener */
  constructor(listener) {
    this.#listener = listener;
    this.#fade.addEventListener("input", () => {
      listener.onMix({ ...this.#mix, fade: Number(this.#fade.value) }, "slide");
    });
    this.#rows.addEventListener("input", ({ target }) => this.#edit(target));
    this.#rows.addEventListener("focusin", ({ target }) => listener.onFocus(indexOf(target)));
    this.#rows.addEventListener("keydown", (event) => {
      const isText = partOf(event.target) === "text";
      if (!isText || event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      listener.onMix(this.#mix, "apply");
    });
    this.#rows.addEventListener("click", ({ target }) => {
      if (partOf(target) === "remove") listener.onMix(without(this.#mix, indexOf(target)), "cut");
    });
  }

  /** @param {import("./prompt_mix.js").Mix} mix what is being edited is left alone */
  show(mix) {
    this.#mix = mix;
    const isMixed = mix.rows.length > 1;
    this.#root.hidden = !isMixed;
    byId("add-prompt").hidden = mix.rows.length >= MOST_PROMPTS;
    if (this.#rows.children.length !== mix.rows.length) {
      this.#rows.replaceChildren(...mix.rows.map((_, index) => newRow(index)));
    }
    const shares = sharesOf(mix);
    mix.rows.forEach((row, index) => this.#showRow(row, shares[index], index));
    const hasSides = mix.rows.some(({ side }) => side !== "both");
    this.#fade.disabled = !hasSides;
    this.#fade.title = hasSides ? MIXER.fade : MIXER.noSides;
    setSlider(this.#fade, mix.fade);
    const isSilent = isMixed && !hasWeight(promptsOf(mix));
    byId("mix-silent").hidden = !isSilent;
  }

  /** Look at the text of the last row. */
  focusLast() {
    const inputs = this.#rows.querySelectorAll("input[data-part=text]");
    /** @type {HTMLInputElement | undefined} */ (inputs[inputs.length - 1])?.focus();
  }

  /**
   * @param {import("./prompt_mix.js").MixRow} row
   * @param {number} share of the whole
   * @param {number} index
   */
  #showRow({ text, weight, side }, share, index) {
    const row = this.#rows.children[index];
    const part = (/** @type {string} */ name) => row.querySelector(`[data-part=${name}]`);
    const words = part("text");
    if (words instanceof HTMLInputElement) setValue(words, text);
    else setText(/** @type {HTMLElement} */ (words), text || MIXER.first);
    const slider = /** @type {HTMLInputElement} */ (part("weight"));
    slider.max = String(Math.max(1, weight)); // one set elsewhere may be larger
    setSlider(slider, weight);
    setValue(/** @type {HTMLSelectElement} */ (part("side")), side);
    setText(/** @type {HTMLElement} */ (part("share")), UNITS.percent(String(Math.round(100 * share))));
  }

  /** @param {EventTarget | null} target that was edited */
  #edit(target) {
    const index = indexOf(target);
    const { value } = /** @type {HTMLInputElement} */ (target);
    const part = partOf(target);
    const change = part === "weight" ? { weight: Number(value) } : { [part]: value };
    const rows = this.#mix.rows.map((row, at) => (at === index ? { ...row, ...change } : row));
    const mix = { ...this.#mix, rows };
    if (part === "text") this.#listener.onDraft(mix);
    else this.#listener.onMix(mix, part === "weight" ? "slide" : "cut");
  }
}

/** @param {number} index @returns {HTMLElement} a row's controls, without values */
function newRow(index) {
  const template = byId("mix-row", HTMLTemplateElement);
  const row = /** @type {HTMLElement} */ (template.content.cloneNode(true).firstElementChild);
  row.dataset.index = String(index);
  const number = index + 1;
  for (const one of row.querySelectorAll("[aria-label]")) {
    one.setAttribute("aria-label", `${one.getAttribute("aria-label")} ${number}`);
  }
  if (index > 0) return row;
  const words = document.createElement("span");
  words.dataset.part = "text";
  row.querySelector("[data-part=text]")?.replaceWith(words);
  return row;
}

/** @param {EventTarget | null} target @returns {number} of the row that it is in */
function indexOf(target) {
  const row = /** @type {Element} */ (target).closest("[data-index]");
  return Number(/** @type {HTMLElement} */ (row).dataset.index);
}

/** @param {EventTarget | null} target @returns {string} empty if it is no part of a row */
function partOf(target) {
  const part = /** @type {Element} */ (target).closest("[data-part]");
  return /** @type {HTMLElement | null} */ (part)?.dataset.part ?? "";
}

/** @param {HTMLInputElement | HTMLSelectElement} control @param {string} value */
function setValue(control, value) {
  if (document.activeElement !== control && control.value !== value) control.value = value;
}

/** @param {HTMLInputElement} slider @param {number} value */
function setSlider(slider, value) {
  slider.value = String(value);
  const share = Number(slider.value) / Number(slider.max);
  slider.style.setProperty("--at", `${100 * share}%`);
}
