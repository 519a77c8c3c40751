/**
 * Messages of MIDI 1.0, and what was learned of them. Pure.
 */

const NOTE_OFF = 8;
const NOTE_ON = 9;
const CONTROL_CHANGE = 11;
const PITCH_BEND = 14;
const MOST_BINDINGS = 128;
const MOST_CHARS = 100;

/**
 * A control of a device.
 * @typedef {object} MidiSource
 * @property {string} device its name
 * @property {"knob" | "pad" | "bend"} kind
 * @property {number} channel from 1
 * @property {number} number of the controller or the note; 0 for a bend
 */

/**
 * What was learned: that source moves the control of the page with that id.
 * @typedef {{source: MidiSource, control: string}} MidiBinding
 */

/**
 * @param {string} device
 * @param {ArrayLike<number>} bytes of one message
 * @returns {{source: MidiSource, value: number} | null} the value from 0 to 1; null for any other
 *   message, as the clock's
 */
export function readMessage(device, bytes) {
  const [status, first = 0, second = 0] = Array.from(bytes);
  const channel = (status & 15) + 1;
  const source = (/** @type {MidiSource["kind"]} */ kind, /** @type {number} */ number) => (
    { device, kind, channel, number }
  );
  switch (status >> 4) {
    case NOTE_OFF:
      return { source: source("pad", first), value: 0 };
    case NOTE_ON:
      return { source: source("pad", first), value: second / 127 };
    case CONTROL_CHANGE:
      return { source: source("knob", first), value: second / 127 };
    case PITCH_BEND:
      return { source: source("bend", 0), value: (first + second * 128) / 16383 };
    default:
      return null;
  }
}

/** @param {MidiSource} one @param {MidiSource} other */
export function isSameSource(one, other) {
  return one.device === other.device && one.kind === other.kind
    && one.channel === other.channel && one.number === other.number;
}

/**
 * A source moves one control; what it moved before it moves no longer.
 * @param {MidiBinding[]} bindings
 * @param {MidiBinding} binding
 * @returns {MidiBinding[]} the newest last, and no more than can be shown
 */
export function withBinding(bindings, binding) {
  return [...withoutSource(bindings, binding.source), binding].slice(-MOST_BINDINGS);
}

/** @param {MidiBinding[]} bindings @param {MidiSource} source */
export function withoutSource(bindings, source) {
  return bindings.filter((one) => !isSameSource(one.source, source));
}

/**
 * @param {string} text as it was kept
 * @returns {MidiBinding[] | null} null if it is none of ours
 */
export function parseBindings(text) {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) && found.length <= MOST_BINDINGS && found.every(isBinding) ? found : null;
  } catch {
    return null;
  }
}

/** @param {any} found */
function isBinding(found) {
  const { source, control } = found ?? {};
  return isText(control) && isText(source?.device) && ["knob", "pad", "bend"].includes(source.kind)
    && isWithin(source.channel, 1, 16) && isWithin(source.number, 0, 127);
}

/** @param {unknown} found */
function isText(found) {
  return typeof found === "string" && found.length <= MOST_CHARS;
}

/** @param {unknown} found @param {number} least @param {number} most */
function isWithin(found, least, most) {
  return Number.isInteger(found) && Number(found) >= least && Number(found) <= most;
}
