/**
 * What every session needs of signalling, by whichever protocol: ICE servers, trickled candidates,
 * and the DELETE at the end.
 */

import { request, requestJson } from "./http.js";

/** The server's own signalling API. */
export const WEBRTC_API = "/api/v1/webrtc";
const CANDIDATE_BATCH_MS = 50;

/** @returns {Promise<RTCIceServer[]>} */
export async function iceServers() {
  return (await requestJson(`${WEBRTC_API}/ice-servers`)).iceServers;
}

/**
 * Make an offer the local description. Without a word in it a browser mixes Opus down to mono.
 * @param {RTCPeerConnection} pc
 */
export async function offerInStereo(pc) {
  const { sdp = "" } = await pc.createOffer();
  const isSaid = sdp.includes("stereo=1");
  const stereo = isSaid ? sdp : sdp.replace(/useinbandfec=1/g, "useinbandfec=1;stereo=1");
  await pc.setLocalDescription({ type: "offer", sdp: stereo });
}

/** Sends a connection's ICE candidates as they are found, in batches (trickle ICE, RFC 8838). */
export class CandidateTrickle {
  #send;
  /** @type {RTCIceCandidate[]} */
  #candidates = [];
  #isOpen = false;
  #timer = 0;

  /**
   * @param {RTCPeerConnection} pc that has not offered yet
   * @param {(candidates: RTCIceCandidate[]) => Promise<unknown>} send
   */
  constructor(pc, send) {
    this.#send = send;
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) this.#candidates.push(candidate);
      this.#flushSoon();
    });
  }

  /** The session exists: send the candidates found so far, and from now on each as it is found. */
  open() {
    this.#isOpen = true;
    this.#flushSoon();
  }

  /** Send no more candidates. */
  close() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
  }

  #flushSoon() {
    if (this.#isOpen && !this.#timer) {
      this.#timer = setTimeout(() => this.#flush(), CANDIDATE_BATCH_MS);
    }
  }

  async #flush() {
    this.#timer = 0;
    const candidates = this.#candidates.splice(0);
    if (candidates.length === 0) return;
    try {
      await this.#send(candidates);
    } catch (error) {
      // not fatal: the server's own candidates often suffice, and ICE reports if they do not
      console.warn("the server did not take ICE candidates:", error);
    }
  }
}

/**
 * Tell the server that a session is over; also while the page is being left.
 * @param {string} url of the session
 */
export function deleteSession(url) {
  request(url, { method: "DELETE", keepalive: true }).catch((error) => {
    console.info("the server did not take the end of the session:", error.title);
  });
}
