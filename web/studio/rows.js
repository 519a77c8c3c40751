/**
 * Rows that are made from a template, and which part of which row an event is about.
 */

import { byId } from "../shared/dom.js";

/** @param {string} template its id @param {number} index @returns {HTMLElement} without values */
export function newRow(template, index) {
  const { content } = byId(template, HTMLTemplateElement);
  const row = /** @type {HTMLElement} */ (content.cloneNode(true).firstElementChild);
  row.dataset.index = String(index);
  for (const one of row.querySelectorAll("[aria-label]")) {
    one.setAttribute("aria-label", `${one.getAttribute("aria-label")} ${index + 1}`);
  }
  return row;
}

/** @param {EventTarget | null} target @returns {number} of the row that it is in; -1 if none */
export function indexOf(target) {
  const row = /** @type {Element} */ (target).closest("[data-index]");
  return Number(/** @type {HTMLElement | null} */ (row)?.dataset.index ?? -1);
}

/** @param {EventTarget | null} target @returns {string} empty if it is no part of a row */
export function partOf(target) {
  const part = /** @type {Element} */ (target).closest("[data-part]");
  return /** @type {HTMLElement | null} */ (part)?.dataset.part ?? "";
}
