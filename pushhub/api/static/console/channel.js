// One channel: who waits on it, its events, and what an operator can do to it.

import { ask, channelPath, curl } from "./api.js";
import { command, confirm, h, say } from "./dom.js";
import { History } from "./history.js";
import { Presence } from "./presence.js";

const EXAMPLE = '{"hello": "world"}';

export class ChannelView {
  /** `list` is the address of the list of channels. */
  constructor(name, feed, list) {
    this.name = name;
    this.list = list;
    this.stopped = false;
    this.history = new History(name);
    this.presence = new Presence(name, feed);
    this.curl = {
      publish: command("", "Publish, as a command"),
      delete: command(curl("DELETE", channelPath(name)), "Delete, as a command"),
      presence: command(curl("POST", "console/wish", { body: JSON.stringify({ presence: name }), headers: { "Content-Type": "application/json" } }), "List the waiting requests, as a command"),
    };
    this.whole = h("div", {},
      h("p", { class: "crumb" }, h("a", { href: list }, "Channels")),
      h("div", { class: "title" },
        h("h1", { tabindex: "-1", class: "name" }, h("bdi", {}, name)),
        h("a", { class: "button quiet", href: `#/trace?channel=${encodeURIComponent(name)}` }, "Trace")),
      h("section", { "aria-labelledby": "presence-title" }, h("h2", { id: "presence-title" }, "Waiting requests"), this.presence.whole, this.curl.presence.whole),
      h("section", { "aria-labelledby": "publish-title" }, h("h2", { id: "publish-title" }, "Publish"), this.form(), this.curl.publish.whole),
      h("section", { "aria-labelledby": "history-title" }, h("h2", { id: "history-title" }, "History"), this.history.whole),
      h("section", { "aria-labelledby": "delete-title" }, h("h2", { id: "delete-title" }, "Delete"),
        h("p", { class: "note" }, "The server deletes its events, and requests that wait on it end. Its offsets do not restart."),
        h("button", { type: "button", class: "danger", click: () => this.remove() }, "Delete this channel"), this.curl.delete.whole));
    this.showCurl();
  }

  form() {
    this.type = h("select", { id: "type", change: () => this.showCurl() }, h("option", { value: "application/json" }, "JSON"), h("option", { value: "text/plain" }, "Text"));
    this.label = h("input", { id: "event-type", autocomplete: "off", maxlength: "255", input: () => this.showCurl() });
    this.text = h("textarea", { id: "text", rows: "3", spellcheck: "false", input: () => this.showCurl() }, EXAMPLE);
    this.note = h("p", { class: "note", role: "status" });
    return h("form", { submit: (event) => { event.preventDefault(); this.publish(); } },
      h("label", { class: "wide" }, "Data", this.text),
      h("div", { class: "row" },
        h("label", {}, "As", this.type),
        h("label", {}, "Event type, if any", this.label),
        h("button", {}, "Publish")),
      this.note);
  }

  get request() {
    const headers = { "Content-Type": this.type.value };
    if (this.label.value) headers["Event-Type"] = this.label.value;
    return { body: this.text.value, headers };
  }

  showCurl() {
    this.curl.publish.set(curl("POST", `${channelPath(this.name)}/events`, this.request));
  }

  async publish() {
    try {
      const { answer } = await ask("POST", `${channelPath(this.name)}/events`, this.request);
      this.tell(`Event ${answer.offset} is in the log.`);
    } catch (error) {
      this.tell(`Not published: ${error.message}`, true);
    }
  }

  async remove() {
    const sure = await confirm("Delete this channel?", `All events of “${this.name}” are deleted, and requests that wait on it end.`, "Delete");
    if (!sure || this.stopped) return;
    try {
      await ask("DELETE", channelPath(this.name));
      say(`The channel ${this.name} is deleted.`);
      // The operator may have moved on while the server was busy.
      if (!this.stopped) location.hash = this.list;
    } catch (error) {
      this.tell(error.message, true);
    }
  }

  tell(text, bad = false) {
    this.note.textContent = text;
    this.note.classList.toggle("bad", bad);
  }

  stop() {
    this.stopped = true;
    this.presence.stop();
    this.history.stop();
  }
}

