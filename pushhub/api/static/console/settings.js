// Every setting, its value, and where it was set. The server leaves secrets out.

import { curl, get } from "./api.js";
import { command, h } from "./dom.js";
import { amend, place } from "./place.js";

const TYPING_MS = 250; // Safari allows 100 changes of the address in 30 s

const WHERE = { flag: ({ flag }) => flag, env: ({ variable }) => variable, file: ({ name }) => `${name} in the file`, default: () => "" };

export class Settings {
  constructor(query) {
    this.filter = h("input", { id: "filter", type: "search", value: query.get("text") ?? "", autocomplete: "off", input: () => this.narrow() });
    this.changed = h("input", { type: "checkbox", id: "changed", checked: query.has("changed"), change: () => this.narrow() });
    this.note = h("p", { class: "note", role: "status" }, "Reading…");
    this.list = h("div", {});
    this.whole = h("div", {},
      h("h1", { tabindex: "-1" }, "Settings"),
      h("div", { class: "row" }, h("label", {}, "Containing", this.filter), h("label", { class: "check" }, this.changed, "only values that differ from the default")),
      this.note, this.list, command(curl("GET", "console/settings")).whole);
    this.load();
  }

  async load() {
    try {
      ({ settings: this.settings } = await get("console/settings"));
      this.show();
    } catch (error) {
      this.note.textContent = error.message;
    }
  }

  narrow() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      amend(place("settings", { text: this.filter.value, changed: this.changed.checked ? "yes" : "" }));
    }, TYPING_MS);
    this.show();
  }

  show() {
    const text = this.filter.value.toLowerCase();
    const shown = (this.settings ?? []).filter((one) => (!this.changed.checked || one.origin !== "default")
      && `${one.name} ${one.meaning}`.toLowerCase().includes(text));
    const panels = [...new Set(shown.map((one) => one.panel))];
    this.note.textContent = `${shown.length} of ${this.settings?.length ?? 0} settings, of the process that serves this page.`;
    this.list.replaceChildren(...panels.map((panel) => h("section", {}, h("h2", {}, panel),
      h("dl", { class: "settings" }, ...shown.filter((one) => one.panel === panel).map(entry)))));
  }

  stop() {
    clearTimeout(this.typing);
  }
}

function entry(setting) {
  const { name, value, origin, meaning } = setting;
  const where = WHERE[origin](setting);
  const line = JSON.stringify(value);
  return h("div", {},
    h("dt", {}, h("code", {}, name), h("span", { class: `badge origin-${origin}` }, origin), where ? h("code", { class: "where" }, where) : null),
    h("dd", { class: "value" }, h("code", {}, line.length < 100 ? line : JSON.stringify(value, null, 1))),
    h("dd", { class: "note" }, ...prose(meaning)));
}

/** Text in which `…` is code. */
function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}
