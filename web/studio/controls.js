/**
 * The settings: strength, steps, motion, seed; the prompts are in a panel of their own.
 */

import { byId, setValue } from "../shared/dom.js";
import { capitalised, formatDuration, UNKNOWN } from "./format.js";
import { promptsOf } from "./prompt_mix.js";
import { PromptPanel } from "./prompt_panel.js";
import { CHANGE, UNITS } from "./strings.js";
import { Throttle } from "./throttle.js";

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
  #throttle = new Throttle();
  #strength = byId("strength", HTMLInputElement);
  #steps = byId("steps", HTMLSelectElement);
  #motion = byId("motion", HTMLInputElement);
  #seed = byId("seed", HTMLInputElement);

  /**
   * @param {(update: object, label: string) => void} onChange the label says what, for people; the
   *   update is empty where the server need not know
   */
  constructor(onChange) {
    this.#onChange = onChange;
    this.prompts = new PromptPanel(onChange);
    this.#listen();
  }

  /**
   * The parameters a new call starts with: only those that were chosen here, with what stands in
   * the prompt, applied or not.
   * @returns {object}
   */
  takeInitialParameters() {
    return { ...this.#chosen, ...this.prompts.takeInitialParameters() };
  }

  /** @param {import("./server_status.js").Model} model */
  showModel(model) {
    byId("note").textContent = model.note ?? "";
    this.prompts.showModel(model);
    if (model.step_list && model.step_list.join() !== this.#stepList.join()) {
      this.#showSteps(model.step_list);
    }
    if (model.noise_scale_range) this.#showRange(model.noise_scale_range);
    this.showUnderstood(model.understood);
  }

  /** @param {any} parameters a stream starts with; what was chosen here goes before them */
  showDefaults(parameters) {
    this.prompts.showDefaults(parameters);
    this.#showSettings({ ...parameters, ...this.#chosen });
  }

  /** @param {string} [text] what the model makes of the prompt; none if it takes any text */
  showUnderstood(text = "") {
    const line = byId("understood");
    line.hidden = !text;
    line.textContent = capitalised(text);
  }

  /** @param {any} parameters in force; what is being edited is left alone */
  showParameters(parameters) {
    this.prompts.showParameters(parameters);
    this.#showSettings(parameters);
  }

  /** The present look. @returns {import("./look.js").Look} */
  get look() {
    const { mix, change } = this.prompts;
    return {
      mix,
      change,
      strength: this.#strength.disabled ? null : Number(this.#strength.value),
      steps: Number(this.#steps.value) || null,
      seed: this.#seed.value !== "" && this.#seed.checkValidity() ? Number(this.#seed.value) : null,
      motion: this.#motion.checked,
    };
  }

  /**
   * Set a look, as if it was made here.
   * @param {import("./look.js").Look} look
   * @param {import("./look.js").Change} change to it
   * @returns {Record<string, unknown>} the update for the server: what is another than before
   */
  set(look, change) {
    const before = this.look;
    const settings = this.#settingsOf(look, before);
    Object.assign(this.#chosen, settings);
    this.#showSettings(settings, true);
    const isSameMix = !this.prompts.isDraft
      && JSON.stringify(promptsOf(look.mix)) === JSON.stringify(promptsOf(before.mix));
    const prompts = this.prompts.set(look.mix, change);
    this.prompts.change = look.change;
    return isSameMix ? settings : { ...settings, ...prompts };
  }

  /**
   * @param {import("./look.js").Look} look
   * @param {import("./look.js").Look} before
   * @returns {Record<string, unknown>} what the model of this call can do of it
   */
  #settingsOf({ strength, steps, seed, motion }, before) {
    /** @type {Record<string, unknown>} */
    const settings = {};
    if (strength !== null && before.strength !== null) {
      const [least, most] = [Number(this.#strength.min), Number(this.#strength.max)];
      const noise_scale = Math.min(Math.max(strength, least), most);
      if (noise_scale !== before.strength) settings.noise_scale = noise_scale;
    }
    const count = steps === null ? 0 : Math.min(steps, this.#stepList.length);
    if (count && count !== before.steps) {
      settings.denoising_step_list = this.#stepList.slice(0, count);
    }
    if (seed !== null && seed !== before.seed) settings.seed = seed;
    if (motion !== null && motion !== before.motion) settings.noise_controller = motion;
    return settings;
  }

  /** @param {any} parameters @param {boolean} [isForced] also over what is being edited */
  #showSettings(parameters, isForced = false) {
    setValue(this.#seed, parameters.seed, isForced);
    if (parameters.noise_scale !== undefined) {
      setValue(this.#strength, parameters.noise_scale, isForced);
      this.#showStrength();
    }
    if (parameters.noise_controller !== undefined) {
      this.#motion.checked = parameters.noise_controller;
    }
    setValue(this.#steps, parameters.denoising_step_list?.length || null, isForced);
  }

  /** @param {import("./update_tracker.js").TrackedUpdate | null} update the newest */
  showUpdate(update) {
    this.#showLine(
      update?.stage ?? "none", update ? progressOf(update) : CHANGE.none,
    );
  }

  /** @param {string} label of what was changed, and is sent once the server can be reached */
  showPending(label) {
    this.#showLine("pending", CHANGE.pending(label));
  }

  /** @param {string} text what went wrong */
  showProblem(text) {
    this.#showLine("rejected", text);
  }

  /** @param {string} stage @param {string} text */
  #showLine(stage, text) {
    const line = byId("round-trip");
    line.setAttribute("role", stage === "rejected" ? "alert" : "status");
    line.dataset.stage = stage;
    line.textContent = text;
  }

  #listen() {
    this.#strength.addEventListener("input", () => {
      this.#showStrength();
      this.#throttle.call(() => {
        this.#update({ noise_scale: Number(this.#strength.value) }, CHANGE.strength);
      });
    });
    this.#steps.addEventListener("change", () => {
      const denoising_step_list = this.#stepList.slice(0, Number(this.#steps.value));
      this.#update({ denoising_step_list }, CHANGE.steps);
    });
    this.#motion.addEventListener("change", () => {
      this.#update({ noise_controller: this.#motion.checked }, CHANGE.motion);
    });
    this.#seed.addEventListener("change", () => this.#applySeed());
    byId("dice").addEventListener("click", () => {
      this.#seed.value = String(Math.floor(Math.random() * 1_000_000));
      this.#applySeed();
    });
    byId("reset").addEventListener("click", () => this.#onChange({ reset_cache: true }, CHANGE.reset));
  }

  /** @param {Record<string, unknown>} update @param {string} label */
  #update(update, label) {
    Object.assign(this.#chosen, update);
    this.#onChange(update, label);
  }

  #applySeed() {
    if (this.#seed.value === "" || !this.#seed.checkValidity()) return this.#seed.reportValidity();
    this.#update({ seed: Number(this.#seed.value) }, CHANGE.seed);
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
    const percent = UNITS.percent(String(Math.round(100 * share)));
    byId("strength-value").textContent = this.#strength.disabled ? UNKNOWN : percent;
    this.#strength.style.setProperty("--at", `${100 * share}%`);
  }

  /** @param {number[]} stepList */
  #showSteps(stepList) {
    this.#stepList = stepList;
    this.#steps.replaceChildren(...stepList.map((_, index) => {
      const count = index + 1;
      return new Option(count === 1 ? CHANGE.fastest : String(count), String(count));
    }));
    this.#steps.disabled = stepList.length < 2;
  }
}

/** @param {import("./update_tracker.js").TrackedUpdate} update */
function progressOf({ label, stage, applied_ms, shown_ms, errors }) {
  if (stage === "rejected") return CHANGE.rejected(label, errors.join("; "));
  const parts = [];
  if (applied_ms !== null) parts.push(CHANGE.applied(formatDuration(applied_ms)));
  if (shown_ms !== null) parts.push(CHANGE.shown(formatDuration(shown_ms)));
  if (stage === "sent") return CHANGE.sent(label);
  if (stage === "accepted") return CHANGE.accepted(label);
  return CHANGE.reached(label, parts, shown_ms !== null);
}
