/**
 * The controls: prompt, styles, colours, strength, steps, motion, seed.
 */

import { byId } from "../shared/dom.js";
import { recall, store } from "../shared/storage.js";
import { capitalised, formatDuration, UNKNOWN } from "./format.js";
import { joinPrompt, splitPrompt } from "./prompt_words.js";

const SLIDER_INTERVAL_MS = 80;
const DRAFT_KEY = "prompt-draft"; // of sessionStorage
const VOCABULARY_KEY = "vocabulary"; // of localStorage: "none" where the last model had none
const USUAL_FPS = 24;
const LONGEST_CHANGE_CHUNKS = 1_000;

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
  /** Whether the prompt was edited and not applied. */
  #isDraft = false;
  #fps = USUAL_FPS;
  #chunkFrames = 4;
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
    byId("vocabulary").hidden = recall("localStorage", VOCABULARY_KEY) === "none";
    const draft = recall("sessionStorage", DRAFT_KEY);
    if (draft === null) return;
    this.#prompt.value = draft;
    this.#setDraft(true);
  }

  /**
   * The parameters a new call starts with: only those that were chosen here, with what stands in
   * the prompt, applied or not.
   * @returns {object}
   */
  takeInitialParameters() {
    if (this.#isDraft) this.#choosePrompt();
    return { ...this.#chosen };
  }

  /** @param {number} fps of the output, by which a change over seconds is counted */
  showRate(fps) {
    if (fps > 0) this.#fps = fps;
  }

  /** @param {import("./server_status.js").Model} model */
  showModel(model) {
    byId("note").textContent = model.note ?? "";
    if (model.styles) {
      this.#colours = model.colours ?? [];
      // its place is kept either way, so that nothing below it moves; the next visit knows better
      byId("vocabulary").classList.toggle("unknown", !model.styles.length);
      if (model.styles.length) byId("vocabulary").hidden = false;
      store("localStorage", VOCABULARY_KEY, model.styles.length ? null : "none");
      byId("colours").hidden = !this.#colours.length;
      showChips(byId("styles"), model.styles);
      showChips(byId("colours"), this.#colours);
    }
    this.#chunkFrames = model.chunk_frames ?? this.#chunkFrames;
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

  /** @param {any} parameters in force; what is being edited is left alone */
  showParameters(parameters) {
    const text = parameters.prompt ?? parameters.prompts?.[0]?.text;
    if (!this.#isDraft) setValue(this.#prompt, text);
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
    this.#showLine(
      update?.stage ?? "none", update ? progressOf(update) : "Enter applies it, also while it runs",
    );
  }

  /** @param {string} label of what was changed, and is sent once the server can be reached */
  showPending(label) {
    this.#showLine("pending", `${label} kept, sent as soon as the call is there…`);
  }

  /** @param {string} stage @param {string} text */
  #showLine(stage, text) {
    const line = byId("round-trip");
    line.dataset.stage = stage;
    line.textContent = text;
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
    this.#prompt.addEventListener("input", () => {
      this.#setDraft(true);
      this.#markChips();
    });
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

  /** @param {boolean} isDraft */
  #setDraft(isDraft) {
    this.#isDraft = isDraft;
    store("sessionStorage", DRAFT_KEY, isDraft ? this.#prompt.value : null);
  }

  /** Later calls start with the prompt. @returns {string} its text */
  #choosePrompt() {
    const text = this.#prompt.value.trim();
    this.#chosen.prompt = text;
    this.#setDraft(false);
    return text;
  }

  /** How many chunks are made in the time that was chosen for a change. */
  get #changeChunks() {
    const chunks = Math.round((Number(this.#blend.value) * this.#fps) / this.#chunkFrames);
    return Math.min(chunks, LONGEST_CHANGE_CHUNKS);
  }

  /** Apply the prompt at once or as a transition over some seconds. */
  #applyPrompt() {
    const text = this.#choosePrompt();
    const num_steps = this.#changeChunks;
    this.#markChips();
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
