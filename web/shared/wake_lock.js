/**
 * The screen stays on while there is a picture to look at; a phone would stop the camera with it.
 */

/** Holds the lock while `isWanted`, also after the page was away; nothing where there is none. */
export class WakeLock {
  #isWanted = false;
  /** @type {WakeLockSentinel | null} */
  #lock = null;

  constructor() {
    // the browser releases it whenever the page is hidden
    document.addEventListener("visibilitychange", () => this.#renew());
  }

  /** @param {boolean} isWanted */
  set(isWanted) {
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    if (isWanted) {
      this.#renew();
    } else {
      this.#lock?.release();
      this.#lock = null;
    }
  }

  async #renew() {
    if (!this.#isWanted || document.hidden || !navigator.wakeLock) return;
    try {
      const lock = await navigator.wakeLock.request("screen");
      if (this.#isWanted) this.#lock = lock;
      else lock.release();
    } catch (error) {
      console.info("the screen may turn itself off:", error); // a low battery, or not allowed
    }
  }
}
