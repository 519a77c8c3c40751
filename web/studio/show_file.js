/**
 * Snapshots and cue list as one JSON text, for the browser's storage and for files. Pure.
 */

import {
  checkBoolean, checkChoice, checkList, checkNumber, checkObject, checkText, checkWhole, FormatError,
} from "../shared/checks.js";
import { LONGEST_HOLD_S, MOST_CUES } from "./cue_list.js";
import { checkLook, LONGEST_CHANGE_S } from "./look.js";
import { inOrder, MOST_SNAPSHOTS, NAME_CHARS } from "./snapshots.js";
import { SHOW } from "./strings.js";

const KIND = "slipstream show";
const VERSION = 1;
/** Nothing that the page writes is as long. */
const MOST_CHARS = 1_000_000;

/**
 * @typedef {object} Show
 * @property {import("./snapshots.js").Snapshot[]} snapshots
 * @property {import("./cue_list.js").CueList} cueList
 */

/** @returns {Show} without anything */
export function emptyShow() {
  return { snapshots: [], cueList: { cues: [], repeats: false } };
}

/** @param {Show} show @returns {string} */
export function formatShow(show) {
  return `${JSON.stringify({ kind: KIND, version: VERSION, ...show }, null, 2)}\n`;
}

/**
 * @param {string} text
 * @returns {Show}
 * @throws {FormatError} naming what is wrong, and where; nothing is taken then
 */
export function parseShow(text) {
  if (text.length > MOST_CHARS) {
    throw new FormatError(SHOW.fileLength, text.length, SHOW.fileChars(MOST_CHARS));
  }
  const file = checkObject(parsed(text), SHOW.file, ["kind", "version", "snapshots", "cueList"]);
  checkChoice(file.kind, "kind", [KIND]);
  if (file.version !== VERSION) throw new FormatError("version", file.version, String(VERSION));
  const snapshots = checkList(file.snapshots, "snapshots", [0, MOST_SNAPSHOTS], checkSnapshot);
  snapshots.forEach(({ number }, index) => {
    const first = snapshots.findIndex((one) => one.number === number);
    const place = `snapshots[${index}].number`;
    if (first < index) throw new FormatError(place, number, `another than snapshots[${first}].number`);
  });
  return { snapshots: inOrder(snapshots), cueList: checkCueList(file.cueList) };
}

/** @param {string} text @returns {unknown} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new FormatError(SHOW.file, text, "JSON");
  }
}

/** @param {unknown} value @param {string} place @returns {import("./snapshots.js").Snapshot} */
function checkSnapshot(value, place) {
  const snapshot = checkObject(value, place, ["number", "name", "look"]);
  return {
    number: checkWhole(snapshot.number, `${place}.number`, [1, MOST_SNAPSHOTS]),
    name: checkText(snapshot.name, `${place}.name`, NAME_CHARS),
    look: checkLook(snapshot.look, `${place}.look`),
  };
}

/** @param {unknown} value @returns {import("./cue_list.js").CueList} */
function checkCueList(value) {
  const list = checkObject(value, "cueList", ["cues", "repeats"]);
  return {
    cues: checkList(list.cues, "cueList.cues", [0, MOST_CUES], checkCue),
    repeats: checkBoolean(list.repeats, "cueList.repeats"),
  };
}

/** @param {unknown} value @param {string} place @returns {import("./cue_list.js").Cue} */
function checkCue(value, place) {
  const cue = checkObject(value, place, ["snapshot", "over_s", "hold_s"]);
  const { hold_s } = cue;
  return {
    snapshot: checkWhole(cue.snapshot, `${place}.snapshot`, [1, MOST_SNAPSHOTS]),
    over_s: checkNumber(cue.over_s, `${place}.over_s`, [0, LONGEST_CHANGE_S]),
    hold_s: hold_s === null ? null : checkNumber(hold_s, `${place}.hold_s`, [0, LONGEST_HOLD_S]),
  };
}
