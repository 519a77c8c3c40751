/**
 * The texts of the studio's modules, for people: a translation is another such file. Pure.
 *
 * Those of the page itself are in `index.html`; the server's come in its own words.
 */

/** Numbers with their units. */
export const UNITS = {
  unknown: "–",
  s: (/** @type {string} */ number) => `${number} s`,
  ms: (/** @type {string} */ number) => `${number} ms`,
  fps: (/** @type {string} */ number) => `${number} fps`,
  percent: (/** @type {string} */ number) => `${number} %`,
};

/** How the call is. */
export const CALL = {
  live: "Live",
  ready: "Ready",
  oneWaits: "Live; somebody waits for a place",
  othersWait: (/** @type {number} */ callers) => `Live; ${callers} wait for a place`,
  connecting: "Connecting…",
  connected: "Connected, waiting for the first picture…",
  loadsAgain: "The connection broke off: the server is back and loads its model…",
  serverStopped: "The connection broke off: the server was stopped. Coming back once it runs again…",
  comingBack: "The connection broke off, coming back to the same stream…",
  networkAway: "The network is interrupted, waiting for it to come back",
  engineAway: "The engine stopped and is being started again, the call stays up…",
  stopping: (/** @type {number} */ seconds) => (
    `The server is being stopped: this call ends within ${seconds} s, and comes back by itself once `
      + "the server runs again"
  ),
  moving: "The server is being stopped: this call moves to another one by itself…",
  begins: (/** @type {string} */ what) => `${what}, the call begins by itself…`,
  inLine: (/** @type {number} */ place, /** @type {number} */ waiting) => (
    `Waiting for a place: you are number ${place} of ${waiting} in the line, the call begins by itself…`
  ),
  pause: "Pause",
  resume: "Resume",
};

/** In place of a picture. */
export const NOTICE = {
  waiting: "Waiting for a place",
  beginsByItself: (/** @type {string} */ reason) => `${reason} The call begins by itself.`,
  takesNone: "It takes no new calls. Press Start once it runs again.",
  connecting: ["Connecting", "If the browser asks for the camera, allow it."],
  connected: "Connected",
  firstPicture: "The first picture is being made",
  mayStart: (/** @type {string} */ detail) => (
    `${detail} You may press Start already: the call begins by itself once it is ready.`
  ),
  ready: [
    "Ready when you are",
    "Press Start, allow the camera, and say what the video should become. Everything can be changed "
      + "while it runs.",
  ],
  serverStops: "The server is being stopped",
  modelLoads: "The model is loading",
  noEngine: "The engine is not running",
};

/** Over a picture that is not the newest: why, and what to do. */
export const KEPT = {
  tap: ["Tap to play", "This browser starts no video by itself."],
  paused: ["Paused", "Resume goes on from here."],
  held: "The stream is held, nobody who watches is cut off.",
  silent: "Its last picture stays until it sends another.",
  stale: (/** @type {number} */ seconds) => [
    `No new picture for ${seconds} s`, "The server makes none, or the network brings none here.",
  ],
};

/** The camera, and what takes its place. */
export const CAMERA = {
  front: "Front camera",
  back: "Back camera",
  one: "Camera",
  numbered: (/** @type {number} */ number) => `Camera ${number}`,
  none: "No camera found",
  screen: "Screen or window…",
  file: "Video or image file…",
  test: "Test picture",
  again: "Choose again…",
  sharingEnded: "The screen is not shared any more: choose what to send in the list",
  muted: "The camera gives no pictures just now",
  stopped: "The camera stopped, taking it again…",
  gone: "The camera is gone: plug it in again, or choose another in the list",
  size: (/** @type {number} */ width_px, /** @type {number} */ height_px) => `${width_px}×${height_px}`,
  noPicture: "it has no picture",
  tooLong: "the browser has not opened it in time",
};

/** The sound that goes with the picture. */
export const SOUND = {
  off: "Off",
  microphone: "Microphone",
  own: "Of the screen or file",
  noOwn: "What is sent brings no sound of its own",
  hear: "Hear the output",
  mute: "Mute the output",
};

/** What was changed, and how far the change has come. */
export const CHANGE = {
  strength: "Strength",
  steps: "Steps",
  motion: "Motion",
  seed: "Seed",
  reset: "Reset",
  prompt: "Prompt",
  mix: "Mix",
  over: "Change over",
  name: "Name",
  empty: "Empty",
  cueList: "Cue list",
  import: "Import",
  snapshot: (/** @type {number} */ number) => `Snapshot ${number}`,
  cue: (/** @type {number} */ number) => `Cue ${number}`,
  none: "Enter applies it, also while it runs",
  pending: (/** @type {string} */ label) => `${label} kept, sent as soon as the call is there…`,
  rejected: (/** @type {string} */ label, /** @type {string} */ errors) => `${label} not taken: ${errors}`,
  sent: (/** @type {string} */ label) => `${label} sent…`,
  accepted: (/** @type {string} */ label) => `${label} accepted…`,
  applied: (/** @type {string} */ duration) => `applied in ${duration}`,
  shown: (/** @type {string} */ duration) => `on screen after ${duration}`,
  reached: (/** @type {string} */ label, /** @type {string[]} */ parts, /** @type {boolean} */ isShown) => (
    `${label} ${parts.join(", ")}${isShown ? "" : "…"}`
  ),
  fastest: "1 (fast)",
};

/** The mixer. */
export const MIXER = {
  fade: "Crossfade",
  noSides: "Give a prompt a side, A or B, to fade it",
  first: "the prompt above",
};

/** The vocabulary of a small model. */
export const VOCABULARY = {
  favourite: "Favourite",
};

/** Snapshots and cues. */
export const SHOW = {
  emptyPad: "empty",
  noPrompt: "no prompt",
  pad: "A click goes there, a long press keeps the present look",
  kept: (/** @type {number} */ number) => `Snapshot ${number} kept`,
  taken: (/** @type {string} */ file) => `${file} was taken`,
  undo: (/** @type {string} */ what) => `Undo: ${what}`,
  redo: (/** @type {string} */ what) => `Again: ${what}`,
  undone: (/** @type {string} */ what) => `Undo of: ${what}`,
  noUndo: "Nothing to undo",
  noRedo: "Nothing was undone",
  unreadable: (/** @type {string} */ reason) => `The snapshots of this browser cannot be read: ${reason}`,
  notTaken: (/** @type {string} */ reason) => `Nothing was taken from the file: ${reason}`,
  goNeeds: "For a call with cues",
  go: "Next cue, or the first",
  last: "the last",
  then: (/** @type {string} */ name) => `then ${name}`,
  where: (
    /** @type {number} */ number, /** @type {number} */ count,
    /** @type {string} */ name, /** @type {string} */ then,
  ) => `Cue ${number} of ${count}: ${name}, ${then}`,
  file: "the file",
  fileLength: "the file's length",
  fileChars: (/** @type {number} */ most) => `at most ${most} characters`,
};

/** The service levels and figures. */
export const FIGURES = {
  /** Of the stages of `shared/latency.js`. */
  stages: {
    to_server: "Camera to server",
    receive: "Receive, decode",
    collect: "Wait for enough pictures",
    queue: "Wait for the model",
    encode: "Model reads",
    denoise: "Model paints",
    decode: "Model writes",
    playout: "Wait for its turn",
    send: "Compress",
    back: "Server to browser",
    screen: "Buffer, decode, screen",
  },
  /** What a latency covers. */
  covers: { glass: "camera to screen", server: "server to screen", sent: "camera to sent" },
  /** In the order of a stream's start. @type {[string, string][]} */
  firstFrame: [
    ["signal", "Offer answered"],
    ["ice", "Media path found"],
    ["first_input", "First camera frame"],
    ["first_generated", "First picture made"],
    ["first_sent", "First picture sent"],
    ["first_shown", "First picture shown"],
    ["paper", "Model's share: fill, make"],
  ],
  /** Causes of pictures left out, by the server's name; another one is shown as it is. */
  drops: new Map([
    ["unreadable", "Could not be read"],
    ["unscaled", "Could not be scaled in time"],
    ["keyless", "Before the first whole one"],
    ["stray", "From another stream"],
    ["duplicate", "Came twice"],
    ["late", "Packet came too late"],
    ["stale", "Too old for the model"],
    ["skipped", "Model busy"],
    ["level", "More than the lowered rate"],
    ["resized", "Of the size before"],
    ["flushed", "At a pause or an end"],
    ["disordered", "Out of order"],
    ["overrun", "Too many at once"],
    ["overdue", "Too late to be shown"],
    ["thinned", "Faster than the screen"],
  ]),
  target: (/** @type {string} */ value, /** @type {string} */ about, /** @type {string} */ budget) => (
    `target ${value}${about && ` ${about}`}${budget}`
  ),
  holds: "holds",
  missed: "missed",
  none: "none",
  noBudget: " · budget used up",
  budget: (/** @type {number} */ percent) => ` · ${percent} % of budget left`,
  old: (/** @type {string} */ age) => `${age} old`,
};

/** What keys do, and how they are written. */
export const KEYS = {
  groups: {
    snapshots: "Snapshots",
    cues: "Cue list",
    prompts: "Prompts",
    picture: "Picture",
    call: "Call",
    page: "Page",
  },
  names: new Map([[" ", "Space"], ["enter", "Enter"], ["escape", "Esc"], ["1-9", "1 … 9"]]),
  control: "Ctrl",
  shift: "Shift",
  or: " or ",
  goThere: "go to that snapshot",
  keepThere: "keep the present look there",
  name: "name it",
  undo: "undo",
  redo: "redo",
  next: "next cue, or the first",
  stopList: "stop the list",
  addCue: "add the snapshot as a cue",
  write: "write the prompt",
  mixIn: "mix in a prompt",
  fade: "fade to the other side",
  towardsA: "fader towards A",
  towardsB: "fader towards B",
  over: "seconds of a change",
  method: "linear or slerp",
  find: "find a style",
  favour: "favour the style, or not",
  weaker: "less strength",
  stronger: "more strength",
  fewer: "fewer steps",
  more: "more steps",
  dice: "another seed",
  seed: "write the seed",
  motion: "adapt to motion",
  forget: "forget the past",
  start: "start",
  stop: "stop",
  pause: "pause or go on",
  camera: "choose the camera",
  size: "choose the camera's size",
  file: "choose the file",
  rate: "choose the camera's rate",
  mirror: "mirror on this page",
  keepSteps: "when asked: keep my steps",
  allowSteps: "when asked: allow fewer",
  sound: "choose the sound",
  hear: "hear the output, or not",
  record: "record, or end it",
  still: "keep a still",
  fullscreen: "full screen",
  pip: "picture in picture",
  sheet: "this sheet",
};
