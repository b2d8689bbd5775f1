// What every reader of the demo does: counts, times, lists, tries again, and says how it is.

import { $, Refused, bytes, copyText, credentials, duration, element, eventsUrl, now, page, pause, say } from "./shared.js";

const MOST_BACKOFF_MS = 60_000;
const MOST_ENTRIES = 50;

/** 1, 2, 4 … up to 60 seconds, each with up to a second of chance, so that pages do not return in step. */
const backoff = (failures) => Math.min(MOST_BACKOFF_MS, 1000 * 2 ** (failures - 1)) + Math.random() * 1000;

export class Reader {
  /** `hooks`: what the page wants to hear: `latency(reader, ms, n)` and `refused()`. */
  constructor(id, title, code, hooks) {
    this.id = id;
    this.title = title;
    this.code = code;
    this.hooks = hooks;
    this.panel = $(id);
    this.panel.append($("reader").content.cloneNode(true));
    this.is = Object.fromEntries([...this.panel.querySelectorAll("[data-is]")].map((part) => [part.dataset.is, part]));
    const copy = this.panel.querySelector("details button");
    copy.addEventListener("click", () => copyText(this.is.code, copy));
  }

  start() {
    this.stopping?.abort();
    this.stopping = new AbortController();
    this.cursor = "now";
    this.requests = this.bytes = this.events = this.failures = 0;
    this.latencies = [];
    this.is.log.replaceChildren(element("li", "empty", "Nothing yet."));
    this.is.code.textContent = this.code(eventsUrl());
    this.show();
    this.state("starting");
    this.run(this.stopping.signal);
  }

  /** Read for ever; what fails is tried again, later and later. */
  async run(signal) {
    while (!signal.aborted) {
      try {
        await this.turn(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
          this.state("needs an API key or token", "bad");
          this.hooks.refused();
          return;
        }
        await this.failed(error, signal).catch(() => {});
      }
    }
  }

  async failed(error, signal) {
    this.failures += 1;
    const ms = Math.max(backoff(this.failures), error.retryAfter ?? 0);
    const offline = error.name === "Error" ? error.message : "offline";
    const why = error instanceof Refused ? `refused, ${error.message.toLowerCase()}` : offline;
    this.state(`${why}; next try in ${duration(ms)}`, "bad");
    say(`${this.title}: ${why}.`, this.failures === 1);
    await pause(ms, signal);
  }

  /** One request of the feed: its answer, or what went wrong. A gap is told, and gone on from. */
  async feed(headers, signal) {
    this.requests += 1;
    this.show();
    const url = `${eventsUrl()}?since=${encodeURIComponent(this.cursor)}`;
    const response = await fetch(url, { headers: { ...headers, ...credentials() }, signal, cache: "no-store" });
    const text = await response.text();
    this.bytes += bytes(text);
    this.show();
    let body = {};
    try { body = JSON.parse(text); } catch { /* a proxy's page */ }
    if (response.status === 410) {
      this.gap(body);
      body = { events: [], cursor: body.oldest };
    } else if (!response.ok) {
      throw new Refused(response, body);
    } else if (!Array.isArray(body.events)) {
      throw new Error("the response is no feed");
    }
    if (this.failures) say(`${this.title} is back.`, true);
    this.failures = 0;
    for (const event of body.events) this.took(event.cursor, event.data);
    this.cursor = body.cursor;
    this.show();
    return { body, response };
  }

  took(cursor, data) {
    this.events += 1;
    let latency = null;
    if (data?.page === page.id && typeof data.at === "number") {
      latency = Math.max(0, now() - data.at);
      this.latencies.push(latency);
      this.hooks.latency(this, latency, data.n);
    }
    const text = typeof data === "object" && data !== null && "text" in data ? String(data.text) : JSON.stringify(data);
    const item = element("li");
    const label = element("span", "", text);
    label.title = cursor;
    item.append(label, element("b", "", latency === null ? "" : duration(latency)));
    this.enter(item);
  }

  gap({ reason }) {
    const why = {
      epoch: "the log began again",
      trimmed: "events were removed",
      ahead: "the log was cut short",
    }[reason] ?? "events may be lost";
    this.enter(element("li", "notice", `Gap: ${why}. Continuing from the oldest event that is kept.`));
    say(`${this.title}: gap, ${why}.`, true);
  }

  enter(item) {
    const log = this.is.log;
    log.querySelector(".empty")?.remove();
    log.prepend(item);
    while (log.children.length > MOST_ENTRIES) log.lastChild.remove();
    this.show();
  }

  show() {
    this.is.requests.textContent = this.requests.toLocaleString("en");
    this.is.bytes.textContent = this.bytes.toLocaleString("en");
    this.is.events.textContent = this.events.toLocaleString("en");
    this.is.mean.textContent = this.latencies.length ? duration(this.mean) : "–";
  }

  get mean() {
    return this.latencies.reduce((sum, one) => sum + one, 0) / this.latencies.length;
  }

  state(text, lamp = "off") {
    this.is.state.textContent = text;
    this.panel.dataset.lamp = lamp;
  }
}
