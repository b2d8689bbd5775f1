// One plot of the last minutes: uPlot, in the page's colours, with its latest values as text.

import { h } from "./dom.js";
import { bytes } from "./format.js";

/* global uPlot */
const HEIGHT = 150;
const DASHES = [[], [6, 4], [2, 3]]; // colour is not all that tells lines apart
const calm = matchMedia("(prefers-reduced-motion: reduce)");
// Bytes are told in KiB and MiB, so a scale of theirs goes by powers of two.
const POWERS = Array.from({ length: 45 }, (_, power) => 2 ** power);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Of the lines of a logarithmic scale only the powers of ten. */
const tens = (u, splits) => splits.map((value) => (Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6) ? value : null));

export class Plot {
  /** `lines`: [{ name, key, colour, show(value) }]; `floor` is the least top of the scale. */
  constructor(title, lines, { floor = 1, log = false } = {}) {
    this.title = title;
    this.lines = lines;
    this.floor = floor;
    this.log = log;
    this.values = lines.map(() => h("b", {}, "–"));
    const keys = lines.map((line, i) => h("span", { class: `key line-${line.colour} dash-${i}` }, line.name, " ", this.values[i]));
    this.box = h("div", { class: "canvas", role: "img", "aria-label": `${title}: no figures yet.` });
    this.whole = h("figure", { class: "plot" }, h("figcaption", {}, h("h2", {}, title), h("p", { class: "keys" }, ...keys)), this.box);
    this.data = [[], ...lines.map(() => [])];
    this.drawn = 0;
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.box);
  }

  draw(seconds, force = false) {
    this.data = [seconds.map((one) => one.second), ...this.lines.map((line) => seconds.map((one) => this.value(one[line.key])))];
    const last = seconds.at(-1) ?? {};
    const texts = this.lines.map((line) => line.show(last[line.key]));
    this.values.forEach((value, i) => { value.textContent = texts[i]; });
    if (!force && calm.matches && performance.now() - this.drawn < 5000) return;
    this.drawn = performance.now();
    this.box.setAttribute("aria-label", `${this.title}, now: ${this.lines.map((line, i) => `${line.name} ${texts[i]}`).join(", ")}.`);
    if (!this.plot) this.make();
    this.plot?.setData(this.data);
  }

  value(value) {
    if (value === null || value === undefined) return null;
    return this.log ? Math.max(value, 0.0001) : value;
  }

  make() {
    const width = this.box.clientWidth;
    if (!width) return;
    const soft = colour("soft");
    const axis = { stroke: soft, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const show = this.lines[0].show;
    this.plot = new uPlot({
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 8, 0, 0],
      scales: {
        x: { time: true, range: (u, min, max) => [max - 300, max] },
        y: this.log
          ? { distr: 3, range: (u, min, max) => [Math.min(0.0001, min || 1), Math.max(0.1, max || 0)] }
          : { range: (u, min, max) => [0, Math.max(this.floor, (max || 0) * 1.15)] },
      },
      axes: [
        { ...axis, size: 26, splits: (u, i, min, max) => [max - 240, max - 120], values: () => ["4 min ago", "2 min ago"] },
        { ...axis, size: 62, space: 34, ...(this.log ? { filter: tens, grid: { ...axis.grid, filter: tens } } : {}), ...(show === bytes ? { incrs: POWERS } : {}), values: (u, splits) => splits.map((value) => (value === null ? "" : show(value))) },
      ],
      series: [{}, ...this.lines.map((line, i) => ({
        label: line.name, stroke: colour(line.colour), width: 2, dash: DASHES[i], points: { show: false }, spanGaps: false,
      }))],
    }, this.data, this.box);
  }

  resize() {
    const width = this.box.clientWidth;
    if (this.plot && width) this.plot.setSize({ width, height: HEIGHT });
    else if (width && globalThis.uPlot) this.make();
  }

  /** Colours have changed. */
  repaint() {
    this.plot?.destroy();
    this.plot = null;
    this.make();
  }
}
