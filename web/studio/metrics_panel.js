/**
 * The service levels, live: what was promised, what is, and where the time goes.
 */

import { Sparkline } from "./sparkline.js";

/** What each stage of `shared/latency.js` is, for people. */
const STAGE_WORDS = {
  to_server: "Camera to server",
  receive: "Receive, decode",
  collect: "Wait for a chunk",
  queue: "Wait for the engine",
  encode: "Encode",
  denoise: "Denoise",
  decode: "Decode",
  playout: "Playout",
  send: "Video encode",
  back: "Server to browser",
  screen: "Buffer, decode, screen",
};

const SMALLEST_SHARE = 0.004; // of the bar; less cannot be seen

const COVERS = {
  glass: "camera to screen",
  server: "server to screen",
};

// in the order in which a stream goes through them
const FIRST_FRAME_PARTS = [
  ["signal", "Offer answered"],
  ["ice", "Media path found"],
  ["first_input", "First camera frame"],
  ["first_generated", "First picture made"],
  ["first_sent", "First picture sent"],
  ["first_shown", "First picture shown"],
  ["paper", "As the paper counts it"],
];

/**
 * The `slo` event, once a second; any number may be null before it is known.
 * @typedef {object} Slo
 * @property {Record<string, number | null>} ttff_ms
 * @property {Record<"p50" | "p95" | "p99", number | null>} age_ms
 * @property {Record<"p50" | "p95", number | null>} gap_ms
 * @property {Record<"frame" | "chunk", number | null>} jitter_ms
 * @property {Record<"in" | "out", number | null>} fps
 * @property {number | null} miss_ratio
 * @property {Record<string, number>} drops
 * @property {Record<string, number | null>} stages_ms
 * @property {{freezes: number, lost_ratio: number} | null} viewer what this browser has told
 * @property {{ttff_ms: number, age_ms: number, miss_ratio: number}} targets
 * @property {Record<"ttff" | "age" | "miss", boolean | null>} holds
 */

/** The panel of figures. */
export class Figures {
  #root;
  #age;
  #hasGlass = false;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    this.#age = new Sparkline(this.#part("age-line"));
    this.#part("bar").replaceChildren(...Object.keys(STAGE_WORDS).map(segment));
    this.#part("legend").replaceChildren(...Object.entries(STAGE_WORDS).flatMap(legendRow));
    this.clear();
  }

  /** Before a call, or after it: dashes keep the places. */
  clear() {
    this.#age.clear();
    this.#hasGlass = false;
    this.show({});
    this.showGlass(null);
    this.showRoundTrip(null);
  }

  /** @param {Partial<Slo>} slo */
  show(slo) {
    this.#level("ttff", slo, milliseconds(slo.ttff_ms?.first_sent));
    this.#level("age", slo, milliseconds(slo.age_ms?.p95));
    this.#level("miss", slo, percent(slo.miss_ratio));
    this.#age.add(slo.age_ms?.p95 ?? null, slo.targets?.age_ms ?? null);
    this.#text("age-spread", [slo.age_ms?.p50, slo.age_ms?.p99].map(milliseconds).join(" · "));
    this.#text("fps-in", rate(slo.fps?.in));
    this.#text("fps-out", rate(slo.fps?.out));
    this.#text("gap", [slo.gap_ms?.p50, slo.gap_ms?.p95].map(milliseconds).join(" · "));
    this.#text(
      "jitter", [slo.jitter_ms?.frame, slo.jitter_ms?.chunk].map(milliseconds).join(" · "),
    );
    this.#text("trouble", trouble(slo.viewer));
    if (!this.#hasGlass) this.#stages(ofServer(slo.stages_ms ?? {}));
    this.#drops(slo.drops);
    this.#firstFrame(slo.ttff_ms ?? {});
  }

  /**
   * Until the page knows a frame's whole way, the server's part of it is all there is to show.
   * @param {import("../shared/latency.js").GlassFigures | null} glass
   */
  showGlass(glass) {
    this.#hasGlass = glass !== null;
    this.#text("glass-now", milliseconds(glass?.now_ms));
    this.#text("glass-covers", glass ? COVERS[glass.covers] : "");
    this.#text("glass-spread", glass ? `p95 ${milliseconds(glass.p95_ms)}` : "");
    if (glass) this.#stages(glass.stages_ms);
  }

  /** @param {number | null} rtt_ms of the data channel */
  showRoundTrip(rtt_ms) {
    this.#text("rtt", milliseconds(rtt_ms));
  }

  /** @param {"ttff" | "age" | "miss"} name @param {Partial<Slo>} slo @param {string} value */
  #level(name, slo, value) {
    const holds = slo.holds?.[name] ?? null;
    const row = this.#part(name);
    row.dataset.holds = holds === null ? "unknown" : String(holds);
    this.#text(`${name}-value`, value);
    const target = name === "miss" ? percent(slo.targets?.miss_ratio)
      : milliseconds(slo.targets?.[`${name}_ms`]);
    this.#text(`${name}-target`, target === "–" ? "" : `target ${target}`);
    this.#text(`${name}-verdict`, holds === null ? "" : holds ? "holds" : "missed");
  }

  /** @param {Record<string, number | null>} stages_ms */
  #stages(stages_ms) {
    const total = Object.values(stages_ms).reduce((sum, part) => (sum ?? 0) + (part ?? 0), 0);
    for (const stage of Object.keys(STAGE_WORDS)) {
      const value = stages_ms[stage] ?? null;
      const share = total ? (value ?? 0) / total : 0;
      const segment = this.#part(`bar-${stage}`);
      segment.style.flexGrow = String(share);
      segment.hidden = share < SMALLEST_SHARE;
      this.#text(`stage-${stage}`, milliseconds(value));
    }
    this.#text("stage-total", total ? milliseconds(total) : "–");
  }

  /** @param {Record<string, number> | undefined} drops */
  #drops(drops) {
    const counted = Object.entries(drops ?? {}).filter(([, count]) => count > 0);
    const list = this.#part("drops");
    list.replaceChildren(...counted.flatMap(([cause, count]) => [
      element("dt", capitalised(cause.replaceAll("_", " "))), element("dd", String(count)),
    ]));
    this.#text("drops-none", drops && counted.length === 0 ? "none" : drops ? "" : "–");
  }

  /** @param {Record<string, number | null>} ttff_ms */
  #firstFrame(ttff_ms) {
    const list = this.#part("first-frame");
    list.replaceChildren(...FIRST_FRAME_PARTS.flatMap(([part, words]) => [
      element("dt", words), element("dd", milliseconds(ttff_ms[part])),
    ]));
  }

  /** @param {string} name @returns {HTMLElement} */
  #part(name) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(`[data-part="${name}"]`));
  }

  /** @param {string} name @param {string} text */
  #text(name, text) {
    const part = this.#part(name);
    if (part.textContent !== text) part.textContent = text;
  }
}

/**
 * The server's stages among those of the whole way.
 * @param {Record<string, number | null>} stages_ms
 */
function ofServer({ wait = null, ...others }) {
  return { collect: wait, ...others };
}

/** @param {string} stage */
function segment(stage) {
  const made = document.createElement("i");
  made.dataset.part = `bar-${stage}`;
  made.dataset.stage = stage;
  return made;
}

/** @param {[string, string]} stage */
function legendRow([stage, words]) {
  const [term, value] = [element("dt", words), element("dd", "")];
  term.dataset.stage = stage;
  value.dataset.part = `stage-${stage}`;
  return [term, value];
}

/** @param {string} tag @param {string} text */
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** @param {string} text */
function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {number | null | undefined} value */
export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value.toFixed(value < 9.95 ? 1 : 0)} ms`;
}

/** @param {number | null | undefined} value */
function rate(value) {
  return value === null || value === undefined ? "–" : `${value.toFixed(1)} fps`;
}

/** @param {{freezes: number, lost_ratio: number} | null | undefined} viewer */
function trouble(viewer) {
  return viewer ? `${viewer.freezes} · ${percent(viewer.lost_ratio)}` : "–";
}

/** @param {number | null | undefined} ratio */
function percent(ratio) {
  return ratio === null || ratio === undefined ? "–" : `${(100 * ratio).toFixed(1)} %`;
}
