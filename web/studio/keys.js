/**
 * The keyboard: does what `key_bindings.js` says, and shows the sheet that is made of it.
 */

import { byId } from "../shared/dom.js";
import { recall, store } from "../shared/storage.js";
import { actionOf, helpSheet } from "./key_bindings.js";
import { KEYS } from "./strings.js";

const KEYS_KEY = "keys"; // of localStorage: "off" where they are turned off
const HELP = "?";
const NO_TEXT = ["checkbox", "radio", "range", "button", "submit", "file"];

export function enableKeys() {
  const sheet = byId("sheet", HTMLDialogElement);
  const work = byId("keys-work", HTMLInputElement);
  byId("sheet-keys").replaceChildren(...[...helpSheet()].flatMap(createGroup));
  byId("help").addEventListener("click", () => sheet.showModal());
  work.checked = recall("localStorage", KEYS_KEY) !== "off";
  work.addEventListener("change", () => {
    store("localStorage", KEYS_KEY, work.checked ? null : "off");
  });
  document.addEventListener("keydown", (event) => {
    if (sheet.open || event.defaultPrevented) return;
    const focus = focusOf(event.target);
    if (event.key === "Escape" && focus === "text") {
      return /** @type {HTMLElement} */ (event.target).blur();
    }
    if (!work.checked && event.key !== HELP) return undefined;
    const action = actionOf(event, focus);
    const element = action && document.getElementById(action.on);
    if (!element || element.matches(":disabled")) return undefined; // a space scrolls then, as ever
    if (element.getClientRects().length === 0) return undefined; // not in sight
    event.preventDefault();
    return act(action, element);
  });
  // a button that was clicked would take the space that is meant for the next cue
  document.addEventListener("click", ({ target, detail }) => {
    const button = /** @type {Element} */ (target).closest("button, [type=checkbox]");
    if (detail > 0 && button === document.activeElement) /** @type {HTMLElement} */ (button).blur();
  });
}

/** @param {import("./key_bindings.js").KeyAction} action @param {HTMLElement} element */
function act({ does, by }, element) {
  switch (does) {
    case "press":
      return element.click();
    case "hold":
      return element.dispatchEvent(new Event("hold"));
    case "focus":
      element.focus();
      return element instanceof HTMLInputElement ? element.select() : undefined;
    case "move":
      return move(/** @type {HTMLInputElement | HTMLSelectElement} */ (element), by);
  }
}

/** @param {HTMLInputElement | HTMLSelectElement} control @param {number} by */
function move(control, by) {
  if (control instanceof HTMLSelectElement) {
    const last = control.options.length - 1;
    const next = control.selectedIndex + by;
    // a list of two is a switch
    control.selectedIndex = last === 1 ? 1 - control.selectedIndex : Math.min(Math.max(next, 0), last);
    control.dispatchEvent(new Event("change", { bubbles: true }));
  } else {
    const [least, most] = [Number(control.min), Number(control.max)];
    control.value = String(Number(control.value) + by * (most - least)); // the browser keeps it within
    control.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

/** @param {EventTarget | null} target @returns {import("./key_bindings.js").Focus} */
function focusOf(target) {
  if (!(target instanceof HTMLElement)) return "page";
  if (target.isContentEditable || target.tagName === "TEXTAREA") return "text";
  if (target.tagName === "SELECT") return "list";
  if (target instanceof HTMLInputElement) {
    if (target.type === "range") return "slider";
    return NO_TEXT.includes(target.type) ? "button" : "text";
  }
  return ["BUTTON", "A", "SUMMARY"].includes(target.tagName) ? "button" : "page";
}

/** @param {[string, {what: string, keys: string[][]}[]]} group */
function createGroup([title, rows]) {
  const heading = document.createElement("h3");
  heading.textContent = title;
  const list = document.createElement("dl");
  for (const { what, keys } of rows) {
    const [term, value] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = what;
    keys.forEach((names, index) => {
      if (index > 0) value.append(KEYS.or);
      value.append(...names.map(createKey));
    });
    list.append(term, value);
  }
  return [heading, list];
}

/** @param {string} name */
function createKey(name) {
  const key = document.createElement("kbd");
  key.textContent = name;
  return key;
}
