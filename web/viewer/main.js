/**
 * The clean view, for OBS: a stream's output and nothing else. It reconnects for as long as it is
 * open, and shows the last picture meanwhile. It writes nothing on the programme: why there is no
 * picture is told with `?status=1` only. Where a browser, unlike OBS, wants a tap before it plays
 * sound, a button asks for one; with `?sound=0` there is no sound.
 */

import { byId, setText } from "../shared/dom.js";
import { KeptPicture } from "../shared/kept_picture.js";
import { playAloud, playOnTap, playOrAsk } from "../shared/playback.js";
import { Problem } from "../shared/problems.js";
import { iceServers } from "../shared/signaling.js";
import { silenceText, tooLong_s } from "../shared/silence.js";
import { VIEWER } from "../shared/strings.js";
import { watchFrames } from "../shared/video_frames.js";
import { WakeLock } from "../shared/wake_lock.js";
import { WhepSession } from "./whep.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;
const SILENCE_MS = 3_500;
const SETUP_MS = 4_000; // more silence is allowed until ICE has found a media path
const PING_MS = 1_000;
const CHECK_MS = 200;
const MOVE_LOOK_MS = 50;
const MOVE_AGAIN_MS = 250;

const video = byId("output", HTMLVideoElement);
const status = byId("status");
const tapButton = byId("tap");
const kept = new KeptPicture(video, byId("kept", HTMLCanvasElement));
const wakeLock = new WakeLock();
/** The stream in the address; empty for the server's newest. */
const stream = decoded(location.pathname.match(/\/view\/([^/]*)$/)?.[1] ?? "");

/** @param {string} segment of the path; taken literally if it is no valid percent-encoding */
function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

const query = new URLSearchParams(location.search);
const isMute = query.get("sound") === "0";
const soundButton = byId("unmute");
status.hidden = query.get("status") !== "1";
document.addEventListener("click", () => {
  if (soundButton.hidden) return;
  soundButton.hidden = true;
  video.muted = false;
});
playOnTap(tapButton, video);

let shown_ms = -Infinity;
let silence = "";
watchFrames(video, (frame) => {
  shown_ms = frame.shown_ms;
  showStatus("live", silence);
});

/** @param {"connecting" | "live"} state @param {string} text */
function showStatus(state, text) {
  document.body.dataset.state = state;
  wakeLock.set(state === "live");
  setText(status, text);
}

/**
 * A refusal's reason is in its advice; the advice of other problems is about the studio's Start.
 * @param {Problem} problem
 */
const reasonOf = ({ status, title, advice }) => (status ? advice : title);

/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Play the stream once, until the session is over, or another server has taken over.
 * @param {WhepSession | null} moved of the server that has taken over, with a picture already
 * @returns {Promise<{isShown: boolean, next: WhepSession | null}>} whether it ever showed a picture,
 *   and what to play next
 */
async function play(moved) {
  const session = moved ?? new WhepSession(await iceServers());
  const start_ms = performance.now();
  let pingTimer = 0;
  const close = () => {
    kept.keep(); // while the connection is there: closed, it leaves a black picture
    session.close();
  };
  addEventListener("pagehide", close);
  try {
    const { channel } = session;
    pingTimer = setInterval(() => {
      if (channel.readyState === "open") channel.send(`{"type":"ping","t":${performance.now()}}`);
    }, PING_MS);
    video.srcObject = session.media;
    const aloud = isMute ? Promise.resolve() : playAloud(video, soundButton);
    aloud.then(() => playOrAsk(video, tapButton)); // both wait for the first picture
    if (!moved) await session.open(stream);
    const next = await untilOver(session, start_ms);
    return { isShown: shown_ms > start_ms, next };
  } finally {
    clearInterval(pingTimer);
    removeEventListener("pagehide", close);
    close();
  }
}

/**
 * A session with the server that takes over, once it has a picture there.
 * @param {WhepSession} session that goes on meanwhile; it ends when its publisher has moved, which
 *   may be a moment before this page has
 * @returns {Promise<WhepSession | null>} null if it has ended long before
 */
async function nextSession(session) {
  for (let over_ms = Infinity; performance.now() < over_ms + SETUP_MS; ) {
    if (session.isOver) over_ms = Math.min(over_ms, performance.now());
    const next = new WhepSession(await iceServers());
    try {
      await next.open(stream);
      const until_ms = performance.now() + SETUP_MS;
      while (!next.isOver && performance.now() < until_ms) {
        if (await next.hasPicture()) return next;
        await sleep(MOVE_LOOK_MS);
      }
    } catch (error) {
      console.info("not moved yet:", error instanceof Problem ? reasonOf(error) : error);
    }
    next.close();
    await sleep(MOVE_AGAIN_MS);
  }
  return null;
}

/**
 * Until the server closes the session, the network fails, or a visible page has received nothing
 * for too long. Messages count as well as pictures: a server whose publisher is away has no
 * pictures but still answers every ping. Or until another server has taken over.
 * @param {WhepSession} session
 * @param {number} start_ms
 * @returns {Promise<WhepSession | null>} with the other server
 */
async function untilOver(session, start_ms) {
  let received_ms = start_ms + SETUP_MS;
  /** @type {WhepSession | null} */
  let next = null;
  /** @type {Promise<WhepSession | null> | null} */
  let moving = null;
  session.channel.addEventListener("message", ({ data }) => {
    received_ms = performance.now();
    const event = JSON.parse(data);
    if (event.type === "server_stopping" && event.hands_over) {
      moving ??= nextSession(session).catch(() => null).then((found) => (next = found));
    }
    if (event.type !== "slo") return;
    silence = silenceText(tooLong_s(event.since_input_ms ?? null));
    setText(status, silence);
  });
  while (!session.isOver && !next) {
    await sleep(CHECK_MS);
    const now_ms = performance.now();
    if (document.hidden) received_ms = now_ms;
    if (now_ms - Math.max(received_ms, shown_ms) > SILENCE_MS) break;
  }
  kept.keep();
  return next ?? moving;
}

/** @type {WhepSession | null} */
let next = null;
for (let wait_ms = FIRST_WAIT_MS; ;) {
  let text = VIEWER.waiting;
  try {
    const moved = next;
    next = null;
    const played = await play(moved);
    if (played.isShown) wait_ms = FIRST_WAIT_MS;
    next = played.next;
    if (next) continue;
  } catch (error) {
    text = error instanceof Problem ? VIEWER.waitingFor(reasonOf(error)) : String(error);
  }
  showStatus("connecting", text);
  await sleep(wait_ms * (0.75 + Math.random() / 2));
  wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
}
