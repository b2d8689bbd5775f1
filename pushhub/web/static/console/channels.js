// The list of channels, a page at a time.

import { curl, get } from "./api.js";
import { command, h, table } from "./dom.js";
import { number } from "./format.js";

const PAGE = 100;
const TYPING_MS = 250;

export class Channels {
  constructor(state) {
    this.state = state; // {prefix, pages: [after, …]}, kept while one channel is looked at
    this.state.prefix ??= "";
    this.state.pages ??= [""];
    this.prefix = h("input", { id: "prefix", value: this.state.prefix, autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: "255", input: () => this.typed() });
    this.name = h("input", { id: "name", autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: "255", required: true });
    this.table = table("Channels", ["Channel", ["Events kept", "number"], ["Waiting here", "number"], "Cursor"]);
    this.note = h("p", { class: "note", role: "status" });
    this.back = h("button", { type: "button", class: "quiet", disabled: true, click: () => this.turn(-1) }, "Previous page");
    this.forth = h("button", { type: "button", class: "quiet", disabled: true, click: () => this.turn(1) }, "Next page");
    this.command = command("");
    this.whole = h("div", {},
      h("h1", { tabindex: "-1" }, "Channels"),
      h("div", { class: "row" },
        h("label", {}, "Names that begin with", this.prefix),
        h("form", { class: "row", submit: (event) => { event.preventDefault(); location.hash = `#/channels/${encodeURIComponent(this.name.value)}`; } },
          h("label", {}, "Open by its name", this.name), h("button", { class: "quiet" }, "Open"))),
      this.note, this.table.whole,
      h("div", { class: "row pages" }, this.back, this.forth),
      h("p", { class: "note" }, "“Waiting here” counts the requests that the answering process holds; a channel's own page asks all processes."),
      this.command.whole);
    this.load();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.state.prefix = this.prefix.value;
      this.state.pages = [""];
      this.load();
    }, TYPING_MS);
  }

  turn(direction) {
    if (direction < 0) this.state.pages.pop();
    else this.state.pages.push(this.next);
    this.load();
  }

  async load() {
    this.loading?.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    const { prefix, pages } = this.state;
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (prefix) query.set("prefix", prefix);
    if (pages.at(-1)) query.set("after", pages.at(-1));
    const path = `v1/channels?${query}`;
    this.command.set(curl("GET", path));
    try {
      const { channels, next } = await get(path, { signal });
      this.next = next;
      this.table.body.replaceChildren(...channels.map(row));
      const from = (pages.length - 1) * PAGE;
      this.note.textContent = channels.length
        ? `${number(from + 1)} to ${number(from + channels.length)}${next ? ", and there are more" : ""}, in the order of their names.`
        : "No channel with such a name has events.";
      this.back.disabled = pages.length < 2;
      this.forth.disabled = !next;
    } catch (error) {
      if (!signal.aborted) this.note.textContent = error.message;
    }
  }

  stop() {
    clearTimeout(this.typing);
    this.loading?.abort();
  }
}

function row({ channel, events, holds, cursor }) {
  return h("tr", {},
    h("th", { scope: "row", class: "name" }, h("a", { href: `#/channels/${encodeURIComponent(channel)}` }, h("bdi", {}, channel))),
    h("td", { class: "number" }, number(events)), h("td", { class: "number" }, number(holds)), h("td", {}, h("code", {}, cursor)));
}
