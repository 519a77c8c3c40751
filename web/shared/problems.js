/**
 * Everything that can go wrong, for people: what happened, and what to do about it.
 */

import { PROBLEMS } from "./strings.js";

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

/**
 * @param {string[]} texts title and advice
 * @param {unknown} [cause]
 * @param {number} [status] of the HTTP response, if that was a refusal
 */
function problem([title, advice], cause, status) {
  return new Problem(title, advice, cause, status);
}

/**
 * Why no camera can be had at all, before one is requested.
 * @returns {Problem | null}
 */
export function browserProblem() {
  if (!globalThis.isSecureContext) return problem(PROBLEMS.insecure(location.host));
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.RTCPeerConnection) {
    return problem(PROBLEMS.noWebRtc);
  }
  const missing = missingInterfaces();
  return missing.length > 0 ? problem(PROBLEMS.tooOld(missing.join(", "))) : null;
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

/** @param {string} reason why no sound can be had @param {unknown} [cause] */
export function soundProblem(reason, cause) {
  return problem(PROBLEMS.sound(reason), cause);
}

/**
 * @param {DOMException} error of getUserMedia or getDisplayMedia
 * @param {boolean} isScreen whether a screen or window was requested
 */
export function cameraProblem(error, isScreen) {
  if (isScreen && error.name === "NotAllowedError") return problem(PROBLEMS.noScreen, error);
  const texts = PROBLEMS.camera.get(error.name)
    ?? PROBLEMS.cameraElse(error.message || error.name);
  return problem(texts, error);
}

/** A camera was opened that nobody wants any more. */
export function cameraReplaced() {
  return problem(PROBLEMS.cameraReplaced);
}

/** A file is to be the camera, and none was chosen. */
export function noFile() {
  return problem(PROBLEMS.noFile);
}

/** @param {File} file that is to be the camera @param {string} reason by the browser, or empty */
export function unplayableFile({ name, type }, reason) {
  return problem(PROBLEMS.unplayable(name, reason || type || "?"));
}

/** No response before the deadline. @param {unknown} error of fetch */
export function tooSlow(error) {
  return problem(PROBLEMS.tooSlow, error);
}

/**
 * A request without a response.
 * @param {unknown} error of fetch
 */
export function networkProblem(error) {
  return problem(PROBLEMS.network, error);
}

/**
 * A response that is an error. The server's text already says the value, the rule and what to do.
 * @param {number} status
 * @param {string} text the reason the server gives, or empty
 * @param {string | null} retryAfter the header `Retry-After`, in seconds
 */
export function refusal(status, text, retryAfter) {
  const reason = text ? sentence(text) : PROBLEMS.noReason(status);
  if (status === 503) return problem(PROBLEMS.unavailable(reason, retryAfter), null, status);
  if (status === 401 || status === 403) return problem(PROBLEMS.unauthorised(reason), null, status);
  if (status >= 500) return problem(PROBLEMS.failed(reason), null, status);
  return problem(PROBLEMS.refused(reason), null, status);
}

/** Signalling worked, but ICE found no path for the media. */
export function noMediaPath() {
  return problem(PROBLEMS.noMediaPath);
}

/** @param {number} seconds the deadline */
export function setupTooSlow(seconds) {
  return problem(PROBLEMS.setupTooSlow(seconds));
}

/** The server closed the connection without a reason. */
export function callClosed() {
  return problem(PROBLEMS.callClosed);
}

/** @param {string} reason the server's text for the end of a stream */
export function streamStopped(reason) {
  return problem(PROBLEMS.streamStopped(sentence(reason)));
}

/** Nothing is received from the server any more. */
export function serverSilent() {
  return problem(PROBLEMS.silent);
}

/** @param {string} reason the server's text for an engine failure that ended the stream */
export function engineStopped(reason) {
  return problem(PROBLEMS.engineStopped(sentence(reason)));
}

/**
 * Anything thrown, as a problem; what is not one already is a bug of this page.
 * @param {unknown} error
 */
export function asProblem(error) {
  return error instanceof Problem ? error : problem(PROBLEMS.page(sentence(String(error))), error);
}

/** The text as a sentence: capitalised and with a full stop. @param {string} text */
export function sentence(text) {
  const trimmed = text.trim();
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
