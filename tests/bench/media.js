/**
 * One call from a real browser: numbered pictures out, the numbers read off the pictures that come
 * back. Playwright runs this as a function in a page of the server's own origin.
 *
 * The number is laid into the pixels as twenty black and white cells, with a checksum.
 *
 * @param {{width: number, height: number, fps: number, seconds: number, url: string,
 *          codec: string | null, hints: boolean, stamps: boolean}} options `codec`: the only one the
 *        browser offers, null for all; `hints`: whether it sets what our page sets; `stamps`: whether
 *        the server's frame timing is received, which only the whole server sends
 */
async (options) => {
  const { width, height, fps, seconds, url, codec, hints, stamps } = options;
  const PING_MS = 250;
  const CELLS = 20;
  const TOP = 0.06, BOTTOM = 0.16, BLACK = 16, WHITE = 235;
  const PICTURES = 24;

  /** A head that moves in front of a wall, with a little noise, as a camera gives it. */
  const makePictures = () => {
    let seed = 1;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
    const blocks = Array.from({ length: 64 * 64 }, () => 60 + Math.floor(120 * random()));
    return Array.from({ length: PICTURES }, (_, picture) => {
      const data = new Uint8Array((width * height * 3) / 2).fill(128);
      const middle = width / 2 + 40 * Math.sin((2 * Math.PI * picture) / PICTURES);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const aside = (x - middle) / (height / 3);
          const isHead = aside * aside + (y / height - 0.6) ** 2 * 6 < 1;
          const left = isHead ? Math.round(x - middle) + 512 : x;
          const block = blocks[((y >> 4) & 63) * 64 + ((left >> 4) & 63)];
          data[y * width + x] = block + Math.floor(4 * random());
        }
      }
      return data;
    });
  };

  const codeOf = (number) => {
    number &= 0xffff;
    let sum = 0;
    for (let shift = 0; shift < 16; shift += 4) sum += (number >> shift) & 0xf;
    return (number << 4) | ((sum * 7 + 5) & 0xf);
  };

  const draw = (luma, number) => {
    const code = codeOf(number);
    for (let cell = 0; cell < CELLS; cell++) {
      const left = width / 2 + ((cell - CELLS / 2) * height) / CELLS;
      const value = (code >> (CELLS - 1 - cell)) & 1 ? WHITE : BLACK;
      for (let y = Math.round(height * TOP); y < Math.round(height * BOTTOM); y++) {
        luma.fill(value, y * width + Math.round(left), y * width + Math.round(left + height / CELLS));
      }
    }
  };

  const strip = new OffscreenCanvas(CELLS * 4, 4).getContext("2d", { willReadFrequently: true });
  const read = (video) => {
    const side = video.videoHeight;
    strip.drawImage(
      video, (video.videoWidth - side) / 2, side * TOP, side, side * (BOTTOM - TOP),
      0, 0, CELLS * 4, 4,
    );
    const pixels = strip.getImageData(0, 2, CELLS * 4, 1).data;
    let code = 0;
    for (let cell = 0; cell < CELLS; cell++) code = (code << 1) | (pixels[(cell * 4 + 2) * 4] > 125);
    return codeOf(code >> 4) === code ? code >> 4 : null;
  };

  const pictures = makePictures();
  const generator = new MediaStreamTrackGenerator({ kind: "video" });
  const writer = generator.writable.getWriter();
  const drawnAt = [];
  let filming = true;
  const film = async () => {
    const start = performance.now();
    for (let number = 0; filming; number++) {
      const wait = start + (number * 1000) / fps - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      const data = pictures[number % PICTURES].slice();
      draw(data, number);
      const frame = new VideoFrame(data, {
        format: "I420", codedWidth: width, codedHeight: height,
        timestamp: Math.round((number * 1e6) / fps),
      });
      drawnAt[number] = performance.now();
      await writer.write(frame);
    }
  };

  const pc = new RTCPeerConnection();
  const transceiver = pc.addTransceiver(generator, { direction: "sendrecv" });
  if (codec) {
    const { codecs } = RTCRtpReceiver.getCapabilities("video");
    const wanted = [`video/${codec}`, "video/rtx"];
    transceiver.setCodecPreferences(codecs.filter((one) => wanted.includes(one.mimeType)));
  }
  if (hints) transceiver.receiver.jitterBufferTarget = 0;
  const video = document.createElement("video");
  Object.assign(video, { muted: true, autoplay: true, playsInline: true });
  document.body.append(video);

  const timing = { frames: [], presented: [], clock: null, origin_ms: performance.timeOrigin };
  let pings;
  if (stamps) {
    const { ServerClock } = await import("/shared/server_clock.js");
    const { readStamps } = await import("/shared/latency.js");
    const clock = new ServerClock();
    const parameters = pc.createDataChannel("parameters");
    parameters.onmessage = ({ data }) => {
      const { type, t, server_ns } = JSON.parse(data);
      if (type !== "pong") return;
      clock.add(t, server_ns / 1e6, performance.now());
      timing.clock = { offset_ms: clock.offset_ms, error_ms: clock.error_ms };
    };
    parameters.onopen = () => {
      const ping = () => parameters.send(JSON.stringify({ type: "ping", t: performance.now() }));
      pings = setInterval(ping, PING_MS);
    };
    const stampsChannel = pc.createDataChannel("timing", { ordered: false, maxRetransmits: 0 });
    stampsChannel.binaryType = "arraybuffer";
    stampsChannel.onmessage = ({ data }) => timing.frames.push(...readStamps(data));
  }

  const shown = [];
  let firstFrame;
  const first = new Promise((resolve) => (firstFrame = resolve));
  const onPresented = (_, { rtpTimestamp }) => {
    const now = performance.now();
    timing.presented.push([now, rtpTimestamp]);
    const number = read(video);
    shown.push([now, number, number === null ? null : now - (drawnAt[number] ?? NaN)]);
    firstFrame(now);
    video.requestVideoFrameCallback(onPresented);
  };
  video.requestVideoFrameCallback(onPresented);
  pc.ontrack = ({ track }) => (video.srcObject = new MediaStream([track]));

  const filmed = film();
  const offered = performance.now();
  await pc.setLocalDescription();
  const { sdp, type } = pc.localDescription;
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ sdp, type }),
  });
  const answer = await response.json();
  await pc.setRemoteDescription(answer);
  if (hints) {
    const parameters = transceiver.sender.getParameters();
    parameters.degradationPreference = "maintain-resolution";
    for (const encoding of parameters.encodings) encoding.maxBitrate = 2.5e6;
    await transceiver.sender.setParameters(parameters);
  }
  const firstAt = await first;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const stats = {};
  for (const one of (await pc.getStats()).values()) {
    if (one.type === "inbound-rtp" || one.type === "outbound-rtp") stats[one.type] = one;
    if (one.type === "codec") stats[one.id] = one.mimeType;
  }
  filming = false;
  await filmed;
  clearInterval(pings);
  pc.close();
  return {
    firstFrameMs: firstAt - offered,
    firstAt,
    shown,
    timing,
    codec: stats[stats["inbound-rtp"].codecId],
    received: stats["inbound-rtp"],
    sent: stats["outbound-rtp"],
  };
}
