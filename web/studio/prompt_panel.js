/**
 * What the video should become: the prompt, the mixer and the vocabulary, and how changes come.
 */

import { byId } from "../shared/dom.js";
import { keepMix, keptMix } from "./kept_mix.js";
import { Mixer } from "./mixer.js";
import {
  hasWeight, mixOfPrompts, mixOfText, promptsOf, SentPrompts, updateOf, withAnother,
} from "./prompt_mix.js";
import { CHANGE } from "./strings.js";
import { Throttle } from "./throttle.js";
import { TransitionBar } from "./transition_bar.js";
import { Vocabulary } from "./vocabulary.js";

/** @typedef {import("./look.js").Change} Change */

/** @type {Change} */
const AT_ONCE = { over_s: 0, method: "linear" };

/** Shows the prompts in force, and reports every change that is made to them. */
export class PromptPanel {
  /** Follows the changes from some prompts to others. */
  transition = new TransitionBar();
  #onChange;
  /** @type {import("./prompt_mix.js").Mix} */
  #mix = mixOfText("");
  /** The prompts that were in force last; the next call starts with them.
   * @type {import("./prompt_mix.js").Prompt[] | null} */
  #chosen = null;
  /** Whether a text was edited and not applied. */
  #isDraft = false;
  /** Of the row whose text the vocabulary edits. */
  #active = 0;
  #sent = new SentPrompts();
  #throttle = new Throttle();
  #prompt = byId("prompt", HTMLTextAreaElement);
  #blend = byId("blend", HTMLInputElement);
  #method = byId("blend-method", HTMLSelectElement);
  #vocabulary = new Vocabulary((text) => {
    this.#draft(this.#mixWith(this.#active, text));
    this.#apply();
  });
  #mixer = new Mixer({
    onDraft: (mix) => this.#draft(mix),
    onMix: (mix, how) => this.#onMix(mix, how),
    onFocus: (index) => this.#look(index),
  });

  /**
   * @param {(update: object, label: string) => void} onChange the label says what, for people; the
   *   update is empty where the server need not know
   */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#listen();
    const kept = keptMix();
    if (kept) this.#mix = kept.mix;
    this.#isDraft = kept?.isDraft ?? false;
    if (kept && !kept.isDraft) this.#sent.add(this.#choose());
    this.#show();
  }

  /** The mixture as it stands here, applied or not. */
  get mix() {
    return this.#mix;
  }

  /** Whether a text was edited and not applied. */
  get isDraft() {
    return this.#isDraft;
  }

  /** @returns {Change} as it is chosen on the page */
  get change() {
    const over_s = this.#blend.validity.valid ? Number(this.#blend.value) : 0;
    return { over_s, method: this.#method.value === "slerp" ? "slerp" : "linear" };
  }

  set change({ over_s, method }) {
    [this.#blend.value, this.#method.value] = [String(over_s), method];
  }


  /** @returns {object} the parameters a new call starts with: what stands here, applied or not */
  takeInitialParameters() {
    if (this.#isDraft) this.#choose();
    if (!this.#chosen) return {};
    this.#sent.add(this.#chosen);
    return updateOf(this.#chosen, 0, "");
  }

  /** @param {import("./server_status.js").Model} model */
  showModel({ styles, colours, chunk_frames }) {
    this.transition.showChunkFrames(chunk_frames);
    if (styles) this.#vocabulary.showWords(styles, colours ?? []);
  }

  /** @param {any} parameters in force; what is being edited is left alone */
  showParameters(parameters) {
    const inForce = promptsIn(parameters);
    if (!inForce || this.#sent.isOwn(inForce) || this.#isDraft) return;
    if (this.#prompt === document.activeElement) return;
    this.#mix = mixOfPrompts(inForce);
    this.#chosen = inForce;
    this.#keep();
    this.#show();
  }

  /** @param {any} parameters that a stream starts with, if nothing was chosen here */
  showDefaults(parameters) {
    const prompts = promptsIn(parameters);
    if (!prompts || this.#chosen || this.#isDraft) return;
    this.#mix = mixOfPrompts(prompts);
    this.#show();
  }

  /**
   * Set a mixture, as if it was made here; a text that is just being written stays.
   * @param {import("./prompt_mix.js").Mix} mix
   * @param {Change} change
   * @returns {Record<string, unknown>} the update for the server; empty where nothing has weight
   */
  set(mix, change) {
    const isWriting = this.#isDraft && document.activeElement?.matches("#prompt, #mix-rows [type=text]");
    if (!isWriting) return this.#put(mix, change);
    const prompts = promptsOf(mix);
    if (hasWeight(prompts)) this.#chosen = prompts;
    return this.#updateTo(prompts, change);
  }

  /** Fade to the other side, over the time that is chosen for changes. */
  crossfade() {
    if (byId("fade", HTMLInputElement).disabled) return;
    this.#onMix({ ...this.#mix, fade: this.#mix.fade < 0.5 ? 1 : 0 }, "apply");
  }

  #listen() {
    byId("prompt-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#apply();
    });
    this.#prompt.addEventListener("focus", () => this.#look(0));
    this.#prompt.addEventListener("input", () => this.#draft(this.#mixWith(0, this.#prompt.value)));
    for (const one of [this.#blend, this.#method]) {
      one.addEventListener("change", () => this.#onChange({}, CHANGE.over));
    }
    byId("crossfade").addEventListener("click", () => this.crossfade());
    byId("add-prompt").addEventListener("click", () => {
      this.#draft(withAnother(this.#mix)); // sent with its first word, or the first move of a slider
      this.#onChange({}, CHANGE.mix);
      this.#mixer.focusLast();
    });
  }

  /** @param {number} index @param {string} text */
  #mixWith(index, text) {
    const rows = this.#mix.rows.map((row, at) => (at === index ? { ...row, text } : row));
    return { ...this.#mix, rows };
  }

  /** @param {number} index of the row whose text the vocabulary edits from now on */
  #look(index) {
    this.#active = index;
    this.#vocabulary.mark(this.#mix.rows[index]?.text ?? "");
  }

  /** @param {import("./prompt_mix.js").Mix} mix edited, and not applied yet */
  #draft(mix) {
    this.#mix = mix;
    this.#isDraft = true;
    this.#keep();
    this.#show();
  }

  /** @param {import("./prompt_mix.js").Mix} mix @param {Change} change */
  #put(mix, change) {
    this.#throttle.cancel();
    this.#active = 0;
    this.#mix = mix;
    const prompts = this.#choose();
    this.#show();
    return this.#updateTo(prompts, change);
  }

  /** @param {import("./prompt_mix.js").Prompt[]} prompts @param {Change} change */
  #updateTo(prompts, { over_s, method }) {
    if (!hasWeight(prompts)) return {};
    this.#sent.add(prompts);
    return updateOf(prompts, this.transition.chunks(over_s), method);
  }

  /** Later calls start with the prompts. @returns {import("./prompt_mix.js").Prompt[]} */
  #choose() {
    const prompts = promptsOf(this.#mix);
    if (hasWeight(prompts)) this.#chosen = prompts;
    this.#isDraft = false;
    this.#keep();
    return prompts;
  }

  #keep() {
    keepMix({ mix: this.#mix, isDraft: this.#isDraft });
  }

  #apply() {
    this.#report(this.#put(this.#mix, this.change), CHANGE.prompt);
  }

  /** @param {import("./prompt_mix.js").Mix} mix @param {"apply" | "slide" | "cut"} how */
  #onMix(mix, how) {
    if (how === "apply") {
      this.#report(this.#put(mix, this.change), CHANGE.prompt);
    } else if (how === "cut") {
      this.#report(this.#put(mix, AT_ONCE), CHANGE.mix);
    } else {
      this.#mix = mix;
      this.#show();
      this.#throttle.call(() => {
        this.#report(this.#put(this.#mix, AT_ONCE), CHANGE.mix);
      });
    }
  }

  /** @param {Record<string, unknown>} update @param {string} label */
  #report(update, label) {
    if (Object.keys(update).length) this.#onChange(update, label);
  }

  #show() {
    this.#active = Math.min(this.#active, this.#mix.rows.length - 1);
    const { text } = this.#mix.rows[0];
    if (this.#prompt.value.trim() !== text.trim()) this.#prompt.value = text;
    this.#mixer.show(this.#mix);
    this.#look(this.#active);
  }
}

/** @param {any} parameters @returns {import("./prompt_mix.js").Prompt[] | null} null if not among them */
function promptsIn({ prompt, prompts }) {
  return prompts ?? (prompt === undefined ? null : [{ text: prompt, weight: 1 }]);
}
