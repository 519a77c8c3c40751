/**
 * Everything that can go wrong, for people: what happened, and what to do about it.
 */

/**
 * A place in the line of those who wait for a call, from a server that is full.
 * @typedef {object} Queued
 * @property {number} place 1 is the next
 * @property {number} waiting how many wait
 * @property {string} ticket to be sent when asking again
 * @property {number} askAgain_ms when to
 * @property {string} reason why there is none, by the server
 */

/** An error as a page shows it: `title` says what happened, `advice` what to do about it. */
export class Problem extends Error {
  /** @type {Queued | null} where the call waits for a place */
  queued = null;

  /**
   * @param {string} title
   * @param {string} advice
   * @param {unknown} [cause]
   * @param {number} [status] of the HTTP response, if that was a refusal
   */
  constructor(title, advice, cause, status) {
    super(title, { cause });
    this.name = "Problem";
    this.title = title;
    this.advice = advice;
    this.status = status;
  }
}

const PRESS_START = "Then press Start again.";

/** Title and advice by the name of the browser's exception. */
const CAMERA_PROBLEMS = new Map([
  ["NotAllowedError", [
    "The browser did not give the camera",
    "Click the camera or lock sign in the address bar, allow the camera for this page, and look "
      + "whether the system's privacy settings allow it to the browser.",
  ]],
  ["NotFoundError", [
    "No camera was found",
    "Plug one in, or start the virtual camera in OBS, or choose “Screen or window” in the list.",
  ]],
  ["NotReadableError", [
    "The camera is busy",
    "Another program or tab holds it, or it was unplugged: close that one, or choose another "
      + "camera in the list.",
  ]],
  ["OverconstrainedError", [
    "The chosen camera is gone",
    "Plug it in again, or choose another one in the list.",
  ]],
]);

/**
 * Why no camera can be had at all, before one is requested.
 * @returns {Problem | null}
 */
export function browserProblem() {
  if (!globalThis.isSecureContext) {
    return new Problem(
      "Browsers give a camera to secure pages only",
      `This page came over plain http from ${location.host}. Open it as http://localhost on the `
        + "server's own machine, through an SSH tunnel, or over https.",
    );
  }
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.RTCPeerConnection) {
    return new Problem(
      "This browser has no WebRTC",
      "Use a current Chrome, Edge, Firefox or Safari, and look whether an extension turned "
        + "WebRTC off.",
    );
  }
  const missing = missingInterfaces();
  if (missing.length > 0) {
    return new Problem(
      "This browser is too old for this page",
      `It lacks ${missing.join(", ")}. Update it, or use a current Chrome, Edge, Firefox or Safari.`,
    );
  }
  return null;
}

/** What no fall-back can replace; everything else that may be missing has one. */
function missingInterfaces() {
  /** @type {Record<string, unknown>} */
  const needed = {
    AbortController: globalThis.AbortController,
    fetch: globalThis.fetch,
    MediaStream: globalThis.MediaStream,
    "RTCPeerConnection.addTransceiver": RTCPeerConnection.prototype.addTransceiver,
    "RTCPeerConnection.createDataChannel": RTCPeerConnection.prototype.createDataChannel,
    "RTCRtpSender.replaceTrack": globalThis.RTCRtpSender?.prototype.replaceTrack,
  };
  return Object.keys(needed).filter((name) => !needed[name]);
}

/**
 * @param {DOMException} error of getUserMedia or getDisplayMedia
 * @param {boolean} isScreen whether a screen or window was requested
 */
export function cameraProblem(error, isScreen) {
  if (isScreen && error.name === "NotAllowedError") {
    return new Problem(
      "No screen or window was shared",
      "Press Start again and choose one, or choose a camera in the list.",
      error,
    );
  }
  const [title, advice] = CAMERA_PROBLEMS.get(error.name) ?? [
    "The camera did not start",
    `The browser says: ${error.message || error.name}. Choose another camera in the list.`,
  ];
  return new Problem(title, `${advice} ${PRESS_START}`, error);
}

/** A camera was opened that nobody wants any more. */
export function cameraReplaced() {
  return new Problem("Another camera was chosen meanwhile", "Choose again in the list.");
}

/** No response before the deadline. @param {unknown} error of fetch */
export function tooSlow(error) {
  return new Problem(
    "The server took too long to answer",
    `It is overloaded or hangs: look at its terminal. ${PRESS_START}`,
    error,
  );
}

/**
 * A request without a response.
 * @param {unknown} error of fetch
 */
export function networkProblem(error) {
  return new Problem(
    "The server does not answer",
    `Look in its terminal whether it still runs, and whether you are online. ${PRESS_START}`,
    error,
  );
}

/**
 * A response that is an error. The server's text already says the value, the rule and what to do.
 * @param {number} status
 * @param {string} text the reason the server gives, or empty
 * @param {string | null} retryAfter the header `Retry-After`, in seconds
 */
export function refusal(status, text, retryAfter) {
  const reason = text ? sentence(text) : `It answered with status ${status} and no reason.`;
  if (status === 503) {
    const wait = retryAfter ? `Try again in ${retryAfter} s.` : "Try again in a few seconds.";
    return new Problem("The server cannot take this call now", `${reason} ${wait}`, null, status);
  }
  if (status === 401 || status === 403) {
    const advice = `${reason} Open the page by the link it printed.`;
    return new Problem("The server wants a token", advice, null, status);
  }
  if (status >= 500) {
    const advice = `${reason} Its log says more. ${PRESS_START}`;
    return new Problem("The server failed", advice, null, status);
  }
  return new Problem("The server did not accept the call", reason, null, status);
}

/** Signalling worked, but ICE found no path for the media. */
export function noMediaPath() {
  return new Problem(
    "No way for the video to the server",
    "The page arrives but UDP does not. If the server runs in a container or behind a router, give "
      + "it the host's network or a TURN server (--turn); a VPN or a firewall here may block it "
      + `too. ${PRESS_START}`,
  );
}

/** @param {number} seconds the deadline */
export function setupTooSlow(seconds) {
  return new Problem(
    `The call did not come up within ${seconds} s`,
    `The server accepted it but sent nothing: look at its log. ${PRESS_START}`,
  );
}

/** The server closed the connection without a reason. */
export function callClosed() {
  return new Problem(
    "The server closed the call",
    `It was stopped or restarted: look at its terminal. ${PRESS_START}`,
  );
}

/** @param {string} reason the server's text for the end of a stream */
export function streamStopped(reason) {
  return new Problem("The server ended the stream", `${sentence(reason)} ${PRESS_START}`);
}

/** Nothing is received from the server any more. */
export function serverSilent() {
  return new Problem(
    "The server has fallen silent",
    `Look whether you are online and whether it still runs. ${PRESS_START}`,
  );
}

/** @param {string} reason the server's text for an engine failure that ended the stream */
export function engineStopped(reason) {
  return new Problem(
    "The engine stopped",
    `${sentence(reason)} The server starts it again by itself: wait a moment. ${PRESS_START}`,
  );
}

/**
 * Anything thrown, as a problem; what is not one already is a bug of this page.
 * @param {unknown} error
 */
export function asProblem(error) {
  if (error instanceof Problem) return error;
  return new Problem(
    "Something in this page failed",
    `${sentence(String(error))} Reload the page; if it comes back, please report it.`,
    error,
  );
}

/** The text as a sentence: capitalised and with a full stop. @param {string} text */
export function sentence(text) {
  const trimmed = text.trim();
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
