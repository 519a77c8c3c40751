/**
 * The list of streams: what is live now, seen, shared and steered without a call.
 */

import { byId, setText } from "../shared/dom.js";
import { addressOf } from "../shared/http.js";
import { refreshWhileVisible } from "./refreshing.js";
import { liveStreams, reasonOf } from "./stream_api.js";
import { StreamCard } from "./stream_card.js";
import { STREAMS } from "./strings.js";

const EVERY_MS = 3_000;

document.documentElement.dataset.started = "";

const list = byId("streams");
const problem = byId("problem");
/** By the stream's name. @type {Map<string, StreamCard>} */
const cards = new Map();

/** @param {import("./stream_api.js").StreamEntry[]} entries the oldest first; shown the newest first */
function show(entries) {
  const names = new Set(entries.map(({ stream }) => stream));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    card.element.remove();
    cards.delete(name);
  }
  for (const entry of entries) {
    let card = cards.get(entry.stream);
    if (!card) {
      card = new StreamCard(entry);
      cards.set(entry.stream, card);
      list.prepend(card.element);
    }
    card.show(entry);
  }
  byId("none").hidden = entries.length > 0;
  const viewers = entries.reduce((sum, entry) => sum + entry.viewers, 0);
  setText(byId("status"), STREAMS.count(entries.length, viewers));
}

async function refresh() {
  let reason = "";
  try {
    show(await liveStreams());
    await Promise.all([...cards.values()].map((card) => card.refresh()));
  } catch (error) {
    reason = cards.size ? STREAMS.outdated(reasonOf(error)) : reasonOf(error);
  }
  problem.hidden = !reason;
  setText(problem, reason);
}

byId("whip-url").textContent = addressOf("/whip/NAME").href;
refreshWhileVisible(refresh, EVERY_MS);
