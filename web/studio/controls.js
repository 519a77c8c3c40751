/**
 * The controls: prompt, styles, colours, strength, steps, motion, seed.
 */

import { byId } from "../shared/dom.js";
import { capitalised, formatDuration, UNKNOWN } from "./format.js";
import { joinPrompt, splitPrompt } from "./prompt_words.js";

const SLIDER_INTERVAL_MS = 80;

/** Shows the parameters in force, and reports every change that is made to them at once. */
export class Controls {
  #onChange;
  /**
   * What was chosen, before a call or in one; the next call starts with it.
   * @type {Record<string, unknown>}
   */
  #chosen = {};
  /** @type {number[]} */
  #stepList = [];
  /** @type {string[]} */
  #colours = [];
  #slider = { timer: 0, sent_ms: -Infinity };
  #prompt = byId("prompt", HTMLTextAreaElement);
  #strength = byId("strength", HTMLInputElement);
  #steps = byId("steps", HTMLSelectElement);
  #blend = byId("blend", HTMLSelectElement);
  #motion = byId("motion", HTMLInputElement);
  #seed = byId("seed", HTMLInputElement);

  /** @param {(update: object, label: string) => void} onChange the label says what, for people */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#listen();
  }

  /** @returns {object} the parameters a new call starts with: only those that were chosen here */
  get initialParameters() {
    return { ...this.#chosen };
  }

  /** @param {import("./server_status.js").Model} model */
  showModel(model) {
    byId("note").textContent = model.note ?? "";
    if (model.styles) {
      this.#colours = model.colours ?? [];
      byId("vocabulary").hidden = !model.styles.length;
      byId("colours").hidden = !this.#colours.length;
      showChips(byId("styles"), model.styles);
      showChips(byId("colours"), this.#colours);
    }
    if (model.step_list && model.step_list.join() !== this.#stepList.join()) {
      this.#showSteps(model.step_list);
    }
    if (model.noise_scale_range) this.#showRange(model.noise_scale_range);
    this.showParameters(model.parameters ?? {});
    this.showUnderstood(model.understood);
  }

  /** @param {string} [text] what the model makes of the prompt; none if it takes any text */
  showUnderstood(text = "") {
    const line = byId("understood");
    line.hidden = !text;
    line.textContent = capitalised(text);
  }

  /** @param {any} parameters in force; a control that has the focus is left alone */
  showParameters(parameters) {
    const text = parameters.prompt ?? parameters.prompts?.[0]?.text;
    setValue(this.#prompt, text);
    setValue(this.#seed, parameters.seed);
    if (parameters.noise_scale !== undefined) {
      setValue(this.#strength, parameters.noise_scale);
      this.#showStrength();
    }
    if (parameters.noise_controller !== undefined) {
      this.#motion.checked = parameters.noise_controller;
    }
    if (parameters.denoising_step_list?.length && document.activeElement !== this.#steps) {
      this.#steps.value = String(parameters.denoising_step_list.length);
    }
    this.#markChips();
  }

  /** @param {import("./update_tracker.js").TrackedUpdate | null} update the newest */
  showUpdate(update) {
    const line = byId("round-trip");
    line.dataset.stage = update?.stage ?? "none";
    line.textContent = update ? progressOf(update) : "Enter applies it, also while it runs";
  }

  #listen() {
    byId("prompt-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#applyPrompt();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#applyPrompt();
    });
    this.#prompt.addEventListener("input", () => this.#markChips());
    byId("styles").addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (!chip) return;
      this.#editPrompt({ rest: chip.dataset.word ?? "" });
    });
    byId("colours").addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (!chip) return;
      const isOn = chip.getAttribute("aria-pressed") === "true";
      this.#editPrompt({ colour: isOn ? "" : chip.dataset.word ?? "" });
    });
    this.#strength.addEventListener("input", () => {
      this.#showStrength();
      this.#sendStrength();
    });
    this.#steps.addEventListener("change", () => {
      const denoising_step_list = this.#stepList.slice(0, Number(this.#steps.value));
      this.#update({ denoising_step_list }, "Steps");
    });
    this.#motion.addEventListener("change", () => {
      this.#update({ noise_controller: this.#motion.checked }, "Motion");
    });
    this.#seed.addEventListener("change", () => this.#applySeed());
    byId("dice").addEventListener("click", () => {
      this.#seed.value = String(Math.floor(Math.random() * 1_000_000));
      this.#applySeed();
    });
    byId("reset").addEventListener("click", () => this.#onChange({ reset_cache: true }, "Reset"));
  }

  /** @param {Record<string, unknown>} update @param {string} label */
  #update(update, label) {
    Object.assign(this.#chosen, update);
    this.#onChange(update, label);
  }

  /** Apply the prompt at once or as a transition over some chunks; later calls start with it. */
  #applyPrompt() {
    const text = this.#prompt.value.trim();
    const num_steps = Number(this.#blend.value);
    this.#markChips();
    this.#chosen.prompt = text;
    this.#onChange(
      num_steps ? { transition: { target_prompts: [{ text }], num_steps } } : { prompt: text },
      "Prompt",
    );
  }

  #applySeed() {
    if (this.#seed.value === "" || !this.#seed.checkValidity()) return this.#seed.reportValidity();
    this.#update({ seed: Number(this.#seed.value) }, "Seed");
  }

  /** Send the strength while it is dragged, at a limited rate; the last value is always sent. */
  #sendStrength() {
    clearTimeout(this.#slider.timer);
    const send = () => {
      this.#slider.sent_ms = performance.now();
      this.#update({ noise_scale: Number(this.#strength.value) }, "Strength");
    };
    const wait_ms = this.#slider.sent_ms + SLIDER_INTERVAL_MS - performance.now();
    if (wait_ms <= 0) send();
    else this.#slider.timer = setTimeout(send, wait_ms);
  }

  /** @param {[number, number]} least and most noise that the model can work from */
  #showRange([least, most]) {
    this.#strength.min = String(least);
    this.#strength.max = String(most);
    this.#strength.step = String((most - least) / 100 || 0.01);
    this.#strength.disabled = most <= least;
    this.#showStrength();
  }

  #showStrength() {
    const [least, most] = [Number(this.#strength.min), Number(this.#strength.max)];
    const share = most > least ? (Number(this.#strength.value) - least) / (most - least) : 0;
    const percent = `${Math.round(100 * share)} %`;
    byId("strength-value").textContent = this.#strength.disabled ? UNKNOWN : percent;
    this.#strength.style.setProperty("--at", `${100 * share}%`);
  }

  /** @param {number[]} stepList */
  #showSteps(stepList) {
    this.#stepList = stepList;
    this.#steps.replaceChildren(...stepList.map((_, index) => {
      const count = index + 1;
      return new Option(count === 1 ? "1 (fast)" : String(count), String(count));
    }));
    this.#steps.disabled = stepList.length < 2;
  }

  /** @param {Partial<import("./prompt_words.js").PromptWords>} words to replace in the prompt */
  #editPrompt(words) {
    const current = splitPrompt(this.#prompt.value, this.#colours);
    this.#prompt.value = joinPrompt({ ...current, ...words });
    this.#applyPrompt();
  }

  #markChips() {
    const { colour, rest } = splitPrompt(this.#prompt.value, this.#colours);
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

/** @param {import("./update_tracker.js").TrackedUpdate} update */
function progressOf({ label, stage, applied_ms, shown_ms, errors }) {
  if (stage === "rejected") return `${label} not taken: ${errors.join("; ")}`;
  const parts = [];
  if (applied_ms !== null) parts.push(`applied in ${formatDuration(applied_ms)}`);
  if (shown_ms !== null) parts.push(`on screen after ${formatDuration(shown_ms)}`);
  if (stage === "sent") return `${label} sent…`;
  if (stage === "accepted") return `${label} accepted…`;
  return `${label} ${parts.join(", ")}${shown_ms === null ? "…" : ""}`;
}

/**
 * @param {HTMLInputElement | HTMLTextAreaElement} control
 * @param {unknown} value
 */
function setValue(control, value) {
  if (value === undefined || value === null || document.activeElement === control) return;
  control.value = String(value);
}
