/**
 * The two ends of a call that goes one way only, each a page of its own: `window.receiving` and
 * `window.sending`. The pictures are `clip_sender.py`'s, and the numbers in their pixels those of
 * `media.js`; times are Unix milliseconds, which both pages share.
 */
() => {
  const CELLS = 20;
  const TOP = 0.06, BOTTOM = 0.16, BLACK = 16, WHITE = 235;
  const SAMPLE_MS = 250;
  const unixMs = () => performance.timeOrigin + performance.now();

  const codeOf = (number) => {
    number &= 0xffff;
    let sum = 0;
    for (let shift = 0; shift < 16; shift += 4) sum += (number >> shift) & 0xf;
    return (number << 4) | ((sum * 7 + 5) & 0xf);
  };

  const gathered = async (pc) => {
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete") {
      await new Promise((resolve) =>
        pc.addEventListener("icegatheringstatechange", resolve, { once: true }));
    }
    return pc.localDescription.sdp;
  };

  const preferred = (capabilities, codec) => {
    const wanted = [`video/${codec}`, "video/rtx"];
    return capabilities.codecs.filter((one) => wanted.includes(one.mimeType));
  };

  /** Shows what comes, and notes each picture's number and time, and the bytes so far. */
  class Receiver {
    #pc = new RTCPeerConnection();
    #strip = new OffscreenCanvas(CELLS * 4, 4).getContext("2d", { willReadFrequently: true });
    #shown = [];
    #samples = [];

    async offer(codec) {
      const transceiver = this.#pc.addTransceiver("video", { direction: "recvonly" });
      transceiver.setCodecPreferences(preferred(RTCRtpReceiver.getCapabilities("video"), codec));
      transceiver.receiver.jitterBufferTarget = 0;
      return gathered(this.#pc);
    }

    /** Returns once the first picture is shown. */
    async answer(sdp) {
      const video = document.createElement("video");
      Object.assign(video, { muted: true, autoplay: true, playsInline: true });
      document.body.append(video);
      const first = new Promise((resolve) => {
        const onPresented = () => {
          this.#shown.push([unixMs(), this.#read(video)]);
          resolve();
          video.requestVideoFrameCallback(onPresented);
        };
        video.requestVideoFrameCallback(onPresented);
      });
      this.#pc.ontrack = ({ track }) => (video.srcObject = new MediaStream([track]));
      await this.#pc.setRemoteDescription({ type: "answer", sdp });
      await first;
    }

    async record(seconds) {
      const until = performance.now() + seconds * 1000;
      while (performance.now() < until) {
        const { inbound } = await this.#stats();
        this.#samples.push([unixMs(), inbound.bytesReceived]);
        await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      }
      const { inbound, codec } = await this.#stats();
      this.#pc.close();
      return { shown: this.#shown, samples: this.#samples, received: inbound, codec };
    }

    async #stats() {
      const all = [...(await this.#pc.getStats()).values()];
      const inbound = all.find((one) => one.type === "inbound-rtp");
      return { inbound, codec: all.find((one) => one.id === inbound.codecId)?.mimeType };
    }

    #read(video) {
      const side = video.videoHeight;
      this.#strip.drawImage(
        video, (video.videoWidth - side) / 2, side * TOP, side, side * (BOTTOM - TOP),
        0, 0, CELLS * 4, 4,
      );
      const pixels = this.#strip.getImageData(0, 2, CELLS * 4, 1).data;
      let code = 0;
      for (let cell = 0; cell < CELLS; cell++) {
        code = (code << 1) | (pixels[(cell * 4 + 2) * 4] > 125);
      }
      return codeOf(code >> 4) === code ? code >> 4 : null;
    }
  }

  /** libwebrtc's own sender with the clip for a camera. */
  class Sender {
    #pc = new RTCPeerConnection();
    #drawn = {};
    #filming = true;

    async answer({ sdp, clip, width, height, fps, ceiling_bps }) {
      const bytes = new Uint8Array(await (await fetch(clip)).arrayBuffer());
      const generator = new MediaStreamTrackGenerator({ kind: "video" });
      await this.#pc.setRemoteDescription({ type: "offer", sdp });
      const [transceiver] = this.#pc.getTransceivers();
      transceiver.direction = "sendonly";
      await transceiver.sender.replaceTrack(generator);
      const answer = await gathered(this.#pc);
      const parameters = transceiver.sender.getParameters();
      parameters.degradationPreference = "maintain-resolution";
      for (const encoding of parameters.encodings) encoding.maxBitrate = ceiling_bps;
      await transceiver.sender.setParameters(parameters);
      this.#film(generator.writable.getWriter(), bytes, width, height, fps);
      return answer;
    }

    /** When each picture was drawn, by its number. */
    end() {
      this.#filming = false;
      this.#pc.close();
      return this.#drawn;
    }

    async #film(writer, bytes, width, height, fps) {
      const size = (width * height * 3) / 2;
      const start = performance.now();
      for (let number = 0; this.#filming; number++) {
        const wait = start + (number * 1000) / fps - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
        const at = (number * size) % bytes.length;
        const data = bytes.slice(at, at + size);
        this.#draw(data, number, width, height);
        const frame = new VideoFrame(data, {
          format: "I420", codedWidth: width, codedHeight: height,
          timestamp: Math.round((number * 1e6) / fps),
        });
        this.#drawn[number] = unixMs();
        await writer.write(frame);
      }
    }

    #draw(luma, number, width, height) {
      const code = codeOf(number);
      for (let cell = 0; cell < CELLS; cell++) {
        const left = width / 2 + ((cell - CELLS / 2) * height) / CELLS;
        const value = (code >> (CELLS - 1 - cell)) & 1 ? WHITE : BLACK;
        for (let y = Math.round(height * TOP); y < Math.round(height * BOTTOM); y++) {
          luma.fill(value, y * width + Math.round(left), y * width + Math.round(left + height / CELLS));
        }
      }
    }
  }

  window.receiving = new Receiver();
  window.sending = new Sender();
}
