/**
 * The texts of the list of streams and of the dock, for people: a translation is another such file.
 * Pure.
 */

/** @param {number} count @param {string} one @param {string} many */
const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

const S_PER_MINUTE = 60;
const S_PER_HOUR = 3600;

/** The list of streams. */
export const STREAMS = {
  count: (/** @type {number} */ streams, /** @type {number} */ viewers) => (
    streams ? `${counted(streams, "stream", "streams")}, ${counted(viewers, "viewer", "viewers")}`
      : "Nothing is live"
  ),
  /** By the name of the stream's state. @type {Record<string, string>} */
  states: {
    connecting: "connecting",
    warming: "waits for its first picture",
    live: "live",
    paused: "paused",
    held: "its sender is away",
    restarting: "the model starts again",
  },
  viewers: (/** @type {number} */ count) => counted(count, "viewer", "viewers"),
  since: (/** @type {number} */ seconds) => {
    if (seconds < S_PER_MINUTE) return `for ${Math.floor(seconds)} s`;
    const minutes = Math.floor((seconds % S_PER_HOUR) / S_PER_MINUTE);
    if (seconds < S_PER_HOUR) return `for ${minutes} min`;
    return `for ${Math.floor(seconds / S_PER_HOUR)} h ${minutes} min`;
  },
  picture: (/** @type {string} */ stream) => `Newest picture of ${stream}`,
  watch: "Watch",
  watchOf: (/** @type {string} */ stream) => `Watch ${stream}`,
  dock: "Open as dock",
  dockOf: (/** @type {string} */ stream) => `Open ${stream} as dock`,
  steer: "Steer",
  share: "Share",
  outdated: (/** @type {string} */ reason) => `This list is out of date. ${reason}`,
};

/** Links to hand on. */
export const SHARE = {
  title: (/** @type {string} */ stream) => `Share ${stream}`,
  /** By role. @type {Record<string, string>} */
  links: {
    view: "To watch",
    control: "To steer: a page, and a dock in OBS",
    publish: "To send it (WHIP), with the token in the address",
  },
  open: "This server has no token: whoever reaches it may do all of this.",
  lasts: (/** @type {string} */ date) => `until ${date}`,
  copy: "Copy",
  copied: "Copied",
  copyOf: (/** @type {string} */ link, /** @type {string} */ stream) => `Copy the link of ${stream}: ${link}`,
};

/** The controls of one stream. */
export const STEER = {
  title: (/** @type {string} */ stream) => `Steer ${stream}`,
  controls: (/** @type {string} */ stream) => `Controls of ${stream}`,
  prompt: "Prompt",
  promptHint: "What should it become?",
  apply: "Apply",
  styles: "Styles",
  colours: "Colours",
  strength: "Strength",
  percent: (/** @type {number} */ value) => `${value} %`,
  steps: "Steps for a picture",
  fastest: "1, the fastest",
  pause: "Pause",
  sending: "Sent…",
  inForce: "In force",
  accepted: "Taken, and in force soon",
  superseded: "Something newer was sent meanwhile",
  mixture: (/** @type {string} */ prompts) => (
    `A mixture is in force: ${prompts}. A prompt from here takes its place.`
  ),
  away: (/** @type {string} */ stream) => (
    `There is no stream ${stream} now. It is looked for again by itself.`
  ),
  nothing: "Nothing is live now. What is sent is found by itself.",
};
