/**
 * Playing a video where the browser may refuse to without a tap: a phone that saves power, a page
 * that nobody has touched yet.
 */

/**
 * Play `video`; where that needs a gesture, show `button` until one has made it play.
 * @param {HTMLVideoElement} video
 * @param {HTMLElement} button
 */
export async function playOrAsk(video, button) {
  try {
    await video.play();
    button.hidden = true;
  } catch (error) {
    const { name, message } = /** @type {DOMException} */ (error);
    // anything else says that another stream has taken this one's place
    if (name === "NotAllowedError") button.hidden = false;
    else console.info("the video does not play:", message);
  }
}

/**
 * Play `video` with its sound; where that needs a gesture, without, and show `button` once there is
 * sound that could be heard.
 * @param {HTMLVideoElement} video
 * @param {HTMLElement} button
 * @returns {Promise<void>}
 */
export async function playAloud(video, button) {
  video.muted = false;
  try {
    return await video.play();
  } catch (error) {
    if (/** @type {DOMException} */ (error).name !== "NotAllowedError") return undefined;
  }
  video.muted = true;
  const [sound] = /** @type {MediaStream} */ (video.srcObject).getAudioTracks();
  const offer = () => { button.hidden = !video.muted; };
  sound?.addEventListener("unmute", offer, { once: true });
  if (sound && !sound.muted) offer();
  return undefined;
}

/**
 * Let a tap anywhere play the videos that were refused.
 * @param {HTMLElement} button shown while one waits
 * @param {...HTMLVideoElement} videos
 */
export function playOnTap(button, ...videos) {
  document.addEventListener("click", () => {
    if (button.hidden) return;
    for (const video of videos) if (video.srcObject) playOrAsk(video, button);
  });
}
