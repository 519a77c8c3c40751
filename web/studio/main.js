/**
 * The studio page, wired: camera, connection, panel, stage and figures know nothing of each other.
 */

import { Camera, SCREEN } from "./camera.js";
import { ClientStats } from "../shared/client_stats.js";
import { ServerClock } from "../shared/server_clock.js";
import { keepPicture, takeTicket } from "./resume.js";
import { Connection } from "./connection.js";
import { Figures } from "./metrics_panel.js";
import { watchFrames } from "../shared/video_frames.js";
import { Glass } from "../shared/latency.js";
import { Panel } from "./controls.js";
import { asProblem, browserProblem } from "../shared/problems.js";
import { RoundTrip } from "./update_tracker.js";
import { health } from "../shared/signaling.js";
import { Stage } from "./output_panel.js";

const LOOK_INTERVAL_MS = 1_000;
const HEALTH_EVERY = 3;
const STALE_AFTER_S = 3;
const COPIED_MS = 1_500;
const SENT_STREAM = "obs"; // any name would do

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const cameraList = /** @type {HTMLSelectElement} */ (byId("camera"));
const inputVideo = /** @type {HTMLVideoElement} */ (byId("input"));
const outputVideo = /** @type {HTMLVideoElement} */ (byId("output"));
const mirror = /** @type {HTMLInputElement} */ (byId("mirror"));

const camera = new Camera((problem) => connection.fail(problem));
const connection = new Connection({
  changed: showStanding,
  message: hear,
  timing: (message) => glass.told(message),
  output: showOutput,
});
const panel = new Panel(change);
const stage = new Stage();
const figures = new Figures(byId("figures"));
const roundTrip = new RoundTrip();
const clock = new ServerClock();
const glass = new Glass(clock, performance.timeOrigin);
const clientStats = new ClientStats();

/** @type {import("../shared/signaling.js").Health | null} */
let server = null;
let offered = "";
let lastShown_ms = 0;
let looks = 0;

// ---- the call

async function start() {
  byId("start").disabled = true;
  for (const each of [roundTrip, clock, glass, clientStats]) each.reset();
  figures.clear();
  panel.showTrip(null);
  await connection.start(openCamera, panel.initial);
}

/** A call of the page before this one in this tab, where there was one. */
async function comeBack() {
  const ticket = takeTicket();
  if (ticket) await connection.resume(openCamera, panel.initial, ticket);
}

async function openCamera() {
  const track = await camera.open(cameraList.value);
  showInput();
  await listCameras(track.getSettings().deviceId);
  return track;
}

/** Another camera for the running call; a refusal leaves the old one in place. */
async function switchCamera() {
  localStorage.setItem("camera", cameraList.value);
  if (!camera.stream) return showMirror();
  try {
    const track = await camera.open(cameraList.value);
    showInput();
    await connection.replaceTrack(track);
  } catch (error) {
    const { title, advice } = asProblem(error);
    byId("round-trip").textContent = `${title}. ${advice}`;
    byId("round-trip").dataset.stage = "rejected";
    await listCameras(camera.stream?.getVideoTracks()[0]?.getSettings().deviceId);
  }
}

/** @param {object} update @param {string} what */
function change(update, what) {
  const rev = connection.send(update);
  if (rev === null) return;
  roundTrip.sent(rev, what, performance.now());
  panel.showTrip(roundTrip.trip);
}

/** @param {any} message from the server; kinds this page does not know are for newer ones */
function hear(message) {
  const now_ms = performance.now();
  switch (message.type) {
    case "state":
      panel.showModel(message);
      stage.shape(message.width_px, message.height_px);
      byId("model").textContent =
        `${message.pipeline} · ${message.preset} · ${message.width_px}×${message.height_px}`;
      showView(message.stream);
      break;
    case "parameters_updated":
      panel.showParameters(message.parameters);
      panel.showUnderstood(message.understood);
      break;
    case "ack":
      roundTrip.acknowledged(message.rev, message.status, message.errors ?? []);
      panel.showTrip(roundTrip.trip);
      break;
    case "applied":
      roundTrip.applied(message.rev, now_ms);
      panel.showTrip(roundTrip.trip);
      break;
    case "on_air":
      roundTrip.onAir(message.rev, message.rtp_timestamp);
      panel.showTrip(roundTrip.trip);
      break;
    case "pong":
      clock.add(message.t, message.server_ns / 1e6, now_ms);
      figures.showRoundTrip(now_ms - message.t);
      break;
    case "slo":
      figures.show(message);
      stage.badges(
        glass.figures(now_ms)?.now_ms ?? message.age_ms?.p50 ?? null, message.fps?.out ?? null,
      );
      break;
  }
}

// ---- pictures

function showInput() {
  inputVideo.srcObject = camera.stream;
  document.body.classList.toggle("has-camera", camera.stream !== null);
  showMirror();
}

/** @param {MediaStream} stream */
function showOutput(stream) {
  keepPicture(outputVideo);
  for (const each of [glass, clientStats]) each.reset(); // they count from a call's beginning
  outputVideo.srcObject = stream;
  outputVideo.play().catch(({ message }) => console.info("the output does not play:", message));
}

function showMirror() {
  const isMirrored = mirror.checked && cameraList.value !== SCREEN;
  document.body.classList.toggle("mirrored", isMirrored);
}

watchFrames(outputVideo, (frame) => {
  lastShown_ms = frame.shown_ms;
  glass.presented(frame);
  connection.firstShown(clock.offset_ms === null ? null : frame.shown_ms + clock.offset_ms);
  const before = roundTrip.trip?.stage;
  roundTrip.presented(frame);
  if (roundTrip.trip?.stage !== before) panel.showTrip(roundTrip.trip);
});

// ---- what is said

function showStanding() {
  const { state, problem, milestones, isOpen, isPaused, interruption } = connection;
  const since_s = Math.floor((performance.now() - lastShown_ms) / 1000);
  stage.show({
    state,
    problem: problem ?? (state === "idle" ? browserProblem() : null),
    milestones,
    isPaused,
    interruption,
    stale_s: since_s >= STALE_AFTER_S && !document.hidden ? since_s : null,
    health: server,
  });
  document.body.classList.toggle("has-output", milestones.picture_ms !== null);
  byId("start").disabled = isOpen;
  byId("stop").disabled = !isOpen;
  byId("pause").disabled = state !== "live";
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  byId("pause").textContent = isPaused ? "Resume" : "Pause";
  byId("again").hidden = isOpen;
  if (!isOpen && camera.stream) {
    camera.close();
    showInput();
  }
  if (!isOpen) stage.badges(null, null);
}

/**
 * An address of this server that works wherever this page does.
 * @param {string} path
 */
function withToken(path) {
  const address = new URL(path, location.href);
  const token = new URLSearchParams(location.search).get("token");
  if (token) address.searchParams.set("token", token);
  return address.href;
}

/** @param {string} [stream] the clean page of this stream; without one, of the newest */
function showView(stream) {
  byId("view-url").value = byId("open-view").href = withToken(stream ? `/view/${stream}` : "/view");
}

/** Where OBS sends to; its token has a field of its own there, "Bearer Token". */
function showWhip() {
  byId("whip-url").value = new URL(`/whip/${SENT_STREAM}`, location.href).href;
  byId("sent-view").textContent = `/view/${SENT_STREAM}`;
  byId("sent-view").href = withToken(`/view/${SENT_STREAM}`);
}

/**
 * @param {HTMLInputElement} field
 * @param {Element} button
 */
async function copy(field, button) {
  field.select();
  if (!navigator.clipboard) return; // plain http: the selection is all that can be done
  await navigator.clipboard.writeText(field.value);
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), COPIED_MS);
}

/** @param {string} [inUse] the camera that is open, where it is not the chosen one */
async function listCameras(inUse) {
  const chosen = cameraList.value === SCREEN ? SCREEN
    : inUse ?? (cameraList.value || localStorage.getItem("camera") || "");
  const choices = await Camera.choices();
  cameraList.replaceChildren(...choices.map(({ id, label }) => new Option(label, id)));
  if (choices.length === 0) cameraList.add(new Option("No camera found", ""));
  if (navigator.mediaDevices && "getDisplayMedia" in navigator.mediaDevices) {
    cameraList.add(new Option("Screen or window…", SCREEN));
  }
  const isThere = [...cameraList.options].some(({ value }) => value === chosen);
  if (isThere) cameraList.value = chosen;
}

/**
 * What a call would be made with; shown once, so that what is chosen before a call stays.
 * @param {import("./controls.js").Model | null} model
 */
function offer(model) {
  const described = JSON.stringify(model);
  if (!model || described === offered) return;
  offered = described;
  panel.showModel(model);
}

/** Once a second: has the picture stopped, and what does the server say while no call is up. */
async function look() {
  if (document.hidden) return;
  looks += 1;
  if (!connection.isOpen && looks % HEALTH_EVERY === 1) {
    server = await health().catch(() => null);
    if (!connection.isOpen && server) {
      offer(server.model);
      byId("model").textContent = `${server.pipeline} · ${server.preset}`;
    }
  }
  showStanding();
}

/** Once a second, while somebody looks: how old the picture is, to the page and to the server. */
async function tellFigures() {
  if (document.hidden || !connection.isOpen) return;
  const stats = await connection.stats();
  const now_ms = performance.now();
  const found = glass.figures(now_ms);
  figures.showGlass(found);
  const message = clientStats.message(stats, now_ms, glass.shown, found);
  if (message) connection.tell(message);
}

// ---- the hand

byId("start").addEventListener("click", start);
byId("again").addEventListener("click", start);
byId("stop").addEventListener("click", () => connection.stop());
byId("pause").addEventListener("click", () => connection.send({ paused: !connection.isPaused }));
cameraList.addEventListener("change", switchCamera);
mirror.addEventListener("change", () => {
  localStorage.setItem("mirror", String(mirror.checked));
  showMirror();
});
for (const button of document.querySelectorAll("button.copy")) {
  const field = byId(/** @type {HTMLElement} */ (button).dataset.copies ?? "");
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", () => copy(field, button));
}
navigator.mediaDevices?.addEventListener?.("devicechange", () => listCameras());
addEventListener("online", () => connection.networkChanged());
addEventListener("pagehide", () => connection.suspend());
addEventListener("pageshow", ({ persisted }) => persisted && comeBack());

mirror.checked = localStorage.getItem("mirror") !== "false";
showMirror();
panel.showTrip(null);
showView();
showWhip();
await listCameras();
setInterval(look, LOOK_INTERVAL_MS);
setInterval(tellFigures, LOOK_INTERVAL_MS);
await look();
await comeBack();
