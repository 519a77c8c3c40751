/**
 * The addresses for OBS: the clean view to show, the WHIP endpoint to send to, with copy buttons.
 * Where the server has a token they carry signed ones of their own, never this page's.
 */

import { byId } from "../shared/dom.js";
import { addressOf, requestJson } from "../shared/http.js";

const COPIED_MS = 1_500;
const WHIP_STREAM = "obs"; // any name would do
const ALL_STREAMS = "*";

/** @typedef {{token: string, expiresS: number} | null} IssuedToken null where nobody needs one */

/** The stream whose view is offered; empty for the newest. */
let shownStream = "";

/**
 * Show the clean view's address.
 * @param {string} stream the one to view; empty for the newest
 * @param {string | null} token lets whoever has it watch
 */
export function showViewAddress(stream, token) {
  shownStream = stream;
  const address = viewAddress(`/view/${stream}`, token);
  byId("view-url", HTMLInputElement).value = address;
  byId("open-view", HTMLAnchorElement).href = address;
}

/** Show where OBS sends to, and before a call where the newest stream is viewed. */
export async function showAddresses() {
  showViewAddress("", null);
  showWhipAddress(null, null);
  const [all, obs] = await Promise.all([tokensOf(ALL_STREAMS), tokensOf(WHIP_STREAM)]);
  if (!shownStream) showViewAddress("", all.view?.token ?? null);
  showWhipAddress(obs.publish?.token ?? null, obs.view?.token ?? null);
}

/** Make every copy button copy the field that it names in `data-copies`. */
export function enableCopying() {
  for (const button of document.querySelectorAll("button.copy")) {
    button.append(byId("copy-icon", HTMLTemplateElement).content.cloneNode(true));
    const { copies } = /** @type {HTMLElement} */ (button).dataset;
    const field = byId(copies ?? "", HTMLInputElement);
    const isSecret = field.type === "password";
    field.addEventListener("focus", () => {
      field.type = "text"; // else it could not be copied by hand
      field.select();
    });
    if (isSecret) field.addEventListener("blur", () => { field.type = "password"; });
    button.addEventListener("click", () => copy(field, button));
  }
}

/**
 * OBS has a field of its own for the token, "Bearer Token".
 * @param {string | null} publishToken lets whoever has it send a stream of this name
 * @param {string | null} viewToken
 */
function showWhipAddress(publishToken, viewToken) {
  const path = `/view/${WHIP_STREAM}`;
  byId("whip-url", HTMLInputElement).value = addressOf(`/whip/${WHIP_STREAM}`).href;
  byId("whip-token", HTMLInputElement).value = publishToken ?? "";
  byId("whip-token-field").hidden = !publishToken;
  const link = byId("sent-view", HTMLAnchorElement);
  link.textContent = addressOf(path).pathname;
  link.href = viewAddress(path, viewToken);
}

/**
 * @param {string} stream
 * @returns {Promise<{view: IssuedToken, control: IssuedToken, publish: IssuedToken}>}
 */
async function tokensOf(stream) {
  try {
    return await requestJson(`/api/v1/streams/${stream}/tokens`);
  } catch (error) {
    console.info("no links with tokens can be had:", error);
    return { view: null, control: null, publish: null };
  }
}

/**
 * @param {HTMLInputElement} field
 * @param {Element} button
 */
async function copy(field, button) {
  if (field.type !== "password") field.select();
  if (!navigator.clipboard) return field.focus(); // plain http: the user copies the selection
  await navigator.clipboard.writeText(field.value);
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), COPIED_MS);
  return undefined;
}

/**
 * The full address of a clean view.
 * @param {string} path
 * @param {string | null} token
 */
function viewAddress(path, token) {
  const address = addressOf(path);
  if (token) address.searchParams.set("token", token);
  return address.href;
}
