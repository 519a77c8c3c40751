/**
 * A stream played by WHEP, the counterpart of WHIP (RFC 9725): one POST, one answer, one DELETE.
 */

import { settlePace } from "../shared/playout_delay.js";
import { request } from "../shared/signaling.js";

const FRAGMENT = "application/trickle-ice-sdpfrag";
const CANDIDATE_BATCH_MS = 50;

/** One call that only watches. */
export class Whep {
  /** What is watched, to be shown by a video element. */
  media;
  /**
   * More than WHEP asks for: the server tells of the stream on it, and hears pings.
   * @type {RTCDataChannel}
   */
  channel;
  #pc;
  #receiver;
  #resource = "";
  #closed = false;
  /** @type {RTCIceCandidate[]} */
  #candidates = [];
  #timer = 0;

  /** @param {RTCIceServer[]} iceServers a browser can take none later, as those of a Link header */
  constructor(iceServers) {
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#receiver = this.#pc.addTransceiver("video", { direction: "recvonly" }).receiver;
    this.channel = this.#pc.createDataChannel("parameters");
    this.media = new MediaStream([this.#receiver.track]);
    this.#pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) this.#candidates.push(candidate);
      this.#flushSoon();
    });
  }

  /** Whether the server has hung up, or the network has failed. */
  get isOver() {
    return this.channel.readyState === "closed" || this.#pc.connectionState === "failed";
  }

  /**
   * Offer at once, and tell addresses as they are found; the server's own are in its answer.
   * @param {string} stream its name; empty for the newest
   * @throws {import("../shared/problems.js").Problem} if there is no answer, or it is a refusal
   */
  async open(stream) {
    await this.#pc.setLocalDescription();
    const response = await request(`/whep/${encodeURIComponent(stream)}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.#localSdp(),
    });
    this.#resource = new URL(response.headers.get("Location") ?? "", response.url).href;
    const sdp = await response.text();
    // closed meanwhile: only now there is an address to say it to
    if (this.#closed) return this.#farewell();
    await this.#pc.setRemoteDescription({ type: "answer", sdp });
    settlePace(this.#pc, this.#receiver);
    this.#flushSoon();
  }

  /** Tell the server that nobody watches any more; at any time. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#resource) this.#farewell();
    this.#pc.close();
  }

  #farewell() {
    request(this.#resource, { method: "DELETE", keepalive: true }).catch((error) => {
      console.info("the server did not take the farewell:", error.title);
    });
  }

  #localSdp() {
    return /** @type {RTCSessionDescription} */ (this.#pc.localDescription).sdp;
  }

  #flushSoon() {
    if (!this.#resource || this.#timer || this.#closed) return;
    this.#timer = setTimeout(() => this.#flush(), CANDIDATE_BATCH_MS);
  }

  async #flush() {
    this.#timer = 0;
    const candidates = this.#candidates.splice(0);
    if (candidates.length === 0) return;
    const credentials = this.#localSdp().match(/^a=ice-(ufrag|pwd):.*$/gm)?.slice(0, 2) ?? [];
    const lines = candidates.map(({ candidate }) => `a=${candidate}`);
    const media = ["m=video 9 UDP/TLS/RTP/SAVPF 0", `a=mid:${candidates[0].sdpMid ?? "0"}`];
    const body = [...credentials, ...media, ...lines, ""].map((line) => line.trim()).join("\r\n");
    try {
      await request(this.#resource, {
        method: "PATCH",
        headers: { "Content-Type": FRAGMENT },
        body,
      });
    } catch (error) {
      // not fatal: the server's own candidates often suffice, and ICE reports if they do not
      console.warn("the server did not take ICE candidates:", error);
    }
  }
}
