/**
 * How old the picture on the screen is, by stage: glass-to-glass latency. Pure: times and messages
 * come in, no clock is read.
 *
 * The server reports the stamps of every frame it sends, under the frame's RTP timestamp; the
 * browser reports when the frame with that timestamp arrived and when it is on the screen.
 * `LatencyMeter` joins the two.
 *
 * Glass to glass is measured by this machine's clock alone: the frames of its camera carry its time
 * (in the RTCP sender reports of this browser). Only the split between uplink and downlink needs
 * the server's clock, which `shared/server_clock.js` knows to half a round trip. Without the
 * camera's time, age counts from the earliest moment at which the server could have had the frame,
 * and `covers` says so.
 */

const REMEMBERED_FRAMES = 256;
const WINDOW_MS = 10_000;
const LONGEST_MS = 30_000; // a larger age means that a clock was set
const SLACK_MS = 5;

// one record of a message; see server/slipstream_server/send/frame_timing.py
const RECORD_BYTES = 68;
const MOMENTS = [
  "captured", "first_packet", "chunked", "submitted", "taken", "generated", "received", "popped",
  "sent",
];
const ENGINE_STAGES = ["encode", "denoise", "decode"];

/** The stages of a frame, in the order in which it passes them. */
export const STAGES = [
  "to_server", "receive", "collect", "queue", "encode", "denoise", "decode", "playout", "send",
  "back", "screen",
];

/**
 * One frame's stamps, in ms on the server's clock, except `captured_unix`: since 1970 on the
 * camera side's clock, NaN if not known. `encode`, `denoise` and `decode` are durations in ms.
 * @typedef {{rtp: number, captured_unix: number, arrived: number} & Record<string, number>} Stamps
 */

/**
 * Over the last ten seconds.
 * @typedef {object} LatencySummary
 * @property {"glass" | "server"} covers camera to screen, or only server to screen
 * @property {number} now_ms the newest frame's age
 * @property {number} p50_ms
 * @property {number} p95_ms
 * @property {Record<string, number>} stages_ms the mean of each of `STAGES`
 */

/**
 * @typedef {object} Measured
 * @property {number} shown_ms
 * @property {number} age_ms
 * @property {boolean} isWhole whether the age counts from the camera
 * @property {number[]} stages_ms as in `STAGES`
 */

/**
 * @param {ArrayBuffer} message of the channel `timing`
 * @returns {Stamps[]} empty if the message is not a whole number of records
 */
export function readStamps(message) {
  if (message.byteLength % RECORD_BYTES !== 0) return [];
  const view = new DataView(message);
  const frames = [];
  for (let at = 0; at < message.byteLength; at += RECORD_BYTES) {
    const arrived = view.getFloat64(at + 12, true);
    /** @type {Stamps} */
    const stamps = {
      rtp: view.getUint32(at, true), captured_unix: view.getFloat64(at + 4, true), arrived,
    };
    MOMENTS.forEach((name, index) => {
      stamps[name] = arrived + view.getFloat32(at + 20 + 4 * index, true);
    });
    ENGINE_STAGES.forEach((name, index) => {
      stamps[name] = view.getFloat32(at + 20 + 4 * (MOMENTS.length + index), true);
    });
    frames.push(stamps);
  }
  return frames;
}

/** Joins the server's stamps with the frames on the screen, whichever comes first. */
export class LatencyMeter {
  #clock;
  #origin_ms;
  /** @type {Map<number, Stamps>} by RTP timestamp */
  #stamps = new Map();
  /** @type {Map<number, import("./video_frames.js").PresentedFrame>} by RTP timestamp */
  #frames = new Map();
  /** @type {Measured[]} */
  #measured = [];

  /** Frames presented so far, joined or not. */
  presentedFrames = 0;

  /**
   * @param {import("./server_clock.js").ServerClock} clock
   * @param {number | null} origin_ms `performance.timeOrigin` if the camera is this browser's; null
   *   for a subscriber
   */
  constructor(clock, origin_ms) {
    this.#clock = clock;
    this.#origin_ms = origin_ms;
  }

  /** Forget everything: a new call numbers its frames anew. */
  reset() {
    this.#stamps.clear();
    this.#frames.clear();
    this.#measured = [];
  }

  /** @param {ArrayBuffer} message of the channel `timing` */
  addStamps(message) {
    for (const stamps of readStamps(message)) {
      const frame = this.#frames.get(stamps.rtp);
      if (frame) this.#join(stamps, frame);
      else remember(this.#stamps, stamps.rtp, stamps);
    }
  }

  /** @param {import("./video_frames.js").PresentedFrame} frame */
  addFrame(frame) {
    this.presentedFrames += 1;
    if (frame.rtp === null) return;
    const stamps = this.#stamps.get(frame.rtp);
    if (stamps) this.#join(stamps, frame);
    else remember(this.#frames, frame.rtp, frame);
  }

  /**
   * @param {number} now_ms
   * @returns {LatencySummary | null} null if no frame of the last ten seconds was measured
   */
  summary(now_ms) {
    this.#measured = this.#measured.filter(({ shown_ms }) => shown_ms > now_ms - WINDOW_MS);
    const newest = this.#measured[this.#measured.length - 1];
    if (!newest) return null;
    const alike = this.#measured.filter(({ isWhole }) => isWhole === newest.isWhole);
    const ages_ms = alike.map(({ age_ms }) => age_ms).sort((one, other) => one - other);
    return {
      covers: newest.isWhole ? "glass" : "server",
      now_ms: newest.age_ms,
      p50_ms: percentile(ages_ms, 50),
      p95_ms: percentile(ages_ms, 95),
      stages_ms: Object.fromEntries(STAGES.map((stage, index) => {
        const sum = alike.reduce((total, { stages_ms }) => total + stages_ms[index], 0);
        return [stage, Math.max(0, sum / alike.length)]; // negative by the clock's error only
      })),
    };
  }

  /** @param {Stamps} stamps @param {import("./video_frames.js").PresentedFrame} frame */
  #join(stamps, frame) {
    this.#stamps.delete(stamps.rtp);
    this.#frames.delete(stamps.rtp);
    const offset_ms = this.#clock.offset_ms;
    if (offset_ms === null) return;
    const toLocal = (/** @type {number} */ server_ms) => server_ms - offset_ms;
    const captured_ms = this.#origin_ms === null ? NaN : stamps.captured_unix - this.#origin_ms;
    const uplink_ms = toLocal(stamps.first_packet) - captured_ms;
    const isWhole = uplink_ms > -this.#clock.error_ms - SLACK_MS && uplink_ms < LONGEST_MS;
    const start_ms = isWhole ? captured_ms : toLocal(stamps.captured);
    const at_server_ms = isWhole ? toLocal(stamps.first_packet) : start_ms;
    const screen_ms = frame.display_ms ?? frame.shown_ms;
    const received_ms = frame.received_ms ?? screen_ms;
    const engine_ms = stamps.encode + stamps.denoise + stamps.decode;
    const age_ms = screen_ms - start_ms;
    if (!(age_ms > 0 && age_ms < LONGEST_MS)) return;
    this.#measured.push({
      shown_ms: frame.shown_ms,
      age_ms,
      isWhole,
      stages_ms: [
        at_server_ms - start_ms,
        toLocal(stamps.arrived) - at_server_ms,
        stamps.chunked - stamps.arrived,
        stamps.generated - stamps.chunked - engine_ms,
        stamps.encode,
        stamps.denoise,
        stamps.decode,
        stamps.popped - stamps.generated,
        stamps.sent - stamps.popped,
        received_ms - toLocal(stamps.sent),
        screen_ms - received_ms,
      ],
    });
  }
}

/**
 * Keep the newest entries only.
 * @template Value
 * @param {Map<number, Value>} entries in the order of their arrival
 * @param {number} key
 * @param {Value} value
 */
function remember(entries, key, value) {
  entries.set(key, value);
  for (const oldest of entries.keys()) {
    if (entries.size <= REMEMBERED_FRAMES) break;
    entries.delete(oldest);
  }
}

/** By the nearest rank. @param {number[]} ordered not empty @param {number} percent */
function percentile(ordered, percent) {
  return ordered[Math.max(0, Math.ceil((ordered.length * percent) / 100) - 1)];
}
