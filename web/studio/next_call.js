/**
 * A call to the next server, while the one to this server goes on: nobody sees or hears of it until
 * it has a picture.
 */

import { asProblem, setupTooSlow } from "../shared/problems.js";
import { iceServers } from "../shared/signaling.js";
import { CallAttempt } from "./call_attempt.js";

const PICTURE_DEADLINE_S = 8;
const LOOK_MS = 50;

/** An attempt whose events wait for the listener that it is handed to. */
export class NextCall {
  /** The attempt, to be dropped by whoever does not want it. */
  attempt;
  /** @type {import("./call_attempt.js").AttemptListener | null} */
  #listener = null;
  /** @type {((listener: import("./call_attempt.js").AttemptListener) => void)[]} in their order */
  #events = [];
  /** @type {import("../shared/problems.js").Problem | null} */
  #lost = null;

  constructor() {
    const pass = (/** @type {(listener: any) => void} */ event) => {
      if (this.#listener) event(this.#listener);
      else this.#events.push(event);
    };
    this.attempt = new CallAttempt({
      onOutput: (stream) => pass((listener) => listener.onOutput(stream)),
      onAnswer: (token) => pass((listener) => listener.onAnswer(token)),
      onConnectionState: () => pass((listener) => listener.onConnectionState()),
      onOpen: () => pass((listener) => listener.onOpen()),
      onMessage: (message) => pass((listener) => listener.onMessage(message)),
      onTimings: (message) => pass((listener) => listener.onTimings(message)),
      onLost: (problem) => {
        this.#lost = problem;
        pass((listener) => listener.onLost(problem));
      },
    });
  }

  /**
   * Call, and wait for the first picture.
   * @param {MediaStreamTrack} track the camera's
   * @param {MediaStreamTrack | null} sound that goes with it
   * @param {object} fields further fields of the offer
   * @throws {import("../shared/problems.js").Problem} if there is none in time
   */
  async connect(track, sound, fields) {
    const until_ms = performance.now() + 1000 * PICTURE_DEADLINE_S;
    await this.attempt.connect(await iceServers(), track, sound, fields, PICTURE_DEADLINE_S);
    while (!await this.#hasPicture()) {
      if (this.#lost) throw asProblem(this.#lost);
      if (performance.now() > until_ms) throw setupTooSlow(PICTURE_DEADLINE_S);
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  }

  /**
   * From now on it is this listener's, from its first event on.
   * @param {import("./call_attempt.js").AttemptListener} listener
   */
  handTo(listener) {
    this.#listener = listener;
    for (const event of this.#events.splice(0)) event(listener);
  }

  async #hasPicture() {
    for (const { type, framesDecoded } of await this.attempt.stats()) {
      if (type === "inbound-rtp" && framesDecoded > 0) return true;
    }
    return false;
  }
}
