/**
 * Numbers as the page shows them; a dash for one that is not known.
 */

import { UNITS } from "./strings.js";

export const UNKNOWN = UNITS.unknown;

/** @param {number | null | undefined} value_ms */
export function formatDuration(value_ms) {
  if (value_ms === null || value_ms === undefined) return UNKNOWN;
  if (value_ms >= 10_000) return UNITS.s((value_ms / 1000).toFixed(1));
  if (value_ms >= 1000) return UNITS.s((value_ms / 1000).toFixed(2));
  return UNITS.ms(value_ms.toFixed(value_ms < 9.95 ? 1 : 0));
}

/** @param {number | null | undefined} fps */
export function formatRate(fps) {
  return fps === null || fps === undefined ? UNKNOWN : UNITS.fps(fps.toFixed(1));
}

/** @param {number | null | undefined} ratio */
export function formatPercent(ratio) {
  return ratio === null || ratio === undefined ? UNKNOWN : UNITS.percent((100 * ratio).toFixed(1));
}

/** @param {string} text */
export function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
