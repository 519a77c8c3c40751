/**
 * What was before each change, to go back to and forth again. Pure: times come in, no clock is read.
 */

const MOST_STEPS = 100;
/** Moves of one control within so long of the last are one change. */
const SAME_MOVE_MS = 1_000;

/**
 * @template State a value that nobody changes in place
 * @typedef {object} UndoStep
 * @property {State} state
 * @property {string} label what was changed, for people
 */

/** @template State */
export class UndoHistory {
  /** @type {UndoStep<State>[]} */
  #before = [];
  /** @type {UndoStep<State>[]} */
  #after = [];
  #last_ms = -Infinity;

  /** What `undo` would take back; empty if nothing. */
  get undoes() {
    return this.#before[this.#before.length - 1]?.label ?? "";
  }

  /** What `redo` would do again; empty if nothing. */
  get redoes() {
    return this.#after[this.#after.length - 1]?.label ?? "";
  }

  /**
   * @param {State} before the change
   * @param {string} label of what is changed
   * @param {number} now_ms
   */
  changed(before, label, now_ms) {
    const isSameMove = label === this.undoes && now_ms - this.#last_ms < SAME_MOVE_MS
      && this.#after.length === 0;
    this.#last_ms = now_ms;
    if (isSameMove) return;
    this.#before.push({ state: before, label });
    if (this.#before.length > MOST_STEPS) this.#before.shift();
    this.#after = [];
  }

  /** @param {State} now @returns {State | null} to go back to; null if there is nothing to undo */
  undo(now) {
    return this.#move(this.#before, this.#after, now);
  }

  /** @param {State} now @returns {State | null} to go forth to; null if nothing was undone */
  redo(now) {
    return this.#move(this.#after, this.#before, now);
  }

  /** @param {UndoStep<State>[]} from @param {UndoStep<State>[]} to @param {State} now */
  #move(from, to, now) {
    const step = from.pop();
    this.#last_ms = -Infinity; // the next move is a change of its own
    if (!step) return null;
    to.push({ state: now, label: step.label });
    return step.state;
  }
}
