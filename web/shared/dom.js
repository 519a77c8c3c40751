/**
 * Access to a page's elements.
 */

/**
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind the element's class
 * @returns {Kind}
 * @throws {TypeError} if the page has no such element of that class
 */
export function byId(id, kind = /** @type {any} */ (HTMLElement)) {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new TypeError(`the page has no ${kind.name} with the id ${id}`);
}

/**
 * Write only what has changed: a screen reader reads every write aloud.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show a value; what is being edited is left alone.
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {unknown} value null and undefined: as it is
 * @param {boolean} [isForced] also while it is being edited
 */
export function setValue(control, value, isForced = false) {
  if (value === undefined || value === null || control.value === String(value)) return;
  if (isForced || document.activeElement !== control) control.value = String(value);
}
