// The limits of all processes: value, use and refusals.

import { curl, wish } from "./api.js";
import { command, h } from "./dom.js";
import { bytes, duration, number } from "./format.js";
import { cell, table } from "./table.js";

const ASK_MS = 3000;
const STALE_MS = 10_000;
const NEAR = 0.8; // of a limit: the client will soon be refused

const SCOPES = [
  ["By address", /^address-/, "One address, or one IPv6 network (/64), is one client."],
  ["By subject", /^subject-/, "The sub of a token is one client."],
  ["By API key", /^key-/, "An API key is one client."],
  ["Of each process", /^(?!address-|subject-|key-)/, ""],
];

export class Limits {
  constructor(feed) {
    this.told = new Map(); // process → {limits, at}
    this.health = h("p", { class: "health" }, "Asking…");
    this.tables = SCOPES.map(([name]) => table(name, ["Limit", ["Value", "number"], ["Used", "number"], "Most used by", ["Clients", "number"], ["Refused", "number"], ["Last refusal", "number"], "Last refused"]));
    const body = JSON.stringify({ limits: true });
    this.whole = h("div", {},
      h("h1", { tabindex: "-1" }, "Limits"),
      this.health,
      ...SCOPES.flatMap(([name, , about], index) => [h("h2", {}, name), about ? h("p", { class: "note" }, about) : null, this.tables[index].whole]),
      h("p", { class: "note" }, "“Used” is what the client has used that is nearest to its limit: of a rate, the part of the burst that has not come back. With several processes it is the largest of them, and refusals are their sum since the start of each. A limit is a setting: ", h("code", {}, "[limits.NAME]"), "."),
      command(curl("POST", "console/wish", { body, headers: { "Content-Type": "application/json" } })).whole);
    this.off = feed.on("limits", (told) => this.take(told));
    this.ask();
    this.asking = setInterval(() => { if (!document.hidden) this.ask(); }, ASK_MS);
  }

  ask() {
    wish({ limits: true }).catch((error) => this.say("bad", error.status ? error.message : "The server cannot be reached."));
  }

  take(told) {
    const now = performance.now();
    this.told.set(told.id, { ...told.limits, at: now });
    for (const [id, { at }] of this.told) if (now - at > STALE_MS) this.told.delete(id);
    this.show();
  }

  /** The limits of all processes together, by name. */
  get all() {
    const rows = new Map();
    for (const { limits } of this.told.values()) {
      for (const one of limits) {
        const known = rows.get(one.name);
        if (!known) rows.set(one.name, { ...one });
        else {
          if (one.used > known.used) Object.assign(known, { used: one.used, client: one.client });
          if (one.clients !== null) known.clients = Math.max(known.clients, one.clients);
          if (one.refused !== null) known.refused += one.refused;
          if (one.last && !(known.last?.ago <= one.last.ago)) known.last = one.last;
        }
      }
    }
    return [...rows.values()];
  }

  show() {
    const rows = this.all;
    SCOPES.forEach(([, names], index) => {
      this.tables[index].show(rows.filter(({ name }) => names.test(name)).map(row));
    });
    this.say(...this.judge(rows));
  }

  /** What an operator should know first. */
  judge(rows) {
    const reports = [...this.told.values()];
    const near = rows.filter(isNear).sort((a, b) => b.used / b.most - a.used / a.most);
    if (near.length) return ["fair", `${near[0].client || "The process"} has used ${Math.min(100, Math.round((100 * near[0].used) / near[0].most))} % of ${near[0].name}.`];
    if (reports.some(({ degraded }) => degraded)) return ["fair", "While Redis was away, each process allowed its share of the rates."];
    if (reports.some(({ uncounted }) => uncounted)) return ["fair", "Private addresses do not count by address, because trusted_proxies names no proxy beyond loopback."];
    const refused = rows.reduce((all, one) => all + (one.refused ?? 0), 0);
    return ["good", refused ? `No client is near a limit; ${number(refused)} refusals since the start.` : "No client has reached a limit."];
  }

  say(how, sentence) {
    if (this.health.textContent !== sentence) this.health.textContent = sentence;
    this.health.dataset.how = how;
  }

  stop() {
    clearInterval(this.asking);
    this.off?.();
  }
}

const isNear = ({ is_on, most, used }) => is_on && used >= NEAR * most;
// A limit has the digits of its setting: 64 MiB, but 10,000,000 bytes.
const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const amount = (unit, value) => (unit === "bytes" && value % 2 ** 20 === 0 && value ? bytes(value) : exact.format(value));

function row(one) {
  const { name, what, unit, is_on: isOn, most, rate: perSecond, used, client, clients, refused, last } = one;
  let value = "off";
  if (isOn) value = perSecond === null ? amount(unit, most) : `${amount(unit, perSecond)}/s, burst ${amount(unit, most)}`;
  return h("tr", {},
    h("th", { scope: "row" }, h("code", {}, name), h("div", { class: "why" }, what)),
    cell(value, isOn ? perSecond ?? most : ""),
    h("td", { class: "number", "data-value": used }, h("span", { class: isNear(one) ? "badge bad" : "" }, isOn && perSecond !== null ? `${amount(unit, used)} of ${amount(unit, most)}` : amount(unit, used))),
    h("td", {}, h("bdi", {}, client)),
    cell(clients === null ? "" : number(clients), clients ?? ""),
    cell(refused === null ? "" : number(refused), refused ?? ""),
    cell(last ? `${duration(last.ago)} ago` : "", last ? last.ago : ""),
    h("td", {}, last ? h("bdi", {}, last.client) : ""));
}
