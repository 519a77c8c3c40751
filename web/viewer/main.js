/**
 * The clean view, for OBS: a stream's output and nothing else. It reconnects for as long as it is
 * open, and shows the last picture meanwhile. It writes nothing on the programme: why there is no
 * picture is told with `?status=1` only.
 */

import { byId, setText } from "../shared/dom.js";
import { KeptPicture } from "../shared/kept_picture.js";
import { playOnTap, playOrAsk } from "../shared/playback.js";
import { Problem } from "../shared/problems.js";
import { iceServers } from "../shared/signaling.js";
import { silenceText, tooLong_s } from "../shared/silence.js";
import { VIEWER } from "../shared/strings.js";
import { watchFrames } from "../shared/video_frames.js";
import { WakeLock } from "../shared/wake_lock.js";
import { WhepSession } from "./whep.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
const SILENCE_MS = 4_000;
const SETUP_MS = 4_000; // more silence is allowed until ICE has found a media path
const PING_MS = 1_000;
const CHECK_MS = 200;

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

status.hidden = new URLSearchParams(location.search).get("status") !== "1";
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
 * Play the stream once, until the session is over.
 * @returns {Promise<boolean>} whether it ever showed a picture
 */
async function play() {
  const session = new WhepSession(await iceServers());
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
    playOrAsk(video, tapButton);
    await session.open(stream);
    await untilOver(session, start_ms);
    return shown_ms > start_ms;
  } finally {
    clearInterval(pingTimer);
    removeEventListener("pagehide", close);
    close();
  }
}

/**
 * Until the server closes the session, the network fails, or a visible page has received nothing
 * for too long. Messages count as well as pictures: a server whose publisher is away has no
 * pictures but still answers every ping.
 * @param {WhepSession} session
 * @param {number} start_ms
 */
async function untilOver(session, start_ms) {
  let received_ms = start_ms + SETUP_MS;
  session.channel.addEventListener("message", ({ data }) => {
    received_ms = performance.now();
    const event = JSON.parse(data);
    if (event.type !== "slo") return;
    silence = silenceText(tooLong_s(event.since_input_ms ?? null));
    setText(status, silence);
  });
  while (!session.isOver) {
    await sleep(CHECK_MS);
    const now_ms = performance.now();
    if (document.hidden) received_ms = now_ms;
    if (now_ms - Math.max(received_ms, shown_ms) > SILENCE_MS) return;
  }
}

for (let wait_ms = FIRST_WAIT_MS; ;) {
  let text = VIEWER.waiting;
  try {
    if (await play()) wait_ms = FIRST_WAIT_MS;
  } catch (error) {
    text = error instanceof Problem ? VIEWER.waitingFor(reasonOf(error)) : String(error);
  }
  showStatus("connecting", text);
  await sleep(wait_ms * (0.75 + Math.random() / 2));
  wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
}
