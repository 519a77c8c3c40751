/**
 * The service levels against their targets, the latency by stage, and the rates, live.
 */

import { setText } from "../shared/dom.js";
import { capitalised, formatDuration, formatPercent, formatRate, UNKNOWN } from "./format.js";
import { Sparkline } from "./sparkline.js";
import { FIGURES } from "./strings.js";

const SMALLEST_SHARE = 0.004; // of the bar; a smaller segment cannot be seen

/**
 * The `slo` event, once a second; any number may be null before it is known.
 * @typedef {object} Slo
 * @property {Record<string, number | null>} ttff_ms
 * @property {Record<"p50" | "p95" | "p99", number | null>} age_ms
 * @property {"glass" | "sent" | null} age_covers where the age ends that `holds` is about
 * @property {Record<"p50" | "p95", number | null>} gap_ms
 * @property {Record<"frame" | "chunk", number | null>} jitter_ms
 * @property {Record<"p50" | "p95", number> | null} skew_ms of sound to its pictures; null without
 * @property {Record<"in" | "out", number | null>} fps
 * @property {number | null} miss_ratio
 * @property {number | null} rate_ratio
 * @property {Record<string, number>} drops
 * @property {Record<string, number | null>} stages_ms
 * @property {{freezes: number, lost_ratio: number} | null} viewer from this browser's client stats
 * @property {{ttff_ms: number, age_ms: number, miss_ratio: number, rate_ratio: number}} targets
 * @property {Record<Level, boolean | null>} holds
 * @property {Record<Level, {left_ratio: number | null}>} budgets
 */

/** @typedef {"ttff" | "age" | "miss" | "rate"} Level */

/** @type {(value: number, target: number) => boolean} */
const atMost = (value, target) => value <= target;
/** @type {(value: number, target: number) => boolean} */
const atLeast = (value, target) => value >= target;

/** Fills the element's parts, found by their `data-part`. */
export class MetricsPanel {
  #root;
  #ageLine;
  /** Whether nothing new is shown: ages and verdicts would be about the past. */
  #isStopped = false;
  /** @type {import("../shared/latency.js").LatencySummary | null} */
  #latency = null;
  /** @type {Partial<Slo>} */
  #slo = {};

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    this.#ageLine = new Sparkline(this.#part("age-line"));
    this.#part("bar").replaceChildren(...Object.keys(FIGURES.stages).map(createSegment));
    this.#part("legend").replaceChildren(...Object.entries(FIGURES.stages).flatMap(createLegendRow));
    this.clear();
  }

  /** Show dashes for every figure, as before a call. */
  clear() {
    this.#ageLine.clear();
    this.showSlo({});
    this.showLatency(null);
    this.showRoundTrip(null);
  }

  /** Mark a move of the quality ladder on the chart of ages. @param {boolean} isDown */
  markLevel(isDown) {
    this.#ageLine.mark(isDown ? "down" : "up");
  }

  /** @param {boolean} isStopped whether nothing new is shown */
  setStopped(isStopped) {
    if (isStopped === this.#isStopped) return;
    this.#isStopped = isStopped;
    this.#showLevels();
  }

  /** @param {Partial<Slo>} slo */
  showSlo(slo) {
    this.#slo = slo;
    this.#showLevels();
    this.#ageLine.add(this.#age?.p95_ms ?? null, slo.targets?.age_ms ?? null);
    this.#text("fps-in", formatRate(slo.fps?.in));
    this.#text("fps-out", formatRate(slo.fps?.out));
    this.#text("gap", [slo.gap_ms?.p50, slo.gap_ms?.p95].map(formatDuration).join(" · "));
    this.#text(
      "jitter", [slo.jitter_ms?.frame, slo.jitter_ms?.chunk].map(formatDuration).join(" · "),
    );
    const { p50 = null, p95 = null } = slo.skew_ms ?? {};
    this.#text("skew", [p50, p95].map(formatDuration).join(" · "));
    this.#text("trouble", formatLosses(slo.viewer));
    this.#drops(slo.drops);
    this.#firstFrame(slo.ttff_ms ?? {});
  }

  /**
   * Until the page has measured a frame, the stages are those of the server alone.
   * @param {import("../shared/latency.js").LatencySummary | null} latency
   */
  showLatency(latency) {
    this.#latency = latency;
    this.#showLevels();
  }

  /** @param {number | null} rtt_ms of the data channel */
  showRoundTrip(rtt_ms) {
    this.#text("rtt", formatDuration(rtt_ms));
  }

  /**
   * The ages of one window, by whoever measures more of the way: the page, else the server.
   * @returns {{now_ms: number | null, p50_ms: number | null, p95_ms: number | null} | null}
   */
  get #age() {
    if (this.#isStopped) return null;
    if (this.#latency) return this.#latency;
    const { p50 = null, p95 = null } = this.#slo.age_ms ?? {};
    return { now_ms: null, p50_ms: p50, p95_ms: p95 };
  }

  #showLevels() {
    const { ttff_ms, miss_ratio = null, rate_ratio = null, targets } = this.#slo;
    const first_ms = ttff_ms?.first_shown ?? ttff_ms?.first_sent ?? null;
    const age = this.#age;
    const [miss, rate] = this.#isStopped ? [null, null] : [miss_ratio, rate_ratio];
    this.#level("ttff", first_ms, targets?.ttff_ms, formatDuration);
    const covers = this.#latency?.covers ?? this.#slo.age_covers ?? "sent";
    const about = age?.p95_ms ? FIGURES.covers[covers] : "";
    this.#level("age", age?.p95_ms ?? null, targets?.age_ms, formatDuration, atMost, about);
    this.#level("miss", miss, targets?.miss_ratio, formatPercent);
    this.#level("rate", rate, targets?.rate_ratio, formatPercent, atLeast);
    this.#text("glass-now", formatDuration(age?.now_ms));
    this.#text("glass-half", formatDuration(age?.p50_ms));
    this.#text("glass-covers", about);
    const stages_ms = this.#latency?.stages_ms ?? asPageStages(this.#slo.stages_ms ?? {});
    this.#stages(age ? stages_ms : {});
  }

  /**
   * The verdict is about the very figure that is shown.
   * @param {Level} name
   * @param {number | null} value
   * @param {number | undefined} target
   * @param {(value: number | null | undefined) => string} format
   * @param {(value: number, target: number) => boolean} isMet
   * @param {string} about what the value covers, where that differs
   */
  #level(name, value, target, format, isMet = atMost, about = "") {
    const isJudged = !this.#isStopped && value !== null && target !== undefined
      && typeof this.#slo.holds?.[name] === "boolean"; // else it is too early
    const holds = isJudged ? isMet(value, target) : null;
    this.#part(name).dataset.holds = holds === null ? "unknown" : String(holds);
    this.#text(`${name}-value`, format(value));
    const budget = formatBudget(this.#slo.budgets?.[name]?.left_ratio);
    this.#text(
      `${name}-target`, target === undefined ? "" : FIGURES.target(format(target), about, budget),
    );
    this.#text(`${name}-verdict`, holds === null ? "" : holds ? FIGURES.holds : FIGURES.missed);
  }

  /** @param {Record<string, number | null>} stages_ms */
  #stages(stages_ms) {
    const total = Object.values(stages_ms).reduce((sum, part) => (sum ?? 0) + (part ?? 0), 0);
    for (const stage of Object.keys(FIGURES.stages)) {
      const value = stages_ms[stage] ?? null;
      const share = total ? (value ?? 0) / total : 0;
      const segment = this.#part(`bar-${stage}`);
      segment.style.flexGrow = String(share);
      segment.hidden = share < SMALLEST_SHARE;
      this.#text(`stage-${stage}`, formatDuration(value));
    }
    this.#text("stage-total", total ? formatDuration(total) : UNKNOWN);
  }

  /** @param {Record<string, number> | undefined} drops */
  #drops(drops) {
    const counted = Object.entries(drops ?? {}).filter(([, count]) => count > 0);
    const list = this.#part("drops");
    list.replaceChildren(...counted.flatMap(([cause, count]) => [
      createElement("dt", FIGURES.drops.get(cause) ?? capitalised(cause.split("_").join(" "))),
      createElement("dd", String(count)),
    ]));
    this.#text("drops-none", drops && counted.length === 0 ? FIGURES.none : drops ? "" : UNKNOWN);
  }

  /** @param {Record<string, number | null>} ttff_ms */
  #firstFrame(ttff_ms) {
    const list = this.#part("first-frame");
    list.replaceChildren(...FIGURES.firstFrame.flatMap(([part, label]) => [
      createElement("dt", label), createElement("dd", formatDuration(ttff_ms[part])),
    ]));
  }

  /** @param {string} name @returns {HTMLElement} */
  #part(name) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(`[data-part="${name}"]`));
  }

  /** @param {string} name @param {string} text */
  #text(name, text) {
    setText(this.#part(name), text);
  }
}

/**
 * The server's stages under the page's names: its one wait is the page's "collect".
 * @param {Record<string, number | null>} stages_ms
 */
function asPageStages({ wait = null, ...others }) {
  return { collect: wait, ...others };
}

/** @param {string} stage */
function createSegment(stage) {
  const segment = document.createElement("i");
  segment.dataset.part = `bar-${stage}`;
  segment.dataset.stage = stage;
  return segment;
}

/** @param {[string, string]} stage */
function createLegendRow([stage, label]) {
  const [term, value] = [createElement("dt", label), createElement("dd", "")];
  term.dataset.stage = stage;
  value.dataset.part = `stage-${stage}`;
  return [term, value];
}

/** @param {string} tag @param {string} text */
function createElement(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** @param {{freezes: number, lost_ratio: number} | null | undefined} viewer */
function formatLosses(viewer) {
  return viewer ? `${viewer.freezes} · ${formatPercent(viewer.lost_ratio)}` : UNKNOWN;
}

/**
 * What is left of the errors that an hour may have.
 * @param {number | null | undefined} left_ratio
 */
function formatBudget(left_ratio) {
  if (left_ratio === null || left_ratio === undefined) return "";
  if (left_ratio <= 0) return FIGURES.noBudget;
  return FIGURES.budget(Math.round(100 * left_ratio));
}
