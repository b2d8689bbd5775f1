// The events of a channel, newest first, and those that come while one looks.

import { ask, channelPath, curl } from "./api.js";
import { command, h, say } from "./dom.js";
import { bytes, moment } from "./format.js";

const PAGE = 50;
const MOST_SHOWN = 500; // what the page keeps of events that arrive
const PREVIEW = 120;
const MOST_OF_PAYLOAD = 20_000; // characters that are shown before somebody asks for all
const WAIT_SECONDS = 25;

const size = (text) => new TextEncoder().encode(text).length;

export class History {
  constructor(name) {
    // The same events as at the channel's own address, where this page would count as a client.
    this.path = `console/events?channel=${encodeURIComponent(name)}&`;
    this.open = `${channelPath(name)}/events?`;
    this.list = h("ol", { class: "events" });
    this.note = h("p", { class: "note", role: "status" }, "Reading…");
    this.older = h("button", { type: "button", class: "quiet", hidden: true, click: () => this.more() }, "Older events");
    this.following = h("input", { type: "checkbox", id: "following", checked: true, change: () => this.toggle() });
    this.command = command("", "Read these events, as a command");
    this.whole = h("div", {},
      h("label", { class: "check" }, this.following, "Show new events as they come"),
      this.note, this.list, this.older, this.command.whole);
    this.stopping = new AbortController();
    this.run();
  }

  async read(since, limit, options = {}) {
    const query = `since=${encodeURIComponent(since)}&limit=${limit}`;
    const { signal } = this.stopping;
    const { answer, status } = await ask("GET", this.path + query, { signal, gap: true, ...options });
    return { path: this.open + query, gap: status === 410, ...answer };
  }

  /** The newest page, and then all that comes. */
  async run() {
    const { signal } = this.stopping;
    try {
      const end = await this.read("now", 1);
      await this.before(end.cursor);
      this.cursor = end.cursor;
      if (this.following.checked) await this.follow();
    } catch (error) {
      if (!signal.aborted) this.tell(error.message, true);
    }
  }

  toggle() {
    if (this.following.checked && this.cursor) this.follow().catch((error) => this.tell(error.message, true));
    else this.waiting?.abort();
  }

  /** A page of events up to a cursor. A cursor is opaque to clients, but this page is the hub's. */
  async before(cursor) {
    const { epoch, offset } = parts(cursor);
    let size = PAGE;
    let page;
    let more;
    for (;;) {
      const from = Math.max(0, offset - size);
      more = from > 0;
      page = await this.read(from ? `${epoch}-${from}` : "earliest", size);
      if (page.gap) {
        more = false;
        page = await this.read(page.oldest, size);
      }
      // An answer has about 1 MiB: of large events it holds fewer than were asked for.
      if (!page.events?.length || page.events.at(-1).offset >= offset || size === 1) break;
      size = Math.max(1, Math.min(size - 1, page.events.length));
    }
    const events = (page.events ?? []).filter((event) => event.offset <= offset);
    this.command.set(curl("GET", page.path));
    this.list.append(...events.reverse().map(entry));
    const oldest = events.at(-1)?.offset ?? 1;
    this.next = `${epoch}-${oldest - 1}`;
    this.older.hidden = !more || oldest <= 1;
    this.tell(this.list.children.length ? "Newest first." : "This channel has no events.");
  }

  async more() {
    this.older.disabled = true;
    const count = this.list.children.length;
    try {
      await this.before(this.next);
      say(`${this.list.children.length - count} older events.`);
    } catch (error) {
      this.tell(error.message, true);
    }
    this.older.disabled = false;
  }

  /** All that comes, by the hub's own long-poll, until somebody looks elsewhere. */
  async follow() {
    this.waiting = new AbortController();
    const signal = AbortSignal.any([this.waiting.signal, this.stopping.signal]);
    let failures = 0;
    while (!signal.aborted) {
      try {
        const page = await this.read(this.cursor, PAGE, { signal, headers: { Prefer: `wait=${WAIT_SECONDS}` }, seconds: WAIT_SECONDS + 10 });
        failures = 0;
        this.cursor = page.gap ? page.latest : page.cursor;
        if (page.gap) this.tell("Some events were not shown: the log moved on faster than this page.", true);
        else if (page.events.length) this.arrived(page.events);
        else await pause(page.retry_ms ?? 100);
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 401 || error.status === 403) throw error;
        failures += 1;
        await pause(Math.min(15_000, 500 * 2 ** failures));
      }
    }
  }

  arrived(events) {
    this.list.prepend(...events.reverse().map(entry));
    while (this.list.children.length > MOST_SHOWN) this.list.lastChild.remove();
    this.tell("Newest first.");
  }

  tell(text, bad = false) {
    this.note.textContent = text;
    this.note.classList.toggle("bad", bad);
  }

  stop() {
    this.stopping.abort();
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function parts(cursor) {
  const at = cursor.lastIndexOf("-");
  return { epoch: cursor.slice(0, at), offset: Number(cursor.slice(at + 1)) };
}

/** An event: one line, and its payload when it is opened. */
function entry(event) {
  const { data, encoding } = event;
  const text = typeof data === "string" ? data : JSON.stringify(data);
  const kind = encoding ?? event.content_type ?? "JSON";
  const body = h("div", { class: "payload" });
  const details = h("details", { toggle: () => { if (details.open && !body.children.length) payload(body, event); } },
    h("summary", {},
      h("b", {}, `#${event.offset}`), h("time", { datetime: event.time }, moment(event.time)),
      event.type ? h("bdi", { class: "badge" }, event.type) : null,
      h("span", { class: "size" }, bytes(encoding ? Math.round((text.length * 3) / 4) : size(text))),
      h("bdi", { class: "preview" }, text.slice(0, PREVIEW))),
    body);
  details.dataset.kind = kind;
  return h("li", {}, details);
}

function payload(body, event) {
  const { data, encoding } = event;
  const whole = typeof data === "string" ? data : JSON.stringify(data, null, 2);
  const code = h("code", {}, whole.slice(0, MOST_OF_PAYLOAD));
  const facts = [["id", event.id], ["cursor", event.cursor], ["type", event.type ?? ""], ["content type", event.content_type ?? "application/json"]];
  if (encoding) facts.push(["encoding", encoding]);
  body.append(
    h("dl", { class: "facts" }, ...facts.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("bdi", {}, text))))),
    h("pre", { tabindex: "0", role: "region", "aria-label": `Data of event ${event.offset}` }, code));
  if (whole.length > MOST_OF_PAYLOAD) {
    const all = h("button", { type: "button", class: "quiet small", click: () => { code.textContent = whole; all.remove(); } },
      `Show all ${whole.length.toLocaleString("en")} characters`);
    body.append(all);
  }
}
