/**
 * What the video should become: the prompt, the mixer and the vocabulary, and how changes come.
 */

import { byId } from "../shared/dom.js";
import { recall, store } from "../shared/storage.js";
import { Mixer } from "./mixer.js";
import {
  hasWeight, mixOfPrompts, mixOfText, promptsOf, SentPrompts, updateOf, withAnother,
} from "./prompt_mix.js";
import { Throttle } from "./throttle.js";
import { ChunkRate, TransitionProgress } from "./transition.js";
import { Vocabulary } from "./vocabulary.js";

const DRAFT_KEY = "prompt-draft"; // of sessionStorage
const PROGRESS_MS = 200;

/**
 * How prompts change to others.
 * @typedef {object} Change
 * @property {number} over_s 0 for at once
 * @property {string} method "linear" or "slerp"
 */

/** Shows the prompts in force, and reports every change that is made to them. */
export class PromptPanel {
  #onChange;
  /** @type {import("./prompt_mix.js").Mix} */
  #mix = mixOfText("");
  /** The prompts that were applied here; the next call starts with them.
   * @type {import("./prompt_mix.js").Prompt[] | null} */
  #chosen = null;
  /** Whether a text was edited and not applied. */
  #isDraft = false;
  /** Of the row whose text the vocabulary edits. */
  #active = 0;
  #sent = new SentPrompts();
  #rate = new ChunkRate();
  #fps = 0;
  #progress = new TransitionProgress();
  #progressTimer = 0;
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

  /** @param {(update: object, label: string) => void} onChange the label says what, for people */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#listen();
    const draft = recall("sessionStorage", DRAFT_KEY);
    if (draft === null) this.#show();
    else this.#draft(mixOfText(draft));
  }

  /** @returns {Change} as it is chosen on the page */
  get change() {
    const over_s = this.#blend.validity.valid ? Number(this.#blend.value) : 0;
    return { over_s, method: this.#method.value };
  }

  /** @returns {object} the parameters a new call starts with: what stands here, applied or not */
  takeInitialParameters() {
    if (this.#isDraft) this.#choose();
    if (!this.#chosen) return {};
    this.#sent.add(this.#chosen);
    return updateOf(this.#chosen, 0, "");
  }

  /** @param {number} fps of the output, by which a change over seconds is counted */
  showRate(fps) {
    this.#fps = fps;
    this.#rate.showFps(fps);
  }

  /** @param {import("./server_status.js").Model} model */
  showModel({ styles, colours, chunk_frames }) {
    this.#rate.showChunkFrames(chunk_frames);
    if (styles) this.#vocabulary.showWords(styles, colours ?? []);
  }

  /** @param {any} parameters in force; what is being edited is left alone */
  showParameters({ prompt, prompts }) {
    const inForce = prompts ?? (prompt === undefined ? null : [{ text: prompt, weight: 1 }]);
    if (!inForce || this.#sent.isOwn(inForce) || this.#isDraft) return;
    if (this.#prompt === document.activeElement) return;
    this.#mix = mixOfPrompts(inForce);
    this.#show();
  }

  /** @param {number} rev of an update to the prompts @param {any} update */
  sent(rev, update) {
    this.#progress.sent(rev, update.transition?.num_steps ?? 0);
    clearInterval(this.#progressTimer);
    this.#progressTimer = setInterval(() => this.#showProgress(), PROGRESS_MS);
    this.#showProgress();
  }

  /** @param {number} rev that the engine has begun with */
  applied(rev) {
    this.#progress.applied(rev, performance.now());
  }

  /** @param {number} rev that was rejected, or given up for a later one */
  ended(rev) {
    this.#progress.ended(rev);
  }

  /** A new call begins. */
  reset() {
    this.#progress.stop();
    this.#fps = 0;
  }

  /**
   * Set a mixture, as if it was made here.
   * @param {import("./prompt_mix.js").Mix} mix
   * @param {Change} change
   * @returns {Record<string, unknown>} the update for the server; empty where nothing has weight
   */
  set(mix, { over_s, method }) {
    this.#throttle.cancel();
    this.#active = 0;
    this.#mix = mix;
    const prompts = this.#choose();
    this.#show();
    if (!hasWeight(prompts)) return {};
    this.#sent.add(prompts);
    return updateOf(prompts, this.#rate.chunks(over_s), method);
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
    byId("crossfade").addEventListener("click", () => this.crossfade());
    byId("add-prompt").addEventListener("click", () => {
      this.#draft(withAnother(this.#mix)); // sent with its first word, or the first move of a slider
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
    store("sessionStorage", DRAFT_KEY, mix.rows[0].text);
    this.#show();
  }

  /** Later calls start with the prompts. @returns {import("./prompt_mix.js").Prompt[]} */
  #choose() {
    const prompts = promptsOf(this.#mix);
    if (hasWeight(prompts)) this.#chosen = prompts;
    this.#isDraft = false;
    store("sessionStorage", DRAFT_KEY, null);
    return prompts;
  }

  #apply() {
    this.#report(this.set(this.#mix, this.change), "Prompt");
  }

  /** @param {import("./prompt_mix.js").Mix} mix @param {"apply" | "slide" | "cut"} how */
  #onMix(mix, how) {
    if (how === "apply") {
      this.#report(this.set(mix, this.change), "Prompt");
    } else if (how === "cut") {
      this.#report(this.set(mix, { over_s: 0, method: "linear" }), "Mix");
    } else {
      this.#mix = mix;
      this.#show();
      this.#throttle.call(() => {
        this.#report(this.set(this.#mix, { over_s: 0, method: "linear" }), "Mix");
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

  #showProgress() {
    const share = this.#progress.share(performance.now(), this.#fps > 0 ? this.#rate.chunksPerS : 0);
    const bar = byId("blend-progress", HTMLProgressElement);
    bar.hidden = share === null;
    bar.value = share ?? 0;
    if (share === null) clearInterval(this.#progressTimer);
  }
}
