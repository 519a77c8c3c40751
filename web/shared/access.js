/**
 * What this page may do: the server redirects an address with a token to one that has a signed token
 * after the `#`. The page takes it from there, keeps it, and shows it with each request.
 */

import { recall, store } from "./storage.js";

const FRAGMENT = "#access=";
/** With the path that a proxy has put before all: beside this server there may be another. */
const STUDIO_KEY = `access ${new URL("..", import.meta.url).pathname}`;

/** The view's and the dock's are this tab's: whoever comes by a link keeps what the studio has. */
const isStudio = !document.documentElement.dataset.page;
const kind = isStudio ? "localStorage" : "sessionStorage";
const storageKey = isStudio ? STUDIO_KEY : `access ${location.pathname}`;

const token = takeToken();

/** @returns {string} empty if there is none */
function takeToken() {
  if (location.hash.startsWith(FRAGMENT)) {
    const given = location.hash.slice(FRAGMENT.length);
    history.replaceState(history.state, "", location.pathname + location.search);
    store(kind, storageKey, given);
    return given;
  }
  return recall(kind, storageKey) ?? recall("localStorage", STUDIO_KEY) ?? "";
}

/** @returns {Record<string, string>} the header that shows the token; none if there is none */
export function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}
