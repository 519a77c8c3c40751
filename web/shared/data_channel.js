/**
 * The data channels. `parameters`: updates out, numbered; the server's events in. `timing`: the stamps
 * of every frame, which may be lost and may overtake each other.
 */

const PING_INTERVAL_MS = 1_000;
const FIRST_PINGS = 10; // close together: the clocks should be known by the first picture
const FIRST_PING_INTERVAL_MS = 100;
/** The server says something every second, and this many looks in a row have found nothing. */
const SILENT_LOOKS = 8;
const LOOK_MS = 500;

/**
 * @typedef {object} Ears
 * @property {() => void} opened
 * @property {(message: any) => void} message an event from the server
 * @property {(message: ArrayBuffer) => void} timing stamps of some frames
 * @property {() => void} closed by the other side
 * @property {() => void} silent the other side has vanished: nothing was heard for 4 s
 */

/** Lives as long as the connection it was made for. */
export class Channel {
  #channel;
  #rev = 0;
  #pings = 0;
  #pinged = 0;
  #looks = 0;
  #silentLooks = 0;
  #isOurs = true;

  /**
   * @param {RTCPeerConnection} pc that has not offered yet
   * @param {Ears} ears
   */
  constructor(pc, ears) {
    this.#channel = pc.createDataChannel("parameters", { ordered: true });
    this.#channel.addEventListener("open", () => {
      this.#ping();
      this.#looks = setInterval(() => this.#look(ears), LOOK_MS);
      ears.opened();
    });
    this.#channel.addEventListener("message", ({ data }) => {
      this.#silentLooks = 0;
      if (this.#isOurs) ears.message(JSON.parse(data));
    });
    this.#channel.addEventListener("close", () => {
      this.#rest();
      if (this.#isOurs) ears.closed();
    });
    const timing = pc.createDataChannel("timing", { ordered: false, maxRetransmits: 0 });
    timing.binaryType = "arraybuffer";
    timing.addEventListener("message", ({ data }) => {
      if (this.#isOurs) ears.timing(data);
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

  /**
   * The server's first picture is on the screen: the last part of its time to first frame.
   * @param {number | null} server_ms when, on the server's clock, where that is known
   */
  firstShown(server_ms) {
    this.#say({ type: "first_shown", server_ms });
  }

  /** @param {object} message that changes nothing, and is not answered */
  tell(message) {
    this.#say(message);
  }

  /** No more news from here on; the connection takes the channel along. */
  leave() {
    this.#isOurs = false;
    this.#rest();
  }

  #rest() {
    clearTimeout(this.#pings);
    clearInterval(this.#looks);
  }

  /** Looks are counted, not time: a page that was asleep itself has heard nothing either. */
  #look(/** @type {Ears} */ ears) {
    this.#silentLooks += 1;
    if (this.#silentLooks < SILENT_LOOKS) return;
    this.#rest();
    ears.silent();
  }

  /** Answered with a `pong` that carries `t` back. */
  #ping() {
    this.#say({ type: "ping", t: performance.now() });
    this.#pinged += 1;
    const wait_ms = this.#pinged < FIRST_PINGS ? FIRST_PING_INTERVAL_MS : PING_INTERVAL_MS;
    this.#pings = setTimeout(() => this.#ping(), wait_ms);
  }

  /** @param {object} message */
  #say(message) {
    if (this.isOpen) this.#channel.send(JSON.stringify(message));
    return this.isOpen;
  }
}
