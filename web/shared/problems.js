/**
 * Everything that can go wrong, in words a person can act on: what happened, and what to do.
 */

/** A trouble as the page shows it: `title` says what happened, `advice` what to do about it. */
export class Problem extends Error {
  /**
   * @param {string} title
   * @param {string} advice
   * @param {unknown} [cause]
   * @param {number} [status] that the server answered with
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

const CAMERA_WORDS = new Map([
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
 * What stands in the way of any camera at all, before one is asked for.
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
  return null;
}

/**
 * @param {DOMException} error of getUserMedia or getDisplayMedia
 * @param {boolean} isScreen whether a screen or window was asked for
 */
export function cameraProblem(error, isScreen) {
  if (isScreen && error.name === "NotAllowedError") {
    return new Problem(
      "No screen or window was shared",
      "Press Start again and choose one, or choose a camera in the list.",
      error,
    );
  }
  const [title, advice] = CAMERA_WORDS.get(error.name) ?? [
    "The camera did not start",
    `The browser says: ${error.message || error.name}. Choose another camera in the list.`,
  ];
  return new Problem(title, `${advice} ${PRESS_START}`, error);
}

/** The camera was there and left: unplugged, closed by its program, or sharing was ended. */
export function cameraEnded() {
  return new Problem(
    "The camera stopped giving pictures",
    `It was unplugged, its program closed, or the sharing ended. Choose another. ${PRESS_START}`,
  );
}

/**
 * A request that never became an answer.
 * @param {unknown} error of fetch
 */
export function networkProblem(error) {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new Problem(
      "The server took too long to answer",
      `It is overloaded or hangs: look at its terminal. ${PRESS_START}`,
      error,
    );
  }
  return new Problem(
    "The server does not answer",
    `Look in its terminal whether it still runs, and whether you are online. ${PRESS_START}`,
    error,
  );
}

/**
 * A refusal. The server's text says the value, the rule and what to do, so it is shown as it is.
 * @param {number} status
 * @param {string} text what the server says, empty if nothing
 * @param {string | null} retryAfter the header, in seconds
 */
export function refusal(status, text, retryAfter) {
  const said = text ? sentence(text) : `It answered with status ${status} and no reason.`;
  if (status === 503) {
    const wait = retryAfter ? `Try again in ${retryAfter} s.` : "Try again in a few seconds.";
    return new Problem("The server cannot take this call now", `${said} ${wait}`, null, status);
  }
  if (status === 401 || status === 403) {
    const advice = `${said} Open the page by the link it printed.`;
    return new Problem("The server wants a token", advice, null, status);
  }
  if (status >= 500) {
    const advice = `${said} Its log says more. ${PRESS_START}`;
    return new Problem("The server failed", advice, null, status);
  }
  return new Problem("The server did not accept the call", said, null, status);
}

/** Signalling went through, media does not. */
export function noMediaPath() {
  return new Problem(
    "No way for the video to the server",
    "The page arrives but UDP does not. If the server runs in a container or behind a router, give "
      + "it the host's network or a TURN server (--turn); a VPN or a firewall here may block it "
      + `too. ${PRESS_START}`,
  );
}

/** @param {number} seconds how long the call was waited for */
export function setupTooSlow(seconds) {
  return new Problem(
    `The call did not come up within ${seconds} s`,
    `The server accepted it but sent nothing: look at its log. ${PRESS_START}`,
  );
}

/** The server hung up without saying why. */
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

/** The server was there and says nothing any more. */
export function serverSilent() {
  return new Problem(
    "The server has fallen silent",
    `Look whether you are online and whether it still runs. ${PRESS_START}`,
  );
}

/** @param {string} reason the server's text for an engine that took its streams along */
export function engineStopped(reason) {
  return new Problem(
    "The engine stopped",
    `${sentence(reason)} The server starts it again by itself: wait a moment. ${PRESS_START}`,
  );
}

/**
 * Whatever was thrown, as a problem: what is not one already is a bug of this page, and says so.
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

/** @param {string} text lower-case server text, made to stand as a sentence */
export function sentence(text) {
  const trimmed = text.trim();
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
