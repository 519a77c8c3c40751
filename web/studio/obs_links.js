/**
 * The addresses for OBS: the clean view to show, the WHIP endpoint to send to, with copy buttons.
 */

import { byId } from "../shared/dom.js";
import { addressOf } from "../shared/http.js";

const COPIED_MS = 1_500;
const WHIP_STREAM = "obs"; // any name would do

/** @param {string} [stream] show the clean view's address of this stream; else of the newest */
export function showViewAddress(stream) {
  const address = withToken(stream ? `/view/${stream}` : "/view");
  byId("view-url", HTMLInputElement).value = address;
  byId("open-view", HTMLAnchorElement).href = address;
}

/** Show where OBS sends to; OBS has a field of its own for the token, "Bearer Token". */
export function showWhipAddress() {
  const path = `/view/${WHIP_STREAM}`;
  byId("whip-url", HTMLInputElement).value = addressOf(`/whip/${WHIP_STREAM}`).href;
  const link = byId("sent-view", HTMLAnchorElement);
  link.textContent = addressOf(path).pathname;
  link.href = withToken(path);
}

/** Make every copy button copy the field that it names in `data-copies`. */
export function enableCopying() {
  for (const button of document.querySelectorAll("button.copy")) {
    const { copies } = /** @type {HTMLElement} */ (button).dataset;
    const field = byId(copies ?? "", HTMLInputElement);
    field.addEventListener("focus", () => field.select());
    button.addEventListener("click", () => copy(field, button));
  }
}

/**
 * @param {HTMLInputElement} field
 * @param {Element} button
 */
async function copy(field, button) {
  field.select();
  if (!navigator.clipboard) return; // plain http: the user copies the selection
  await navigator.clipboard.writeText(field.value);
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), COPIED_MS);
}

/**
 * The full address of a path, with the token of this page's own address.
 * @param {string} path
 */
function withToken(path) {
  const address = addressOf(path);
  const token = new URLSearchParams(location.search).get("token");
  if (token) address.searchParams.set("token", token);
  return address.href;
}
