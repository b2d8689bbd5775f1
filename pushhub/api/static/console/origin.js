// The origin as the processes see it: what it is asked, how often, and what is wrong.

import { curl, wish } from "./api.js";
import { command, h } from "./dom.js";
import { bytes, duration, number, rate } from "./format.js";
import { Plot } from "./plot.js";
import { cell, table } from "./table.js";

const ASK_MS = 3000;
const STALE_MS = 10_000;
const LINGER_SECONDS = 15; // a resource is fetched for 10 s after its last request has left

const TILES = [
  ["resources", "Resources", ({ reports }) => number(sum(reports, "resources_in_all"))],
  ["waiting", "Waiting requests", ({ reports }) => number(sum(reports, "waiting"))],
  ["always-new", "Always new", ({ reports }) => number(sum(reports, "always_new_in_all"))],
  ["fetches", "Fetches/s", ({ now }) => rate(now.fetches)],
  ["failed", "Failed fetches/s", ({ now }) => rate(now.fetchFailed)],
  ["fetching", "Requests under way", ({ now }) => number(now.fetching)],
  ["notices", "Notifications", ({ reports }) => number(Math.max(0, ...reports.map((one) => one.notices)))],
  ["grip", "Held by GRIP", ({ reports }) => number(sum(reports, "grip_held"))],
  ["bytes", "Bodies in memory", ({ reports }) => bytes(sum(reports, "bytes"))],
];

const sum = (reports, name) => reports.reduce((all, one) => all + one[name], 0);

export class Origin {
  constructor(feed, figures, exists) {
    this.figures = figures;
    this.told = new Map(); // process → {origin, node, pid, at}
    this.health = h("p", { class: "health" }, "Asking…");
    this.tiles = Object.fromEntries(TILES.map(([key]) => [key, h("dd", { id: `origin-${key}` }, "–")]));
    this.plots = [
      new Plot("Fetches a second", [
        { key: "fetches", name: "fetches", colour: "one", show: rate },
        { key: "fetchFailed", name: "failed", colour: "two", show: rate }], { floor: 2 }),
      new Plot("Resources", [
        { key: "resources", name: "shared now", colour: "one", show: number },
        { key: "fetching", name: "requests under way", colour: "two", show: number }], { floor: 5 }),
    ];
    this.routes = table("Routes", [["Route", "number"], "Path", "Step", ["Pause", "number"], ["Resources", "number"], ["Waiting", "number"], "Target"]);
    this.resources = table("Resources", ["Path", "State", ["Waiting", "number"], ["Fetches", "number"], ["Bytes", "number"], ["Pause", "number"], ["Verified", "number"], ["Route", "number"], "Process"]);
    this.paces = table("Pace", ["Origin", ["Budget/s", "number"], ["Due/s", "number"], ["Stretched to", "number"], ["Waiting", "number"], ["In queue", "number"]]);
    this.alone = table("Not shared", ["Route", "Why", ["Times", "number"], ["Last", "time"], "Process"]);
    this.some = { routes: h("p", { class: "note" }), resources: h("p", { class: "note" }), alone: h("p", { class: "note" }) };
    if (!exists) {
      this.whole = h("div", {}, h("h1", { tabindex: "-1" }, "Origin"),
        h("p", { class: "lead" }, "This hub stands in front of no origin. ", h("code", {}, "pushhub serve --origin http://127.0.0.1:3000"), " puts it there."));
      return;
    }
    const body = JSON.stringify({ origin: true });
    this.whole = h("div", {},
      h("h1", { tabindex: "-1" }, "Origin"),
      this.health,
      h("dl", { class: "tiles" }, ...TILES.map(([key, name]) => h("div", {}, h("dt", {}, name), this.tiles[key]))),
      h("section", { class: "plots", "aria-label": "The last five minutes" }, ...this.plots.map((plot) => plot.whole)),
      h("h2", {}, "Routes"), this.routes.whole, this.some.routes,
      h("h2", {}, "Pace"), this.paces.whole,
      h("h2", {}, "Resources"), this.resources.whole, this.some.resources,
      h("h2", {}, "Not shared"), this.alone.whole, this.some.alone,
      h("p", { class: "note" }, "“Verified” is how long ago the origin last said that the state in memory is current. Of a query only the names of the parameters are shown: their values may be secrets. The route of a request: ", h("code", {}, "pushhub routes check URL"), ". The lines that suit an API: ", h("code", {}, "pushhub routes suggest URL"), "."),
      command(curl("POST", "console/wish", { body, headers: { "Content-Type": "application/json" } })).whole);
    this.off = feed.on("origin", (told) => this.take(told));
    this.ask();
    this.asking = setInterval(() => { if (!document.hidden) this.ask(); }, ASK_MS);
  }

  ask() {
    wish({ origin: true }).catch((error) => this.say("bad", error.status ? error.message : "The server cannot be reached."));
  }

  take(told) {
    const now = performance.now();
    this.told.set(told.id, { ...told, at: now });
    for (const [id, { at }] of this.told) if (now - at > STALE_MS) this.told.delete(id);
    this.show();
  }

  figuresCame() {
    if (this.told.size && !document.hidden) this.figure();
  }

  get all() {
    return [...this.told.values()].map(({ origin, node, pid }) => ({ ...origin, process: `${node} ${pid}` }));
  }

  figure() {
    const reports = this.all;
    const now = this.figures.seconds.at(-1) ?? {};
    for (const [key, , show] of TILES) {
      const text = show({ reports, now });
      if (this.tiles[key].textContent !== text) this.tiles[key].textContent = text;
    }
    for (const plot of this.plots) plot.draw(this.figures.seconds);
    this.say(...this.judge(reports, now));
  }

  /** What an operator should know first. */
  judge(reports, now) {
    const failing = reports.flatMap((one) => one.resources).filter((one) => one.problem);
    if (failing.length) return ["bad", `${failing.length === 1 ? "The fetches of one resource fail" : `The fetches of ${failing.length} resources fail`}: ${failing[0].problem}`];
    const stretched = reports.flatMap((one) => one.paces ?? []).find((one) => one.interval);
    if (stretched) return ["fair", `More fetches are due (${rate(stretched.due)} a second) than the budget of ${stretched.origin} (${rate(stretched.budget)}), so each resource is fetched once in ${duration(stretched.interval)}.`];
    if (!sum(reports, "waiting") && this.idleFetches(now) > 0.5) return ["fair", `The origin is fetched ${rate(now.fetches)} times a second, although no request waits.`];
    const alwaysNew = sum(reports, "always_new_in_all");
    if (alwaysNew) return ["fair", `${alwaysNew === 1 ? "One resource is" : `${number(alwaysNew)} resources are`} always new: each fetch finds a change, so its clients keep polling. “Not shared” names what differs.`];
    if (reports.some((one) => one.not_shared.some(({ ago }) => ago < 60))) return ["fair", "Some responses cannot be shared, so each of their requests is passed to the origin; see “Not shared”."];
    return ["good", "The origin responds."];
  }

  /** The least rate of fetches in the last seconds: what stays when the requests have left. */
  idleFetches({ second }) {
    const lately = this.figures.seconds.filter((one) => second - one.second < LINGER_SECONDS).map((one) => one.fetches ?? 0);
    return lately.length >= LINGER_SECONDS - 2 ? Math.min(...lately) : 0;
  }

  say(how, sentence) {
    if (this.health.textContent !== sentence) this.health.textContent = sentence;
    this.health.dataset.how = how;
  }

  show() {
    this.figure();
    const reports = this.all;
    const rows = new Map(); // route → row, the numbers of all processes together
    for (const { routes } of reports) {
      for (const one of routes) {
        const known = rows.get(one.route);
        if (known) { known.resources += one.resources; known.waiting += one.waiting; } else rows.set(one.route, { ...one });
      }
    }
    this.routes.show([...rows.values()].map(routeRow));
    const paces = new Map(); // origin → row; the budget is the same for all processes, a queue is one's own
    for (const one of reports.flatMap((report) => report.paces ?? [])) {
      const known = paces.get(one.origin);
      if (known) known.queued += one.queued; else paces.set(one.origin, { ...one });
    }
    this.paces.show([...paces.values()].map(paceRow));
    const resources = reports.flatMap(({ resources, process }) => resources.map((one) => ({ ...one, process })));
    // What costs most comes first.
    resources.sort((a, b) => b.always_new - a.always_new || b.waiting - a.waiting || b.fetches - a.fetches);
    this.resources.show(resources.map(resourceRow));
    const alone = reports.flatMap(({ not_shared: all, process }) => all.map((one) => ({ ...one, process })));
    this.alone.show(alone.map(aloneRow));
    this.tell(this.some.routes, rows.size, Math.max(0, ...reports.map((one) => one.routes_in_all)), "routes", "the first");
    this.tell(this.some.resources, resources.length, sum(reports, "resources_in_all"), "resources", "of each process those that are always new, and those with most waiting requests and fetches");
    this.tell(this.some.alone, alone.length, sum(reports, "not_shared_in_all"), "reasons", "the latest");
  }

  /** How many of a table there are, and which are shown. */
  tell(note, shown, all, what, which) {
    let text = "";
    if (!all) text = `There are no ${what}.`;
    else if (shown < all) text = `${number(shown)} of ${number(all)} ${what} are listed: ${which}.`;
    if (note.textContent !== text) note.textContent = text;
  }

  repaint() {
    for (const plot of this.plots) plot.repaint();
  }

  stop() {
    clearInterval(this.asking);
    this.off?.();
  }
}

const seconds = (value) => (value === null || value === undefined ? "" : duration(value));

function routeRow({ route, host, path, methods, step, interval, slowest, resources, waiting, target }) {
  const pause = step === "poll" ? `${interval} s${slowest > interval ? ` to ${slowest} s` : ""}` : "";
  return h("tr", {},
    cell(String(route)),
    h("th", { scope: "row", class: "name" }, h("bdi", {}, host === "*" ? path : `${host} ${path}`), methods ? ` (${methods.join(", ")})` : ""),
    h("td", {}, step), cell(pause, pause ? interval : ""), cell(number(resources), resources), cell(number(waiting), waiting), h("td", {}, h("code", {}, target)));
}

function paceRow({ origin, budget, due, interval, waiting, queued }) {
  return h("tr", {},
    h("th", { scope: "row", class: "name" }, h("bdi", {}, origin)),
    cell(rate(budget), budget), cell(rate(due), due), cell(interval ? duration(interval) : "not stretched", interval || ""), cell(number(waiting), waiting), cell(number(queued), queued));
}

function resourceRow({ path, method, route, waiting, fetches, received, pause, fetched, status, problem, passes, always_new: alwaysNew, why, process }) {
  const good = !problem && !passes && !alwaysNew;
  const state = problem ? "failing" : passes ? "not shared" : alwaysNew ? "always new" : status ?? "not known yet";
  const reason = problem || (passes ? why : "");
  return h("tr", {},
    h("th", { scope: "row", class: "name" }, method && method !== "GET" ? `${method} ` : "", h("bdi", {}, path)),
    h("td", {}, h("span", { class: `badge ${good ? "good" : problem ? "bad" : "fair"}` }, String(state)), reason ? h("div", { class: "why" }, reason) : null),
    cell(number(waiting), waiting), cell(number(fetches), fetches), cell(bytes(received), received), cell(seconds(pause), pause ?? ""),
    cell(fetched === null ? "never" : `${seconds(fetched)} ago`, fetched ?? ""),
    cell(route === null ? "" : String(route)),
    h("td", {}, process));
}

function aloneRow({ path, why, differs, times, last, ago, process }) {
  const text = differs ? h("td", { class: "why" }, `${why}: `, h("code", {}, differs), ". Add these to the route’s “ignore”, unless clients need them.") : h("td", { class: "why" }, why);
  return h("tr", {},
    h("th", { scope: "row", class: "name" }, h("bdi", {}, path)),
    text, cell(number(times), times), h("td", { class: "why", "data-value": String(ago) }, h("bdi", {}, last), `, ${duration(ago)} ago`), h("td", {}, process));
}
