/**
 * A publisher like OBS: libdatachannel, sound first, no candidates in the offer and none later.
 *
 * Run as `node obs.mjs URL TOKEN UNITS [CERTIFICATE KEY]` beside a node_modules with
 * node-datachannel. UNITS holds H.264 access units, each behind its length in four bytes. Publishes
 * until its input is closed, and ends with the DELETE that OBS sends.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const FPS = 30;
const SILENCE = Buffer.from([0xf8, 0xff, 0xfe]); // of Opus, 20 ms

const [url, token, path, certificatePemFile, keyPemFile] = process.argv.slice(2);
const rtc = createRequire(`${process.cwd()}/`)("node-datachannel");
const authorization = { Authorization: `Bearer ${token}` };

/** @returns {Buffer[]} */
function units() {
  const file = readFileSync(path);
  const found = [];
  for (let at = 0; at < file.length; at += 4 + file.readUInt32BE(at)) {
    found.push(file.subarray(at + 4, at + 4 + file.readUInt32BE(at)));
  }
  return found;
}

/** @param {string} reason */
function fail(reason) {
  console.error(reason);
  process.exit(1);
}

const certificate = certificatePemFile ? { certificatePemFile, keyPemFile } : {};
const pc = new rtc.PeerConnection("obs", { iceServers: [], ...certificate });

const audio = new rtc.Audio("0", "SendOnly");
audio.addOpusCodec(111);
audio.addSSRC(1, "obs", "obs", "obs-audio");
const audioTrack = pc.addTrack(audio);
const audioConfig = new rtc.RtpPacketizationConfig(1, "obs", 111, 48_000);
audioTrack.setMediaHandler(new rtc.RtpPacketizer(audioConfig));

const video = new rtc.Video("1", "SendOnly");
video.addH264Codec(96, "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1");
video.addSSRC(2, "obs", "obs", "obs-video");
const videoTrack = pc.addTrack(video);
const videoConfig = new rtc.RtpPacketizationConfig(2, "obs", 96, 90_000);
const packetizer = new rtc.H264RtpPacketizer("StartSequence", videoConfig);
packetizer.addToChain(new rtc.RtcpSrReporter(videoConfig));
packetizer.addToChain(new rtc.RtcpNackResponder());
videoTrack.setMediaHandler(packetizer);

const offer = await new Promise((done) => {
  pc.onLocalDescription((sdp) => done(sdp.replace(/a=(candidate|end-of-cand)[^\r\n]*\r?\n/g, "")));
  pc.setLocalDescription("offer");
});
const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/sdp", ...authorization },
  body: offer,
});
const answer = await response.text();
const location = response.headers.get("Location");
if (response.status !== 201 || !location) fail(`${response.status}: ${answer}`);
pc.setRemoteDescription(answer, "answer");
setTimeout(() => pc.state() === "connected" || fail("not connected within 30 s"), 30_000);

const pictures = units();
let sent = 0;
let began_ms = 0;
const sending = setInterval(() => {
  if (!videoTrack.isOpen()) return;
  began_ms ||= performance.now();
  while (sent < ((performance.now() - began_ms) * FPS) / 1000) {
    audioConfig.timestamp = (sent * 48_000) / FPS;
    if (audioTrack.isOpen()) audioTrack.sendMessageBinary(SILENCE);
    videoConfig.timestamp = (sent * 90_000) / FPS;
    videoTrack.sendMessageBinary(pictures[sent++ % pictures.length]);
  }
}, 5);

process.stdin.resume();
process.stdin.on("end", async () => {
  clearInterval(sending);
  const ended = await fetch(new URL(location, url), { method: "DELETE", headers: authorization });
  if (ended.status !== 200) fail(`DELETE was answered ${ended.status}`);
  pc.close();
  process.exit(0);
});
