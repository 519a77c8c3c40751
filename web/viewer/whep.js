/**
 * A stream played by WHEP, the playback counterpart of WHIP (RFC 9725): one POST with the offer,
 * PATCHes with ICE candidates, one DELETE.
 */

import { addressOf, request } from "../shared/http.js";
import { minimisePlayoutDelay } from "../shared/playout_delay.js";
import { CandidateTrickle, deleteSession, offerInStereo } from "../shared/signaling.js";

const SDP_FRAGMENT = "application/trickle-ice-sdpfrag"; // RFC 8840

/** One subscriber's session. */
export class WhepSession {
  /** The stream, for a video element. */
  media;
  /**
   * Beyond WHEP: the server reports the stream's events on it and answers pings.
   * @type {RTCDataChannel}
   */
  channel;
  #pc;
  #receiver;
  #trickle;
  #url = "";
  #isClosed = false;

  /** @param {RTCIceServer[]} iceServers known before the offer; those of a Link header come late */
  constructor(iceServers) {
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#receiver = this.#pc.addTransceiver("video", { direction: "recvonly" }).receiver;
    const sound = this.#pc.addTransceiver("audio", { direction: "recvonly" }).receiver;
    this.channel = this.#pc.createDataChannel("parameters");
    this.media = new MediaStream([this.#receiver.track, sound.track]);
    this.#trickle = new CandidateTrickle(this.#pc, (candidates) => request(this.#url, {
      method: "PATCH",
      headers: { "Content-Type": SDP_FRAGMENT },
      body: sdpFragment(this.#localSdp(), candidates),
    }));
  }

  /** Whether the server has closed the session, or the network has failed. */
  get isOver() {
    return this.channel.readyState === "closed" || this.#pc.connectionState === "failed";
  }

  /** @returns {Promise<boolean>} whether a picture has come */
  async hasPicture() {
    for (const { type, framesDecoded } of (await this.#pc.getStats()).values()) {
      if (type === "inbound-rtp" && framesDecoded > 0) return true;
    }
    return false;
  }

  /**
   * Offer at once and trickle the candidates; the server's own are in its answer.
   * @param {string} stream its name; empty for the newest
   * @throws {import("../shared/problems.js").Problem} if there is no answer, or it is a refusal
   */
  async open(stream) {
    await offerInStereo(this.#pc);
    const response = await request(`/whep/${encodeURIComponent(stream)}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.#localSdp(),
    });
    // its end only: a proxy that takes a path off may not have told the server what to put before it
    const [name, id] = (response.headers.get("Location") ?? "").split("/").slice(-2);
    this.#url = addressOf(`/whep/${name}/${id}`).href;
    const sdp = await response.text();
    // closed while the offer was on its way: only now is the session's address known
    if (this.#isClosed) return deleteSession(this.#url);
    this.#trickle.open();
    await this.#pc.setRemoteDescription({ type: "answer", sdp });
    minimisePlayoutDelay(this.#pc, this.#receiver);
  }

  /** End the session on the server too; at any time. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#trickle.close();
    if (this.#url) deleteSession(this.#url);
    this.#pc.close();
  }

  #localSdp() {
    return /** @type {RTCSessionDescription} */ (this.#pc.localDescription).sdp;
  }
}

/**
 * Candidates in the form of a PATCH (RFC 8840): ICE credentials, the media section, the candidates.
 * @param {string} sdp the local description
 * @param {RTCIceCandidate[]} candidates at least one
 */
function sdpFragment(sdp, candidates) {
  const credentials = sdp.match(/^a=ice-(ufrag|pwd):.*$/gm)?.slice(0, 2) ?? [];
  const media = ["m=video 9 UDP/TLS/RTP/SAVPF 0", `a=mid:${candidates[0].sdpMid ?? "0"}`];
  const lines = candidates.map(({ candidate }) => `a=${candidate}`);
  return [...credentials, ...media, ...lines, ""].map((line) => line.trim()).join("\r\n");
}
