/**
 * What is made on this page: it can be undone, kept as a snapshot, and gone back to.
 */

import { FormatError } from "../shared/checks.js";
import { recall, store } from "../shared/storage.js";
import { isSameLook } from "./look.js";
import { emptyShow, formatShow, parseShow } from "./show_file.js";
import { snapshotOf, withSnapshot } from "./snapshots.js";
import { CHANGE, SHOW } from "./strings.js";
import { UndoHistory } from "./undo.js";

// keys of localStorage
const SHOW_KEY = "show";
const UNREADABLE_KEY = "show-unreadable";

/**
 * @typedef {object} DeskState
 * @property {import("./look.js").Look} look
 * @property {import("./show_file.js").Show} show
 */

/**
 * @typedef {object} DeskListener
 * @property {(update: object, label: string) => void} onUpdate for the server
 * @property {() => void} onChange the show, or what can be undone, is another
 * @property {(text: string) => void} onProblem for people
 */

export class Desk {
  #controls;
  #listener;
  /** @type {UndoHistory<DeskState>} */
  #history = new UndoHistory();
  /** @type {DeskState} as it was after the last change */
  #state;

  /** @param {import("./controls.js").Controls} controls @param {DeskListener} listener */
  constructor(controls, listener) {
    this.#controls = controls;
    this.#listener = listener;
    this.#state = { look: controls.look, show: emptyShow() };
    addEventListener("storage", ({ key }) => {
      if (key === SHOW_KEY) this.readShow(); // another tab has changed it
    });
  }

  /** The snapshots and the cue list. */
  get show() {
    return this.#state.show;
  }

  /** What can be taken back, and done again; empty if nothing. */
  get undoes() {
    return this.#history.undoes;
  }

  get redoes() {
    return this.#history.redoes;
  }

  /** Read what this browser has kept. What cannot be read is put aside, and said. */
  readShow() {
    const text = recall("localStorage", SHOW_KEY);
    try {
      this.#state = { ...this.#state, show: text === null ? emptyShow() : parseShow(text) };
    } catch (error) {
      store("localStorage", UNREADABLE_KEY, text);
      this.#listener.onProblem(
        SHOW.unreadable(/** @type {Error} */ (error).message),
      );
    }
    this.#listener.onChange();
  }

  /**
   * Take the show of a file, all of it or nothing.
   * @param {string} text
   * @returns {boolean} false if it is none; why was told
   */
  importShow(text) {
    try {
      this.setShow(parseShow(text), CHANGE.import);
      return true;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#listener.onProblem(SHOW.notTaken(error.message));
      return false;
    }
  }

  /** @param {import("./show_file.js").Show} show @param {string} label what is changed */
  setShow(show, label) {
    this.#changed({ ...this.#state, show }, label);
    this.#keepShow();
  }

  /** @param {number} number of the snapshot to keep the present look as */
  keep(number) {
    const { show } = this.#state;
    const snapshots = withSnapshot(show.snapshots, number, this.#controls.look);
    this.setShow({ ...show, snapshots }, CHANGE.snapshot(number));
  }

  /**
   * Go to a snapshot's look.
   * @param {number} number
   * @param {string} label for people
   * @param {number | null} over_s how long the prompts take; null: as it was kept
   */
  go(number, label, over_s = null) {
    const snapshot = snapshotOf(this.#state.show.snapshots, number);
    if (!snapshot) return;
    const { look } = snapshot;
    const change = over_s === null ? look.change : { ...look.change, over_s };
    this.changed(this.#controls.set(look, change), label);
  }

  /** A control was moved. @param {object} update for the server @param {string} label */
  changed(update, label) {
    const { look } = this.#controls;
    if (!isSameLook(look, this.#state.look)) this.#changed({ ...this.#state, look }, label);
    if (Object.keys(update).length > 0) this.#listener.onUpdate(update, label);
  }

  /** The server has told of the parameters in force: what others change is not undone here. */
  reported() {
    const { look, prompts } = this.#controls;
    const mix = prompts.isDraft ? this.#state.look.mix : look.mix;
    this.#state = { ...this.#state, look: { ...look, mix } };
  }

  undo() {
    const label = SHOW.undone(this.undoes);
    this.#restore(this.#history.undo(this.#state), label);
  }

  redo() {
    const label = SHOW.redo(this.redoes);
    this.#restore(this.#history.redo(this.#state), label);
  }

  /** @param {DeskState} state @param {string} label */
  #changed(state, label) {
    this.#history.changed(this.#state, label, performance.now());
    this.#state = state;
    this.#listener.onChange();
  }

  /** @param {DeskState | null} state @param {string} label */
  #restore(state, label) {
    if (!state) return;
    const { look, show } = state;
    const isSame = isSameLook(look, this.#controls.look);
    const update = isSame ? {} : this.#controls.set(look, { ...look.change, over_s: 0 });
    this.#state = { look: this.#controls.look, show };
    this.#keepShow();
    this.#listener.onChange();
    if (Object.keys(update).length > 0) this.#listener.onUpdate(update, label);
  }

  #keepShow() {
    store("localStorage", SHOW_KEY, formatShow(this.#state.show));
  }
}
