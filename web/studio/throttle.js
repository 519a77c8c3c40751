/**
 * Sends what a slider says while it is dragged, at a limited rate; the last value is always sent.
 */

const INTERVAL_MS = 80;

export class Throttle {
  #timer = 0;
  #last_ms = -Infinity;

  /** @param {() => void} send reads the slider when it is called */
  call(send) {
    this.cancel();
    const now = () => {
      this.#last_ms = performance.now();
      send();
    };
    const wait_ms = this.#last_ms + INTERVAL_MS - performance.now();
    if (wait_ms <= 0) now();
    else this.#timer = setTimeout(now, wait_ms);
  }

  /** What waits is not sent: something newer is. */
  cancel() {
    clearTimeout(this.#timer);
  }
}
