/**
 * The texts of both pages, for people: a translation is another such file. Pure.
 */

/** Values that come from outside: where they stand, what they are, and the rule that they break. */
export const FORMAT = {
  wrong: (/** @type {string} */ place, /** @type {string} */ value, /** @type {string} */ rule) => (
    `${place} is ${value}, it must be ${rule}`
  ),
  missing: "missing",
  keyOf: (/** @type {string} */ place) => `a key of ${place}`,
  lengthOf: (/** @type {string} */ place) => `the length of ${place}`,
  object: (/** @type {string} */ keys) => `an object with ${keys}`,
  there: "there",
  oneOf: (/** @type {string} */ choices) => `one of ${choices}`,
  list: "a list",
  counts: (/** @type {number} */ least, /** @type {number} */ most) => `from ${least} to ${most}`,
  number: (/** @type {number} */ least, /** @type {number} */ most) => (
    `a number from ${least} to ${most}`
  ),
  whole: (/** @type {number} */ least, /** @type {number} */ most) => (
    `a whole number from ${least} to ${most}`
  ),
  text: (/** @type {number} */ most) => `a text of at most ${most} characters`,
  boolean: "true or false",
};

const PRESS_START = "Then press Start again.";

/** What can go wrong: a title, which says what happened, and advice, which says what to do. */
export const PROBLEMS = {
  /** By the name of the browser's exception. @type {Map<string, [string, string]>} */
  camera: new Map([
    ["NotAllowedError", [
      "The browser did not give the camera",
      "Click the camera or lock sign in the address bar, allow the camera for this page, and look "
        + `whether the system's privacy settings allow it to the browser. ${PRESS_START}`,
    ]],
    ["NotFoundError", [
      "No camera was found",
      "Plug one in, or start the virtual camera in OBS, or choose a test picture, a file or a "
        + `screen in the list. ${PRESS_START}`,
    ]],
    ["NotReadableError", [
      "The camera is busy",
      "Another program or tab holds it, or it was unplugged: close that one, or choose another "
        + `camera in the list. ${PRESS_START}`,
    ]],
    ["OverconstrainedError", [
      "The chosen camera is gone",
      `Plug it in again, or choose another one in the list. ${PRESS_START}`,
    ]],
  ]),
  cameraElse: (/** @type {string} */ reason) => [
    "The camera did not start",
    `The browser says: ${reason}. Choose another camera in the list. ${PRESS_START}`,
  ],
  sound: (/** @type {string} */ reason) => [
    "No sound is sent", `${reason}. The picture goes on without; choose again under Sound.`,
  ],
  cameraReplaced: ["Another camera was chosen meanwhile", "Choose again in the list."],
  insecure: (/** @type {string} */ host) => [
    "Browsers give a camera to secure pages only",
    `This page came over plain http from ${host}. Open it as http://localhost on the server's own `
      + "machine, through an SSH tunnel, or over https.",
  ],
  noWebRtc: [
    "This browser has no WebRTC",
    "Use a current Chrome, Edge, Firefox or Safari, and look whether an extension turned WebRTC off.",
  ],
  tooOld: (/** @type {string} */ missing) => [
    "This browser is too old for this page",
    `It lacks ${missing}. Update it, or use a current Chrome, Edge, Firefox or Safari.`,
  ],
  noScreen: [
    "No screen or window was shared",
    "Press Start again and choose one, or choose a camera in the list.",
  ],
  noFile: [
    "No file was chosen",
    "Choose a video or an image, or a camera in the list. Then press Start.",
  ],
  unplayable: (/** @type {string} */ name, /** @type {string} */ reason) => [
    "This browser cannot play the file",
    `${name}: ${reason}. Choose another: MP4 with H.264, WebM, JPEG, PNG and WebP play in most `
      + "browsers.",
  ],
  tooSlow: [
    "The server took too long to answer",
    `It is overloaded or hangs: look at its terminal. ${PRESS_START}`,
  ],
  network: [
    "The server does not answer",
    `Look in its terminal whether it still runs, and whether you are online. ${PRESS_START}`,
  ],
  unavailable: (/** @type {string} */ reason, /** @type {string | null} */ seconds) => [
    "The server cannot take this call now",
    `${reason} Try again in ${seconds ? `${seconds} s` : "a few seconds"}.`,
  ],
  unauthorised: (/** @type {string} */ reason) => [
    "The server wants a token", `${reason} Open the page by the link it printed.`,
  ],
  failed: (/** @type {string} */ reason) => [
    "The server failed", `${reason} Its log says more. ${PRESS_START}`,
  ],
  refused: (/** @type {string} */ reason) => ["The server did not accept the call", reason],
  noReason: (/** @type {number} */ status) => `It answered with status ${status} and no reason.`,
  noMediaPath: [
    "No way for the video to the server",
    "The page arrives but UDP does not. If the server runs in a container or behind a router, give "
      + "it the host's network or a TURN server (--turn); a VPN or a firewall here may block it "
      + `too. ${PRESS_START}`,
  ],
  setupTooSlow: (/** @type {number} */ seconds) => [
    `The call did not come up within ${seconds} s`,
    `The server accepted it but sent nothing: look at its log. ${PRESS_START}`,
  ],
  callClosed: [
    "The server closed the call",
    `It was stopped or restarted: look at its terminal. ${PRESS_START}`,
  ],
  streamStopped: (/** @type {string} */ reason) => [
    "The server ended the stream", `${reason} ${PRESS_START}`,
  ],
  silent: [
    "The server has fallen silent",
    `Look whether you are online and whether it still runs. ${PRESS_START}`,
  ],
  engineStopped: (/** @type {string} */ reason) => [
    "The engine stopped",
    `${reason} The server starts it again by itself: wait a moment. ${PRESS_START}`,
  ],
  page: (/** @type {string} */ reason) => [
    "Something in this page failed",
    `${reason} Reload the page; if it comes back, please report it.`,
  ],
};

/** @param {number} seconds since the camera's last picture reached the server */
export const cameraIsSilent = (seconds) => (
  `No picture of the camera reaches the server for ${seconds} s`
);

/** Of the clean view, with `?status=1`. */
export const VIEWER = {
  waiting: "nothing live, waiting",
  waitingFor: (/** @type {string} */ reason) => `nothing live, waiting · ${reason}`,
};
