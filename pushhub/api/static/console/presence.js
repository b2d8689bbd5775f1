// Who waits on a channel, in all processes: asked again every few seconds.

import { revoke, wish } from "./api.js";
import { confirm, h } from "./dom.js";
import { number } from "./format.js";
import { cell, table } from "./table.js";

const ASK_MS = 3000;
const STALE_MS = 10_000;
const MOST_ROWS = 100;

export class Presence {
  constructor(name, feed) {
    this.name = name;
    this.told = new Map(); // process → {holds, holders, node, pid, at}
    this.count = h("p", { id: "presence" }, "Asking…");
    this.table = table("Requests that wait", ["Client", "Subject", "How", ["For", "number"], "Process", ["Access", "plain"]]);
    this.table.whole.hidden = true;
    this.whole = h("div", {}, this.count, this.table.whole);
    this.off = feed.on("presence", (told) => { if (told.presence === name) this.take(told); });
    this.ask();
    this.asking = setInterval(() => { if (!document.hidden) this.ask(); }, ASK_MS);
  }

  ask() {
    wish({ presence: this.name }).catch((error) => { this.count.textContent = error.message; });
  }

  take(told) {
    const now = performance.now();
    this.told.set(told.id, { ...told, at: now });
    for (const [id, { at }] of this.told) if (now - at > STALE_MS) this.told.delete(id);
    this.show();
  }

  show() {
    const all = [...this.told.values()];
    const holds = all.reduce((sum, one) => sum + one.holds, 0);
    const rows = all.flatMap(({ holders, node, pid }) => holders.map((one) => ({ ...one, process: `${node} ${pid}` })));
    const shown = rows.slice(0, MOST_ROWS);
    const where = all.length > 1 ? ` in ${all.length} processes` : "";
    const some = shown.length < holds ? ` The first ${shown.length} are listed.` : "";
    this.count.textContent = `${holds === 1 ? "1 request waits" : `${number(holds)} requests wait`} on this channel now${where}.${some}`;
    this.table.whole.hidden = !shown.length;
    this.table.show(shown.map((one) => h("tr", {},
      h("th", { scope: "row" }, one.client || "unknown"), h("td", {}, h("bdi", {}, one.subject ?? "")), h("td", {}, one.kind),
      cell(`${Math.round(one.waited)} s`, one.waited), h("td", {}, one.process), h("td", {}, this.button(one)))));
  }

  /** Revokes the tokens of a subject, or a key. A client with neither cannot be disconnected. */
  button({ key, sub }) {
    if (!key && !sub) return "";
    const whom = key ? `the API key “${key}”` : `“${sub}”`;
    const what = key ? whom : `all present tokens of ${whom}`;
    const after = key ? "The key stays refused." : "A newer token is accepted.";
    return h("button", {
      type: "button",
      "aria-label": `Disconnect ${whom}`,
      click: async () => {
        const ends = "Requests, streams and sessions that rest on it end in all processes.";
        if (!(await confirm(`Revoke ${what}?`, `${ends} ${after}`, "Revoke"))) return;
        await revoke(key ? { key } : { sub }).then(() => this.ask(), (error) => { this.count.textContent = error.message; });
      },
    }, "Disconnect");
  }

  stop() {
    clearInterval(this.asking);
    this.off();
  }
}
