/**
 * Moves the page's controls for MIDI and OSC, as if it was done by hand.
 */

const PRESSED = 0.5;
const SPACING_MS = 20; // of the values that a slider takes; surfaces send many more

/** @type {Map<HTMLInputElement, number>} sliders that have a newer value */
const waiting = new Map();

/**
 * @param {string} id of the control; one that is not there, or cannot be moved now, stays as it is
 * @param {number} value from 0 to 1: of a slider's range, of a list; 1 presses a button
 */
export function moveControl(id, value) {
  const control = document.getElementById(id);
  if (!control || control.matches(":disabled")) return;
  if (control instanceof HTMLSelectElement) choose(control, value);
  else if (control instanceof HTMLInputElement && control.type === "range") slide(control, value);
  else if (control instanceof HTMLInputElement && control.type === "checkbox") check(control, value);
  else if (value >= PRESSED) control.click();
}

/** Whether a surface can move it. @param {Element} control */
export function isMovable(control) {
  return control.id !== "" && control.matches("button, select, input[type=range], input[type=checkbox]");
}

/** @param {HTMLInputElement} slider @param {number} value */
function slide(slider, value) {
  if (waiting.size === 0) setTimeout(takeWaiting, SPACING_MS);
  waiting.set(slider, value);
}

function takeWaiting() {
  for (const [slider, value] of waiting) {
    const [least, most] = [Number(slider.min), Number(slider.max)];
    slider.value = String(least + value * (most - least));
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
  waiting.clear();
}

/** @param {HTMLSelectElement} list @param {number} value */
function choose(list, value) {
  const index = Math.round(value * (list.options.length - 1));
  if (index === list.selectedIndex) return;
  list.selectedIndex = index;
  list.dispatchEvent(new Event("change", { bubbles: true }));
}

/** @param {HTMLInputElement} box @param {number} value */
function check(box, value) {
  if (box.checked !== value >= PRESSED) box.click();
}
