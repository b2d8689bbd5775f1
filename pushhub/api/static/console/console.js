// The console: lets somebody in, and shows the view that the address names.

import { enter, leave, onRefused, Unreachable } from "./api.js";
import { Channels } from "./channels.js";
import { ChannelView } from "./channel.js";
import { $, dismiss, say } from "./dom.js";
import { Feed } from "./feed.js";
import { Figures } from "./figures.js";
import { Hours } from "./hours.js";
import { Limits } from "./limits.js";
import { Nodes } from "./nodes.js";
import { Origin } from "./origin.js";
import { Overview } from "./overview.js";
import { Settings } from "./settings.js";
import { Trace } from "./trace.js";

const list = { address: "#/channels" }; // the list of channels as it was last seen
let hasOrigin = false;
let feed = null;
let figures = null;
let hours = null;
let overview = null;
let view = null;

const titles = { overview: "Overview", nodes: "Nodes", channels: "Channels", origin: "Origin", trace: "Trace", limits: "Limits", settings: "Settings" };

/** `#/channels/news%3A7?x=y` → ["channels", "news:7", query]. */
function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [place = "", ...rest] = path.split("/");
  let name = rest.join("/");
  try { name = decodeURIComponent(name); } catch { /* as it is */ }
  return [place in titles ? place : "overview", name, new URLSearchParams(query)];
}

function show(focus = true) {
  if (!feed) return;
  const [place, name, query] = where();
  dismiss();
  view?.stop?.();
  view = null;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === place) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (place === "overview") {
    $("view").replaceChildren(overview.whole);
    overview.show(true);
  } else {
    if (place === "channels") view = name ? new ChannelView(name, feed, list.address) : new Channels(list, query);
    else if (place === "origin") view = new Origin(feed, figures, hasOrigin);
    else if (place === "nodes") view = new Nodes(feed, hours);
    else if (place === "limits") view = new Limits(feed);
    else if (place === "trace") view = new Trace(feed, query);
    else view = new Settings(query);
    $("view").replaceChildren(view.whole);
  }
  document.title = `${name || titles[place]} – pushhub console`;
  if (focus) $("view").querySelector("h1").focus();
}

function begin(session) {
  figures = new Figures(session.bounds);
  hours = new Hours();
  overview = new Overview(figures);
  hasOrigin = session.origin;
  document.querySelector("[data-view=origin]").hidden = !hasOrigin;
  feed = new Feed();
  feed.on("figures", (told, time) => {
    figures.add(told, time);
    hours.add(told, time);
    if (where()[0] === "overview") overview.show();
    else view?.figuresCame?.();
  });
  feed.on("hour", (told, time) => hours.take(told, time));
  feed.on("state", (how, sentence) => {
    if ($("state").textContent === sentence) return;
    $("state").textContent = sentence;
    $("state").dataset.how = how;
  });
  $("login").hidden = true;
  $("inside").hidden = false;
  $("leave").hidden = session.open;
  $("who").textContent = session.open ? "--dev: no key is needed here" : session.name;
  show();
  feed.start();
}

function out(sentence) {
  leave();
  dismiss();
  feed?.stop();
  view?.stop?.();
  feed = view = overview = figures = hours = null;
  $("view").replaceChildren();
  $("inside").hidden = true;
  $("login").hidden = false;
  $("key").value = "";
  $("refused").textContent = sentence;
  $("key").focus();
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  $("enter").disabled = true;
  $("refused").textContent = "";
  try {
    begin(await enter(key));
    $("key").value = "";
  } catch (error) {
    const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
    $("refused").textContent = `${error.message}${wait}`;
    $("key").select();
    $("key").focus();
  }
  $("enter").disabled = false;
});

$("leave").addEventListener("click", () => { out(""); say("Signed out."); });
onRefused(() => { if (feed) out("The key is no longer valid."); });
addEventListener("hashchange", () => show());
// The link that skips the header leaves the address as it is: that names the view.
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("view").focus(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { overview?.repaint(); view?.repaint?.(); });

// A server with --dev lets everybody in; another one asks.
try {
  begin(await enter(""));
} catch (error) {
  if (!error.status && !(error instanceof Unreachable)) reportError(error);
  out("");
}
