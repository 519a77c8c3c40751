/**
 * A publisher and a viewer made of libwebrtc, the library of the browsers.
 *
 * Run as `node libwebrtc.mjs publish URL PICTURES` or `node libwebrtc.mjs view URL PICTURES` beside
 * a node_modules with @roamhq/wrtc. Behind PICTURES may stand a transport, "udp" or "tcp", whose
 * candidates it shall not have. PICTURES holds I420 pictures of 640x480: the publisher sends
 * them in a ring, the viewer writes what it is shown. Ends with a DELETE when its input is closed.
 */

import { appendFileSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [width, height] = [640, 480];
const SIZE = (width * height * 3) / 2;
const FPS = 30;

const [kind, url, path, without] = process.argv.slice(2);
const wrtc = createRequire(`${process.cwd()}/`)("@roamhq/wrtc");
const { RTCVideoSource, RTCVideoSink } = wrtc.nonstandard;

/** @param {string} reason */
function fail(reason) {
  console.error(reason);
  process.exit(1);
}

/** @param {string} sdp what it shall have */
function left(sdp) {
  return sdp.replace(new RegExp(`a=candidate:\\S+ \\d+ ${without} .*\\r\\n`, "gi"), "");
}

const pc = new wrtc.RTCPeerConnection({ iceServers: [] });
const gathered = new Promise((done) => {
  pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
});

if (kind === "publish") {
  const source = new RTCVideoSource();
  pc.addTransceiver(source.createTrack(), { direction: "sendonly" });
  const file = readFileSync(path);
  let sent = 0;
  setInterval(() => {
    const at = (sent++ % (file.length / SIZE)) * SIZE;
    source.onFrame({ width, height, data: new Uint8ClampedArray(file.subarray(at, at + SIZE)) });
  }, 1000 / FPS);
} else {
  const { receiver } = pc.addTransceiver("video", { direction: "recvonly" });
  new RTCVideoSink(receiver.track).onframe = ({ frame }) => {
    if (frame.width === width && frame.height === height) appendFileSync(path, frame.data);
  };
}

await pc.setLocalDescription(await pc.createOffer());
await gathered;
const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/sdp" },
  body: left(pc.localDescription.sdp),
});
const answer = await response.text();
if (response.status !== 201) fail(`${response.status}: ${answer}`);
await pc.setRemoteDescription({ type: "answer", sdp: left(answer) });

process.stdin.resume();
process.stdin.on("end", async () => {
  const ended = await fetch(new URL(response.headers.get("Location"), url), { method: "DELETE" });
  if (ended.status !== 200) fail(`DELETE was answered ${ended.status}`);
  process.exit(0);
});
