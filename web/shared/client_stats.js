/**
 * What the browser says of the picture it gets, as the differences of one second. Pure.
 */

const MS_PER_S = 1000;

// what is counted from the beginning of the call, as `getStats` names it
const COUNTED = [
  "freezeCount", "totalFreezesDuration", "packetsReceived", "packetsLost", "framesDecoded",
  "framesDropped", "jitterBufferDelay", "jitterBufferEmittedCount",
];

/** Turns the browser's totals into the message `client_stats`; once a second. */
export class ClientStats {
  /** @type {{at_ms: number, shown: number, totals: Record<string, number>} | null} */
  #before = null;

  /** A new call counts anew. */
  reset() {
    this.#before = null;
  }

  /**
   * @param {Iterable<any>} stats all of a connection's
   * @param {number} now_ms
   * @param {number} shown pictures presented since the page was opened
   * @param {import("./latency.js").GlassFigures | null} glass
   * @returns {object | null} null the first time, and while no picture comes
   */
  message(stats, now_ms, shown, glass) {
    const all = [...stats];
    const video = all.find((one) => one.type === "inbound-rtp" && one.kind === "video");
    if (!video) return null;
    const totals = Object.fromEntries(COUNTED.map((name) => [name, video[name] ?? 0]));
    const before = this.#before;
    this.#before = { at_ms: now_ms, shown, totals };
    if (!before || now_ms <= before.at_ms) return null;
    const grown = (/** @type {string} */ name) => Math.max(0, totals[name] - before.totals[name]);
    const emitted = grown("jitterBufferEmittedCount");
    const rtt_s = path(all)?.currentRoundTripTime;
    return {
      type: "client_stats",
      freezes: grown("freezeCount"),
      frozen_ms: MS_PER_S * grown("totalFreezesDuration"),
      received_packets: grown("packetsReceived"),
      lost_packets: grown("packetsLost"),
      decoded_frames: grown("framesDecoded"),
      dropped_frames: grown("framesDropped"),
      shown_fps: (MS_PER_S * (shown - before.shown)) / (now_ms - before.at_ms),
      rtt_ms: rtt_s === undefined ? null : MS_PER_S * rtt_s,
      jitter_buffer_ms: emitted ? (MS_PER_S * grown("jitterBufferDelay")) / emitted : null,
      glass_ms: glass?.covers === "glass" ? { p50: glass.p50_ms, p95: glass.p95_ms } : null,
    };
  }
}

/** The pair of addresses in use. @param {any[]} stats */
function path(stats) {
  const transport = stats.find((one) => one.type === "transport");
  return stats.find((one) => one.id === transport?.selectedCandidatePairId)
    ?? stats.find((one) => one.type === "candidate-pair" && one.nominated);
}
