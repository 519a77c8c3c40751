/**
 * The dock: steers the stream that its address names, or one that is chosen, without a camera.
 */

import { byId, setText } from "../shared/dom.js";
import { refreshWhileVisible } from "./refreshing.js";
import { SteeringPanel } from "./steering_panel.js";
import { liveStreams, reasonOf } from "./stream_api.js";
import { STEER } from "./strings.js";

const EVERY_MS = 2_000;

document.documentElement.dataset.started = "";

const TITLE = document.title;
const named = new URLSearchParams(location.search).get("stream") ?? "";
const choice = byId("stream", HTMLSelectElement);
const message = byId("message");
/** @type {SteeringPanel | null} */
let panel = null;
let steered = "";

/** @param {string} stream to steer from now on; empty for none */
function steer(stream) {
  if (stream === steered) return;
  steered = stream;
  panel = stream ? new SteeringPanel(stream) : null;
  byId("panel").replaceChildren(...(panel ? [panel.element] : []));
  document.title = stream ? STEER.title(stream) : TITLE;
  setText(byId("title"), document.title);
}

/** Offer the streams that are live; the one that is steered stays for as long as it is there. */
async function showChoice() {
  const names = (await liveStreams()).map(({ stream }) => stream).reverse();
  if (names.join("\n") !== [...choice.options].map(({ value }) => value).join("\n")) {
    choice.replaceChildren(...names.map((name) => new Option(name)));
  }
  byId("choice").hidden = names.length < 2;
  steer(names.includes(steered) ? steered : names[0] ?? "");
  choice.value = steered;
  setText(message, names.length ? "" : STEER.nothing);
}

async function refresh() {
  try {
    if (!named) await showChoice();
    await panel?.refresh();
  } catch (error) {
    setText(message, reasonOf(error));
  }
}

choice.addEventListener("change", () => {
  steer(choice.value);
  panel?.refresh();
});
if (named) steer(named);
refreshWhileVisible(refresh, EVERY_MS);
