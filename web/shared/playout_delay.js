/**
 * How soon the browser shows a received picture.
 */

const EXTENSION = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/**
 * Have every picture shown at once, unless the server was started with `--smooth`: it then declines
 * the RTP extension that the browser has offered, and the browser chooses its delay itself. Call it
 * once the answer is set.
 * @param {RTCPeerConnection} pc
 * @param {RTCRtpReceiver} receiver of the picture
 */
export function minimisePlayoutDelay(pc, receiver) {
  const [isOffered, isAccepted] = [pc.localDescription, pc.remoteDescription].map(
    (description) => description?.sdp.includes(EXTENSION) ?? false,
  );
  if (isOffered && !isAccepted) return;
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
}
