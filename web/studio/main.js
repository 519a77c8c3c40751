/**
 * The studio page: makes its parts, which do not know each other, and joins them.
 */

import { byId } from "../shared/dom.js";
import { asProblem } from "../shared/problems.js";
import { recall } from "../shared/storage.js";
import { playOnTap } from "../shared/playback.js";
import { watchFrames } from "../shared/video_frames.js";
import { Call } from "./call.js";
import { CallView } from "./call_view.js";
import { CameraPanel } from "./camera_panel.js";
import { Controls } from "./controls.js";
import { CuePanel } from "./cue_panel.js";
import { Desk } from "./desk.js";
import { Figures } from "./figures.js";
import { enableKeys } from "./keys.js";
import { MetricsPanel } from "./metrics_panel.js";
import { enableCopying, showAddresses, showViewAddress } from "./obs_links.js";
import { OutputPanel } from "./output_panel.js";
import { QualityPanel } from "./quality_panel.js";
import { takeResumeToken } from "./resume.js";
import { SnapshotPanel } from "./snapshot_panel.js";
import { SoundPanel } from "./sound_panel.js";
import { keepStill } from "./still.js";
import { Updates } from "./updates.js";

document.documentElement.dataset.started = "";

const camera = new CameraPanel({
  onSwitch: switchCamera,
  onRetaken: (track) => call.replaceTrack(track),
  onChange: () => view.show(),
});
const sound = new SoundPanel(switchSound);
const call = new Call({
  onChange: () => view.show(),
  onMessage,
  onTimings: (message) => figures.addStamps(message),
  onOutput: (stream) => {
    figures.newConnection();
    output.play(stream);
  },
  onDisconnect: () => output.keepPicture(),
});
const controls = new Controls((update, label) => desk.changed(update, label));
const output = new OutputPanel();
const metrics = new MetricsPanel(byId("figures"));
const quality = new QualityPanel(byId("quality"), (keep) => {
  call.sendMessage({ type: "level_answer", keep });
});
const updates = new Updates(call, controls);
const figures = new Figures(call, metrics);
const desk = new Desk(controls, {
  onUpdate: (update, label) => updates.send(update, label),
  onChange: showDesk,
  onProblem: (text) => snapshots.showProblem(text),
});
const snapshots = new SnapshotPanel(desk, showDesk);
const cues = new CuePanel(desk, () => snapshots.selected);
const view = new CallView({
  call,
  camera,
  output,
  metrics,
  onModel: (model) => {
    controls.showModel(model);
    controls.showDefaults(model.parameters ?? {});
    desk.reported();
    if (model.width_px && model.height_px) output.setSize(model.width_px, model.height_px);
  },
  onCall: (isOpen) => {
    if (!isOpen && camera.isOpen) {
      camera.close();
      sound.close();
    }
    cues.setCall(isOpen);
    if (!isOpen) recordings?.then((panel) => panel.callEnded());
    for (const id of ["record", "still"]) byId(id, HTMLButtonElement).disabled = !isOpen;
  },
});

async function start() {
  for (const each of [view, updates, figures]) each.reset();
  quality.clear();
  output.forgetPicture();
  await call.start(openCamera, () => updates.takeInitialParameters());
}

/** Resume the call of this tab's page before this one, if there was one. */
async function resume() {
  const token = takeResumeToken();
  if (token) await call.resume(openCamera, () => updates.takeInitialParameters(), token);
}

async function openCamera() {
  const track = await camera.open();
  await camera.selectInUse();
  await switchSound();
  return track;
}

/** Send what is chosen for sound; what cannot be had is told, and the picture goes on. */
async function switchSound() {
  if (!call.isOpen) return;
  try {
    await call.replaceSound(await sound.open(camera.stream));
  } catch (error) {
    const { title, advice } = asProblem(error);
    controls.showProblem(`${title}. ${advice}`);
    await call.replaceSound(null);
  }
}

/** Use another camera for the running call; if it does not open, the one in use stays. */
async function switchCamera() {
  try {
    await call.replaceTrack(await camera.open());
    await switchSound();
  } catch (error) {
    const { title, advice } = asProblem(error);
    controls.showProblem(`${title}. ${advice}`);
    await camera.selectInUse();
  }
}

/** @param {any} message from the server; unknown types are a newer server's, and are ignored */
function onMessage(message) {
  switch (message.type) {
    case "state":
      controls.showModel(message);
      controls.showParameters({ ...message.parameters, ...updates.sendPending() });
      desk.reported();
      quality.showState(message);
      output.setSize(message.width_px, message.height_px);
      byId("model").textContent =
        `${message.pipeline} · ${message.preset} · ${message.width_px}×${message.height_px}`;
      showViewAddress(message.stream, call.viewToken);
      break;
    case "parameters_updated":
      controls.prompts.transition.begun(message.transition_chunks ?? null);
      controls.showParameters(message.parameters);
      desk.reported();
      controls.showUnderstood(message.understood);
      break;
    case "level":
      quality.showLevel(message);
      if (message.text) metrics.markLevel(message.is_down);
      break;
    case "level_question":
      quality.ask(message);
      break;
    case "control":
      import("../surfaces/controls.js").then((surface) => surface.moveControl(message.name, message.value));
      break;
    case "recording":
      showRecording(message);
      break;
    case "ack":
      updates.acknowledged(message);
      break;
    case "applied":
      updates.applied(message.rev);
      break;
    case "on_air":
      updates.onAir(message);
      break;
    case "pong":
      figures.addPong(message);
      break;
    case "slo":
      showSlo(message);
      break;
  }
}

/** @type {Promise<import("../recording/panel.js").RecordingPanel> | null} */
let recordings = null;

/** @param {import("../recording/panel.js").RecordingState} state of a server that records */
async function showRecording(state) {
  recordings ??= import("../recording/panel.js").then(({ RecordingPanel }) => new RecordingPanel());
  (await recordings).showState(state);
}

function showDesk() {
  snapshots.show();
  cues.show();
}

/** @param {any} slo the event, once a second */
function showSlo(slo) {
  view.sinceInput_ms = slo.since_input_ms ?? null;
  controls.prompts.transition.showRate(slo.fps?.out ?? 0);
  metrics.showSlo(slo);
  output.showBadges(figures.age_ms ?? slo.age_ms?.p50 ?? null, slo.fps?.out ?? null);
}

watchFrames(output.video, (frame) => {
  figures.addFrame(frame);
  updates.addFrame(frame);
  view.pictureShown(frame.shown_ms);
});

byId("start").addEventListener("click", start);
byId("again").addEventListener("click", start);
byId("stop").addEventListener("click", () => call.stop());
byId("pause").addEventListener("click", () => call.sendUpdate({ paused: !call.isPaused }));
byId("still").addEventListener("click", () => keepStill(output.video));
addEventListener("online", () => call.networkChanged());
addEventListener("pagehide", () => call.suspend());
addEventListener("pageshow", ({ persisted }) => persisted && resume());

const midi = byId("midi", HTMLDetailsElement);
const loadMidi = () => import("../surfaces/midi_panel.js").then(({ MidiPanel }) => new MidiPanel(midi));
if (recall("localStorage", "midi")) loadMidi();
else midi.addEventListener("toggle", loadMidi, { once: true });
playOnTap(byId("tap"), output.video, byId("input", HTMLVideoElement));
enableCopying();
enableKeys();
desk.readShow();
controls.showUpdate(null);
showAddresses();
await camera.listCameras();
await sound.listChoices();
figures.start();
await view.start();
await resume();
