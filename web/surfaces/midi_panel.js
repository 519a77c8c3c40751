/**
 * Web MIDI: what is plugged in, what was learned of it, and learning more. Loaded where it is used.
 */

import { setText } from "../shared/dom.js";
import { recall, store } from "../shared/storage.js";
import { isMovable, moveControl } from "./controls.js";
import { isSameSource, parseBindings, readMessage, withBinding, withoutSource } from "./midi_messages.js";
import { MIDI } from "./strings.js";

// keys of localStorage
const MIDI_KEY = "midi";
const UNREADABLE_KEY = "midi-unreadable";
const PRESSED = { knob: 0.5, bend: 0.5, pad: 1 / 127 }; // from which value on a button is down
const TOUCHES = ["pointerdown", "click", "input"];

export class MidiPanel {
  /** @type {import("./midi_messages.js").MidiBinding[]} */
  #bindings = [];
  /** @type {import("./midi_messages.js").MidiSource | null} that waits for a control of the page */
  #source = null;
  #isLearning = false;
  /** Sources whose button is down. @type {Set<string>} */
  #down = new Set();
  #root;
  #learn = document.createElement("button");
  #status = document.createElement("p");
  #problem = document.createElement("p");
  #list = document.createElement("ul");

  /** @param {HTMLElement} root of the panel, empty but for its title */
  constructor(root) {
    this.#root = root;
    this.#learn.type = "button";
    this.#learn.id = "midi-learn";
    this.#learn.disabled = true;
    this.#learn.addEventListener("click", () => this.#setLearning(!this.#isLearning));
    this.#status.className = "note";
    this.#status.setAttribute("role", "status");
    this.#problem.className = "problem";
    this.#problem.setAttribute("role", "alert");
    this.#list.setAttribute("aria-label", MIDI.list);
    root.append(this.#learn, this.#status, this.#problem, this.#list);
    for (const touch of TOUCHES) {
      document.addEventListener(touch, (event) => this.#touched(event), { capture: true });
    }
    this.#setLearning(false);
    this.#read();
    this.#open();
  }

  async #open() {
    if (!navigator.requestMIDIAccess) return this.#showProblem(MIDI.unsupported);
    try {
      const access = await navigator.requestMIDIAccess();
      this.#learn.disabled = false;
      access.onstatechange = (event) => {
        const { port } = /** @type {MIDIConnectionEvent} */ (event);
        if (port?.type === "input") this.#listen(access, port.state === "disconnected" ? port : null);
      };
      return this.#listen(access, null);
    } catch {
      return this.#showProblem(MIDI.refused);
    }
  }

  /** @param {MIDIAccess} access @param {MIDIPort | null} gone what was just pulled out */
  #listen(access, gone) {
    const inputs = [...access.inputs.values()].filter(({ state }) => state === "connected");
    for (const input of inputs) {
      input.onmidimessage = ({ data }) => data && this.#received(input.name ?? "", data);
    }
    const names = inputs.map(({ name }) => name).join(", ");
    setText(this.#status, names ? MIDI.devices(names) : MIDI.none);
    this.#showProblem(gone ? MIDI.gone(gone.name ?? "") : "");
  }

  /** @param {string} device @param {Uint8Array} bytes */
  #received(device, bytes) {
    const message = readMessage(device, bytes);
    if (!message) return;
    const { source, value } = message;
    if (this.#isLearning) {
      this.#source = source;
      setText(this.#status, MIDI.touch(nameOf(source)));
      return;
    }
    const binding = this.#bindings.find((one) => isSameSource(one.source, source));
    if (binding) this.#move(binding, value);
  }

  /** @param {import("./midi_messages.js").MidiBinding} binding @param {number} value */
  #move({ source, control }, value) {
    if (!document.getElementById(control)?.matches("button")) return moveControl(control, value);
    const key = JSON.stringify(source);
    if (value < PRESSED[source.kind]) return this.#down.delete(key);
    if (this.#down.has(key)) return undefined; // a knob that is turned on presses once
    this.#down.add(key);
    return moveControl(control, 1);
  }

  /** While it learns, the next control of the page that is touched is bound instead of moved. */
  #touched(/** @type {Event} */ event) {
    const source = this.#source;
    const target = /** @type {Element} */ (event.target);
    const control = target.closest?.("button, select, input");
    if (!source || !control || !isMovable(control) || this.#root.contains(control)) return;
    const isButton = control.matches("button, [type=checkbox]");
    if (isButton !== (event.type === "click")) return; // a press of a button ends in a click
    event.preventDefault();
    event.stopPropagation();
    /** @type {HTMLElement} */ (control).blur(); // the next key is none for it
    this.#setLearning(false);
    this.#setBindings(withBinding(this.#bindings, { source, control: control.id }));
    setText(this.#status, MIDI.bound(nameOf(source), labelOf(control)));
  }

  /** @param {boolean} isLearning */
  #setLearning(isLearning) {
    this.#isLearning = isLearning;
    this.#source = null;
    this.#learn.setAttribute("aria-pressed", String(isLearning));
    setText(this.#learn, isLearning ? MIDI.stop : MIDI.learn);
    if (isLearning) setText(this.#status, MIDI.move);
  }

  #read() {
    const text = recall("localStorage", MIDI_KEY);
    const bindings = text === null ? [] : parseBindings(text);
    if (!bindings) {
      store("localStorage", UNREADABLE_KEY, text);
      this.#showProblem(MIDI.unreadable);
    }
    this.#bindings = bindings ?? [];
    this.#showList();
  }

  /** @param {import("./midi_messages.js").MidiBinding[]} bindings */
  #setBindings(bindings) {
    this.#bindings = bindings;
    store("localStorage", MIDI_KEY, JSON.stringify(bindings));
    this.#showList();
  }

  #showList() {
    this.#list.replaceChildren(...this.#bindings.map(({ source, control }) => {
      const [row, text, forget] = ["li", "span", "button"].map((name) => document.createElement(name));
      const element = document.getElementById(control);
      text.textContent = `${MIDI.bound(nameOf(source), element ? labelOf(element) : control)} `;
      forget.textContent = MIDI.forgets;
      forget.setAttribute("aria-label", MIDI.forget(nameOf(source)));
      forget.addEventListener("click", () => this.#setBindings(withoutSource(this.#bindings, source)));
      row.append(text, forget);
      return row;
    }));
  }

  /** @param {string} text empty: none */
  #showProblem(text) {
    this.#problem.hidden = !text;
    setText(this.#problem, text);
  }
}

/** @param {import("./midi_messages.js").MidiSource} source */
function nameOf({ device, kind, channel, number }) {
  return `${device}: ${MIDI.sources[kind](number, channel)}`;
}

/** @param {Element} control @returns {string} as people know it */
function labelOf(control) {
  const { labels } = /** @type {HTMLInputElement} */ (control);
  const label = labels?.[0]?.querySelector("span")?.firstChild?.textContent;
  return (control.getAttribute("aria-label") || label || control.textContent || control.id).trim();
}
