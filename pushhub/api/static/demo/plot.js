// Every latency of the last minute, as a dot on a logarithmic scale.

import { $, duration } from "./shared.js";

const PLOT_MS = 60_000;

export const plot = {
  canvas: $("plot"),
  readers: [],
  points: [],
  least: 1,
  most: 10_000,

  add(id, latency) {
    this.points.push({ id, latency, time: performance.now() });
    this.draw();
  },

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const styles = getComputedStyle(document.documentElement);
    const colour = (name) => styles.getPropertyValue(`--${name}`).trim();
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const box = { left: 60, right: width - 14, top: 14, bottom: height - 28 };
    const scale = (box.bottom - box.top) / Math.log10(this.most / this.least);
    const y = (ms) => box.bottom - scale * Math.log10(Math.min(this.most, Math.max(this.least, ms)) / this.least);
    const end = performance.now();
    const x = (time) => box.right - ((end - time) / PLOT_MS) * (box.right - box.left);

    context.font = `12px ${styles.getPropertyValue("--sans")}`;
    context.fillStyle = colour("soft");
    context.strokeStyle = colour("line");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let ms = this.least; ms <= this.most; ms *= 10) {
      context.beginPath();
      context.moveTo(box.left, Math.round(y(ms)) + 0.5);
      context.lineTo(box.right, Math.round(y(ms)) + 0.5);
      context.stroke();
      context.fillText(ms < 1000 ? `${ms} ms` : `${ms / 1000} s`, box.left - 8, y(ms));
    }
    context.textAlign = "left";
    context.fillText("a minute ago", box.left, height - 11);
    context.textAlign = "right";
    context.fillText("now", box.right, height - 11);

    this.points = this.points.filter(({ time }) => end - time < PLOT_MS);
    for (const { id, latency, time } of this.points) {
      context.fillStyle = colour(id);
      this.mark(context, id, x(time), y(latency));
    }
    const means = this.readers.filter((one) => one.latencies.length).map((one) => `${one.title} ${duration(one.mean)}`);
    canvas.setAttribute("aria-label", means.length ? `Mean latencies: ${means.join(", ")}.` : "No latencies yet.");
  },

  /** A square, a triangle, a lozenge or a disc: colour is not all that tells them apart. */
  mark(context, id, x, y) {
    context.beginPath();
    if (id === "polling") context.rect(x - 3.5, y - 3.5, 7, 7);
    else if (id === "waiting") { context.moveTo(x, y - 5); context.lineTo(x + 4.6, y + 3.6); context.lineTo(x - 4.6, y + 3.6); }
    else if (id === "bosh") { context.moveTo(x, y - 5); context.lineTo(x + 5, y); context.lineTo(x, y + 5); context.lineTo(x - 5, y); }
    else context.arc(x, y, 4, 0, 7);
    context.fill();
  },
};
