/**
 * The studio's call as one state machine: it connects, resumes its stream after a loss, and ends.
 */

import { asProblem, callClosed, serverSilent } from "../shared/problems.js";
import { iceServers } from "../shared/signaling.js";
import { CallAttempt } from "./call_attempt.js";
import { NextCall } from "./next_call.js";
import { Resumption, storeResumeToken } from "./resume.js";
import { fetchHealth } from "./server_status.js";
import { StreamState } from "./stream_state.js";
import { CALL } from "./strings.js";

const SETUP_DEADLINE_S = 20;
const RESUME_DEADLINE_S = 8;
/** Statuses of an offer to resume that no retry can change: the stream is gone. */
const NO_SUCH_STREAM = [403, 404];
const UNAVAILABLE = 503;
const TOO_OFTEN = 429;
const READY_CHECK_MS = 500;
const MOVE_AGAIN_MS = 500;
/** Rates of a camera that the server takes. */
const [LOWEST_FPS, HIGHEST_FPS] = [1, 240];
/** For how long the page looks for the next server after it was told that its own is stopped. */
const RESTART_WINDOW_MS = 600_000;

/** @typedef {"idle" | "connecting" | "warming" | "live" | "error"} State */

/**
 * What a call has reached, in milliseconds after Start; null for what is still to come.
 * @typedef {object} Milestones
 * @property {number | null} camera_ms the camera is open
 * @property {number | null} model_ms the model is loaded
 * @property {number | null} answer_ms the server has answered the offer
 * @property {number | null} path_ms ICE has found a media path
 * @property {number | null} picture_ms the first generated picture is on the screen
 */

/**
 * @typedef {object} CallListener
 * @property {() => void} onChange the state, the problem, the interruption or a milestone changed
 * @property {(message: any) => void} onMessage an event from the server
 * @property {(message: ArrayBuffer) => void} onTimings stamps of some frames, see
 *   `shared/latency.js`
 * @property {(stream: MediaStream) => void} onOutput the stream to show
 * @property {() => void} onDisconnect the connection is about to be closed, and its picture with it
 */

/** @returns {Milestones} */
const noMilestones = () => ({
  camera_ms: null, model_ms: null, answer_ms: null, path_ms: null, picture_ms: null,
});

/** The publisher's calls to the server, one at a time. */
export class Call {
  /** @type {State} */
  #state = "idle";
  /** @type {import("../shared/problems.js").Problem | null} */
  #problem = null;
  #listener;

  // of the current call
  /** @type {AbortController | null} null while there is no call */
  #current = null;
  /** @type {CallAttempt | null} */
  #attempt = null;
  #stream = new StreamState();
  #milestones = noMilestones();
  #start_ms = 0;
  /** @type {RTCIceServer[] | null} for the first attempt */
  #iceServers = null;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {MediaStreamTrack | null} */
  #sound = null;
  #resumption = new Resumption(() => this.#retry());
  /** @type {import("./server_status.js").Health | null} of a server that is not ready yet */
  #waitsFor = null;
  /** @type {import("../shared/problems.js").Queued | null} the place in the line that it waits in */
  #queued = null;
  /** @type {number | null} told by the server: it ends the call within so many seconds */
  #endsWithin_s = null;
  /** Whether another server takes the call over by then. */
  #isMoving = false;
  #hasServerStopped = false;
  /** @type {() => object} */
  #parametersAtStart = () => ({});

  /** @param {CallListener} listener */
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

  /** Whether there is a call to stop; a lost connection or an engine that fails does not end it. */
  get isOpen() {
    return this.#current !== null;
  }

  /** Lets whoever has it watch the call's stream; null where nobody needs it, or without a call. */
  get viewToken() {
    return this.#attempt?.session?.viewToken ?? null;
  }

  get isPaused() {
    return this.#stream.isPaused;
  }

  /** The server whose model the call waits for; null if it does not. */
  get waitsFor() {
    return this.#waitsFor;
  }

  /** The place in the line of a server that is full; null if the call does not wait in it. */
  get queued() {
    return this.#queued;
  }

  /** Why no new pictures come though the call goes on, for people; empty if nothing is wrong. */
  get interruption() {
    if (this.#resumption.isActive) {
      if (this.#waitsFor) return CALL.loadsAgain;
      return this.#hasServerStopped ? CALL.serverStopped : CALL.comingBack;
    }
    if (this.#attempt?.isInterrupted) return CALL.networkAway;
    return this.#stream.isRestarting ? CALL.engineAway : "";
  }

  /** That others wait for a place, for people; empty if nobody does. */
  get crowd() {
    const callers = this.#stream.waitingCallers;
    if (callers === 0) return "";
    return callers === 1 ? CALL.oneWaits : CALL.othersWait(callers);
  }

  /** What the server has told of the call's end, for people; empty as long as none is in sight. */
  get farewell() {
    if (this.#endsWithin_s === null) return "";
    return this.#isMoving ? CALL.moving : CALL.stopping(Math.ceil(this.#endsWithin_s));
  }

  /**
   * Call the server. Every failure ends in the state `error`, never in a rejection.
   * While the server's model loads the call waits, and begins by itself.
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @param {() => object} parameters those the stream starts with, once it does
   */
  async start(openCamera, parameters) {
    const { signal } = this.#begin(parameters);
    try {
      this.#iceServers = await iceServers(); // first: without a server there is no need of a camera
      if (signal.aborted) return;
      if (await this.#takeCamera(signal, openCamera)) await this.#startStream();
    } catch (error) {
      if (!signal.aborted) this.#end("error", asProblem(error));
    }
  }

  /**
   * Resume the stream of the page before this one; start a new one if it is gone.
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @param {() => object} parameters those a new stream starts with
   * @param {import("./resume.js").ResumeToken} token
   */
  async resume(openCamera, parameters, token) {
    const { signal } = this.#begin(parameters);
    try {
      if (!await this.#takeCamera(signal, openCamera)) return;
      this.#resumption.token = token;
      this.#onLost(callClosed());
    } catch (error) {
      if (!signal.aborted) this.#end("error", asProblem(error));
    }
  }

  /** The page is being left: store the resume token, for the next page in this tab. */
  suspend() {
    if (!this.#resumption.token) return this.stop();
    storeResumeToken(this.#resumption.token);
    this.#dropAttempt();
    this.#resumption.lostSession = null; // the stream must not be ended with this page
    return this.#end("idle", null);
  }

  stop() {
    this.#end("idle", null);
  }

  /**
   * @param {object} update parameters to change
   * @returns {number | null} the update's number, null if there is no open connection
   */
  sendUpdate(update) {
    return this.#attempt?.channels?.sendUpdate(update) ?? null;
  }

  /** @param {object} message that changes no parameter */
  sendMessage(message) {
    this.#attempt?.channels?.sendMessage(message);
  }

  /** @param {MediaStreamTrack} track of another camera, for the same call */
  async replaceTrack(track) {
    if (!this.isOpen) return;
    this.#track = track; // an attempt that begins meanwhile takes this one
    await this.#attempt?.replaceTrack(track);
  }

  /** @param {MediaStreamTrack | null} track of sound for this call; null for silence */
  async replaceSound(track) {
    if (!this.isOpen) return;
    this.#sound = track;
    await this.#attempt?.replaceSound(track);
  }

  /** The browser reports that the network is back, perhaps another one. */
  networkChanged() {
    if (this.#resumption.isActive) {
      this.#resumption.resetBackoff();
      this.#resumption.retry();
    } else if (this.#attempt?.isInterrupted) {
      this.#onLost(serverSilent());
    }
  }

  /** @returns {Promise<Iterable<any>>} what the browser counts of the call; nothing without one */
  async stats() {
    return await this.#attempt?.stats() ?? [];
  }

  /**
   * An output frame is on the screen; only the first of a call matters.
   * @param {number | null} server_ms when, on the server's clock; null if not known
   */
  frameShown(server_ms) {
    if (!this.isOpen || this.#milestones.picture_ms !== null) return;
    this.#attempt?.channels?.sendFirstShown(server_ms);
    this.#reached("picture_ms");
    this.#settle();
  }

  // ---- connecting

  /** @param {() => object} parameters */
  #begin(parameters) {
    this.#end("idle", null);
    this.#current = new AbortController();
    this.#milestones = noMilestones();
    this.#start_ms = performance.now();
    this.#parametersAtStart = parameters;
    this.#stream = new StreamState();
    this.#enter("connecting");
    return this.#current;
  }

  /**
   * @param {AbortSignal} signal
   * @param {() => Promise<MediaStreamTrack>} openCamera
   * @returns {Promise<boolean>} false if the call was ended meanwhile
   */
  async #takeCamera(signal, openCamera) {
    const track = await openCamera();
    if (signal.aborted) {
      track.stop();
      return false;
    }
    this.#track = track;
    this.#reached("camera_ms");
    return true;
  }

  /** Once the server is ready; with the parameters last in force, if it had a stream before. */
  async #startStream() {
    const current = this.#current;
    while (await this.#becomesReady(current)) {
      const parameters = this.#stream.parameters ?? this.#parametersAtStart();
      try {
        return await this.#connect({ initialParameters: parameters }, SETUP_DEADLINE_S);
      } catch (error) {
        const problem = asProblem(error);
        // several pages behind one address may ask too often together: they go on waiting
        const queued = problem.queued ?? (problem.status === TOO_OFTEN ? this.#queued : null);
        if (queued) {
          if (!await this.#waitsInLine(current, queued)) return undefined;
          continue;
        }
        // ready a moment ago, but not any more: wait again
        if (problem.status !== UNAVAILABLE || !isLoading(await healthOrNone())) throw error;
        this.#dropAttempt();
      }
    }
    return undefined;
  }

  /**
   * @param {AbortController | null} current the call that waits
   * @param {import("../shared/problems.js").Queued} queued
   * @returns {Promise<boolean>} true once it is time to ask again; false if it was ended meanwhile
   */
  async #waitsInLine(current, queued) {
    if (current !== this.#current || !this.isOpen) return false;
    this.#dropAttempt();
    this.#queued = queued;
    this.#listener.onChange();
    await new Promise((done) => setTimeout(done, queued.askAgain_ms));
    return current === this.#current && this.isOpen;
  }

  /**
   * @param {AbortController | null} current the call that waits
   * @returns {Promise<boolean>} whether to offer: the server is ready, or what it answers to the
   *   offer says more; false if the call was ended meanwhile
   */
  async #becomesReady(current) {
    try {
      for (;;) {
        const health = await healthOrNone();
        if (current !== this.#current || !this.isOpen) return false;
        // the server that has just ended the call may still answer: that is no place to come back to
        const isEnding = this.#hasServerStopped && health?.status === "stopping";
        if (!isLoading(health) && !isEnding) break;
        if (!isEnding) this.#waitsFor = health;
        this.#listener.onChange();
        await new Promise((done) => setTimeout(done, READY_CHECK_MS));
        if (current !== this.#current || !this.isOpen) return false;
      }
    } finally {
      if (current === this.#current) this.#waitsFor = null;
    }
    this.#reached("model_ms");
    return true;
  }

  /**
   * @param {object} fields further fields of the offer
   * @param {number} deadline_s until the data channel must be open
   */
  async #connect(fields, deadline_s) {
    if (this.#attempt) this.#listener.onDisconnect();
    this.#attempt?.drop();
    const attempt = this.#attempt = new CallAttempt(this.#listenerOf(() => attempt));
    try {
      const servers = this.#iceServers ?? await iceServers();
      if (attempt.isDropped || !this.#track) return;
      this.#iceServers = null;
      const place = placeFor(this.#track, this.#queued?.ticket);
      const offered = { ...fields, ...place };
      await attempt.connect(servers, this.#track, this.#sound, offered, deadline_s);
    } catch (error) {
      // the failure of an attempt that was dropped says nothing about the one after it
      if (!attempt.isDropped) throw error;
    }
  }

  /**
   * What an attempt does to this call.
   * @param {() => CallAttempt} attempt
   * @returns {import("./call_attempt.js").AttemptListener}
   */
  #listenerOf(attempt) {
    return {
      onOutput: (stream) => this.#listener.onOutput(stream),
      onAnswer: (token) => {
        this.#queued = null;
        this.#resumption.token = token;
        this.#reached("answer_ms");
      },
      onConnectionState: () => {
        if (attempt().isConnected) this.#reached("path_ms");
        else this.#listener.onChange();
      },
      onOpen: () => {
        this.#resumption.succeed();
        this.#endsWithin_s = null;
        this.#hasServerStopped = false;
        this.#settle();
      },
      onMessage: (message) => this.#onMessage(message),
      onTimings: (message) => this.#listener.onTimings(message),
      onLost: (problem) => this.#onLost(problem),
    };
  }

  #dropAttempt() {
    if (this.#attempt) this.#listener.onDisconnect();
    this.#attempt?.drop();
    this.#resumption.lostSession = this.#attempt?.session ?? this.#resumption.lostSession;
    this.#attempt = null;
    this.#isMoving = false;
    this.#stream.disconnected();
  }

  // ---- moving

  /**
   * Another server takes the call over: connect there while this call goes on, and change when there
   * is a picture. As long as that fails it is tried again, until this call ends and is resumed.
   * @param {CallAttempt} from of the call that is to end
   */
  async #move(from) {
    const isWanted = () => this.#attempt === from && this.isOpen;
    let ticket = "";
    while (isWanted() && this.#track) {
      const next = new NextCall();
      const [track, sound] = [this.#track, this.#sound];
      const asked = this.#stream.parameters ?? this.#parametersAtStart();
      const resume = this.#resumption.token?.token;
      let again_ms = MOVE_AGAIN_MS;
      try {
        const fields = { resume, initialParameters: asked, ...placeFor(track, ticket) };
        await next.connect(track, sound, fields);
        // what was chosen meanwhile has reached the old call alone
        if (this.#track && this.#track !== track) await next.attempt.replaceTrack(this.#track);
        if (this.#sound !== sound) await next.attempt.replaceSound(this.#sound);
        if (isWanted()) return this.#changeTo(next, from, asked);
      } catch (error) {
        const problem = asProblem(error);
        console.info("not moved yet:", problem.title, problem.advice);
        again_ms = problem.queued?.askAgain_ms ?? MOVE_AGAIN_MS;
        ticket = problem.queued?.ticket ?? ticket;
      }
      next.attempt.drop();
      await new Promise((done) => setTimeout(done, again_ms));
    }
    return undefined;
  }

  /**
   * @param {NextCall} next that has a picture
   * @param {CallAttempt} from
   * @param {object} asked parameters that it has begun with
   */
  #changeTo(next, from, asked) {
    const latest = this.#stream.parameters;
    this.#listener.onDisconnect();
    this.#attempt = next.attempt;
    this.#isMoving = false;
    next.handTo(this.#listenerOf(() => next.attempt));
    from.session?.close(); // its server need not wait any more
    from.drop();
    if (latest && JSON.stringify(latest) !== JSON.stringify(asked)) this.sendUpdate(latest);
  }

  // ---- resuming

  /**
   * The connection is lost: try to resume the stream, or end the call if it cannot be resumed.
   * @param {import("../shared/problems.js").Problem} problem
   */
  #onLost(problem) {
    if (!this.isOpen) return;
    if (!this.#resumption.isPossible) return this.#end("error", problem);
    console.info("the connection is lost:", problem.title);
    this.#dropAttempt();
    if (this.#endsWithin_s !== null) this.#hasServerStopped = true;
    this.#endsWithin_s = null;
    this.#resumption.begin(this.#hasServerStopped ? RESTART_WINDOW_MS : 0);
    this.#listener.onChange();
    this.#resumption.retry();
  }

  /** Resume the stream, or start a new one with its parameters if it is gone. */
  async #retry() {
    const signal = this.#current?.signal;
    if (!signal || signal.aborted || this.#attempt?.isStarted || this.#waitsFor) return;
    try {
      const { token } = this.#resumption;
      if (token) {
        if (this.#hasServerStopped && !await this.#becomesReady(this.#current)) return;
        // the next server has the stream no more, and begins it anew under its name
        const parameters = this.#stream.parameters ?? this.#parametersAtStart();
        const fields = { resume: token.token, initialParameters: parameters };
        await this.#connect(fields, RESUME_DEADLINE_S);
      } else {
        await this.#startStream();
      }
    } catch (error) {
      if (signal.aborted) return;
      const problem = asProblem(error);
      if (!this.#resumption.isActive) return this.#end("error", problem);
      console.info("not resumed yet:", problem.title, problem.advice);
      this.#queued = problem.queued ?? this.#queued; // its place is kept from one try to the next
      this.#dropAttempt();
      if (problem.status && NO_SUCH_STREAM.includes(problem.status)) {
        this.#resumption.token = null;
        this.#resumption.resetBackoff();
      }
      this.#resumption.retry();
    }
  }

  // ---- the server's events

  /** @param {any} message */
  #onMessage(message) {
    this.#stream.update(message);
    if (message.type === "state") this.#settle();
    else if (message.type === "server_stopping") this.#onServerStopping(message);
    else if (message.type === "stream_stopped") this.#onStopped(message);
    else if (message.type === "waiting") this.#listener.onChange();
    this.#listener.onMessage(message);
  }

  /** @param {{ends_in_s: number, resume_token: string | null, hands_over?: boolean}} message */
  #onServerStopping({ ends_in_s, resume_token, hands_over }) {
    this.#endsWithin_s = ends_in_s;
    if (resume_token && this.#resumption.token) this.#resumption.token.token = resume_token;
    if (hands_over && !this.#isMoving && this.#attempt && this.#resumption.token) {
      this.#isMoving = true;
      this.#move(this.#attempt);
    }
    this.#listener.onChange();
  }

  /** @param {{error_message: string | null, server_stops?: boolean}} message */
  #onStopped({ error_message: reason, server_stops: isServer }) {
    if (isServer && this.#resumption.isPossible) {
      this.#hasServerStopped = true;
      return this.#onLost(callClosed()); // whoever stopped it starts it again, mostly
    }
    if (reason) return this.#end("error", this.#stream.problemAtEnd(reason));
    return this.#end("idle", null);
  }

  // ---- the state

  /** Enter the state of an open call that follows from the channel and the milestones. */
  #settle() {
    if (!this.isOpen) return;
    // a picture once shown stays in sight, also while the server warms up again after a pause
    if (this.#milestones.picture_ms !== null) return this.#enter("live");
    return this.#enter(this.#attempt?.channels?.isOpen ? "warming" : "connecting");
  }

  /** @param {keyof Milestones} milestone */
  #reached(milestone) {
    this.#milestones[milestone] ??= performance.now() - this.#start_ms;
    this.#listener.onChange();
  }

  /** @param {State} state @param {import("../shared/problems.js").Problem | null} [problem] */
  #enter(state, problem = null) {
    this.#state = state;
    this.#problem = problem;
    this.#listener.onChange();
  }

  /**
   * The only way out of a call: end its session, release everything, and report why.
   * @param {"idle" | "error"} state
   * @param {import("../shared/problems.js").Problem | null} problem
   */
  #end(state, problem) {
    this.#current?.abort();
    const session = this.#attempt?.session;
    if (session) session.close();
    else this.#resumption.lostSession?.delete();
    this.#dropAttempt();
    this.#current = this.#iceServers = this.#track = this.#sound = this.#waitsFor = null;
    this.#queued = null;
    this.#endsWithin_s = null;
    this.#hasServerStopped = false;
    this.#resumption.end();
    this.#enter(state, problem);
  }
}

/** Also behind a proxy that hides it. */
function healthOrNone() {
  return fetchHealth().catch(() => null);
}

/**
 * Whether the server will be ready by itself.
 * @param {import("./server_status.js").Health | null} health
 */
function isLoading(health) {
  return health !== null && !health.ready && health.status !== "stopping"
    && health.engine_state !== "stopped";
}

/**
 * The place that an offer asks for: in the line, where the server is full.
 * @param {MediaStreamTrack} track
 * @param {string} [ticket] of the place in the line that it has already
 */
function placeFor(track, ticket = "") {
  return { ...frameRateOf(track), wait: true, ticket };
}

/**
 * What the camera's stream is promised; nothing where the browser does not say.
 * @param {MediaStreamTrack} track
 * @returns {{frameRate?: number}}
 */
function frameRateOf(track) {
  const { frameRate } = track.getSettings();
  return frameRate && frameRate >= LOWEST_FPS && frameRate <= HIGHEST_FPS ? { frameRate } : {};
}
