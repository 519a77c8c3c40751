/**
 * The pads of the snapshots, the name of the one used last, undo, and the file of all.
 */

import { byId, setText } from "../shared/dom.js";
import { formatShow } from "./show_file.js";
import { MOST_SNAPSHOTS, snapshotOf, withName, withoutSnapshot } from "./snapshots.js";
import { CHANGE, SHOW } from "./strings.js";

const LONG_PRESS_MS = 600;
const FILE_NAME = "slipstream-show.json";

export class SnapshotPanel {
  #desk;
  #onSelect;
  /** The number of the one used last. */
  #selected = 0;
  #pads = byId("pads");
  #name = byId("snapshot-name", HTMLInputElement);
  #undo = byId("undo", HTMLButtonElement);
  #redo = byId("redo", HTMLButtonElement);

  /** @param {import("./desk.js").Desk} desk @param {() => void} onSelect another is the last used */
  constructor(desk, onSelect) {
    this.#desk = desk;
    this.#onSelect = onSelect;
    for (let number = 1; number <= MOST_SNAPSHOTS; number += 1) {
      this.#pads.append(this.#newPad(number));
    }
    this.#name.addEventListener("change", () => {
      this.#setSnapshots(withName(desk.show.snapshots, this.#selected, this.#name.value), CHANGE.name);
    });
    this.#name.addEventListener("keydown", ({ key }) => key === "Enter" && this.#name.blur());
    byId("snapshot-keep").addEventListener("click", () => this.#keep(this.#selected));
    byId("snapshot-empty").addEventListener("click", () => {
      this.#setSnapshots(withoutSnapshot(desk.show.snapshots, this.#selected), CHANGE.empty);
    });
    this.#undo.addEventListener("click", () => desk.undo());
    this.#redo.addEventListener("click", () => desk.redo());
    this.#listenForFiles();
  }

  /** The number of the snapshot that was used last; 0 if there is none. */
  get selected() {
    return snapshotOf(this.#desk.show.snapshots, this.#selected) ? this.#selected : 0;
  }

  /** Show what the desk has. */
  show() {
    const { show: { snapshots }, undoes, redoes } = this.#desk;
    for (const pad of this.#pads.children) {
      const number = Number(/** @type {HTMLElement} */ (pad).dataset.number);
      const name = snapshotOf(snapshots, number)?.name;
      pad.classList.toggle("empty-pad", name === undefined);
      pad.setAttribute("aria-current", String(number === this.selected));
      const label = /** @type {HTMLElement} */ (pad.lastElementChild);
      label.classList.toggle("sr", name === undefined); // the number alone is seen
      setText(label, name ?? SHOW.emptyPad);
    }
    byId("snapshot").hidden = this.selected === 0;
    if (document.activeElement !== this.#name) {
      this.#name.value = snapshotOf(snapshots, this.#selected)?.name ?? "";
    }
    byId("show-export", HTMLButtonElement).disabled = snapshots.length === 0;
    this.#undo.disabled = !undoes;
    this.#undo.title = undoes ? SHOW.undo(undoes) : SHOW.noUndo;
    this.#redo.disabled = !redoes;
    this.#redo.title = redoes ? SHOW.redo(redoes) : SHOW.noRedo;
  }

  /** @param {string} text what went wrong; empty: nothing */
  showProblem(text) {
    const line = byId("show-problem");
    line.hidden = !text;
    line.textContent = text;
  }

  /** @param {number} number */
  #newPad(number) {
    const pad = document.createElement("button");
    pad.type = "button";
    pad.id = `snapshot-${number}`;
    pad.dataset.number = String(number);
    pad.title = SHOW.pad;
    pad.append(document.createElement("b"), document.createElement("span"));
    /** @type {HTMLElement} */ (pad.firstElementChild).textContent = String(number);
    this.#listenToPad(pad, number);
    return pad;
  }

  /** A press goes to the snapshot, a long one keeps the look; so does one with the shift key. */
  #listenToPad(/** @type {HTMLElement} */ pad, /** @type {number} */ number) {
    let timer = 0;
    let wasLong = false;
    const hold = () => {
      wasLong = true;
      this.#keep(number);
    };
    pad.addEventListener("pointerdown", ({ button }) => {
      wasLong = false;
      clearTimeout(timer);
      if (button === 0) timer = setTimeout(hold, LONG_PRESS_MS);
    });
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
      pad.addEventListener(end, () => clearTimeout(timer));
    }
    pad.addEventListener("contextmenu", (event) => event.preventDefault()); // a finger's long press
    pad.addEventListener("hold", () => this.#keep(number));
    pad.addEventListener("click", ({ shiftKey, detail }) => {
      if (wasLong && detail > 0) return;
      const isEmpty = snapshotOf(this.#desk.show.snapshots, number) === null;
      if (shiftKey || isEmpty) this.#keep(number);
      else this.#go(number);
    });
  }

  /** @param {number} number */
  #keep(number) {
    this.#desk.keep(number);
    this.#select(number, SHOW.kept(number));
  }

  /** @param {number} number */
  #go(number) {
    this.#desk.go(number, CHANGE.snapshot(number));
    this.#select(number, "");
  }

  /** @param {number} number @param {string} said */
  #select(number, said) {
    this.#selected = number;
    setText(byId("show-status"), said);
    this.showProblem("");
    this.#onSelect();
  }

  /** @param {import("./snapshots.js").Snapshot[]} snapshots @param {string} label */
  #setSnapshots(snapshots, label) {
    this.#desk.setShow({ ...this.#desk.show, snapshots }, label);
  }

  #listenForFiles() {
    const file = byId("show-file", HTMLInputElement);
    byId("show-export").addEventListener("click", () => this.#export());
    byId("show-import").addEventListener("click", () => file.click());
    file.addEventListener("change", async () => {
      const [chosen] = file.files ?? [];
      if (!chosen) return;
      this.showProblem("");
      const isTaken = this.#desk.importShow(await chosen.text());
      file.value = ""; // the same file may be chosen again
      if (isTaken) setText(byId("show-status"), SHOW.taken(chosen.name));
    });
  }

  #export() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([formatShow(this.#desk.show)]));
    link.download = FILE_NAME;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 0);
  }
}
