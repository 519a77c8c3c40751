/**
 * The stream's state, as the server's events report it.
 */

import { engineStopped, sentence, streamStopped } from "../shared/problems.js";

/** What is known of the stream of one call. */
export class StreamState {
  /** Of the events `state`: "connecting" before the first. */
  #state = "connecting";
  #engineError = "";

  /** How many callers wait for a place on this server. */
  waitingCallers = 0;

  /** @type {object | null} those last reported; null before the first event */
  parameters = null;

  get isPaused() {
    return this.#state === "paused";
  }

  /** Whether the engine has failed and is being started again. */
  get isRestarting() {
    return this.#state === "restarting";
  }

  /** The connection is lost: its last state means nothing any more. */
  disconnected() {
    this.#state = "connecting";
  }

  /** @param {any} event from the server; other kinds change nothing here */
  update(event) {
    switch (event.type) {
      case "state":
        this.#state = event.state;
        this.parameters = event.parameters;
        if (event.state === "live") this.#engineError = "";
        break;
      case "waiting":
        this.waitingCallers = event.callers;
        break;
      case "parameters_updated":
        this.parameters = event.parameters;
        break;
      case "pipeline_error":
        this.#engineError = reasonOf(event.error);
        console.warn(sentence(this.#engineError));
        break;
    }
  }

  /**
   * @param {string} reason the server gives for the end of the stream
   * @returns {import("../shared/problems.js").Problem}
   */
  problemAtEnd(reason) {
    return this.#engineError ? engineStopped(reason) : streamStopped(reason);
  }
}

/** @param {unknown} error text, in this version of the protocol */
function reasonOf(error) {
  return typeof error === "string" ? error : JSON.stringify(error);
}
