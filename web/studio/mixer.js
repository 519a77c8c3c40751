/**
 * The mixer's rows below the prompt: text, weight and side of each, and the crossfader.
 */

import { byId, setText, setValue } from "../shared/dom.js";
import { hasWeight, MOST_PROMPTS, promptsOf, sharesOf, without } from "./prompt_mix.js";
import { indexOf, newRow, partOf } from "./rows.js";
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
      this.#rows.replaceChildren(...mix.rows.map((_, index) => newMixRow(index)));
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

/** @param {number} index @returns {HTMLElement} the first prompt's text stands elsewhere */
function newMixRow(index) {
  const row = newRow("mix-row", index);
  /** @type {HTMLElement} */ (row.querySelector("[data-part=weight]")).id = `weight-${index + 1}`;
  if (index > 0) return row;
  const words = document.createElement("span");
  words.dataset.part = "text";
  row.querySelector("[data-part=text]")?.replaceWith(words);
  return row;
}

/** @param {HTMLInputElement} slider @param {number} value */
function setSlider(slider, value) {
  slider.value = String(value);
  const share = Number(slider.value) / Number(slider.max);
  slider.style.setProperty("--at", `${100 * share}%`);
}
