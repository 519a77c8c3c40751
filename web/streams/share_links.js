/**
 * Links to one stream, one for each role: each with a signed token that the server issues for it.
 */

import { addressOf, requestJson } from "../shared/http.js";
import { element } from "./elements.js";
import { pathOf, reasonOf } from "./stream_api.js";
import { SHARE } from "./strings.js";

const COPIED_MS = 1_500;
const MS_PER_S = 1000;

/**
 * A list of links, or why there is none.
 * @param {import("./stream_api.js").StreamEntry} entry
 * @returns {Promise<HTMLElement>}
 */
export async function shareLinks({ stream, published }) {
  let tokens;
  try {
    tokens = await requestJson(pathOf(stream, "tokens"));
  } catch (error) {
    return element("p", { className: "problem", role: "alert" }, reasonOf(error));
  }
  const name = encodeURIComponent(stream);
  /** @type {Record<string, string>} */
  const paths = { view: `/view/${name}`, control: `/dock.html?stream=${name}` };
  if (published) paths.publish = `/whip/${name}`;
  const rows = Object.entries(paths).map(([role, path]) => row(role, stream, path, tokens[role]));
  if (!tokens.view) rows.unshift(element("p", { className: "hint" }, SHARE.open));
  return element("div", { className: "links" }, ...rows);
}

/**
 * @param {string} role
 * @param {string} stream
 * @param {string} path
 * @param {{token: string, expiresS: number} | null} issued null where nobody needs one
 */
function row(role, stream, path, issued) {
  const address = addressOf(path);
  if (issued) address.searchParams.set("token", issued.token);
  const isSecret = issued !== null && role !== "view"; // a screen may be in the picture
  const link = SHARE.links[role];
  const field = element("input", {
    type: isSecret ? "password" : "text", readOnly: true, value: address.href, autocomplete: "off",
  });
  field.addEventListener("focus", () => {
    field.type = "text"; // else it could not be copied by hand
    field.select();
  });
  if (isSecret) field.addEventListener("blur", () => { field.type = "password"; });
  const ends = issued && new Date(issued.expiresS * MS_PER_S).toLocaleDateString();
  return element("div", { className: "field" },
    element("label", {},
      element("span", {}, link, element("i", {}, ends ? SHARE.lasts(ends) : "")), field),
    copyButton(field, SHARE.copyOf(link, stream)));
}

/** @param {HTMLInputElement} field @param {string} label */
function copyButton(field, label) {
  const button = element("button", { type: "button", textContent: SHARE.copy, "aria-label": label });
  button.addEventListener("click", async () => {
    if (!navigator.clipboard) return field.focus(); // plain http: the user copies the selection
    await navigator.clipboard.writeText(field.value);
    button.textContent = SHARE.copied;
    setTimeout(() => { button.textContent = SHARE.copy; }, COPIED_MS);
    return undefined;
  });
  return button;
}
