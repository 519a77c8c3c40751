/**
 * A session by the server's signalling API: an offer and its answer, candidates, an end.
 */

import { requestJson } from "../shared/http.js";
import { CandidateTrickle, deleteSession, offerInStereo, WEBRTC_API } from "../shared/signaling.js";

const OFFERS = `${WEBRTC_API}/offer`;

/** One publisher's session on the server, from its offer to its end. */
export class Session {
  /** @type {import("./resume.js").ResumeToken | null} null before the answer, or if it has none */
  resumeToken = null;
  /** @type {string | null} lets whoever has it watch the stream; null where nobody needs one */
  viewToken = null;
  #pc;
  #trickle;
  #id = "";
  #isClosed = false;
  #isAbandoned = false;
  #offering = new AbortController();

  /** @param {RTCPeerConnection} pc that has not offered yet */
  constructor(pc) {
    this.#pc = pc;
    this.#trickle = new CandidateTrickle(pc, (found) => {
      const candidates = found.map(({ candidate, sdpMid, sdpMLineIndex }) => (
        { candidate, sdpMid, sdpMLineIndex }
      ));
      return requestJson(this.#url, { method: "PATCH", body: { candidates } });
    });
  }

  get #url() {
    return `${OFFERS}/${this.#id}`;
  }

  /**
   * Offer what the connection has now and take the answer. The offer leaves at once and candidates
   * follow: to gather all of them first costs more than a hundred milliseconds.
   * @param {object} fields further fields of the offer
   * @throws {import("../shared/problems.js").Problem} if there is no answer, or it is a refusal
   */
  async open(fields) {
    await offerInStereo(this.#pc);
    const { sdp, type } = /** @type {RTCSessionDescription} */ (this.#pc.localDescription);
    const answer = await requestJson(OFFERS, {
      method: "POST",
      body: { sdp, type, ...fields },
      signal: this.#offering.signal,
    });
    this.#id = answer.sessionId;
    this.viewToken = answer.viewToken ?? null;
    if (answer.resumeToken && answer.resumeSeconds > 0) {
      this.resumeToken = { token: answer.resumeToken, window_ms: 1000 * answer.resumeSeconds };
    }
    // closed while the offer was on its way: only now is the session's address known
    if (this.#isClosed) return this.#isAbandoned ? undefined : this.delete();
    this.#trickle.open();
    await this.#pc.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
  }

  /**
   * Send nothing more to the server: the connection was lost, and another may resume its stream. An
   * offer that is still on its way is aborted, else its late answer would take over that stream.
   */
  abandon() {
    if (this.#isClosed) return;
    this.#isClosed = this.#isAbandoned = true;
    this.#trickle.close();
    this.#offering.abort();
  }

  /** End the session on the server too; at any time, also while the page is being left. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#trickle.close();
    this.delete();
  }

  /** End the session on the server, or, after `abandon`, the stream that waits to be resumed. */
  delete() {
    if (this.#id) deleteSession(this.#url);
  }
}
