/**
 * What the browser measures of the received video, as differences over one second. Pure.
 */

const MS_PER_S = 1000;

/** Fields of `getStats` that count from the beginning of the call. */
const TOTALS = [
  "freezeCount", "totalFreezesDuration", "packetsReceived", "packetsLost", "framesDecoded",
  "framesDropped", "jitterBufferDelay", "jitterBufferEmittedCount",
];

/** Turns the browser's totals into the message `client_stats`, once a second. */
export class ClientStats {
  /** @type {{at_ms: number, presentedFrames: number, totals: Record<string, number>} | null} */
  #before = null;

  /** A new call counts anew. */
  reset() {
    this.#before = null;
  }

  /**
   * @param {Iterable<any>} stats of the connection, all of them
   * @param {number} now_ms
   * @param {number} presentedFrames since the page was opened
   * @param {import("./latency.js").LatencySummary | null} latency
   * @returns {object | null} null the first time, and while no video is received
   */
  message(stats, now_ms, presentedFrames, latency) {
    const reports = [...stats];
    const video = reports.find((one) => one.type === "inbound-rtp" && one.kind === "video");
    if (!video) return null;
    const totals = Object.fromEntries(TOTALS.map((name) => [name, video[name] ?? 0]));
    const before = this.#before;
    this.#before = { at_ms: now_ms, presentedFrames, totals };
    if (!before || now_ms <= before.at_ms) return null;
    const increase = (/** @type {string} */ name) => (
      Math.max(0, totals[name] - before.totals[name])
    );
    const newFrames = presentedFrames - before.presentedFrames;
    const emitted = increase("jitterBufferEmittedCount");
    const rtt_s = selectedPair(reports)?.currentRoundTripTime;
    return {
      type: "client_stats",
      freezes: increase("freezeCount"),
      frozen_ms: MS_PER_S * increase("totalFreezesDuration"),
      received_packets: increase("packetsReceived"),
      lost_packets: increase("packetsLost"),
      decoded_frames: increase("framesDecoded"),
      dropped_frames: increase("framesDropped"),
      shown_fps: (MS_PER_S * newFrames) / (now_ms - before.at_ms),
      rtt_ms: rtt_s === undefined ? null : MS_PER_S * rtt_s,
      jitter_buffer_ms: emitted ? (MS_PER_S * increase("jitterBufferDelay")) / emitted : null,
      glass_ms: latency?.covers === "glass" ? { p50: latency.p50_ms, p95: latency.p95_ms } : null,
    };
  }
}

/** The candidate pair in use. @param {any[]} stats */
function selectedPair(stats) {
  const transport = stats.find((one) => one.type === "transport");
  return stats.find((one) => one.id === transport?.selectedCandidatePairId)
    ?? stats.find((one) => one.type === "candidate-pair" && one.nominated);
}
