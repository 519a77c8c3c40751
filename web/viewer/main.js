/**
 * The clean page: a stream's output and nothing else; while it is open it comes back by itself.
 */

import { watchFrames } from "../shared/video_frames.js";
import { Problem } from "../shared/problems.js";
import { iceServers } from "../shared/signaling.js";
import { Whep } from "./whep.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
const SILENCE_MS = 4_000;
const FIRST_PATH_MS = 4_000; // to find a way for the media takes longer than the media do
const PING_MS = 1_000;
const LOOK_MS = 200;

const video = /** @type {HTMLVideoElement} */ (document.getElementById("output"));
const status = /** @type {HTMLElement} */ (document.getElementById("status"));
/** The stream in the address; without one the server shows its newest. */
const stream = decoded(location.pathname.split("/")[2] ?? "");

/** @param {string} text of an address; one that is no escape stands for itself */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

let shown_ms = -Infinity;
watchFrames(video, (frame) => {
  shown_ms = frame.shown_ms;
  show("live", "");
});

/** @param {"connecting" | "live"} state @param {string} words */
function show(state, words) {
  document.body.dataset.state = state;
  if (status.textContent !== words) status.textContent = words;
}

/** @param {Problem} problem what a refusal says; the page's own advice is about its Start button */
const wordsOf = ({ status, title, advice }) => (status ? advice : title);

/** @param {number} ms */
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * One call; returns when it is over.
 * @returns {Promise<boolean>} whether it ever showed a picture
 */
async function watch() {
  const call = new Whep(await iceServers());
  const began_ms = performance.now();
  let pings = 0;
  const hangUp = () => call.close();
  addEventListener("pagehide", hangUp);
  try {
    const { channel } = call;
    pings = setInterval(() => {
      if (channel.readyState === "open") channel.send(`{"type":"ping","t":${performance.now()}}`);
    }, PING_MS);
    video.srcObject = call.media;
    await call.open(stream);
    await over(call, began_ms);
    return shown_ms > began_ms;
  } finally {
    clearInterval(pings);
    removeEventListener("pagehide", hangUp);
    hangUp();
  }
}

/**
 * Until the server hangs up, the network fails, or nothing came for too long though it was seen. A
 * server that only has no picture now, as while its viewer is away, still speaks every second.
 * @param {Whep} call
 * @param {number} began_ms
 */
async function over(call, began_ms) {
  let alive_ms = began_ms + FIRST_PATH_MS;
  call.channel.addEventListener("message", () => {
    alive_ms = performance.now();
  });
  while (!call.isOver) {
    await wait(LOOK_MS);
    const now_ms = performance.now();
    if (document.hidden) alive_ms = now_ms;
    if (now_ms - Math.max(alive_ms, shown_ms) > SILENCE_MS) return;
  }
}

for (let wait_ms = FIRST_WAIT_MS; ;) {
  let words = "nothing live, waiting";
  try {
    if (await watch()) wait_ms = FIRST_WAIT_MS;
  } catch (error) {
    words = error instanceof Problem ? `nothing live, waiting · ${wordsOf(error)}` : String(error);
  }
  show("connecting", words);
  await wait(wait_ms * (0.75 + Math.random() / 2));
  wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
}
