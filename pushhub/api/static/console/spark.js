// A small line of one figure over time, with its value at a chosen moment as text.

import { h } from "./dom.js";

const WIDTH = 360;
const HEIGHT = 56;
const PAD = 3; // half of a line, and what is round about it
const HOLE_SECONDS = 35;

const SVG = "http://www.w3.org/2000/svg";
const draw = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

export class Spark {
  /** `figure`: { key, name, colour, floor, show(value) }; `floor` is the least top of the scale. */
  constructor(figure, of) {
    this.figure = figure;
    this.of = of;
    this.value = h("b", {}, "–");
    this.range = h("span", { class: "range" }, "");
    this.line = draw("path", { class: `line-${figure.colour}` });
    this.mark = draw("line", { y1: 0, y2: HEIGHT, class: "moment" });
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.svg.append(this.line, this.mark);
    this.whole = h("figure", { class: "spark" }, h("figcaption", {}, h("span", {}, figure.name), this.value), this.svg, this.range);
  }

  /** Draw the points of the `span` seconds that end `now`; `words` name that time. */
  draw(points, now, span, words) {
    const { key, name, floor, show } = this.figure;
    this.points = points.filter((one) => one[key] !== null && one.at >= now - span);
    this.now = now;
    this.span = span;
    const values = this.points.map((one) => one[key]);
    this.low = values.length ? Math.min(...values) : null;
    this.high = values.length ? Math.max(...values) : null;
    this.mean = values.length ? values.reduce((sum, one) => sum + one, 0) / values.length : null;
    const top = Math.max(floor, this.high ?? 0);
    let path = "";
    let last = -Infinity;
    for (const one of this.points) {
      const x = (WIDTH * (one.at - (now - span))) / span;
      const y = PAD + (HEIGHT - 2 * PAD) * (1 - one[key] / top);
      // Of a value alone the round end of its line is seen.
      path += `${one.at - last > HOLE_SECONDS ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}${one.at - last > HOLE_SECONDS ? "h0" : ""}`;
      last = one.at;
    }
    this.line.setAttribute("d", path);
    const known = values.length > 0;
    const text = known ? `${show(this.low)} to ${show(this.high)}` : "no value yet";
    if (this.range.textContent !== text) this.range.textContent = text;
    this.svg.setAttribute("aria-label", `${name} of ${this.of} in ${words}: ${known ? `last ${show(values.at(-1))}, lowest ${show(this.low)}, highest ${show(this.high)}` : "no value"}.`);
  }

  /** Show the value of a moment, `ago` seconds before now; of 0 the latest. */
  at(ago) {
    const { key, show } = this.figure;
    const x = WIDTH * (1 - ago / this.span);
    this.mark.setAttribute("x1", x);
    this.mark.setAttribute("x2", x);
    this.mark.setAttribute("visibility", ago ? "visible" : "hidden");
    const at = this.now - ago;
    const nearest = this.points.reduce((best, one) => (best === null || Math.abs(one.at - at) < Math.abs(best.at - at) ? one : best), null);
    this.chosen = nearest !== null && Math.abs(nearest.at - at) <= HOLE_SECONDS ? nearest[key] : null;
    this.value.textContent = show(this.chosen);
  }
}
