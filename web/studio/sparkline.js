/**
 * A figure's last two minutes as a line, with its target.
 */

const POINTS = 120;
const WIDTH = 240;
const HEIGHT = 48;
const HEADROOM = 1.15; // above the largest value
const SVG = "http://www.w3.org/2000/svg";

/** Draws into an element; one value a second. */
export class Sparkline {
  /** @type {(number | null)[]} */
  #values = [];
  #line = createShape("path", "spark-line");
  #area = createShape("path", "spark-area");
  #target = createShape("line", "spark-target");
  /** Upright lines, each before the value that was added next. @type {{index: number, line: Element}[]} */
  #marks = [];

  /** @param {Element} root */
  constructor(root) {
    const svg = createShape("svg", "spark");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.append(this.#area, this.#line, this.#target);
    root.append(svg);
  }

  clear() {
    this.#values = [];
    for (const { line } of this.#marks.splice(0)) line.remove();
  }

  /** Mark the present moment. @param {"down" | "up"} way */
  mark(way) {
    const line = createShape("line", "spark-mark");
    line.setAttribute("data-way", way);
    this.#target.before(line);
    this.#marks.push({ index: this.#values.length, line });
    this.#placeMarks();
  }

  /** @param {number | null} value a gap if null @param {number | null} target no line if null */
  add(value, target) {
    if (value !== null || this.#values.length > 0) this.#values.push(value);
    if (this.#values.length > POINTS) {
      this.#values.shift();
      for (const mark of this.#marks) mark.index -= 1;
    }
    this.#placeMarks();
    const top = HEADROOM * Math.max(target ?? 0, ...this.#values.map((each) => each ?? 0), 1);
    const y = (/** @type {number} */ each) => HEIGHT * (1 - each / top);
    const runs = this.#runs(y);
    this.#line.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
    this.#area.setAttribute("d", runs.map(areaUnder).join(""));
    this.#target.toggleAttribute("hidden", target === null);
    const level = String(target === null ? 0 : y(target));
    for (const [name, at] of [["x1", "0"], ["x2", String(WIDTH)], ["y1", level], ["y2", level]]) {
      this.#target.setAttribute(name, at);
    }
  }

  #placeMarks() {
    while (this.#marks.length > 0 && this.#marks[0].index < 0) this.#marks.shift()?.line.remove();
    for (const { index, line } of this.#marks) {
      const x = Math.min(WIDTH, this.#x(index)).toFixed(1);
      for (const [name, at] of [["x1", x], ["x2", x], ["y1", "0"], ["y2", String(HEIGHT)]]) {
        line.setAttribute(name, at);
      }
    }
  }

  /** The newest value is at the right edge. @param {number} index of a value */
  #x(index) {
    return WIDTH * (1 - (this.#values.length - 1 - index) / (POINTS - 1));
  }

  /**
   * The points "x y", the newest at the right edge, as one list for each run without a gap.
   * @param {(value: number) => number} y
   */
  #runs(y) {
    /** @type {string[][]} */
    const runs = [[]];
    this.#values.forEach((value, index) => {
      const x = this.#x(index);
      if (value === null) runs.push([]);
      else runs[runs.length - 1].push(`${x.toFixed(1)} ${y(value).toFixed(1)}`);
    });
    return runs.filter((run) => run.length > 0);
  }
}

/** @param {string[]} run */
function areaUnder(run) {
  const [first, last] = [run[0], run[run.length - 1]].map((point) => point.split(" ")[0]);
  return `M${first} ${HEIGHT}L${run.join("L")}L${last} ${HEIGHT}Z`;
}

/** @param {string} tag @param {string} className */
function createShape(tag, className) {
  const shape = document.createElementNS(SVG, tag);
  shape.setAttribute("class", className);
  return shape;
}
