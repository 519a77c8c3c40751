/**
 * The HTTP side of a call: one offer, its answer, candidates as they come, one farewell.
 */

import { networkProblem, refusal } from "./problems.js";

const API = "/api/v1/webrtc";
const ANSWER_DEADLINE_MS = 10_000;
const CANDIDATE_BATCH_MS = 50;

/**
 * One request, with a deadline besides the signal that the options may have.
 * @param {string | URL} path
 * @param {RequestInit} options
 * @returns {Promise<Response>}
 * @throws {import("./problems.js").Problem} if there is no answer in time, or it is a refusal
 */
export async function request(path, { signal, ...options }) {
  const deadline = AbortSignal.timeout(ANSWER_DEADLINE_MS);
  let response;
  try {
    response = await fetch(path, {
      ...options,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
  } catch (error) {
    throw networkProblem(error);
  }
  if (response.ok) return response;
  const text = await response.text();
  throw refusal(response.status, errorText(text), response.headers.get("Retry-After"));
}

/**
 * @param {string} path
 * @param {{method?: string, body?: object, keepalive?: boolean, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the answer's JSON, null if it has none
 * @throws {import("./problems.js").Problem} if there is no answer in time, or it is a refusal
 */
async function ask(path, { method = "GET", body, keepalive, signal } = {}) {
  const response = await request(path, {
    method,
    keepalive,
    signal,
    headers: body && { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** @param {string} text a refusal's body: JSON with `error`, or plain words */
function errorText(text) {
  try {
    return String(JSON.parse(text).error ?? "");
  } catch {
    return text.startsWith("<") ? "" : text.slice(0, 300);
  }
}

/**
 * @typedef {object} Health
 * @property {boolean} ready whether a call would be taken now
 * @property {"starting" | "ready" | "down" | "stopped"} engine_state
 * @property {string} engine_detail for people
 * @property {string} pipeline
 * @property {string} preset
 * @property {import("../studio/controls.js").Model | null} model what a call would be made with
 */

/** @returns {Promise<Health>} */
export function health() {
  return ask("/health");
}

/** @returns {Promise<RTCIceServer[]>} */
export async function iceServers() {
  return (await ask(`${API}/ice-servers`)).iceServers;
}

/** One call's session on the server, from the offer to the farewell. */
export class Session {
  #pc;
  #id = "";
  #closed = false;
  #abandoned = false;
  /** @type {import("../studio/resume.js").Ticket | null} */
  ticket = null;
  /** @type {RTCIceCandidate[]} */
  #candidates = [];
  #timer = 0;
  #offering = new AbortController();

  /** @param {RTCPeerConnection} pc its candidates are sent from now on */
  constructor(pc) {
    this.#pc = pc;
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) this.#collect(candidate);
    });
  }

  /**
   * Offer what the connection has now and take the answer. The offer leaves at once: candidates
   * follow by themselves, since waiting for all of them costs more than a hundred milliseconds.
   * @param {object} extra further fields of the offer
   */
  async open(extra) {
    await this.#pc.setLocalDescription();
    const { sdp, type } = /** @type {RTCSessionDescription} */ (this.#pc.localDescription);
    const answer = await ask(`${API}/offer`, {
      method: "POST",
      body: { sdp, type, ...extra },
      signal: this.#offering.signal,
    });
    this.#id = answer.sessionId;
    if (answer.resumeToken && answer.resumeSeconds > 0) {
      this.ticket = { token: answer.resumeToken, hold_ms: 1000 * answer.resumeSeconds };
    }
    // closed meanwhile: only now there is an address to say it to
    if (this.#closed) return this.#abandoned ? undefined : this.farewell();
    await this.#pc.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
    this.#flushSoon();
  }

  /**
   * Say nothing more to the server: this call has broken off, another one may follow it. An offer
   * that is still on its way is called back: taken late, it would take that one's stream.
   */
  abandon() {
    if (this.#closed) return;
    this.#closed = this.#abandoned = true;
    clearTimeout(this.#timer);
    this.#offering.abort();
  }

  /** Tell the server that this call is over; at any time, also while the page is being left. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.farewell();
  }

  /** The call, or the stream that it has left behind, is not wanted any more. */
  farewell() {
    if (!this.#id) return;
    ask(`${API}/offer/${this.#id}`, { method: "DELETE", keepalive: true }).catch((error) => {
      console.info("the server did not take the farewell:", error.title);
    });
  }

  /** @param {RTCIceCandidate} candidate */
  #collect(candidate) {
    this.#candidates.push(candidate);
    this.#flushSoon();
  }

  #flushSoon() {
    if (!this.#id || this.#timer || this.#closed) return;
    this.#timer = setTimeout(() => this.#flush(), CANDIDATE_BATCH_MS);
  }

  async #flush() {
    this.#timer = 0;
    const candidates = this.#candidates.splice(0).map(({ candidate, sdpMid, sdpMLineIndex }) => (
      { candidate, sdpMid, sdpMLineIndex }
    ));
    if (candidates.length === 0) return;
    try {
      await ask(`${API}/offer/${this.#id}`, { method: "PATCH", body: { candidates } });
    } catch (error) {
      // not fatal: the server's own candidates often suffice, and ICE reports if they do not
      console.warn("the server did not take ICE candidates:", error);
    }
  }
}
