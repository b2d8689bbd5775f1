// The processes one by one: their last hour, their versions, and the checks that each runs on itself.

import { curl, wish } from "./api.js";
import { command, h } from "./dom.js";
import { bytes, duration, number, rate } from "./format.js";
import { Spark } from "./spark.js";
import { cell, table } from "./table.js";

const ASK_MS = 5000;
const MOST_PAUSE_MS = 60_000; // between two requests for the hours
const STALE_MS = 15_000;
const DRAW_MS = 5000;
const SILENT_SECONDS = 30; // of a process that told its figures once a second
const MOST_SHOWN = 24; // processes with charts; the tables have all
const STEP = 10;
// Of young processes less is shown, or their lines would be points.
const SPANS = [[600, "the last ten minutes"], [1800, "the last half hour"], [3600, "the last hour"]];

const FIGURES = [
  { key: "holds", name: "Holds", colour: "one", floor: 5, show: number },
  { key: "delivered", name: "Delivered/s", colour: "two", floor: 2, show: rate },
  { key: "published", name: "Published/s", colour: "one", floor: 2, show: rate },
  { key: "wake99", name: "Delivery, p99", colour: "two", floor: 0.005, show: duration },
  { key: "memory", name: "Memory", colour: "one", floor: 1024 * 1024, show: bytes },
  { key: "loop99", name: "Loop lag, p99", colour: "two", floor: 0.005, show: duration },
];

const WORDS = { ok: ["good", "good"], failing: ["bad", "failing"], old: ["bad", "no recent result"], pending: ["", "not run yet"] };
const RANK = ["failing", "old", "pending", "ok"];

export class Nodes {
  constructor(feed, hours) {
    this.hours = hours;
    this.told = new Map(); // process → {nodes, node, pid, at}
    this.groups = new Map(); // process → {whole, title, sparks}
    this.ago = 0;
    this.next = 0;
    this.pause = ASK_MS;
    [this.span, this.words] = SPANS.at(-1);
    this.drawn = -DRAW_MS;
    this.changes = -1;
    this.health = h("p", { class: "health" }, "Asking…");
    this.processes = table("Processes", ["Node", ["Process", "number"], "Version", "Python", "Store", ["Checks that succeed", "number"], ["Events lost untold", "number"]]);
    this.checks = table("Checks", ["Check", "Node", ["Process", "number"], "State", ["Last success", "number"], ["Took", "number"], "Reason"]);
    this.checksNote = h("p", { class: "note" });
    this.summary = table("The figures", ["Node", ["Process", "number"], "Figure", ["At the moment", "number"], ["Lowest", "number"], ["Mean", "number"], ["Highest", "number"]]);
    this.moment = h("input", { id: "moment", type: "range", min: String(-this.span), max: "0", step: String(STEP), value: "0", input: () => this.choose(-Number(this.moment.value)) });
    this.title = h("h2", {}, "The last hour");
    this.when = h("output", { for: "moment" }, "now");
    this.charts = h("div", { class: "hours" });
    this.more = h("p", { class: "note" });
    this.details = h("details", { class: "figures", toggle: () => this.figure() }, h("summary", {}, "The figures as a table"), this.summary.whole);
    const body = JSON.stringify({ hour: true });
    this.whole = h("div", {},
      h("h1", { tabindex: "-1" }, "Nodes"),
      this.health,
      h("h2", {}, "Processes"), this.processes.whole,
      this.title,
      h("p", { class: "moment" }, h("label", { for: "moment" }, "Moment"), this.moment, this.when),
      this.charts, this.more, this.details,
      h("p", { class: "note" }, "Each process keeps a value every ten seconds of its last hour, also while no console is open. Rates and quantiles are of those ten seconds; “Delivery” is the wake latency. The slider, or the pointer on a chart, chooses the moment of all values."),
      h("h2", {}, "Canary"), this.checksNote, this.checks.whole,
      command(curl("POST", "console/wish", { body, headers: { "Content-Type": "application/json" } })).whole);
    this.offs = [feed.on("nodes", (told) => this.take(told)), feed.on("hour", () => this.figuresCame())];
    this.ask();
    this.asking = setInterval(() => { if (!document.hidden) this.ask(); }, ASK_MS);
    this.choose(0);
    this.draw();
  }

  ask() {
    const failed = (error) => this.say("bad", error.status ? error.message : "The server cannot be reached.");
    wish({ nodes: true }).catch(failed);
    // The first time of each page, and again for a process that is new or was not heard for a while.
    const now = performance.now();
    if ((this.hours.incomplete || !this.hours.processes.size) && now >= this.next) {
      wish({ hour: true }).catch(failed);
      // A node of an older version never replies, and the hours of the others are long.
      this.next = now + this.pause;
      this.pause = Math.min(MOST_PAUSE_MS, 2 * this.pause);
    }
  }

  take(told) {
    const now = performance.now();
    this.told.set(told.id, { ...told, at: now });
    for (const [id, { at }] of this.told) if (now - at > STALE_MS) this.told.delete(id);
    this.show();
  }

  /** Every second, and when an hour was told. */
  figuresCame() {
    if (document.hidden) return;
    if (this.changes !== this.hours.changes || performance.now() - this.drawn > DRAW_MS) this.draw();
  }

  show() {
    const all = [...this.told.values()].sort((a, b) => a.node.localeCompare(b.node) || a.pid - b.pid);
    const checks = all.flatMap(({ nodes, node, pid }) => (nodes.canary?.checks ?? []).map((one) => ({ ...one, node, pid })));
    checks.sort((a, b) => RANK.indexOf(a.state) - RANK.indexOf(b.state));
    this.processes.show(all.map(processRow));
    this.checks.show(checks.map(checkRow));
    this.checks.whole.hidden = !checks.length;
    this.checksNote.textContent = checks.length
      ? "Each process checks itself as a client would, once in the time of the setting “canary”. A failing check is also a line in the log."
      : "No process runs a canary: the setting “canary” is 0, or the server is not pushhub serve.";
    this.say(...judge(all, checks));
  }

  draw() {
    this.drawn = performance.now();
    this.changes = this.hours.changes;
    const now = Date.now() / 1000;
    const all = this.hours.all(now);
    // The clock of the log's machine is that of the points; a page of another clock shows them all the same.
    const end = Math.max(...all.map(({ heard }) => heard), 0) || now;
    const shown = all.slice(0, MOST_SHOWN);
    const oldest = end - Math.min(end, ...shown.map(({ points }) => points[0]?.at ?? end));
    [this.span, this.words] = SPANS.find(([seconds]) => oldest <= seconds) ?? SPANS.at(-1);
    this.moment.min = String(-this.span);
    const title = this.words[0].toUpperCase() + this.words.slice(1);
    if (this.title.textContent !== title) this.title.textContent = title;
    const groups = new Map();
    for (const process of shown) {
      const group = this.groups.get(process.id) ?? this.group(process);
      const silent = end - process.heard;
      group.state.textContent = silent > SILENT_SECONDS ? `last report ${duration(silent)} ago` : "";
      for (const spark of group.sparks) { spark.draw(process.points, end, this.span, this.words); spark.at(this.ago); }
      groups.set(process.id, group);
    }
    const wanted = [...groups.values()].map(({ whole }) => whole);
    if (wanted.length !== this.charts.children.length || wanted.some((one, i) => one !== this.charts.children[i])) this.charts.replaceChildren(...wanted);
    this.groups = groups;
    this.more.textContent = all.length > shown.length ? `${shown.length} of ${all.length} processes have charts here.` : "";
    this.more.hidden = !this.more.textContent;
    this.figure();
  }

  group({ id, node, pid }) {
    const name = `${node}, process ${pid}`;
    const title = h("h3", { id: `hour-${id}` }, h("bdi", {}, node), ` ${pid}`);
    const state = h("span", { class: "why" });
    const sparks = FIGURES.map((figure) => new Spark(figure, name));
    for (const { svg } of sparks) {
      svg.addEventListener("pointermove", ({ clientX }) => {
        const { left, width } = svg.getBoundingClientRect();
        this.point(STEP * Math.round((this.span * (1 - (clientX - left) / width)) / STEP));
      });
      svg.addEventListener("pointerleave", () => this.point(-Number(this.moment.value)));
    }
    const whole = h("section", { class: "hour", "aria-labelledby": `hour-${id}` }, h("div", { class: "title" }, title, state),
      h("div", { class: "sparks" }, ...sparks.map((spark) => spark.whole)));
    return { whole, state, sparks, node, pid };
  }

  /** The moment of the slider. */
  choose(ago) {
    this.point(ago);
    this.moment.setAttribute("aria-valuetext", this.when.textContent);
  }

  /** Show the values of a moment. */
  point(ago) {
    this.ago = Math.min(this.span, Math.max(0, ago));
    this.when.textContent = told(this.ago);
    for (const { sparks } of this.groups.values()) for (const spark of sparks) spark.at(this.ago);
    this.figure();
  }

  /** The table of what the charts show. */
  figure() {
    if (!this.details.open) return;
    this.summary.show([...this.groups.values()].flatMap(({ node, pid, sparks }) => sparks.map(({ figure: { name, show }, chosen, low, mean, high }) => h("tr", {},
      h("th", { scope: "row" }, h("bdi", {}, node)), cell(String(pid)), h("td", {}, name),
      ...[chosen, low, mean, high].map((value) => cell(show(value), value ?? ""))))));
  }

  say(how, sentence) {
    if (this.health.textContent !== sentence) this.health.textContent = sentence;
    this.health.dataset.how = how;
  }

  stop() {
    clearInterval(this.asking);
    for (const off of this.offs) off();
  }
}

function told(ago) {
  if (!ago) return "now";
  const time = new Date(Date.now() - ago * 1000).toLocaleTimeString("en-GB");
  const minutes = Math.floor(ago / 60);
  const seconds = ago % 60 ? ` ${ago % 60} s` : "";
  return `${time}, ${minutes ? `${minutes} min` : ""}${seconds} ago`.replace(",  ", ", ");
}

/** What an operator should know first. */
function judge(all, checks) {
  const lost = all.reduce((sum, { nodes }) => sum + (nodes.canary?.lost_untold ?? 0), 0);
  if (lost) return ["bad", `${lost === 1 ? "An event" : `${number(lost)} events`} of the canary ${lost === 1 ? "was" : "were"} lost and no reader was told: report this fault of pushhub with the log.`];
  const red = checks.filter(({ state }) => state === "failing" || state === "old");
  if (red.length) {
    const { check, node, pid, state, reason } = red[0];
    const others = red.length > 1 ? `, and ${number(red.length - 1)} more` : "";
    return ["bad", `The canary’s check “${check}” ${state === "old" ? "has no recent result" : "fails"} on ${node} ${pid}${others}${reason ? `: ${reason}` : "."}`];
  }
  const versions = new Set(all.map(({ nodes }) => nodes.version));
  if (versions.size > 1) return ["fair", `The processes have ${versions.size} versions: ${[...versions].sort().join(", ")}.`];
  if (!checks.length) return ["fair", "No canary runs, so nothing checks that events arrive."];
  if (checks.some(({ state }) => state === "pending")) return ["good", "No check of the canary fails; some have not run yet."];
  return ["good", `All checks of the canary succeed on ${all.length === 1 ? "the only process" : `all ${all.length} processes`}.`];
}

function processRow({ nodes, node, pid }) {
  const checks = nodes.canary?.checks ?? [];
  const good = checks.filter(({ state }) => state === "ok").length;
  const lost = nodes.canary?.lost_untold;
  const bad = checks.some(({ state }) => state === "failing" || state === "old");
  return h("tr", {},
    h("th", { scope: "row" }, h("bdi", {}, node)), cell(String(pid)), h("td", {}, nodes.version), h("td", {}, nodes.python), h("td", {}, nodes.store),
    h("td", { class: "number", "data-value": checks.length ? good : "" }, h("span", { class: bad ? "badge bad" : "" }, checks.length ? `${good} of ${checks.length}` : "–")),
    cell(number(lost), lost ?? ""));
}

function checkRow({ check, state, ago, seconds, reason, node, pid }) {
  const [how, word] = WORDS[state];
  return h("tr", {},
    h("th", { scope: "row" }, h("code", {}, check)), h("td", {}, h("bdi", {}, node)), cell(String(pid)),
    h("td", {}, h("span", { class: `badge ${how}` }, word)),
    cell(ago === null ? "–" : `${duration(ago)} ago`, ago ?? ""), cell(duration(seconds), seconds ?? ""),
    h("td", { class: "why" }, reason));
}
