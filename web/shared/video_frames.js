/**
 * Called for every picture a video element really shows.
 */

/**
 * @typedef {object} Presented
 * @property {number} shown_ms when it went to the screen, on the clock of `performance.now()`
 * @property {number | null} received_ms when its last packet was there, where the browser tells
 * @property {number | null} display_ms when it can be seen, where the browser tells
 * @property {number | null} rtp its RTP timestamp, where the browser tells
 */

/**
 * @param {HTMLVideoElement} video
 * @param {(frame: Presented) => void} shown
 */
export function watchFrames(video, shown) {
  if ("requestVideoFrameCallback" in video) {
    const next = (/** @type {number} */ _now, /** @type {any} */ metadata) => {
      video.requestVideoFrameCallback(next);
      if (!isFed(video)) return;
      shown({
        shown_ms: metadata.presentationTime,
        received_ms: metadata.receiveTime ?? null,
        display_ms: metadata.expectedDisplayTime ?? null,
        rtp: metadata.rtpTimestamp ?? null,
      });
    };
    video.requestVideoFrameCallback(next);
  } else {
    pollFrames(video, shown);
  }
}

/**
 * Whether the element's track brings pictures: a track that has ended, or has not begun, is painted
 * black, and that counts as a frame too.
 * @param {HTMLVideoElement} video
 */
function isFed(video) {
  const track = /** @type {MediaStream | null} */ (video.srcObject)?.getVideoTracks()[0];
  return track?.readyState === "live" && !track.muted;
}

/**
 * For browsers without the callback: the frame counter, looked at once per screen refresh.
 * @param {HTMLVideoElement} video
 * @param {(frame: Presented) => void} shown
 */
function pollFrames(video, shown) {
  let last = 0;
  const look = (/** @type {number} */ now) => {
    requestAnimationFrame(look);
    const { totalVideoFrames } = video.getVideoPlaybackQuality();
    if (totalVideoFrames > last && isFed(video)) {
      shown({ shown_ms: now, received_ms: null, display_ms: null, rtp: null });
    }
    last = totalVideoFrames;
  };
  requestAnimationFrame(look);
}
