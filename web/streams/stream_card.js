/**
 * One stream of the list: its newest picture, how it is, its links and its controls.
 */

import { setText } from "../shared/dom.js";
import { addressOf } from "../shared/http.js";
import { element } from "./elements.js";
import { shareLinks } from "./share_links.js";
import { SteeringPanel } from "./steering_panel.js";
import { thumbnailOf } from "./stream_api.js";
import { SHARE, STEER, STREAMS } from "./strings.js";

/** States in which there is no picture to ask for. */
const WITHOUT_PICTURE = ["connecting", "warming"];

/** @typedef {import("./stream_api.js").StreamEntry} StreamEntry */

export class StreamCard {
  /** To be put into the list. */
  element;
  #entry;
  #picture;
  #facts = element("p", { className: "facts" });
  #steer = element("details");
  /** Made when the controls are first opened. @type {SteeringPanel | null} */
  #steering = null;

  /** @param {StreamEntry} entry */
  constructor(entry) {
    this.#entry = entry;
    const { stream } = entry;
    this.#picture = element("img", { alt: STREAMS.picture(stream), hidden: true });
    const name = encodeURIComponent(stream);
    const share = element("details");
    this.element = element("li", { className: "card" },
      element("div", { className: "screen" }, this.#picture),
      element("h2", {}, stream),
      this.#facts,
      element("div", { className: "ways" },
        linkTo(`/view/${name}`, STREAMS.watch, STREAMS.watchOf(stream)),
        linkTo(`/dock.html?stream=${name}`, STREAMS.dock, STREAMS.dockOf(stream))),
      this.#steer, share);
    this.#steer.append(summary(STREAMS.steer, STEER.title(stream)));
    share.append(summary(STREAMS.share, SHARE.title(stream)));
    this.#steer.addEventListener("toggle", () => this.#openSteering());
    share.addEventListener("toggle", async () => {
      if (!share.open) return;
      const links = await shareLinks(this.#entry);
      share.replaceChildren(share.children[0], links);
    });
  }

  /** @param {StreamEntry} entry how the stream is now */
  show(entry) {
    this.#entry = entry;
    const { state, viewers, since_s } = entry;
    this.element.dataset.state = state;
    const texts = [STREAMS.states[state] ?? state, STREAMS.since(since_s), STREAMS.viewers(viewers)];
    setText(this.#facts, texts.join(" · "));
  }

  /** Fetch its newest picture and, where its controls are open, its parameters. */
  async refresh() {
    await Promise.all([this.#showPicture(), this.#steer.open && this.#steering?.refresh()]);
  }

  async #openSteering() {
    if (!this.#steer.open) return;
    if (!this.#steering) {
      this.#steering = new SteeringPanel(this.#entry.stream);
      this.#steer.append(this.#steering.element);
    }
    await this.#steering.refresh();
  }

  async #showPicture() {
    if (WITHOUT_PICTURE.includes(this.#entry.state)) return;
    const blob = await thumbnailOf(this.#entry.stream);
    if (!blob) return;
    const address = URL.createObjectURL(blob);
    const forget = () => URL.revokeObjectURL(address);
    this.#picture.addEventListener("load", forget, { once: true });
    this.#picture.addEventListener("error", forget, { once: true });
    this.#picture.src = address;
    this.#picture.hidden = false;
  }
}

/** @param {string} path @param {string} text @param {string} label */
function linkTo(path, text, label) {
  return element("a", {
    className: "button", href: addressOf(path).href, target: "_blank", rel: "noopener",
    "aria-label": label,
  }, text);
}

/** @param {string} text @param {string} label */
function summary(text, label) {
  return element("summary", { "aria-label": label }, text);
}
