// The list of channels, a page at a time, read again every few seconds.

import { curl, get } from "./api.js";
import { command, h } from "./dom.js";
import { number } from "./format.js";
import { advance, amend, ordered, place } from "./place.js";
import { cell, table } from "./table.js";

const PAGE = 100;
const TYPING_MS = 250; // Safari allows 100 changes of the address in 30 s
const REFRESH_MS = 5000;

export class Channels {
  /** `list.address` is kept up to date, so that a channel's page can lead back to this one. */
  constructor(list, query) {
    this.list = list;
    this.after = query.get("after") ?? "";
    // The pages before this one, as far as this window came through them; a link knows none.
    this.before = history.state?.before ?? (this.after ? null : []);
    this.prefix = h("input", { id: "prefix", type: "search", value: query.get("prefix") ?? "", autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: "255", input: () => this.typed() });
    this.name = h("input", { id: "name", autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: "255", required: true });
    this.table = table("Channels", ["Channel", ["Events kept", "number"], ["Waiting here", "number"], "Cursor"]);
    this.rows = new Map(); // name → row
    this.note = h("p", { class: "note", role: "status" });
    this.back = h("button", { type: "button", class: "quiet", disabled: true, click: () => this.turnBack() }, "Previous page");
    this.forth = h("button", { type: "button", class: "quiet", disabled: true, click: () => this.turn(this.next, [...(this.before ?? []), this.after]) }, "Next page");
    this.command = command("");
    this.whole = h("div", {},
      h("h1", { tabindex: "-1" }, "Channels"),
      h("div", { class: "row filters" },
        h("label", {}, "Names that begin with", this.prefix),
        h("form", { class: "row", submit: (event) => { event.preventDefault(); location.hash = place(`channels/${encodeURIComponent(this.name.value)}`); } },
          h("label", {}, "Open by its name", this.name), h("button", { class: "quiet" }, "Open"))),
      this.note, this.table.whole,
      h("div", { class: "row pages" }, this.back, this.forth),
      h("p", { class: "note" }, `The list is read again every ${REFRESH_MS / 1000} seconds, and the heads of its columns sort the page that is shown. “Waiting here” counts the requests that the serving process holds; a channel's own page asks all processes. Requests of consoles are not counted.`),
      this.command.whole);
    this.seen = () => { if (!document.hidden) this.load(); };
    document.addEventListener("visibilitychange", this.seen);
    this.refreshing = setInterval(() => { if (!document.hidden && !this.busy) this.load(); }, REFRESH_MS);
    this.load();
  }

  get address() {
    return place("channels", { prefix: this.prefix.value, after: this.after });
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.after = "";
      this.before = [];
      amend(this.address, { before: [] });
      this.load();
    }, TYPING_MS);
  }

  turn(after, before) {
    this.after = after;
    this.before = before;
    advance(this.address, { before });
    this.load();
  }

  turnBack() {
    const before = this.before ?? [];
    this.turn(before.at(-1) ?? "", before.slice(0, -1));
  }

  async load() {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    this.busy = true;
    this.list.address = ordered(this.address);
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (this.prefix.value) query.set("prefix", this.prefix.value);
    if (this.after) query.set("after", this.after);
    const path = `v1/channels?${query}`;
    this.command.set(curl("GET", path));
    try {
      const { channels, next } = await get(path, { signal: loading.signal });
      this.next = next;
      this.show(channels);
    } catch (error) {
      if (!loading.signal.aborted) this.tell(error.status ? error.message : "The server cannot be reached.");
    }
    if (this.loading === loading) this.busy = false;
  }

  /** Rows that stay are changed in place: focus, selection and scroll position survive a refresh. */
  show(channels) {
    const rows = new Map();
    for (const one of channels) {
      const row = this.rows.get(one.channel) ?? new Row(one.channel);
      row.set(one);
      rows.set(one.channel, row);
    }
    this.table.show([...rows.values()].map(({ whole }) => whole));
    this.rows = rows;
    const { before, next } = this;
    const more = next ? ", and there are more" : "";
    const from = (before?.length ?? 0) * PAGE;
    if (!channels.length) this.tell(this.prefix.value ? "No channel with such a name has events." : "No channel has events.");
    else if (before) this.tell(`${number(from + 1)} to ${number(from + channels.length)}${more}, in the order of their names.`);
    else this.tell(`${number(channels.length)} after “${this.after}”${more}, in the order of their names.`);
    this.back.disabled = !this.after;
    this.back.textContent = before ? "Previous page" : "First page";
    this.forth.disabled = !next;
  }

  /** The note is read out when it changes, so it changes only when it says something else. */
  tell(text) {
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  stop() {
    clearTimeout(this.typing);
    clearInterval(this.refreshing);
    document.removeEventListener("visibilitychange", this.seen);
    this.loading?.abort();
  }
}

class Row {
  constructor(channel) {
    this.cells = [cell("", ""), cell("", ""), h("td", {}, h("code", {}))];
    this.whole = h("tr", {},
      h("th", { scope: "row", class: "name" }, h("a", { href: place(`channels/${encodeURIComponent(channel)}`) }, h("bdi", {}, channel))),
      ...this.cells);
  }

  set({ events, holds, cursor }) {
    const [kept, waiting, end] = this.cells;
    kept.dataset.value = events;
    waiting.dataset.value = holds;
    for (const [cell, text] of [[kept, number(events)], [waiting, number(holds)], [end.firstChild, cursor]]) {
      if (cell.textContent !== text) cell.textContent = text;
    }
  }
}
