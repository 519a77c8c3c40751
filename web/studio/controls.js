/**
 * The hand's side of the page: prompt, styles, colours, strength, steps, seed.
 */

import { milliseconds } from "./metrics_panel.js";
import { joinWords, splitWords } from "./prompt_words.js";

const SLIDER_INTERVAL_MS = 80;

/**
 * What the server says of its model in `state`.
 * @typedef {object} Model
 * @property {string} [note]
 * @property {number[]} [step_list]
 * @property {[number, number]} [noise_scale_range]
 * @property {string[]} [styles]
 * @property {string[]} [colours]
 * @property {object} [parameters]
 * @property {string} [understood]
 */

/** The controls; every change goes out at once through `change`. */
export class Panel {
  #change;
  /**
   * What was touched, before a call or in one; the next call starts with it.
   * @type {Record<string, unknown>}
   */
  #touched = {};
  /** @type {number[]} */
  #stepList = [];
  /** @type {string[]} */
  #colours = [];
  #slider = { timer: 0, sent_ms: -Infinity };

  /** @param {(update: object, what: string) => void} change */
  constructor(change) {
    this.#change = change;
    this.prompt = input("prompt");
    this.strength = input("strength");
    this.steps = select("steps");
    this.blend = select("blend");
    this.motion = input("motion");
    this.seed = input("seed");
    this.#wire();
  }

  /** @returns {object} the parameters a new call starts with: what was chosen here, nothing else */
  get initial() {
    return { ...this.#touched };
  }

  /** @param {Model} model */
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

  /** @param {string} [text] what the model makes of the prompt; nothing where it takes any text */
  showUnderstood(text = "") {
    const line = byId("understood");
    line.hidden = !text;
    line.textContent = text && `${text[0].toUpperCase()}${text.slice(1)}`;
  }

  /** @param {any} parameters in force; a control in the user's hand is left alone */
  showParameters(parameters) {
    const text = parameters.prompt ?? parameters.prompts?.[0]?.text;
    set(this.prompt, text);
    set(this.seed, parameters.seed);
    if (parameters.noise_scale !== undefined) {
      set(this.strength, parameters.noise_scale);
      this.#showStrength();
    }
    if (parameters.noise_controller !== undefined) {
      this.motion.checked = parameters.noise_controller;
    }
    if (parameters.denoising_step_list?.length && document.activeElement !== this.steps) {
      this.steps.value = String(parameters.denoising_step_list.length);
    }
    this.#markWords();
  }

  /** @param {import("./update_tracker.js").Trip | null} trip the newest change's way to the screen */
  showTrip(trip) {
    const line = byId("round-trip");
    line.dataset.stage = trip?.stage ?? "none";
    line.textContent = trip ? tripWords(trip) : "Enter applies it, also while it runs";
  }

  #wire() {
    byId("prompt-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#applyPrompt();
    });
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#applyPrompt();
    });
    this.prompt.addEventListener("input", () => this.#markWords());
    byId("styles").addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (!chip) return;
      this.#say({ rest: chip.dataset.word ?? "" });
    });
    byId("colours").addEventListener("click", ({ target }) => {
      const chip = /** @type {Element} */ (target).closest("button");
      if (!chip) return;
      const isOn = chip.getAttribute("aria-pressed") === "true";
      this.#say({ colour: isOn ? "" : chip.dataset.word ?? "" });
    });
    this.strength.addEventListener("input", () => {
      this.#showStrength();
      this.#slide();
    });
    this.steps.addEventListener("change", () => {
      const denoising_step_list = this.#stepList.slice(0, Number(this.steps.value));
      this.#update({ denoising_step_list }, "Steps");
    });
    this.motion.addEventListener("change", () => {
      this.#update({ noise_controller: this.motion.checked }, "Motion");
    });
    this.seed.addEventListener("change", () => this.#applySeed());
    byId("dice").addEventListener("click", () => {
      this.seed.value = String(Math.floor(Math.random() * 1_000_000));
      this.#applySeed();
    });
    byId("reset").addEventListener("click", () => this.#change({ reset_cache: true }, "Reset"));
  }

  /** @param {Record<string, unknown>} update @param {string} what */
  #update(update, what) {
    Object.assign(this.#touched, update);
    this.#change(update, what);
  }

  /** At once, or blended in over some chunks; a call that is yet to come starts with it. */
  #applyPrompt() {
    const text = this.prompt.value.trim();
    const num_steps = Number(this.blend.value);
    this.#markWords();
    this.#touched.prompt = text;
    this.#change(
      num_steps ? { transition: { target_prompts: [{ text }], num_steps } } : { prompt: text },
      "Prompt",
    );
  }

  #applySeed() {
    if (this.seed.value === "" || !this.seed.checkValidity()) return this.seed.reportValidity();
    this.#update({ seed: Number(this.seed.value) }, "Seed");
  }

  /** Live while it is dragged, no faster than a chunk could follow; the last value always goes. */
  #slide() {
    clearTimeout(this.#slider.timer);
    const send = () => {
      this.#slider.sent_ms = performance.now();
      this.#update({ noise_scale: Number(this.strength.value) }, "Strength");
    };
    const wait_ms = this.#slider.sent_ms + SLIDER_INTERVAL_MS - performance.now();
    if (wait_ms <= 0) send();
    else this.#slider.timer = setTimeout(send, wait_ms);
  }

  /** @param {[number, number]} range of noise that the model can work from */
  #showRange([least, most]) {
    this.strength.min = String(least);
    this.strength.max = String(most);
    this.strength.step = String((most - least) / 100 || 0.01);
    this.strength.disabled = most <= least;
    this.#showStrength();
  }

  #showStrength() {
    const [least, most] = [Number(this.strength.min), Number(this.strength.max)];
    const share = most > least ? (Number(this.strength.value) - least) / (most - least) : 0;
    byId("strength-value").textContent = this.strength.disabled ? "–" : `${Math.round(100 * share)} %`;
    this.strength.style.setProperty("--at", `${100 * share}%`);
  }

  /** @param {number[]} stepList */
  #showSteps(stepList) {
    this.#stepList = stepList;
    this.steps.replaceChildren(...stepList.map((_, index) => {
      const count = index + 1;
      return new Option(count === 1 ? "1 (fast)" : String(count), String(count));
    }));
    this.steps.disabled = stepList.length < 2;
  }

  /** @param {Partial<import("./prompt_words.js").Words>} change of the prompt's words; the rest stays */
  #say(change) {
    this.prompt.value = joinWords({ ...splitWords(this.prompt.value, this.#colours), ...change });
    this.#applyPrompt();
  }

  #markWords() {
    const { colour, rest } = splitWords(this.prompt.value, this.#colours);
    press(byId("styles"), rest);
    press(byId("colours"), colour);
  }
}

/**
 * @param {HTMLElement} list
 * @param {string[]} words
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
 * @param {string} word the one that is on
 */
function press(list, word) {
  for (const chip of list.querySelectorAll("button")) {
    chip.setAttribute("aria-pressed", String(chip.dataset.word === word));
  }
}

/** @param {import("./update_tracker.js").Trip} trip */
function tripWords({ what, stage, applied_ms, shown_ms, errors }) {
  if (stage === "rejected") return `${what} not taken: ${errors.join("; ")}`;
  const parts = [];
  if (applied_ms !== null) parts.push(`applied in ${milliseconds(applied_ms)}`);
  if (shown_ms !== null) parts.push(`on screen after ${milliseconds(shown_ms)}`);
  if (stage === "sent") return `${what} sent…`;
  if (stage === "accepted") return `${what} accepted…`;
  return `${what} ${parts.join(", ")}${shown_ms === null ? "…" : ""}`;
}

/** @param {string} id */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** @param {string} id */
function input(id) {
  return /** @type {HTMLInputElement} */ (document.getElementById(id));
}

/** @param {string} id */
function select(id) {
  return /** @type {HTMLSelectElement} */ (document.getElementById(id));
}

/** @param {HTMLInputElement} control @param {unknown} value */
function set(control, value) {
  if (value === undefined || value === null || document.activeElement === control) return;
  control.value = String(value);
}
