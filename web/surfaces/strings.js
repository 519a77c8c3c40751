/**
 * The texts of control surfaces, for people: a translation is another such file. Pure.
 */

export const MIDI = {
  learn: "Learn",
  stop: "Stop learning",
  move: "Move a control of the device…",
  touch: (/** @type {string} */ source) => `${source}: now click the control on this page that it moves`,
  bound: (/** @type {string} */ source, /** @type {string} */ control) => `${source} moves ${control}`,
  none: "No device is plugged in",
  devices: (/** @type {string} */ names) => `Devices: ${names}`,
  gone: (/** @type {string} */ name) => (
    `${name} was pulled out. The call goes on; plugged in again, its controls work as before.`
  ),
  unsupported: "This browser has no Web MIDI on this page: use Chrome, Edge or Firefox, over https or localhost.",
  refused: "The browser lets this page use no MIDI devices: allow it in the site's settings, then open this again.",
  unreadable: "What this browser had learned cannot be read, and is put aside: learn it anew.",
  list: "Learned controls",
  forget: (/** @type {string} */ source) => `Forget ${source}`,
  forgets: "Forget",
  /** By kind of message. @type {Record<string, (number: number, channel: number) => string>} */
  sources: {
    knob: (number, channel) => `Control ${number} on channel ${channel}`,
    pad: (number, channel) => `Note ${number} on channel ${channel}`,
    bend: (_, channel) => `Pitch bend on channel ${channel}`,
  },
};
