/**
 * The data channel `parameters`: updates out, numbered; the server's events in.
 */

const PING_INTERVAL_MS = 2_000;

/**
 * @typedef {object} Ears
 * @property {() => void} opened
 * @property {(message: any) => void} message an event from the server
 * @property {() => void} closed by the other side
 */

/** Lives as long as the connection it was made for. */
export class Channel {
  #channel;
  #rev = 0;
  #pings = 0;
  #isOurs = true;

  /**
   * @param {RTCPeerConnection} pc that has not offered yet
   * @param {Ears} ears
   */
  constructor(pc, ears) {
    this.#channel = pc.createDataChannel("parameters", { ordered: true });
    this.#channel.addEventListener("open", () => {
      this.#pings = setInterval(() => this.#ping(), PING_INTERVAL_MS);
      ears.opened();
    });
    this.#channel.addEventListener("message", ({ data }) => {
      if (this.#isOurs) ears.message(JSON.parse(data));
    });
    this.#channel.addEventListener("close", () => {
      clearInterval(this.#pings);
      if (this.#isOurs) ears.closed();
    });
  }

  get isOpen() {
    return this.#channel.readyState === "open";
  }

  /**
   * @param {object} update parameters to change
   * @returns {number | null} the update's number, null if nobody is there to take it
   */
  send(update) {
    const rev = this.#rev + 1;
    if (!this.#say({ ...update, rev })) return null;
    this.#rev = rev;
    return rev;
  }

  /** The server's first picture is on the screen: the last part of its time to first frame. */
  firstShown() {
    this.#say({ type: "first_shown" });
  }

  /** No more news from here on; the connection takes the channel along. */
  leave() {
    this.#isOurs = false;
    clearInterval(this.#pings);
  }

  /** Answered with a `pong` that carries `t` back. */
  #ping() {
    this.#say({ type: "ping", t: performance.now() });
  }

  /** @param {object} message */
  #say(message) {
    if (this.isOpen) this.#channel.send(JSON.stringify(message));
    return this.isOpen;
  }
}
