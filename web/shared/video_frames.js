/**
 * The frames that a video element really puts on the screen.
 */

/** The side of the black frame that Chromium paints when a connection closes. */
export const BLANK_PX = 2;

/**
 * Times are on the clock of `performance.now()`; null if the browser does not report them.
 * @typedef {object} PresentedFrame
 * @property {number} shown_ms when it was handed to the compositor
 * @property {number | null} received_ms when its last packet had arrived
 * @property {number | null} display_ms when it is expected to be visible
 * @property {number | null} rtp its RTP timestamp
 */

/**
 * Call `onFrame` for every frame the element presents, for as long as it exists.
 * @param {HTMLVideoElement} video
 * @param {(frame: PresentedFrame) => void} onFrame
 */
export function watchFrames(video, onFrame) {
  if ("requestVideoFrameCallback" in video) {
    const next = (/** @type {number} */ _now, /** @type {any} */ metadata) => {
      video.requestVideoFrameCallback(next);
      if (!isFed(video) || metadata.width <= BLANK_PX) return;
      onFrame({
        shown_ms: metadata.presentationTime,
        received_ms: metadata.receiveTime ?? null,
        display_ms: metadata.expectedDisplayTime ?? null,
        rtp: metadata.rtpTimestamp ?? null,
      });
    };
    video.requestVideoFrameCallback(next);
  } else {
    pollFrames(video, onFrame);
  }
}

/**
 * Whether the element's track brings pictures. A track that has ended, or has not begun, is painted
 * black, and the browser counts that as a frame too.
 * @param {HTMLVideoElement} video
 */
function isFed(video) {
  const track = /** @type {MediaStream | null} */ (video.srcObject)?.getVideoTracks()[0];
  return track?.readyState === "live" && !track.muted;
}

/**
 * For browsers without the callback: read the frame counter once per screen refresh.
 * @param {HTMLVideoElement} video
 * @param {(frame: PresentedFrame) => void} onFrame
 */
function pollFrames(video, onFrame) {
  let last = 0;
  const poll = (/** @type {number} */ now) => {
    requestAnimationFrame(poll);
    const { totalVideoFrames } = video.getVideoPlaybackQuality();
    if (totalVideoFrames > last && isFed(video) && video.videoWidth > BLANK_PX) {
      onFrame({ shown_ms: now, received_ms: null, display_ms: null, rtp: null });
    }
    last = totalVideoFrames;
  };
  requestAnimationFrame(poll);
}
