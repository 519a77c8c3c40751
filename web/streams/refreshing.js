/**
 * Asks again and again, for as long as somebody may see what comes.
 */

/**
 * Run a task now and, each time when it is over, again after a while; not while the page is hidden,
 * and at once when it is seen again.
 * @param {() => Promise<void>} task shows its errors by itself
 * @param {number} every_ms
 */
export function refreshWhileVisible(task, every_ms) {
  let timer = 0;
  let isRunning = false;
  const run = async () => {
    if (isRunning || document.hidden) return;
    isRunning = true;
    clearTimeout(timer);
    try {
      await task();
    } finally {
      isRunning = false;
      timer = setTimeout(run, every_ms);
    }
  };
  document.addEventListener("visibilitychange", run);
  run();
}
