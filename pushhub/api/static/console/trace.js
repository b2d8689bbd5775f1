// What happens to the requests of one channel, or of one client, line by line as it happens.

import { curl, wish } from "./api.js";
import { command, h } from "./dom.js";
import { bytes, clock, number } from "./format.js";
import { amend, place } from "./place.js";
import { cell, table } from "./table.js";

const RENEW_MS = 5000; // a trace that nobody wishes any more ends after 15 s
const MOST_LINES = 500;

const newId = () => [...crypto.getRandomValues(new Uint8Array(12))].map((one) => one.toString(16).padStart(2, "0")).join("");

export class Trace {
  constructor(feed, query) {
    const by = query.has("client") ? "client" : "channel";
    this.kinds = ["channel", "client"].map((kind) => h("input", { type: "radio", name: "kind", value: kind, checked: kind === by, change: () => this.showCurl() }));
    this.what = h("input", { id: "what", value: query.get(by) ?? "", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: "255", input: () => this.showCurl() });
    this.button = h("button", {}, "Start");
    this.note = h("p", { class: "note", role: "status" }, "No trace is running.");
    this.table = table("The trace, newest first", [["Time", "time"], "What", ["After", "number"], ["Hold", "number"], "Client", "More", "Process"]);
    this.command = command("", "Start this trace, as a command");
    this.rows = [];
    this.count = 0;
    this.whole = h("div", {},
      h("h1", { tabindex: "-1" }, "Trace"),
      h("p", { class: "lead" }, "A channel by its name, or a client by its address or by the subject of its token: each poll, when it parks, its wake-up and its response, in every process."),
      h("form", { submit: (event) => { event.preventDefault(); this.toggle(); } },
        h("div", { class: "row" },
          h("fieldset", {}, h("legend", {}, "Trace a"), ...this.kinds.map((input) => h("label", { class: "check" }, input, input.value))),
          h("label", {}, "Name, address or subject", this.what),
          this.button,
          h("button", { type: "button", class: "quiet", click: () => this.clear() }, "Clear"))),
      this.note, this.table.whole, this.command.whole);
    this.off = feed.on("trace", (told) => { if (told.trace === this.id) this.take(told); });
    this.showCurl();
    if (this.what.value) this.toggle();
  }

  get target() {
    return { [this.kinds.find((input) => input.checked).value]: this.what.value };
  }

  showCurl() {
    const body = JSON.stringify({ trace: this.id ?? "anyid123", ...this.target });
    this.command.set(`${curl("POST", "console/wish", { body, headers: { "Content-Type": "application/json" } })}\n${curl("GET", "console/feed?since=now", { headers: { Prefer: "wait=25" } })}`);
  }

  async toggle() {
    if (this.id) {
      this.end();
      this.note.textContent = `Ended after ${number(this.count)} lines.`;
      return;
    }
    this.id = newId();
    this.count = 0;
    const wished = { trace: this.id, ...this.target };
    this.note.textContent = "Starting the trace…";
    try {
      await wish(wished);
    } catch (error) {
      if (this.id !== wished.trace) return;
      this.id = null;
      this.note.textContent = error.message;
      return;
    }
    // Who has ended it meanwhile, or looks elsewhere, does not wish it again.
    if (this.id !== wished.trace) return;
    amend(place("trace", this.target));
    if (!this.count) this.note.textContent = "Tracing. No line yet.";
    this.renewing = setInterval(() => wish(wished).catch(() => {}), RENEW_MS);
    this.button.textContent = "Stop";
    this.what.disabled = true;
    for (const input of this.kinds) input.disabled = true;
    this.showCurl();
  }

  end() {
    clearInterval(this.renewing);
    if (this.id) wish({ end: this.id }).catch(() => {});
    this.id = null;
    this.button.textContent = "Start";
    this.what.disabled = false;
    for (const input of this.kinds) input.disabled = false;
  }

  take({ lines, missed, node, pid }) {
    this.count += lines.length + missed;
    const rows = lines.map((line) => row(line, `${node} ${pid}`));
    if (missed) rows.push(h("tr", {}, h("td", { colSpan: 7, class: "bad" }, `${number(missed)} more lines came too fast to be shown.`)));
    this.rows = [...rows.reverse(), ...this.rows].slice(0, MOST_LINES);
    this.table.show(this.rows);
    this.note.textContent = `Tracing: ${number(this.count)} lines.`;
  }

  clear() {
    this.rows = [];
    this.table.show(this.rows);
  }

  stop() {
    this.off();
    this.end();
  }
}

const WORDS = {
  poll: "request", park: "waits", waiting: "was waiting", answer: "response", gone: "disconnected",
  event: "event", publish: "publish", logged: "is in the log", "not logged": "not in the log",
};

function row(line, process) {
  return h("tr", { class: `trace-${line.what.replace(" ", "-")}` },
    h("td", { "data-value": line.time }, clock(line.time * 1000)),
    h("th", { scope: "row" }, WORDS[line.what] ?? line.what),
    cell(line.ms === undefined ? "" : `${line.ms.toLocaleString("en")} ms`, line.ms ?? ""),
    cell(line.hold === undefined ? "" : String(line.hold)),
    h("td", {}, h("bdi", {}, [line.client, line.subject].filter(Boolean).join(" · "))),
    h("td", {}, h("bdi", {}, more(line))),
    h("td", {}, process));
}

/** What else a line says, in words. */
function more(line) {
  switch (line.what) {
    case "poll":
    case "waiting": {
      const from = Object.entries(line.since).map(([name, since]) => `${name} since ${since}`).join(", ");
      const others = line.channels > Object.keys(line.since).length ? ` and ${line.channels - Object.keys(line.since).length} more` : "";
      return `${line.kind}: ${from}${others}${line.wait ? `, up to ${line.wait} s` : ""}`;
    }
    case "park":
      return `at ${Object.values(line.at).join(", ")}`;
    case "answer":
      return `${line.part ? "part" : line.status}, ${line.events === 1 ? "1 event" : `${line.events} events`}, ${bytes(line.bytes)}`;
    case "event":
      return `${line.cursor}, ${bytes(line.bytes)}, wakes ${number(line.waiting)}`;
    case "publish":
      return `${line.channel}, ${bytes(line.bytes)}`;
    case "logged":
      return `${line.cursor}${line.duplicate ? ", a duplicate" : ""}`;
    case "not logged":
      return line.why;
    default:
      return "";
  }
}
