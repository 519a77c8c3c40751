/**
 * The call: camera up, picture down, parameters both ways. One state, one exit.
 */

import { Channel } from "./channel.js";
import {
  asProblem, callClosed, engineStopped, engineTrouble, noMediaPath, setupTooSlow, streamStopped,
} from "./problems.js";
import { iceServers, Session } from "./signaling.js";

const SETUP_DEADLINE_S = 20;
const UPLINK_BITRATE = 2_500_000;

/** @typedef {"idle" | "connecting" | "warming" | "live" | "error"} State */

/**
 * What a call has reached, in milliseconds after Start; null where it is not yet.
 * @typedef {object} Milestones
 * @property {number | null} camera_ms
 * @property {number | null} answer_ms
 * @property {number | null} path_ms
 * @property {number | null} picture_ms
 */

/**
 * What is done with a call's news.
 * @typedef {object} Listener
 * @property {() => void} changed the state, the problem or a milestone is another
 * @property {(message: any) => void} message an event from the server, as it came
 * @property {(message: ArrayBuffer) => void} timing stamps of some frames, see `glass.js`
 * @property {(stream: MediaStream) => void} output the stream to show
 */

/** @returns {Milestones} */
const noMilestones = () => ({ camera_ms: null, answer_ms: null, path_ms: null, picture_ms: null });

/** A viewer's connection to the server; one call at a time. */
export class Connection {
  /** @type {State} */
  #state = "idle";
  /** @type {import("./problems.js").Problem | null} */
  #problem = null;
  #listener;

  // of the call at hand
  /** @type {AbortController | null} */
  #attempt = null;
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {Session | null} */
  #session = null;
  /** @type {Channel | null} */
  #channel = null;
  #serverState = "connecting";
  #milestones = noMilestones();
  #started_ms = 0;
  #interrupted = false;
  #deadline = 0;

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  get state() {
    return this.#state;
  }

  get problem() {
    return this.#problem;
  }

  get milestones() {
    return this.#milestones;
  }

  /** Whether there is a call to stop; an engine in trouble does not end it. */
  get isOpen() {
    return this.#attempt !== null;
  }

  get isPaused() {
    return this.#serverState === "paused";
  }

  /** The network went quiet and may come back. */
  get isInterrupted() {
    return this.#interrupted;
  }

  /**
   * Call the server; all that fails ends in state `error`, never in a rejection.
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @param {object} parameters the stream starts with
   */
  async start(openCamera, parameters) {
    this.#end("idle", null);
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#milestones = noMilestones();
    this.#started_ms = performance.now();
    this.#to("connecting");
    try {
      await this.#connect(attempt.signal, openCamera, parameters);
    } catch (error) {
      if (!attempt.signal.aborted) this.#end("error", asProblem(error));
    }
  }

  stop() {
    this.#end("idle", null);
  }

  /** @param {import("./problems.js").Problem} problem that makes going on pointless */
  fail(problem) {
    if (this.isOpen) this.#end("error", problem);
  }

  /**
   * @param {object} update parameters to change
   * @returns {number | null} the update's number, null if nobody is there to take it
   */
  send(update) {
    return this.#channel?.send(update) ?? null;
  }

  /** @param {MediaStreamTrack} track another camera for the same call */
  async replaceTrack(track) {
    await this.#pc?.getSenders()[0].replaceTrack(track);
  }

  /** @param {object} message that changes nothing */
  tell(message) {
    this.#channel?.tell(message);
  }

  /** @returns {Promise<Iterable<any>>} what the browser counts of the call; nothing without one */
  async stats() {
    return (await this.#pc?.getStats())?.values() ?? [];
  }

  /**
   * The first output frame is on the screen.
   * @param {number | null} server_ms when, on the server's clock, where that is known
   */
  firstShown(server_ms) {
    if (!this.isOpen || this.#milestones.picture_ms !== null) return;
    this.#channel?.firstShown(server_ms);
    this.#reached("picture_ms");
    this.#settle();
  }

  /**
   * @param {AbortSignal} signal
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @param {object} parameters
   */
  async #connect(signal, openCamera, parameters) {
    const servers = await iceServers();
    if (signal.aborted) return;
    const track = await openCamera();
    if (signal.aborted) {
      track.stop();
      return;
    }
    this.#reached("camera_ms");
    const pc = new RTCPeerConnection({ iceServers: servers });
    this.#pc = pc;
    this.#session = new Session(pc);
    this.#watch(pc);
    this.#channel = new Channel(pc, {
      opened: () => this.#opened(),
      message: (message) => this.#receive(message),
      timing: (message) => this.#listener.timing(message),
      closed: () => this.#end("error", callClosed()),
    });
    const { sender, receiver } = pc.addTransceiver(track, {
      direction: "sendrecv",
      sendEncodings: [{ maxBitrate: UPLINK_BITRATE }],
    });
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    this.#listener.output(new MediaStream([receiver.track]));
    this.#deadline = setTimeout(
      () => this.#end("error", setupTooSlow(SETUP_DEADLINE_S)), SETUP_DEADLINE_S * 1000,
    );
    await this.#session.open({ initialParameters: parameters });
    if (signal.aborted) return;
    this.#reached("answer_ms");
    await keepResolution(sender);
  }

  /** @param {RTCPeerConnection} pc */
  #watch(pc) {
    pc.addEventListener("connectionstatechange", () => {
      if (pc !== this.#pc) return;
      this.#interrupted = pc.connectionState === "disconnected";
      if (pc.connectionState === "connected") this.#reached("path_ms");
      else if (pc.connectionState === "failed") this.#end("error", noMediaPath());
      else this.#listener.changed();
    });
  }

  #opened() {
    clearTimeout(this.#deadline);
    this.#settle();
  }

  /** @param {any} message */
  #receive(message) {
    switch (message.type) {
      case "state":
        this.#serverState = message.state;
        this.#settle();
        break;
      case "pipeline_error":
        this.#to("error", engineTrouble(reasonOf(message.error)));
        break;
      case "stream_stopped":
        this.#stopped(message.error_message);
        break;
    }
    this.#listener.message(message);
  }

  /** @param {string | null} reason */
  #stopped(reason) {
    if (!reason) return this.#end("idle", null);
    const engineFailed = this.#state === "error";
    return this.#end("error", engineFailed ? engineStopped(reason) : streamStopped(reason));
  }

  /** Where the call stands, from what the server says and what the eye has seen. */
  #settle() {
    if (!this.isOpen) return;
    if (this.#serverState === "error") {
      return this.#to("error", this.#problem ?? engineTrouble("it gives no reason"));
    }
    // what has been seen stays in sight, also while the server warms up again after a pause
    if (this.#milestones.picture_ms !== null) return this.#to("live");
    return this.#to(this.#channel?.isOpen ? "warming" : "connecting");
  }

  /** @param {keyof Milestones} milestone */
  #reached(milestone) {
    this.#milestones[milestone] ??= performance.now() - this.#started_ms;
    this.#listener.changed();
  }

  /** @param {State} state @param {import("./problems.js").Problem | null} [problem] */
  #to(state, problem = null) {
    this.#state = state;
    this.#problem = problem;
    this.#listener.changed();
  }

  /**
   * The only exit: hang up, tidy, and say why.
   * @param {"idle" | "error"} state
   * @param {import("./problems.js").Problem | null} problem
   */
  #end(state, problem) {
    this.#attempt?.abort();
    clearTimeout(this.#deadline);
    this.#channel?.leave();
    const [session, pc] = [this.#session, this.#pc];
    this.#attempt = this.#pc = this.#session = this.#channel = null;
    this.#serverState = "connecting";
    this.#interrupted = false;
    session?.close();
    pc?.close();
    this.#to(state, problem);
  }
}

/**
 * When the network is short, fewer frames rather than smaller ones: the model wants its size.
 * @param {RTCRtpSender} sender
 */
async function keepResolution(sender) {
  const parameters = sender.getParameters();
  // @ts-ignore: not in every browser's types yet
  parameters.degradationPreference = "maintain-resolution";
  try {
    await sender.setParameters(parameters);
  } catch (error) {
    console.info("this browser chooses by itself what to save on:", error);
  }
}

/** @param {unknown} error text, in this version of the protocol */
function reasonOf(error) {
  return typeof error === "string" ? error : JSON.stringify(error);
}
