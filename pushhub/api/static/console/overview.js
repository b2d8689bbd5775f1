// How the hub is: figures of this moment, plots of the last minutes, the processes one by one.

import { curl } from "./api.js";
import { command, h } from "./dom.js";
import { bytes, duration, number, rate } from "./format.js";
import { Plot } from "./plot.js";
import { cell, table } from "./table.js";

const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`);

const TILES = [
  ["holds", "Holds", (now) => number(now.holds)],
  ["channels", "Channels", (now) => number(now.channels)],
  ["sessions", "Sessions", (now) => number(now.sessions)],
  ["tunnels", "WebSockets", (now) => number(now.tunnels)],
  ["published", "Published/s", (now) => rate(now.published)],
  ["delivered", "Delivered/s", (now) => rate(now.delivered)],
  ["fetches", "Origin fetches/s", (now) => rate(now.fetches)],
  ["wake50", "Wake latency, p50", (now) => duration(now.wake50)],
  ["wake99", "Wake latency, p99", (now) => duration(now.wake99)],
  ["gaps", "Gaps, 5 min", (now, figures) => number(Math.round(figures.over("gaps")))],
  ["loop99", "Loop lag, p99", (now) => duration(now.loop99)],
  ["memory", "Memory", (now) => bytes(now.memory)],
  ["cpu", "CPU, of a core", (now) => percent(now.cpu)],
];

const PLOTS = [
  ["Holds", [["holds", "held requests", "one", number], ["sessions", "sessions", "two", number]], { floor: 5 }],
  ["Events a second", [["published", "published", "one", rate], ["delivered", "delivered", "two", rate]], { floor: 2 }],
  ["Wake latency", [["wake50", "p50", "one", duration], ["wake99", "p99", "two", duration]], { log: true }],
  ["Gaps and refusals a second", [["gaps", "gaps", "two", rate], ["rejected", "refused requests", "three", rate]], { floor: 1 }],
  ["Store and loop, p99", [["append99", "append", "one", duration], ["loop99", "loop lag", "two", duration]], { log: true }],
  ["Memory", [["memory", "resident", "one", bytes], ["tails", "events in memory", "two", bytes]], { floor: 1024 * 1024 }],
];

function health(now) {
  if (!now.processes) return ["bad", "No process reports its figures."];
  const { ready, hears, lag } = now.store;
  if (!ready) return ["bad", "The store is unavailable: publishes are refused and plain reads fail."];
  if (!hears) return ["bad", "The feed of the store is disconnected; waiting requests read the log when it is back."];
  if (now.failing.length) return ["bad", `The canary’s check “${now.failing[0].check}” fails on ${now.failing[0].process}; see Nodes.`];
  if (now.silent) return ["fair", `A process has not reported for ${Math.round(now.silent)} s: it has stopped, or cannot reach the store.`];
  if (lag > 1) return ["fair", `A publish has waited ${duration(lag)} for the store.`];
  if (now.draining) return ["fair", "A process is shutting down; it completes its holds."];
  if (now.loop99 > 0.25) return ["fair", `A process is late by ${duration(now.loop99)}: it has too much work.`];
  return ["good", `${now.processes === 1 ? "One process is" : `${now.processes} processes are`} well, and so is the store.`];
}

export class Overview {
  constructor(figures) {
    this.figures = figures;
    this.paused = false;
    this.health = h("p", { class: "health" });
    this.tiles = Object.fromEntries(TILES.map(([key]) => [key, h("dd", { id: `tile-${key}` }, "–")]));
    const list = h("dl", { class: "tiles" }, ...TILES.map(([key, name]) => h("div", { id: `box-${key}` }, h("dt", {}, name), this.tiles[key])));
    this.plots = PLOTS.map(([title, lines, options]) => new Plot(title, lines.map(([key, name, colour, show]) => ({ key, name, colour, show })), options));
    const heads = ["Node", ["Process", "number"], ["Holds", "number"], ["Published/s", "number"], ["Delivered/s", "number"], ["Loop lag, p99", "number"], ["CPU", "number"], ["Memory", "number"], "Store"];
    this.table = table("Processes", heads);
    this.pause = h("button", { type: "button", class: "quiet", "aria-pressed": "false", click: () => this.toggle() }, "Pause");
    this.whole = h("div", {},
      h("div", { class: "title" }, h("h1", { tabindex: "-1" }, "Overview"), this.pause),
      this.health, list,
      h("section", { class: "plots", "aria-label": "The last five minutes" }, ...this.plots.map((plot) => plot.whole)),
      h("h2", {}, "Processes"), this.table.whole,
      h("p", { class: "note" }, "Each process reports its figures once a second while a console is open. Rates and quantiles are over all processes; quantiles look back ten seconds."),
      h("h2", {}, "For your own dashboards"),
      command(curl("GET", "metrics")).whole);
    this.show();
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.setAttribute("aria-pressed", String(this.paused));
    this.pause.textContent = this.paused ? "Go on" : "Pause";
    if (!this.paused) this.show(true);
  }

  show(force = false) {
    if (this.paused || (document.hidden && !force)) return;
    const { figures } = this;
    const now = figures.seconds.at(-1);
    if (!now?.store) return;
    const [how, sentence] = health(now);
    if (this.health.textContent !== sentence) this.health.textContent = sentence;
    this.health.dataset.how = how;
    for (const [key, , show] of TILES) this.tiles[key].textContent = show(now, figures);
    this.tiles.sessions.parentElement.hidden = now.sessions === null;
    this.tiles.tunnels.parentElement.hidden = now.tunnels === null;
    this.tiles.fetches.parentElement.hidden = !now.origin;
    for (const plot of this.plots) plot.draw(figures.seconds, force);
    this.table.show(figures.alive(now.second).map((one) => this.row(one)));
  }

  row({ node, pid, figures, rates, recent }) {
    const { store } = figures;
    const state = !store.ready ? "away" : store.hears ? "good" : "deaf";
    const counts = recent.reduce((sum, one) => one.rates.loop.map((count, i) => count + sum[i]), new Array(this.figures.bounds.length + 1).fill(0));
    const values = [
      [String, pid], [number, figures.holds], [rate, rates?.published], [rate, rates?.delivered],
      [duration, this.figures.quantile(0.99, counts)], [percent, rates?.cpu], [bytes, figures.memory],
    ];
    return h("tr", {}, h("th", { scope: "row" }, node), ...values.map(([show, value]) => cell(show(value), value ?? "")),
      h("td", {}, h("span", { class: `badge ${state === "good" ? "good" : "bad"}` }, state)));
  }

  repaint() {
    for (const plot of this.plots) plot.repaint();
  }
}
