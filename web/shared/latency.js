/**
 * How old what is on the screen is, and where that time went. Pure: times and messages come in.
 *
 * The server tells the stamps of every frame it sends, named by its RTP timestamp; the browser tells
 * when the frame with that timestamp came and when it is on the screen. The two are joined here.
 *
 * Glass to glass is counted on this machine's clock alone, since the camera's frames carry its time
 * (the sender reports of our own browser). Only the split between the ways there and back needs the
 * server's clock, which `shared/server_clock.js` knows to half a round trip. Where no such time came, age counts
 * from when the server could have had the frame at the earliest, and `covers` says so.
 */

const REMEMBERED_FRAMES = 256;
const WINDOW_MS = 10_000;
const LONGEST_MS = 30_000; // an age beyond is a clock that was set, not a frame
const SLACK_MS = 5;

// of a record; see server/slipstream_server/send/frame_timing.py
const RECORD_BYTES = 68;
const MOMENTS = [
  "captured", "came", "chunked", "submitted", "taken", "made", "received", "played", "sent",
];
const ENGINE = ["encode", "denoise", "decode"];

/** The parts of a frame's way, in the order in which it goes it. */
export const STAGES = [
  "to_server", "receive", "collect", "queue", "encode", "denoise", "decode", "playout", "send",
  "back", "screen",
];

/**
 * One frame's stamps, in ms on the server's clock, but for `filmed`: on the camera side's, since
 * 1970, NaN where it is not known. `encode`, `denoise` and `decode` are durations.
 * @typedef {{rtp: number, filmed: number, arrived: number} & Record<string, number>} Stamps
 */

/**
 * The figures of the last ten seconds.
 * @typedef {object} GlassFigures
 * @property {"glass" | "server"} covers camera to screen, or only from the server on
 * @property {number} now_ms the newest frame's age
 * @property {number} p50_ms
 * @property {number} p95_ms
 * @property {Record<string, number>} stages_ms the mean of each of `STAGES`
 */

/**
 * @param {ArrayBuffer} message
 * @returns {Stamps[]} none of a message that is not whole
 */
export function readStamps(message) {
  if (message.byteLength % RECORD_BYTES !== 0) return [];
  const view = new DataView(message);
  const frames = [];
  for (let at = 0; at < message.byteLength; at += RECORD_BYTES) {
    const arrived = view.getFloat64(at + 12, true);
    /** @type {Stamps} */
    const stamps = {
      rtp: view.getUint32(at, true), filmed: view.getFloat64(at + 4, true), arrived,
    };
    MOMENTS.forEach((name, index) => {
      stamps[name] = arrived + view.getFloat32(at + 20 + 4 * index, true);
    });
    ENGINE.forEach((name, index) => {
      stamps[name] = view.getFloat32(at + 20 + 4 * (MOMENTS.length + index), true);
    });
    frames.push(stamps);
  }
  return frames;
}

/** Joins what the server sent with what the screen shows. */
export class Glass {
  #clock;
  #origin_ms;
  /** @type {Map<number, Stamps>} */
  #stamps = new Map();
  /** @type {Map<number, import("./video_frames.js").Presented>} */
  #presented = new Map();
  /** @type {{shown_ms: number, age_ms: number, isWhole: boolean, stages_ms: number[]}[]} */
  #joined = [];

  /** Pictures presented so far, joined or not. */
  shown = 0;

  /**
   * @param {import("./server_clock.js").ServerClock} clock
   * @param {number | null} origin_ms `performance.timeOrigin` where the camera is this browser's;
   *   null for a viewer of somebody else's
   */
  constructor(clock, origin_ms) {
    this.#clock = clock;
    this.#origin_ms = origin_ms;
  }

  /** Forget everything: a new call numbers its frames anew. */
  reset() {
    this.#stamps.clear();
    this.#presented.clear();
    this.#joined = [];
  }

  /** @param {ArrayBuffer} message of the channel `timing` */
  told(message) {
    for (const stamps of readStamps(message)) {
      const frame = this.#presented.get(stamps.rtp);
      if (frame) this.#join(stamps, frame);
      else remember(this.#stamps, stamps.rtp, stamps);
    }
  }

  /** @param {import("./video_frames.js").Presented} frame */
  presented(frame) {
    this.shown += 1;
    if (frame.rtp === null) return;
    const stamps = this.#stamps.get(frame.rtp);
    if (stamps) this.#join(stamps, frame);
    else remember(this.#presented, frame.rtp, frame);
  }

  /**
   * @param {number} now_ms
   * @returns {GlassFigures | null} null while no frame of the last ten seconds is known
   */
  figures(now_ms) {
    this.#joined = this.#joined.filter(({ shown_ms }) => shown_ms > now_ms - WINDOW_MS);
    const newest = this.#joined.at(-1);
    if (!newest) return null;
    const alike = this.#joined.filter(({ isWhole }) => isWhole === newest.isWhole);
    const ages_ms = alike.map(({ age_ms }) => age_ms).sort((one, other) => one - other);
    return {
      covers: newest.isWhole ? "glass" : "server",
      now_ms: newest.age_ms,
      p50_ms: rank(ages_ms, 50),
      p95_ms: rank(ages_ms, 95),
      stages_ms: Object.fromEntries(STAGES.map((stage, index) => {
        const sum = alike.reduce((total, { stages_ms }) => total + stages_ms[index], 0);
        return [stage, Math.max(0, sum / alike.length)]; // below: the clock's error
      })),
    };
  }

  /** @param {Stamps} stamps @param {import("./video_frames.js").Presented} frame */
  #join(stamps, frame) {
    this.#stamps.delete(stamps.rtp);
    this.#presented.delete(stamps.rtp);
    const offset_ms = this.#clock.offset_ms;
    if (offset_ms === null) return;
    const here = (/** @type {number} */ server_ms) => server_ms - offset_ms;
    const filmed_ms = this.#origin_ms === null ? NaN : stamps.filmed - this.#origin_ms;
    const uplink_ms = here(stamps.came) - filmed_ms;
    const isWhole = uplink_ms > -this.#clock.error_ms - SLACK_MS && uplink_ms < LONGEST_MS;
    const began_ms = isWhole ? filmed_ms : here(stamps.captured);
    const came_ms = isWhole ? here(stamps.came) : began_ms;
    const screen_ms = frame.display_ms ?? frame.shown_ms;
    const back_ms = frame.received_ms ?? screen_ms;
    const engine_ms = stamps.encode + stamps.denoise + stamps.decode;
    const age_ms = screen_ms - began_ms;
    if (!(age_ms > 0 && age_ms < LONGEST_MS)) return;
    this.#joined.push({
      shown_ms: frame.shown_ms,
      age_ms,
      isWhole,
      stages_ms: [
        came_ms - began_ms,
        here(stamps.arrived) - came_ms,
        stamps.chunked - stamps.arrived,
        stamps.made - stamps.chunked - engine_ms,
        stamps.encode,
        stamps.denoise,
        stamps.decode,
        stamps.played - stamps.made,
        stamps.sent - stamps.played,
        back_ms - here(stamps.sent),
        screen_ms - back_ms,
      ],
    });
  }
}

/** @template Value @param {Map<number, Value>} kept @param {number} key @param {Value} value */
function remember(kept, key, value) {
  kept.set(key, value);
  for (const oldest of kept.keys()) {
    if (kept.size <= REMEMBERED_FRAMES) break;
    kept.delete(oldest);
  }
}

/** The nearest rank. @param {number[]} ordered not empty @param {number} percent */
function rank(ordered, percent) {
  return ordered[Math.max(0, Math.ceil((ordered.length * percent) / 100) - 1)];
}
