/**
 * The keys of the studio: one table, from which they are found and the help sheet is made. Pure.
 *
 * A key presses, focuses or moves an element of the page, so that it does what the element does.
 */

import { KEYS } from "./strings.js";

/**
 * @typedef {object} KeyBinding
 * @property {string} key as `KeyboardEvent.key`, a letter in small; "1-9" for the digit keys
 * @property {boolean} [shift] with the shift key; where it is not said, as the key comes
 * @property {boolean} [control] with Ctrl, or the command key of a Mac
 * @property {"press" | "hold" | "focus" | "move"} does to the element: `hold` is a long press
 * @property {string} on the element's id; "snapshot-#" for that of the digit
 * @property {number} [by] how far it is moved: parts of a slider's range, or places in a list
 * @property {string} group of the sheet
 * @property {string} what it does, for people
 */

const { groups: GROUPS } = KEYS;

/** @type {KeyBinding[]} */
export const KEY_BINDINGS = [
  { key: "1-9", shift: false, does: "press", on: "snapshot-#", group: GROUPS.snapshots, what: KEYS.goThere },
  { key: "1-9", shift: true, does: "hold", on: "snapshot-#", group: GROUPS.snapshots, what: KEYS.keepThere },
  { key: "n", does: "focus", on: "snapshot-name", group: GROUPS.snapshots, what: KEYS.name },
  { key: "u", does: "press", on: "undo", group: GROUPS.snapshots, what: KEYS.undo },
  { key: "z", control: true, shift: false, does: "press", on: "undo", group: GROUPS.snapshots, what: KEYS.undo },
  { key: "y", does: "press", on: "redo", group: GROUPS.snapshots, what: KEYS.redo },
  { key: "z", control: true, shift: true, does: "press", on: "redo", group: GROUPS.snapshots, what: KEYS.redo },
  { key: " ", does: "press", on: "cue-go", group: GROUPS.cues, what: KEYS.next },
  { key: "escape", does: "press", on: "cue-stop", group: GROUPS.cues, what: KEYS.stopList },
  { key: "q", does: "press", on: "cue-add", group: GROUPS.cues, what: KEYS.addCue },
  { key: "enter", does: "focus", on: "prompt", group: GROUPS.prompts, what: KEYS.write },
  { key: "m", shift: false, does: "press", on: "add-prompt", group: GROUPS.prompts, what: KEYS.mixIn },
  { key: "x", does: "press", on: "crossfade", group: GROUPS.prompts, what: KEYS.fade },
  { key: "a", does: "move", on: "fade", by: -0.1, group: GROUPS.prompts, what: KEYS.towardsA },
  { key: "b", does: "move", on: "fade", by: 0.1, group: GROUPS.prompts, what: KEYS.towardsB },
  { key: "t", does: "focus", on: "blend", group: GROUPS.prompts, what: KEYS.over },
  { key: "l", does: "move", on: "blend-method", by: 1, group: GROUPS.prompts, what: KEYS.method },
  { key: "/", does: "focus", on: "find-style", group: GROUPS.prompts, what: KEYS.find },
  { key: "z", shift: false, does: "press", on: "favourite", group: GROUPS.prompts, what: KEYS.favour },
  { key: "-", does: "move", on: "strength", by: -0.05, group: GROUPS.picture, what: KEYS.weaker },
  { key: "+", does: "move", on: "strength", by: 0.05, group: GROUPS.picture, what: KEYS.stronger },
  { key: "=", does: "move", on: "strength", by: 0.05, group: GROUPS.picture, what: KEYS.stronger },
  { key: ",", does: "move", on: "steps", by: -1, group: GROUPS.picture, what: KEYS.fewer },
  { key: ".", does: "move", on: "steps", by: 1, group: GROUPS.picture, what: KEYS.more },
  { key: "d", does: "press", on: "dice", group: GROUPS.picture, what: KEYS.dice },
  { key: "e", does: "focus", on: "seed", group: GROUPS.picture, what: KEYS.seed },
  { key: "o", does: "press", on: "motion", group: GROUPS.picture, what: KEYS.motion },
  { key: "r", shift: false, does: "press", on: "reset", group: GROUPS.picture, what: KEYS.forget },
  { key: "s", shift: false, does: "press", on: "start", group: GROUPS.call, what: KEYS.start },
  { key: "s", shift: true, does: "press", on: "stop", group: GROUPS.call, what: KEYS.stop },
  { key: "p", shift: false, does: "press", on: "pause", group: GROUPS.call, what: KEYS.pause },
  { key: "c", shift: false, does: "focus", on: "camera", group: GROUPS.call, what: KEYS.camera },
  { key: "g", does: "focus", on: "camera-size", group: GROUPS.call, what: KEYS.size },
  { key: "h", does: "focus", on: "camera-rate", group: GROUPS.call, what: KEYS.rate },
  { key: "j", does: "press", on: "choose-file", group: GROUPS.call, what: KEYS.file },
  { key: "i", does: "press", on: "mirror", group: GROUPS.call, what: KEYS.mirror },
  { key: "k", does: "press", on: "keep-steps", group: GROUPS.call, what: KEYS.keepSteps },
  { key: "w", does: "press", on: "allow-steps", group: GROUPS.call, what: KEYS.allowSteps },
  { key: "c", shift: true, does: "focus", on: "sound", group: GROUPS.call, what: KEYS.sound },
  { key: "m", shift: true, does: "press", on: "hear", group: GROUPS.page, what: KEYS.hear },
  { key: "r", shift: true, does: "press", on: "record", group: GROUPS.page, what: KEYS.record },
  { key: "p", shift: true, does: "press", on: "still", group: GROUPS.page, what: KEYS.still },
  { key: "f", does: "press", on: "fullscreen", group: GROUPS.page, what: KEYS.fullscreen },
  { key: "v", does: "press", on: "pip", group: GROUPS.page, what: KEYS.pip },
  { key: "?", does: "press", on: "help", group: GROUPS.page, what: KEYS.sheet },
];

/**
 * @typedef {object} KeyPress
 * @property {string} key
 * @property {string} code
 * @property {boolean} shiftKey
 * @property {boolean} ctrlKey
 * @property {boolean} metaKey
 * @property {boolean} altKey
 * @property {boolean} repeat it is held down
 * @property {boolean} isComposing
 */

/**
 * Where the focus is: "text" in a field that takes text, "list" in one whose letters choose, "button"
 * on what a space presses, "slider" on what arrows move; else "page".
 * @typedef {"text" | "list" | "button" | "slider" | "page"} Focus
 */

/** What a key means: an element's id, and what to do to it. */
/** @typedef {{does: KeyBinding["does"], on: string, by: number}} KeyAction */

/** The keys that press a button which has the focus. */
const PRESSING = [" ", "Enter"];
const DIGIT_CODE = /^(?:Digit|Numpad)([1-9])$/;

/**
 * @param {KeyPress} press
 * @param {Focus} focus
 * @returns {KeyAction | null} null where the key means nothing, or something to the field it is for
 */
export function actionOf(press, focus) {
  if (focus === "text" || focus === "list" || press.isComposing || press.altKey) return null;
  if (focus === "button" && PRESSING.includes(press.key)) return null;
  const digit = DIGIT_CODE.exec(press.code)?.[1] ?? "";
  const found = KEY_BINDINGS.find((binding) => isMeant(binding, press, digit));
  if (!found || (press.repeat && found.does !== "move")) return null;
  return { does: found.does, on: found.on.replace("#", digit), by: found.by ?? 0 };
}

/** @param {KeyBinding} binding @param {KeyPress} press @param {string} digit of the key, or empty */
function isMeant({ key, shift, control = false }, press, digit) {
  if (control !== (press.ctrlKey || press.metaKey)) return false;
  if (shift !== undefined && shift !== press.shiftKey) return false;
  return key === "1-9" ? digit !== "" : key === press.key.toLowerCase();
}

/** @param {KeyBinding} binding @returns {string[]} its keys as they are written on a sheet */
export function keysOf({ key, shift, control }) {
  const written = KEYS.names.get(key) ?? key.toUpperCase();
  return [...(control ? [KEYS.control] : []), ...(shift ? [KEYS.shift] : []), written];
}

/**
 * The sheet: each thing that keys do, once, with all keys that do it.
 * @returns {Map<string, {what: string, keys: string[][]}[]>} by group, in the order of the table
 */
export function helpSheet() {
  /** @type {Map<string, {what: string, keys: string[][]}[]>} */
  const groups = new Map();
  for (const binding of KEY_BINDINGS) {
    const rows = groups.get(binding.group) ?? [];
    groups.set(binding.group, rows);
    const row = rows.find(({ what }) => what === binding.what);
    if (row) row.keys.push(keysOf(binding));
    else rows.push({ what: binding.what, keys: [keysOf(binding)] });
  }
  return groups;
}
