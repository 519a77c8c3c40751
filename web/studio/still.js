/** Keep the picture that a video shows, as PNG. @param {HTMLVideoElement} video */
export function keepStill(video) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    if (!blob) return; // there is no picture yet
    const link = document.createElement("a");
    [link.href, link.download] = [URL.createObjectURL(blob), `slipstream-${Date.now()}.png`];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}
