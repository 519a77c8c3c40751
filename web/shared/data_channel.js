/**
 * The two data channels. `parameters`: numbered updates to the server, its events to the page.
 * `timing`: the stamps of every frame, unordered and without retransmission.
 */

const PING_INTERVAL_MS = 1_000;
const FIRST_PINGS = 10; // close together: the clocks should be known by the first picture
const FIRST_PING_INTERVAL_MS = 100;
const CHECK_INTERVAL_MS = 500;
/** The server sends something every second; after so many checks without it is gone. */
const SILENT_CHECKS = 7;

/**
 * @typedef {object} ChannelListener
 * @property {() => void} onOpen
 * @property {(message: any) => void} onMessage an event from the server
 * @property {(message: ArrayBuffer) => void} onTimings stamps of some frames
 * @property {() => void} onClose by the other side
 * @property {() => void} onSilence the other side has vanished: nothing came for 3.5 s
 */

/** Both channels of one connection, for as long as that lasts. */
export class DataChannels {
  #parameters;
  #rev = 0;
  #pingTimer = 0;
  #pings = 0;
  #checkTimer = 0;
  #silentChecks = 0;
  #isDetached = false;

  /**
   * @param {RTCPeerConnection} pc that has not offered yet
   * @param {ChannelListener} listener
   */
  constructor(pc, listener) {
    this.#parameters = pc.createDataChannel("parameters", { ordered: true });
    this.#parameters.addEventListener("open", () => {
      this.#ping();
      this.#checkTimer = setInterval(() => this.#checkSilence(listener), CHECK_INTERVAL_MS);
      listener.onOpen();
    });
    this.#parameters.addEventListener("message", ({ data }) => {
      this.#silentChecks = 0;
      if (!this.#isDetached) listener.onMessage(JSON.parse(data));
    });
    this.#parameters.addEventListener("close", () => {
      this.#stopTimers();
      if (!this.#isDetached) listener.onClose();
    });
    const timing = pc.createDataChannel("timing", { ordered: false, maxRetransmits: 0 });
    timing.binaryType = "arraybuffer";
    timing.addEventListener("message", ({ data }) => {
      this.#silentChecks = 0;
      if (!this.#isDetached) listener.onTimings(data);
    });
  }

  get isOpen() {
    return this.#parameters.readyState === "open";
  }

  /**
   * @param {object} update parameters to change
   * @returns {number | null} the update's number, null if the channel is not open
   */
  sendUpdate(update) {
    const rev = this.#rev + 1;
    if (!this.sendMessage({ ...update, rev })) return null;
    this.#rev = rev;
    return rev;
  }

  /**
   * Report the first picture on the screen: the last part of the time to first frame.
   * @param {number | null} server_ms when, on the server's clock; null if not known
   */
  sendFirstShown(server_ms) {
    this.sendMessage({ type: "first_shown", server_ms });
  }

  /**
   * Send a message as it is, without a number.
   * @param {object} message
   * @returns {boolean} whether the channel was open
   */
  sendMessage(message) {
    if (this.isOpen) this.#parameters.send(JSON.stringify(message));
    return this.isOpen;
  }

  /** Report nothing more to the listener; the connection closes the channels. */
  detach() {
    this.#isDetached = true;
    this.#stopTimers();
  }

  #stopTimers() {
    clearTimeout(this.#pingTimer);
    clearInterval(this.#checkTimer);
  }

  /**
   * Checks are counted, not time: while the page itself was suspended it received nothing either.
   * @param {ChannelListener} listener
   */
  #checkSilence(listener) {
    this.#silentChecks += 1;
    if (this.#silentChecks < SILENT_CHECKS) return;
    this.#stopTimers();
    listener.onSilence();
  }

  /** The server answers with a `pong` that carries `t` back. */
  #ping() {
    this.sendMessage({ type: "ping", t: performance.now() });
    this.#pings += 1;
    const wait_ms = this.#pings < FIRST_PINGS ? FIRST_PING_INTERVAL_MS : PING_INTERVAL_MS;
    this.#pingTimer = setTimeout(() => this.#ping(), wait_ms);
  }
}
