/**
 * The call: camera up, picture down, parameters both ways. One state, one exit.
 */

import { Channel } from "../shared/data_channel.js";
import { Comeback, leaveTicket } from "./resume.js";
import { settlePace } from "../shared/playout_delay.js";
import {
  asProblem, callClosed, engineStopped, noMediaPath, sentence, serverSilent, setupTooSlow,
  streamStopped,
} from "../shared/problems.js";
import { iceServers, Session } from "../shared/signaling.js";

const SETUP_DEADLINE_S = 20;
const COMEBACK_DEADLINE_S = 8;
/** The server has no stream for this token (any more): only a fresh call can help. */
const NO_SUCH_STREAM = [403, 404];
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
 * @property {(message: ArrayBuffer) => void} timing stamps of some frames, see `shared/latency.js`
 * @property {(stream: MediaStream) => void} output the stream to show
 */

/** @returns {Milestones} */
const noMilestones = () => ({ camera_ms: null, answer_ms: null, path_ms: null, picture_ms: null });

/** A viewer's connection to the server; one call at a time. */
export class Connection {
  /** @type {State} */
  #state = "idle";
  /** @type {import("../shared/problems.js").Problem | null} */
  #problem = null;
  #listener;

  // of the call at hand
  /** @type {AbortController | null} */
  #attempt = null;
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {object | null} stands for the connection at hand, from when it is dialled */
  #leg = null;
  /** @type {Session | null} */
  #session = null;
  /** @type {Channel | null} */
  #channel = null;
  #serverState = "connecting";
  #milestones = noMilestones();
  #started_ms = 0;
  #disconnected = false;
  #deadline = 0;
  /** @type {RTCIceServer[] | null} for the first connection */
  #servers = null;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {object} those in force, as far as is known here */
  #parameters = {};
  #engineTrouble = "";

  // of the way back to its stream
  /** @type {import("./resume.js").Ticket | null} */
  #ticket = null;
  /** @type {Comeback | null} */
  #comeback = null;
  /** @type {Session | null} the call that broke off */
  #brokenOff = null;
  #retry = 0;

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

  /** Why no new picture comes though the call goes on, in words; empty where nothing is wrong. */
  get interruption() {
    if (this.#comeback) return "The connection broke off, coming back to the same stream…";
    if (this.#disconnected) return "The network is interrupted, waiting for it to come back";
    if (this.#serverState === "restarting") {
      return "The engine stopped and is being started again, the call stays up…";
    }
    return "";
  }

  /**
   * Call the server; all that fails ends in state `error`, never in a rejection.
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @param {object} parameters the stream starts with
   */
  async start(openCamera, parameters) {
    const { signal } = this.#begin();
    this.#parameters = parameters;
    try {
      this.#servers = await iceServers(); // first: a server that is gone needs no camera
      if (signal.aborted) return;
      if (await this.#filmed(signal, openCamera)) await this.#dialAfresh(signal);
    } catch (error) {
      if (!signal.aborted) this.#end("error", asProblem(error));
    }
  }

  /**
   * Come back to the stream of a page before this one; as `start` where it is gone.
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @param {object} parameters for a stream that has to start anew
   * @param {import("./resume.js").Ticket} ticket
   */
  async resume(openCamera, parameters, ticket) {
    const { signal } = this.#begin();
    this.#parameters = parameters;
    try {
      if (!await this.#filmed(signal, openCamera)) return;
      this.#ticket = ticket;
      this.#broke(callClosed());
    } catch (error) {
      if (!signal.aborted) this.#end("error", asProblem(error));
    }
  }

  /** The page is being left: the next one in this tab may come back to the stream. */
  suspend() {
    if (!this.#ticket) return this.stop();
    leaveTicket(this.#ticket);
    this.#dropLeg();
    this.#brokenOff = null;
    return this.#end("idle", null);
  }

  stop() {
    this.#end("idle", null);
  }

  /** @param {import("../shared/problems.js").Problem} problem that makes going on pointless */
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
    this.#track = track;
  }

  /** The browser says that the network is back, perhaps another one. */
  networkChanged() {
    if (this.#comeback) {
      this.#comeback.hurry();
      this.#retryLater();
    } else if (this.#disconnected) {
      this.#broke(serverSilent());
    }
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

  #begin() {
    this.#end("idle", null);
    this.#attempt = new AbortController();
    this.#milestones = noMilestones();
    this.#started_ms = performance.now();
    this.#to("connecting");
    return this.#attempt;
  }

  /**
   * @param {AbortSignal} signal
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @returns {Promise<boolean>} whether there is a camera and the call is still wanted
   */
  async #filmed(signal, openCamera) {
    const track = await openCamera();
    if (signal.aborted) {
      track.stop();
      return false;
    }
    this.#track = track;
    this.#reached("camera_ms");
    return true;
  }

  /** @param {AbortSignal} signal */
  async #dialAfresh(signal) {
    await this.#dial(signal, { initialParameters: this.#parameters }, SETUP_DEADLINE_S);
  }

  /**
   * @param {AbortSignal} signal
   * @param {object} extra of the offer
   * @param {number} deadline_s
   */
  async #dial(signal, extra, deadline_s) {
    const leg = {};
    this.#leg = leg;
    const isOver = () => signal.aborted || leg !== this.#leg;
    try {
      await this.#connect(isOver, extra, deadline_s);
    } catch (error) {
      if (!isOver()) throw error; // else another has taken its place, and may be well
    }
  }

  /**
   * @param {() => boolean} isOver whether it is not wanted any more
   * @param {object} extra of the offer
   * @param {number} deadline_s
   */
  async #connect(isOver, extra, deadline_s) {
    const servers = this.#servers ?? await iceServers();
    if (isOver() || !this.#track) return;
    this.#servers = null;
    const pc = new RTCPeerConnection({ iceServers: servers });
    this.#pc = pc;
    this.#session = new Session(pc);
    this.#watch(pc);
    this.#channel = new Channel(pc, {
      opened: () => this.#opened(),
      message: (message) => this.#receive(message),
      timing: (message) => this.#listener.timing(message),
      closed: () => this.#broke(callClosed()),
      silent: () => this.#broke(serverSilent()),
    });
    const { sender, receiver } = pc.addTransceiver(this.#track, {
      direction: "sendrecv",
      sendEncodings: [{ maxBitrate: UPLINK_BITRATE }],
    });
    this.#listener.output(new MediaStream([receiver.track]));
    this.#deadline = setTimeout(() => this.#broke(setupTooSlow(deadline_s)), deadline_s * 1000);
    const session = this.#session;
    await session.open(extra);
    if (isOver()) return;
    this.#ticket = session.ticket;
    settlePace(pc, receiver);
    this.#reached("answer_ms");
    await keepResolution(sender);
  }

  /** @param {RTCPeerConnection} pc */
  #watch(pc) {
    pc.addEventListener("connectionstatechange", () => {
      if (pc !== this.#pc) return;
      this.#disconnected = pc.connectionState === "disconnected";
      if (pc.connectionState === "connected") this.#reached("path_ms");
      else if (pc.connectionState === "failed") this.#broke(noMediaPath());
      else this.#listener.changed();
    });
  }

  // ---- the way back

  /**
   * The call has broken off: come back to its stream, or end where there is none to come back to.
   * @param {import("../shared/problems.js").Problem} problem
   */
  #broke(problem) {
    if (!this.isOpen) return;
    const hold_ms = this.#ticket?.hold_ms;
    if (hold_ms === undefined && !this.#comeback) return this.#end("error", problem);
    console.info("the call has broken off:", problem.title);
    this.#dropLeg();
    this.#comeback ??= new Comeback(performance.now(), hold_ms ?? 0);
    this.#listener.changed();
    this.#retryLater();
  }

  #retryLater() {
    clearTimeout(this.#retry);
    const wait_ms = this.#comeback?.next(performance.now()) ?? null;
    if (wait_ms === null) this.#ticket = this.#comeback = null; // one fresh call is left to try
    this.#retry = setTimeout(() => this.#dialBack(), wait_ms ?? 0);
  }

  /** To the stream as it was; where it is gone, to a new one with its parameters. */
  async #dialBack() {
    const signal = this.#attempt?.signal;
    if (!signal || signal.aborted || this.#pc) return;
    try {
      if (this.#ticket) {
        await this.#dial(signal, { resume: this.#ticket.token }, COMEBACK_DEADLINE_S);
      } else {
        await this.#dialAfresh(signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      const problem = asProblem(error);
      if (!this.#comeback) return this.#end("error", problem);
      console.info("not back yet:", problem.title, problem.advice);
      this.#dropLeg();
      if (problem.status && NO_SUCH_STREAM.includes(problem.status)) {
        this.#ticket = null;
        this.#comeback.hurry();
      }
      this.#retryLater();
    }
  }

  /** Close the connection and say nothing to the server. */
  #dropLeg() {
    clearTimeout(this.#deadline);
    this.#channel?.leave();
    this.#session?.abandon();
    this.#brokenOff = this.#session ?? this.#brokenOff;
    this.#pc?.close();
    this.#channel = this.#session = this.#pc = this.#leg = null;
    this.#serverState = "connecting";
    this.#disconnected = false;
  }

  // ---- what is heard

  #opened() {
    clearTimeout(this.#deadline);
    this.#comeback = this.#brokenOff = null;
    this.#settle();
  }

  /** @param {any} message */
  #receive(message) {
    switch (message.type) {
      case "state":
        this.#serverState = message.state;
        this.#parameters = message.parameters;
        if (message.state === "live") this.#engineTrouble = "";
        this.#settle();
        break;
      case "parameters_updated":
        this.#parameters = message.parameters;
        break;
      case "pipeline_error":
        this.#engineTrouble = reasonOf(message.error);
        console.warn(sentence(this.#engineTrouble));
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
    return this.#end("error", this.#engineTrouble ? engineStopped(reason) : streamStopped(reason));
  }

  /** Where the call stands, from what the server says and what the eye has seen. */
  #settle() {
    if (!this.isOpen) return;
    // what has been seen stays in sight, also while the server warms up again after a pause
    if (this.#milestones.picture_ms !== null) return this.#to("live");
    return this.#to(this.#channel?.isOpen ? "warming" : "connecting");
  }

  /** @param {keyof Milestones} milestone */
  #reached(milestone) {
    this.#milestones[milestone] ??= performance.now() - this.#started_ms;
    this.#listener.changed();
  }

  /** @param {State} state @param {import("../shared/problems.js").Problem | null} [problem] */
  #to(state, problem = null) {
    this.#state = state;
    this.#problem = problem;
    this.#listener.changed();
  }

  /**
   * The only exit: hang up, tidy, and say why.
   * @param {"idle" | "error"} state
   * @param {import("../shared/problems.js").Problem | null} problem
   */
  #end(state, problem) {
    this.#attempt?.abort();
    clearTimeout(this.#retry);
    if (this.#session) this.#session.close();
    else this.#brokenOff?.farewell();
    this.#dropLeg();
    this.#attempt = this.#servers = this.#track = null;
    this.#ticket = this.#comeback = this.#brokenOff = null;
    this.#engineTrouble = "";
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
