/**
 * The cue list: which snapshot comes when, by hand or by time. Pure: times come in, no clock is read.
 */

/** The most cues of a list. */
export const MOST_CUES = 100;
/** The longest that a cue is held, in seconds. */
export const LONGEST_HOLD_S = 3_600;

/**
 * @typedef {object} Cue
 * @property {number} snapshot its number
 * @property {number} over_s how long the change to it takes; 0 for at once
 * @property {number | null} hold_s how long it stays after the change; null: until the next is called
 */

/**
 * @typedef {object} CueList
 * @property {Cue[]} cues
 * @property {boolean} repeats whether the first follows the last
 */

/**
 * Where a run is.
 * @typedef {object} CuePosition
 * @property {number} index of the cue
 * @property {number} elapsed_s since it was called
 * @property {number | null} lasts_s change and hold; null: until the next is called
 * @property {number | null} next index of the cue after it; null: it is the last
 */

/** @param {Cue} cue @returns {number | null} */
function durationOf({ over_s, hold_s }) {
  return hold_s === null ? null : over_s + hold_s;
}

/** @param {CueList} list @param {Cue} cue @returns {CueList} with it at the end, if there is room */
export function withCue(list, cue) {
  return list.cues.length < MOST_CUES ? { ...list, cues: [...list.cues, cue] } : list;
}

/**
 * @param {CueList} list
 * @param {number} index
 * @param {Partial<Cue>} change
 * @returns {CueList}
 */
export function withCueChanged(list, index, change) {
  const cues = list.cues.map((cue, at) => (at === index ? { ...cue, ...change } : cue));
  return { ...list, cues };
}

/** @param {CueList} list @param {number} index @returns {CueList} */
export function withoutCue(list, index) {
  return { ...list, cues: list.cues.filter((_, at) => at !== index) };
}

/** @param {CueList} list @param {number} index @returns {CueList} with the cue before the one above */
export function withCueRaised(list, index) {
  if (index < 1 || index >= list.cues.length) return list;
  const cues = [...list.cues];
  [cues[index - 1], cues[index]] = [cues[index], cues[index - 1]];
  return { ...list, cues };
}

/** A run through a list. Cues whose snapshot is empty are passed over. */
export class CueRun {
  /** @type {CueList} */
  #list = { cues: [], repeats: false };
  /** @type {(number: number) => boolean} */
  #has = () => false;
  /** @type {number | null} null while it does not run */
  #index = null;
  #called_ms = 0;

  /** Whether it runs. */
  get isRunning() {
    return this.#index !== null;
  }

  /**
   * The list, also while it runs: where the cue that is on was taken out, the run ends.
   * @param {CueList} list
   * @param {(number: number) => boolean} has whether there is a snapshot of that number
   */
  setList(list, has) {
    const before = this.#list;
    this.#list = list;
    this.#has = has;
    if (this.#index === null) return;
    const moved = list.cues.indexOf(before.cues[this.#index]); // found if it was not changed itself
    if (moved >= 0) this.#index = moved;
    else if (list.cues.length !== before.cues.length) this.stop();
  }

  /**
   * Call the next cue, the first one where none is on; the run ends after the last.
   * @param {number} now_ms
   * @returns {Cue | null} to go to; null if there is none
   */
  go(now_ms) {
    this.#index = this.#after(this.#index ?? -1, this.#index !== null);
    this.#called_ms = now_ms;
    return this.#index === null ? null : this.#list.cues[this.#index];
  }

  /**
   * Time goes by. A cue is called when the one before is over, however late one asks; of several
   * that are due the last.
   * @param {number} now_ms
   * @returns {Cue | null} to go to; null as long as the present one stays
   */
  tick(now_ms) {
    /** @type {Cue | null} */
    let due = null;
    for (let passed = 0; this.#index !== null && passed <= MOST_CUES; passed += 1) {
      const lasts_s = durationOf(this.#list.cues[this.#index]);
      if (lasts_s === null || now_ms < this.#called_ms + 1000 * lasts_s) return due;
      const next = this.#after(this.#index, true);
      if (next === null) {
        this.stop();
        return due;
      }
      this.#called_ms += 1000 * lasts_s;
      this.#index = next;
      due = this.#list.cues[next];
    }
    if (this.#index !== null) this.#called_ms = now_ms; // a round that takes no time at all
    return due;
  }

  stop() {
    this.#index = null;
  }

  /** @param {number} now_ms @returns {CuePosition | null} null while it does not run */
  position(now_ms) {
    if (this.#index === null) return null;
    return {
      index: this.#index,
      elapsed_s: Math.max(0, now_ms - this.#called_ms) / 1000,
      lasts_s: durationOf(this.#list.cues[this.#index]),
      next: this.#after(this.#index, true),
    };
  }

  /**
   * @param {number} index
   * @param {boolean} wraps whether a list that repeats goes on at its beginning
   * @returns {number | null} of the next cue that has a snapshot
   */
  #after(index, wraps) {
    const { cues, repeats } = this.#list;
    const order = [...cues.keys()];
    const rest = order.slice(index + 1);
    const again = wraps && repeats ? order.slice(0, index + 1) : [];
    return [...rest, ...again].find((at) => this.#has(cues[at].snapshot)) ?? null;
  }
}
