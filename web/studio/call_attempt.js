/**
 * One attempt at a call: a peer connection, its session on the server, and its data channels.
 */

import { DataChannels } from "../shared/data_channel.js";
import { minimisePlayoutDelay } from "../shared/playout_delay.js";
import { callClosed, noMediaPath, serverSilent, setupTooSlow } from "../shared/problems.js";
import { Session } from "./session.js";

const UPLINK_BPS = 2_500_000;

/**
 * Called while the attempt has not been dropped.
 * @typedef {object} AttemptListener
 * @property {(output: MediaStream) => void} onOutput the stream to show, before it has pictures
 * @property {(token: import("./resume.js").ResumeToken | null) => void} onAnswer
 * @property {() => void} onConnectionState see `isConnected` and `isInterrupted`
 * @property {() => void} onOpen updates can be sent, events will come
 * @property {(message: any) => void} onMessage an event from the server
 * @property {(message: ArrayBuffer) => void} onTimings stamps of some frames
 * @property {(problem: import("../shared/problems.js").Problem) => void} onLost
 */

/** Connects once; when that fails or the connection is lost, another attempt takes its place. */
export class CallAttempt {
  #listener;
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {Session | null} */
  #session = null;
  /** @type {DataChannels | null} */
  #channels = null;
  /** @type {RTCRtpSender | null} */
  #sound = null;
  #setupTimer = 0;
  #isDropped = false;

  /** @param {AttemptListener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  /** Whether it was given up; nothing of it is reported any more. */
  get isDropped() {
    return this.#isDropped;
  }

  /** Whether it has begun to connect. */
  get isStarted() {
    return this.#pc !== null;
  }

  get isConnected() {
    return this.#pc?.connectionState === "connected";
  }

  /** Whether the network is away, perhaps for a moment only. */
  get isInterrupted() {
    return this.#pc?.connectionState === "disconnected";
  }

  /** The data channels; null before `connect`. */
  get channels() {
    return this.#channels;
  }

  /** The session on the server; null before `connect`. */
  get session() {
    return this.#session;
  }

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {MediaStreamTrack} track the camera's
   * @param {MediaStreamTrack | null} sound that goes with it; null for none, yet
   * @param {object} fields further fields of the offer
   * @param {number} deadline_s until the data channel must be open
   * @throws {import("../shared/problems.js").Problem} if there is no answer, or it is a refusal
   */
  async connect(iceServers, track, sound, fields, deadline_s) {
    const listener = this.#listener;
    const pc = this.#pc = new RTCPeerConnection({ iceServers });
    const session = this.#session = new Session(pc);
    this.#watchState(pc);
    this.#channels = new DataChannels(pc, {
      onOpen: () => {
        clearTimeout(this.#setupTimer);
        listener.onOpen();
      },
      onMessage: listener.onMessage,
      onTimings: listener.onTimings,
      onClose: () => listener.onLost(callClosed()),
      onSilence: () => listener.onLost(serverSilent()),
    });
    const { sender, receiver } = pc.addTransceiver(track, {
      direction: "sendrecv",
      sendEncodings: [{ maxBitrate: UPLINK_BPS }],
    });
    // without sound, too: it may be chosen later
    const audio = pc.addTransceiver(sound ?? "audio", { direction: "sendrecv" });
    this.#sound = audio.sender;
    listener.onOutput(new MediaStream([receiver.track, audio.receiver.track]));
    this.#setupTimer = setTimeout(
      () => listener.onLost(setupTooSlow(deadline_s)), deadline_s * 1000,
    );
    await session.open(fields);
    if (this.#isDropped) return;
    minimisePlayoutDelay(pc, receiver);
    listener.onAnswer(session.resumeToken);
    await keepResolution(sender);
  }

  /** @param {MediaStreamTrack} track another camera's */
  async replaceTrack(track) {
    await this.#pc?.getSenders()[0].replaceTrack(track);
  }

  /** @param {MediaStreamTrack | null} track of sound; null for silence */
  async replaceSound(track) {
    await this.#sound?.replaceTrack(track);
  }

  /** @returns {Promise<Iterable<any>>} what the browser counts of the connection */
  async stats() {
    return (await this.#pc?.getStats())?.values() ?? [];
  }

  /** Close the connection without a word to the server, which keeps the stream to be resumed. */
  drop() {
    this.#isDropped = true;
    clearTimeout(this.#setupTimer);
    this.#channels?.detach();
    this.#session?.abandon();
    this.#pc?.close();
  }

  /** @param {RTCPeerConnection} pc */
  #watchState(pc) {
    pc.addEventListener("connectionstatechange", () => {
      if (this.#isDropped) return;
      if (pc.connectionState === "failed") this.#listener.onLost(noMediaPath());
      else this.#listener.onConnectionState();
    });
  }
}

/**
 * On a slow network, send fewer frames rather than smaller ones: the model works at one size.
 * @param {RTCRtpSender} sender
 */
async function keepResolution(sender) {
  const parameters = sender.getParameters();
  // @ts-ignore: not in every browser's types yet
  parameters.degradationPreference = "maintain-resolution";
  try {
    await sender.setParameters(parameters);
  } catch (error) {
    console.info("this browser chooses by itself between size and frame rate:", error);
  }
}
