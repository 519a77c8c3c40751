/**
 * The studio page: connects camera, call, controls, output and metrics, which do not know each
 * other.
 */

import { ClientStats } from "../shared/client_stats.js";
import { byId } from "../shared/dom.js";
import { LatencyMeter } from "../shared/latency.js";
import { asProblem, browserProblem } from "../shared/problems.js";
import { playOnTap } from "../shared/playback.js";
import { ServerClock } from "../shared/server_clock.js";
import { silenceText, tooLong_s } from "../shared/silence.js";
import { watchFrames } from "../shared/video_frames.js";
import { WakeLock } from "../shared/wake_lock.js";
import { Call } from "./call.js";
import { CameraPanel } from "./camera_panel.js";
import { Controls } from "./controls.js";
import { MetricsPanel } from "./metrics_panel.js";
import { enableCopying, showAddresses, showViewAddress } from "./obs_links.js";
import { OutputPanel } from "./output_panel.js";
import { PendingUpdates, touchesPrompts } from "./pending_updates.js";
import { judgePicture } from "./picture_state.js";
import { QualityPanel } from "./quality_panel.js";
import { takeResumeToken } from "./resume.js";
import { fetchHealth } from "./server_status.js";
import { UpdateTracker } from "./update_tracker.js";

const REFRESH_MS = 1_000;
const HEALTH_EVERY = 3; // refreshes

document.documentElement.dataset.started = "";

const startButton = byId("start", HTMLButtonElement);
const stopButton = byId("stop", HTMLButtonElement);
const pauseButton = byId("pause", HTMLButtonElement);
const againButton = byId("again", HTMLButtonElement);

const cameraPanel = new CameraPanel({
  onSwitch: switchCamera,
  onRetaken: (track) => call.replaceTrack(track),
  onChange: () => showStatus(),
});
const call = new Call({
  onChange: showStatus,
  onMessage,
  onTimings: (message) => latencyMeter.addStamps(message),
  onOutput: showOutput,
  onDisconnect: () => outputPanel.keepPicture(),
});
const controls = new Controls(sendUpdate);
const outputPanel = new OutputPanel();
const metricsPanel = new MetricsPanel(byId("figures"));
const qualityPanel = new QualityPanel(byId("quality"), (keep) => {
  call.sendMessage({ type: "level_answer", keep });
});
const updateTracker = new UpdateTracker();
const serverClock = new ServerClock();
const latencyMeter = new LatencyMeter(serverClock, performance.timeOrigin);
const clientStats = new ClientStats();
const pendingUpdates = new PendingUpdates();
const wakeLock = new WakeLock();

/** @type {import("./server_status.js").Health | null} null if the server does not answer */
let health = null;
let shownModel = "";
let lastShown_ms = 0;
/** @type {number | null} since the camera's last picture, as the server counts it */
let sinceInput_ms = null;
let isFresh = false;
let refreshes = 0;

// ---- the call

async function start() {
  startButton.disabled = true;
  for (const each of [updateTracker, serverClock, latencyMeter, clientStats, controls.prompts]) {
    each.reset();
  }
  pendingUpdates.clear();
  metricsPanel.clear();
  qualityPanel.clear();
  controls.showUpdate(null);
  outputPanel.forgetPicture();
  sinceInput_ms = null;
  await call.start(openCamera, initialParameters);
}

/** Resume the call of this tab's page before this one, if there was one. */
async function resume() {
  const token = takeResumeToken();
  if (token) await call.resume(openCamera, initialParameters, token);
}

/** What was changed while the call waited is among them. */
function initialParameters() {
  pendingUpdates.clear();
  return controls.takeInitialParameters();
}

async function openCamera() {
  const track = await cameraPanel.open();
  await cameraPanel.selectInUse();
  return track;
}

/** Use another camera for the running call; if it does not open, the one in use stays. */
async function switchCamera() {
  try {
    await call.replaceTrack(await cameraPanel.open());
  } catch (error) {
    const { title, advice } = asProblem(error);
    byId("round-trip").textContent = `${title}. ${advice}`;
    byId("round-trip").dataset.stage = "rejected";
    await cameraPanel.selectInUse();
  }
}

/** @param {object} update of parameters @param {string} label what is changed, for people */
function sendUpdate(update, label) {
  const rev = call.sendUpdate(update);
  if (rev === null) {
    if (!call.isOpen) return; // the next call starts with it
    pendingUpdates.add({ ...update }, label);
    controls.showPending(label);
    return;
  }
  updateTracker.sent(rev, label, performance.now());
  if (touchesPrompts(update)) controls.prompts.sent(rev, update);
  controls.showUpdate(updateTracker.update);
}

/** @param {any} message from the server; unknown types are a newer server's, and are ignored */
function onMessage(message) {
  const now_ms = performance.now();
  switch (message.type) {
    case "state": {
      const pending = pendingUpdates.take();
      if (pending) sendUpdate(pending.update, pending.label);
      const parameters = { ...message.parameters, ...pending?.update };
      controls.showModel({ ...message, parameters });
      qualityPanel.showState(message);
      outputPanel.setSize(message.width_px, message.height_px);
      byId("model").textContent =
        `${message.pipeline} · ${message.preset} · ${message.width_px}×${message.height_px}`;
      showViewAddress(message.stream, call.viewToken);
      break;
    }
    case "parameters_updated":
      controls.showParameters(message.parameters);
      controls.showUnderstood(message.understood);
      break;
    case "level":
      qualityPanel.showLevel(message);
      if (message.text) metricsPanel.markLevel(message.is_down);
      break;
    case "level_question":
      qualityPanel.ask(message);
      break;
    case "ack":
      updateTracker.acknowledged(message.rev, message.status, message.errors ?? []);
      if (message.status !== "accepted") controls.prompts.ended(message.rev);
      controls.showUpdate(updateTracker.update);
      break;
    case "applied":
      updateTracker.applied(message.rev, now_ms);
      controls.prompts.applied(message.rev);
      controls.showUpdate(updateTracker.update);
      break;
    case "on_air":
      updateTracker.onAir(message.rev, message.rtp_timestamp);
      controls.showUpdate(updateTracker.update);
      break;
    case "pong":
      serverClock.add(message.t, message.server_ns / 1e6, now_ms);
      metricsPanel.showRoundTrip(now_ms - message.t);
      break;
    case "slo":
      sinceInput_ms = message.since_input_ms ?? null;
      controls.prompts.showRate(message.fps?.out ?? 0);
      metricsPanel.showSlo(message);
      outputPanel.showBadges(
        latencyMeter.summary(now_ms)?.now_ms ?? message.age_ms?.p50 ?? null,
        message.fps?.out ?? null,
      );
      break;
  }
}

// ---- the output

/** @param {MediaStream} stream */
function showOutput(stream) {
  for (const each of [latencyMeter, clientStats]) each.reset(); // a new call counts anew
  outputPanel.play(stream);
}

watchFrames(outputPanel.video, (frame) => {
  lastShown_ms = frame.shown_ms;
  outputPanel.dropPicture();
  latencyMeter.addFrame(frame);
  const offset_ms = serverClock.offset_ms;
  call.frameShown(offset_ms === null ? null : frame.shown_ms + offset_ms);
  const before = updateTracker.update?.stage;
  updateTracker.addFrame(frame);
  if (updateTracker.update?.stage !== before) controls.showUpdate(updateTracker.update);
  if (!isFresh) showStatus(); // at once, not with the next second
});

// ---- the status

function showStatus() {
  const { state, problem, milestones, isOpen, isPaused, interruption, farewell } = call;
  const { waitsFor, queued, crowd } = call;
  const silent_s = tooLong_s(isOpen ? sinceInput_ms : null);
  const stale_s = document.hidden ? null : tooLong_s(performance.now() - lastShown_ms);
  const picture = judgePicture({
    state,
    isPaused,
    isRefused: outputPanel.isRefused,
    interruption,
    cameraTrouble: isOpen ? cameraPanel.trouble : "",
    silent_s,
    stale_s,
  });
  isFresh = picture.picture === "fresh";
  outputPanel.showStatus({
    state,
    problem: problem ?? (state === "idle" ? browserProblem() : null),
    milestones,
    picture,
    interruption,
    farewell,
    silence: silenceText(silent_s),
    waitsFor,
    queued,
    crowd,
    health,
  });
  metricsPanel.setStopped(!isFresh && milestones.picture_ms !== null);
  wakeLock.set(state === "live");
  document.body.classList.toggle("has-output", milestones.picture_ms !== null);
  startButton.disabled = isOpen;
  stopButton.disabled = !isOpen;
  pauseButton.disabled = state !== "live";
  pauseButton.setAttribute("aria-pressed", String(isPaused));
  pauseButton.textContent = isPaused ? "Resume" : "Pause";
  againButton.hidden = isOpen;
  if (!isOpen && cameraPanel.isOpen) cameraPanel.close();
  if (!isFresh) outputPanel.showBadges(null, null);
}

/**
 * Show the model that a call would use; once, so that what is chosen before a call stays.
 * @param {import("./server_status.js").Model | null} model
 */
function showModelOnce(model) {
  const description = JSON.stringify(model);
  if (!model || description === shownModel) return;
  shownModel = description;
  controls.showModel(model);
  if (model.width_px && model.height_px) outputPanel.setSize(model.width_px, model.height_px);
}

/** Once a second: show whether pictures still come and, without a call, how the server is. */
async function refresh() {
  if (document.hidden) return;
  refreshes += 1;
  if (!call.isOpen && refreshes % HEALTH_EVERY === 1) {
    health = await fetchHealth().catch(() => null);
    if (!call.isOpen && health) {
      showModelOnce(health.model);
      byId("model").textContent = `${health.pipeline} · ${health.preset}`;
    }
  }
  showStatus();
}

/** Once a second, while the page is visible: show the latency and report client stats. */
async function reportStats() {
  if (document.hidden || !call.isOpen) return;
  const stats = await call.stats();
  const now_ms = performance.now();
  const latency = latencyMeter.summary(now_ms);
  metricsPanel.showLatency(latency);
  const message = clientStats.message(stats, now_ms, latencyMeter.presentedFrames, latency);
  if (message) call.sendMessage(message);
}

// ---- the user's and the browser's events

startButton.addEventListener("click", start);
againButton.addEventListener("click", start);
stopButton.addEventListener("click", () => call.stop());
pauseButton.addEventListener("click", () => {
  call.sendUpdate({ paused: !call.isPaused });
});
document.addEventListener("visibilitychange", () => {
  lastShown_ms = performance.now(); // hidden, no picture was shown
});
addEventListener("online", () => call.networkChanged());
addEventListener("pagehide", () => call.suspend());
addEventListener("pageshow", ({ persisted }) => persisted && resume());

playOnTap(byId("tap"), outputPanel.video, byId("input", HTMLVideoElement));
enableCopying();
controls.showUpdate(null);
showAddresses();
await cameraPanel.listCameras();
setInterval(refresh, REFRESH_MS);
setInterval(reportStats, REFRESH_MS);
await refresh();
await resume();
