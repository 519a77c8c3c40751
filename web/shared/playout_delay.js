/**
 * How soon the browser shows what it gets.
 */

const PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/**
 * Let every picture be shown at once, unless the server was started with `--smooth`: it then declines
 * the extension that the browser has offered, and the browser may wait as long as it sees fit. Call
 * it when the answer is set.
 * @param {RTCPeerConnection} pc
 * @param {RTCRtpReceiver} receiver of the picture
 */
export function settlePace(pc, receiver) {
  const [offers, takes] = [pc.localDescription, pc.remoteDescription].map(
    (description) => description?.sdp.includes(PLAYOUT_DELAY) ?? false,
  );
  if (offers && !takes) return;
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
}
