/**
 * The cue list on the page: its rows, and where a run through it is.
 */

import { byId, setText } from "../shared/dom.js";
import {
  CueRun, MOST_CUES, withCue, withCueChanged, withCueRaised, withoutCue,
} from "./cue_list.js";
import { indexOf, newRow, partOf } from "./rows.js";
import { emptyShow } from "./show_file.js";
import { MOST_SNAPSHOTS, snapshotOf } from "./snapshots.js";
import { CHANGE, SHOW, UNITS } from "./strings.js";

const TICK_MS = 100;
const USUAL_HOLD_S = 10;

export class CuePanel {
  #desk;
  #selected;
  #run = new CueRun();
  /** What the rows show. */
  #shown = emptyShow();
  #timer = 0;
  #isCallOpen = false;
  #rows = byId("cue-rows");
  #go = byId("cue-go", HTMLButtonElement);
  #stop = byId("cue-stop", HTMLButtonElement);
  #add = byId("cue-add", HTMLButtonElement);
  #repeats = byId("cue-repeats", HTMLInputElement);
  #progress = byId("cue-progress", HTMLProgressElement);

  /**
   * @param {import("./desk.js").Desk} desk
   * @param {() => number} selected the number of the snapshot that was used last, or 0
   */
  constructor(desk, selected) {
    this.#desk = desk;
    this.#selected = selected;
    this.#go.addEventListener("click", () => {
      this.#call(this.#run.go(performance.now()));
    });
    this.#stop.addEventListener("click", () => this.stop());
    this.#add.addEventListener("click", () => this.#addCue());
    this.#repeats.addEventListener("change", () => {
      this.#setList({ ...this.#list, repeats: this.#repeats.checked });
    });
    this.#rows.addEventListener("change", ({ target }) => this.#edit(target));
    this.#rows.addEventListener("click", ({ target }) => {
      const [part, index] = [partOf(target), indexOf(target)];
      if (part === "remove") this.#setList(withoutCue(this.#list, index));
      else if (part === "raise") this.#setList(withCueRaised(this.#list, index));
    });
  }

  get #list() {
    return this.#desk.show.cueList;
  }

  /** @param {boolean} isOpen whether there is a call; a run ends with it */
  setCall(isOpen) {
    if (isOpen === this.#isCallOpen) return;
    this.#isCallOpen = isOpen;
    if (!isOpen) this.stop();
    this.show();
  }

  stop() {
    this.#run.stop();
    this.#showRun();
  }

  /** Show what the desk has. */
  show() {
    const { snapshots } = this.#desk.show;
    const { cues } = this.#list;
    if (this.#desk.show !== this.#shown) this.#showList();
    this.#go.disabled = !this.#isCallOpen || !cues.some(({ snapshot }) => snapshotOf(snapshots, snapshot));
    this.#go.title = this.#go.disabled ? SHOW.goNeeds : SHOW.go;
    this.#add.disabled = this.#selected() === 0 || cues.length >= MOST_CUES;
    this.#showRun();
  }

  #showList() {
    this.#shown = this.#desk.show;
    const { cues, repeats } = this.#list;
    byId("cue-run").hidden = cues.length === 0;
    this.#run.setList(this.#list, (number) => snapshotOf(this.#shown.snapshots, number) !== null);
    this.#repeats.checked = repeats;
    while (this.#rows.children.length > cues.length) this.#rows.lastElementChild?.remove();
    cues.forEach((cue, index) => this.#showRow(cue, index));
  }

  /** @param {import("./cue_list.js").Cue | null} cue to go to; null: to none */
  #call(cue) {
    const index = this.#run.position(performance.now())?.index ?? 0;
    if (cue) this.#desk.go(cue.snapshot, CHANGE.cue(index + 1), cue.over_s);
    clearInterval(this.#timer);
    if (this.#run.isRunning) this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#showRun();
  }

  #tick() {
    const cue = this.#run.tick(performance.now());
    if (cue || !this.#run.isRunning) this.#call(cue);
    else this.#showRun();
  }

  #showRun() {
    const position = this.#run.position(performance.now());
    if (!position) clearInterval(this.#timer);
    this.#stop.disabled = position === null;
    [...this.#rows.children].forEach((row, index) => {
      row.setAttribute("aria-current", index === position?.index ? "step" : "false");
    });
    const { cues } = this.#list;
    const { index = 0, lasts_s = null, elapsed_s = 0, next = null } = position ?? {};
    const left_s = lasts_s === null ? 0 : Math.max(0, lasts_s - elapsed_s);
    this.#progress.hidden = lasts_s === null;
    this.#progress.value = lasts_s ? Math.min(1, elapsed_s / lasts_s) : 0;
    setText(byId("cue-left"), lasts_s === null ? "" : UNITS.s(String(Math.ceil(left_s))));
    const then = next === null ? SHOW.last : SHOW.then(this.#nameOf(cues[next]));
    setText(byId("cue-where"), position
      ? SHOW.where(index + 1, cues.length, this.#nameOf(cues[index]), then) : "");
  }

  /** @param {import("./cue_list.js").Cue} cue */
  #nameOf({ snapshot }) {
    return snapshotOf(this.#desk.show.snapshots, snapshot)?.name ?? SHOW.emptyPad;
  }

  #addCue() {
    const { over_s } = snapshotOf(this.#desk.show.snapshots, this.#selected())?.look.change ?? { over_s: 0 };
    const cue = { snapshot: this.#selected(), over_s, hold_s: USUAL_HOLD_S };
    byId("cues", HTMLDetailsElement).open = true;
    this.#setList(withCue(this.#list, cue));
  }

  /** @param {EventTarget | null} target that was edited */
  #edit(target) {
    const control = /** @type {HTMLInputElement} */ (target);
    if (!control.checkValidity()) return control.reportValidity();
    const part = partOf(target);
    const value = part === "hold_s" && control.value === "" ? null : Number(control.value);
    return this.#setList(withCueChanged(this.#list, indexOf(target), { [part]: value }));
  }

  /** @param {import("./cue_list.js").CueList} cueList */
  #setList(cueList) {
    this.#desk.setShow({ ...this.#desk.show, cueList }, CHANGE.cueList);
  }

  /** @param {import("./cue_list.js").Cue} cue @param {number} index */
  #showRow(cue, index) {
    const row = this.#rows.children[index] ?? this.#rows.appendChild(newRow("cue-row", index));
    const { snapshots } = this.#desk.show;
    const choices = [...Array(MOST_SNAPSHOTS).keys()].map((at) => at + 1)
      .filter((number) => number === cue.snapshot || snapshotOf(snapshots, number));
    /** @type {HTMLSelectElement} */ (row.querySelector("select")).replaceChildren(
      ...choices.map((number) => (
        new Option(`${number} ${this.#nameOf({ ...cue, snapshot: number })}`, String(number))
      )),
    );
    for (const part of /** @type {const} */ (["snapshot", "over_s", "hold_s"])) {
      const control = /** @type {HTMLInputElement} */ (row.querySelector(`[data-part=${part}]`));
      const value = String(cue[part] ?? "");
      if (control.value !== value) control.value = value;
    }
  }
}
