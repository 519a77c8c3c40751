/**
 * The controls of one stream, which need no call: prompt, styles, strength, steps, pause.
 */

import { setText } from "../shared/dom.js";
import { joinPrompt, splitPrompt } from "../studio/prompt_words.js";
import { fetchHealth } from "../studio/server_status.js";
import { markChip, showChips } from "../studio/vocabulary.js";
import { element } from "./elements.js";
import { isMissing, reasonOf, StreamParameters } from "./stream_api.js";
import { STEER } from "./strings.js";

const OWN_MS = 3_000; // what was set here stays so long: an older answer may be on its way
const PROMPT_CHARS = 2_000;

/** Shows what is in force, whoever has set it, and changes it. */
export class SteeringPanel {
  /** To be put into a page. */
  element;
  #stream;
  #parameters;
  /** @type {import("../studio/server_status.js").Model | null} */
  #model = null;
  /** Whether the prompt was edited, and not applied. */
  #isDraft = false;
  #touched_ms = -Infinity;
  #prompt;
  #styles = chipList(STEER.styles);
  #colours = chipList(STEER.colours);
  #strength = element("input", { type: "range", min: "0", max: "1", step: "0.01" });
  #strengthValue = element("output");
  #steps = element("select");
  #pause = element("button", { type: "button", textContent: STEER.pause, "aria-pressed": "false" });
  #fields = element("fieldset", { disabled: true });
  #mixture = element("p", { className: "hint", hidden: true });
  #outcome = element("p", { className: "outcome", role: "status" });
  #problem = element("p", { className: "problem", role: "alert", hidden: true });

  /** @param {string} stream */
  constructor(stream) {
    this.#stream = stream;
    this.#parameters = new StreamParameters(stream, (outcome, reason) => {
      setText(this.#outcome, outcome ? STEER[outcome] : "");
      this.#showProblem(reason);
    });
    this.#prompt = element("textarea", {
      rows: 2, maxLength: PROMPT_CHARS, enterKeyHint: "send", spellcheck: false,
      placeholder: STEER.promptHint, "aria-label": STEER.prompt,
    });
    this.element = element("section", { className: "steering", "aria-label": STEER.controls(stream) });
    this.#build();
    this.#listen();
  }

  /** Show what is in force now, or why that cannot be told. */
  async refresh() {
    try {
      const parameters = await this.#parameters.read();
      if (!this.#model) this.#showModel((await fetchHealth()).model);
      this.#fields.disabled = false;
      if (performance.now() - this.#touched_ms > OWN_MS) {
        this.#show(parameters);
        this.#showProblem("");
      }
    } catch (error) {
      this.#fields.disabled = true;
      this.#showProblem(isMissing(error) ? STEER.away(this.#stream) : reasonOf(error));
    }
  }

  #build() {
    const form = element("form", { className: "prompt" }, this.#prompt,
      element("button", { type: "submit", className: "primary", textContent: STEER.apply }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply(this.#prompt.value);
    });
    this.#fields.append(
      form, this.#mixture, this.#styles, this.#colours,
      element("label", { className: "field" },
        element("span", {}, STEER.strength, this.#strengthValue), this.#strength),
      element("div", { className: "pair" },
        element("label", { className: "field" }, element("span", {}, STEER.steps), this.#steps),
        this.#pause),
    );
    this.element.append(this.#fields, this.#outcome, this.#problem);
  }

  #listen() {
    this.#prompt.addEventListener("input", () => {
      this.#isDraft = true;
      this.#mark();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#apply(this.#prompt.value);
    });
    onChip(this.#styles, (rest) => this.#edit({ rest }));
    onChip(this.#colours, (colour, isOn) => this.#edit({ colour: isOn ? "" : colour }));
    this.#strength.addEventListener("input", () => {
      this.#showStrength();
      this.#change({ noise_scale: Number(this.#strength.value) });
    });
    this.#steps.addEventListener("change", () => {
      const denoising_step_list = this.#model?.step_list?.slice(0, Number(this.#steps.value));
      this.#change({ denoising_step_list });
    });
    this.#pause.addEventListener("click", () => {
      const paused = !isPressed(this.#pause);
      setPressed(this.#pause, paused);
      this.#change({ paused });
    });
  }

  /** @param {Partial<import("../studio/prompt_words.js").PromptWords>} words to replace */
  #edit(words) {
    const colours = this.#model?.colours ?? [];
    this.#apply(joinPrompt({ ...splitPrompt(this.#prompt.value, colours), ...words }));
  }

  /** @param {string} prompt */
  #apply(prompt) {
    this.#prompt.value = prompt;
    this.#isDraft = false;
    this.#mixture.hidden = true;
    this.#mark();
    this.#change({ prompt });
  }

  /** @param {object} update */
  #change(update) {
    this.#touched_ms = performance.now();
    setText(this.#outcome, STEER.sending);
    this.#parameters.change(update);
  }

  /** @param {import("../studio/server_status.js").Model | null} model null while none runs */
  #showModel(model) {
    if (!model) return;
    this.#model = model;
    showChips(this.#styles, model.styles ?? []);
    showChips(this.#colours, model.colours ?? []);
    this.#styles.hidden = !model.styles?.length;
    this.#colours.hidden = !model.colours?.length;
    const [least, most] = model.noise_scale_range ?? [0, 1];
    this.#strength.min = String(least);
    this.#strength.max = String(most);
    this.#strength.step = String((most - least) / 100 || 0.01);
    this.#strength.disabled = most <= least;
    const counts = (model.step_list ?? []).map((_, index) => String(index + 1));
    this.#steps.replaceChildren(...counts.map((count) => (
      new Option(count === "1" ? STEER.fastest : count, count)
    )));
    this.#steps.disabled = counts.length < 2;
  }

  /** @param {any} parameters in force; a prompt that is being written is left alone */
  #show({ prompts = [], noise_scale, denoising_step_list, paused = false }) {
    if (!this.#isDraft && document.activeElement !== this.#prompt) {
      const heaviest = [...prompts].sort((one, other) => other.weight - one.weight)[0];
      this.#prompt.value = heaviest?.text ?? "";
    }
    const parts = prompts.map(
      (/** @type {{text: string, weight: number}} */ { text, weight }) => `${text} (${weight})`,
    );
    this.#mixture.hidden = parts.length < 2;
    setText(this.#mixture, parts.length < 2 ? "" : STEER.mixture(parts.join(", ")));
    this.#mark();
    if (noise_scale !== undefined) this.#strength.value = String(noise_scale);
    this.#showStrength();
    if (denoising_step_list) this.#steps.value = String(denoising_step_list.length);
    setPressed(this.#pause, paused);
  }

  #mark() {
    const { colour, rest } = splitPrompt(this.#prompt.value, this.#model?.colours ?? []);
    markChip(this.#styles, rest);
    markChip(this.#colours, colour);
  }

  #showStrength() {
    const [least, most] = [Number(this.#strength.min), Number(this.#strength.max)];
    const share = most > least ? (Number(this.#strength.value) - least) / (most - least) : 0;
    const percent = Math.round(100 * share);
    setText(this.#strengthValue, STEER.percent(percent));
    this.#strength.style.setProperty("--at", `${percent}%`);
  }

  /** @param {string} text empty for none */
  #showProblem(text) {
    this.#problem.hidden = !text;
    setText(this.#problem, text);
    if (text) setText(this.#outcome, "");
  }
}

/** @param {string} label */
function chipList(label) {
  return element("div", { className: "styles", role: "group", "aria-label": label, hidden: true });
}

/** @param {HTMLElement} list @param {(word: string, isOn: boolean) => void} onPress */
function onChip(list, onPress) {
  list.addEventListener("click", ({ target }) => {
    const chip = /** @type {Element} */ (target).closest("button");
    if (chip) onPress(chip.dataset.word ?? "", isPressed(chip));
  });
}

/** @param {Element} button */
const isPressed = (button) => button.getAttribute("aria-pressed") === "true";

/** @param {Element} button @param {boolean} isOn */
const setPressed = (button, isOn) => button.setAttribute("aria-pressed", String(isOn));
