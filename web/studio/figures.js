/**
 * What this page measures of a call: the clock of its server, the age of its pictures, its losses.
 */

import { ClientStats } from "../shared/client_stats.js";
import { LatencyMeter } from "../shared/latency.js";
import { ServerClock } from "../shared/server_clock.js";

const REPORT_MS = 1_000;

export class Figures {
  #call;
  #panel;
  #clock = new ServerClock();
  #latency = new LatencyMeter(this.#clock, performance.timeOrigin);
  #stats = new ClientStats();

  /** @param {import("./call.js").Call} call @param {import("./metrics_panel.js").MetricsPanel} panel */
  constructor(call, panel) {
    this.#call = call;
    this.#panel = panel;
  }

  /** Once a second, while the page is visible: show the latency and report client stats. */
  start() {
    setInterval(() => this.#report(), REPORT_MS);
  }

  /** A new call begins. */
  reset() {
    this.#clock.reset();
    this.newConnection();
    this.#panel.clear();
  }

  /** Of the same call, perhaps: it counts anew. */
  newConnection() {
    this.#latency.reset();
    this.#stats.reset();
  }

  /** @param {{t: number, server_ns: number}} pong */
  addPong({ t, server_ns }) {
    const now_ms = performance.now();
    this.#clock.add(t, server_ns / 1e6, now_ms);
    this.#panel.showRoundTrip(now_ms - t);
  }

  /** @param {ArrayBuffer} message stamps of some frames */
  addStamps(message) {
    this.#latency.addStamps(message);
  }

  /** @param {import("../shared/video_frames.js").PresentedFrame} frame */
  addFrame(frame) {
    this.#latency.addFrame(frame);
    const offset_ms = this.#clock.offset_ms;
    this.#call.frameShown(offset_ms === null ? null : frame.shown_ms + offset_ms);
  }

  /** The age of the newest picture on the screen; null if not known. */
  get age_ms() {
    return this.#latency.summary(performance.now())?.now_ms ?? null;
  }

  async #report() {
    if (document.hidden || !this.#call.isOpen) return;
    const stats = await this.#call.stats();
    const now_ms = performance.now();
    const latency = this.#latency.summary(now_ms);
    this.#panel.showLatency(latency);
    const message = this.#stats.message(stats, now_ms, this.#latency.presentedFrames, latency);
    if (message) this.#call.sendMessage(message);
  }
}
