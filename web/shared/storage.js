/**
 * The browser's storage, which may be turned off: then nothing is remembered, and nothing fails.
 */

/**
 * @param {"localStorage" | "sessionStorage"} kind for good, or for this tab only
 * @param {string} key
 * @returns {string | null} null if there is none
 */
export function recall(kind, key) {
  try {
    return globalThis[kind].getItem(key);
  } catch {
    return null;
  }
}

/**
 * @param {"localStorage" | "sessionStorage"} kind for good, or for this tab only
 * @param {string} key
 * @param {string | null} value null to forget it
 */
export function store(kind, key, value) {
  try {
    if (value === null) globalThis[kind].removeItem(key);
    else globalThis[kind].setItem(key, value);
  } catch (error) {
    console.info(`${key} is not remembered:`, error);
  }
}
