/**
 * Parameter updates on their way: to the server, or kept until it can be reached, and their progress.
 */

import { PendingUpdates, touchesPrompts } from "./pending_updates.js";
import { UpdateTracker } from "./update_tracker.js";

export class Updates {
  #call;
  #controls;
  #tracker = new UpdateTracker();
  #pending = new PendingUpdates();

  /** @param {import("./call.js").Call} call @param {import("./controls.js").Controls} controls */
  constructor(call, controls) {
    this.#call = call;
    this.#controls = controls;
  }

  /** A new call begins. */
  reset() {
    this.#tracker.reset();
    this.#pending.clear();
    this.#controls.prompts.transition.reset();
    this.#show();
  }

  /** The parameters a new call starts with: what was changed while it waited is among them. */
  takeInitialParameters() {
    this.#pending.clear();
    return this.#controls.takeInitialParameters();
  }

  /** @param {object} update of parameters @param {string} label what is changed, for people */
  send(update, label) {
    const rev = this.#call.sendUpdate(update);
    if (rev === null) {
      if (!this.#call.isOpen) return; // the next call starts with it
      this.#pending.add({ ...update }, label);
      this.#controls.showPending(label);
      return;
    }
    this.#tracker.sent(rev, label, performance.now());
    if (touchesPrompts(update)) this.#controls.prompts.transition.sent(rev, update);
    this.#show();
  }

  /** The server can be reached. @returns {object} what has waited for that, and is sent now */
  sendPending() {
    const pending = this.#pending.take();
    if (pending) this.send(pending.update, pending.label);
    return pending?.update ?? {};
  }

  /** @param {{rev: number, status: string, errors?: string[]}} ack */
  acknowledged({ rev, status, errors }) {
    this.#tracker.acknowledged(rev, status, errors ?? []);
    if (status !== "accepted") this.#controls.prompts.transition.ended(rev);
    this.#show();
  }

  /** @param {number} rev */
  applied(rev) {
    this.#tracker.applied(rev, performance.now());
    this.#controls.prompts.transition.applied(rev);
    this.#show();
  }

  /** @param {{rev: number, rtp_timestamp: number | null}} event */
  onAir({ rev, rtp_timestamp }) {
    this.#tracker.onAir(rev, rtp_timestamp);
    this.#show();
  }

  /** @param {import("../shared/video_frames.js").PresentedFrame} frame */
  addFrame(frame) {
    const before = this.#tracker.update?.stage;
    this.#tracker.addFrame(frame);
    if (this.#tracker.update?.stage !== before) this.#show();
  }

  #show() {
    this.#controls.showUpdate(this.#tracker.update);
  }
}
