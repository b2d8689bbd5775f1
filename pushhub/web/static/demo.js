// One channel, three readers, and the time that an event takes to each of them.
"use strict";

const POLL_MS = 5000;
const WAIT_SECONDS = 25;
const SLACK_SECONDS = 10; // how much longer than its wait a request may take before it counts as lost
const MOST_BACKOFF_MS = 60_000;
const MOST_ENTRIES = 50;
const PLOT_MS = 60_000;
const QUIET_MS = 4000; // between two things that are read aloud

const $ = (id) => document.getElementById(id);
const now = () => performance.timeOrigin + performance.now();
const bytes = (text) => new TextEncoder().encode(text).length;
const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// Only what this page publishes is timed: another machine's clock says nothing about ours.
const PAGE = Math.random().toString(36).slice(2, 10);

let channel = new URLSearchParams(location.search).get("channel") || "demo";
let token = "";

const eventsUrl = () => new URL(`v1/channels/${encodeURIComponent(channel)}/events`, location.href).href;
const credentials = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** 1, 2, 4 … up to 60 seconds, each with up to a second of chance, so that pages do not return in step. */
const backoff = (failures) => Math.min(MOST_BACKOFF_MS, 1000 * 2 ** (failures - 1)) + Math.random() * 1000;

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", stop); resolve(); }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

function duration(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** An answer that is none: its problem, and when to come back. */
class Refused extends Error {
  constructor(response, problem) {
    super(problem.title ?? `status ${response.status}`);
    this.status = response.status;
    this.problem = problem;
    this.retryAfter = Number(response.headers.get("retry-after")) * 1000 || 0;
  }
}

// -- what is read aloud ---------------------------------------------------------

let spoken = 0;
/** Tell a screen reader; events of a busy channel are not worth a word each. */
function say(text, important = false) {
  if (!important && performance.now() - spoken < QUIET_MS) return;
  spoken = performance.now();
  $("news").textContent = text;
}

// -- the readers ----------------------------------------------------------------

class Reader {
  constructor(id, title, code) {
    this.id = id;
    this.title = title;
    this.code = code;
    this.panel = $(id);
    this.panel.append($("reader").content.cloneNode(true));
    this.is = Object.fromEntries([...this.panel.querySelectorAll("[data-is]")].map((part) => [part.dataset.is, part]));
    const copy = this.panel.querySelector("details button");
    copy.addEventListener("click", () => copyText(this.is.code, copy));
    this.start();
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
          askForToken();
          return;
        }
        await this.failed(error, signal).catch(() => {});
      }
    }
  }

  async failed(error, signal) {
    this.failures += 1;
    const ms = Math.max(backoff(this.failures), error.retryAfter ?? 0);
    const why = error instanceof Refused ? `refused, ${error.message.toLowerCase()}` : "offline";
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
      throw new Error("the answer is no feed");
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
    if (data?.page === PAGE && typeof data.at === "number") {
      latency = Math.max(0, now() - data.at);
      this.latencies.push(latency);
      plot.add(this.id, latency);
      arrivals.took(this, data.n, latency);
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
      epoch: "the log began anew",
      trimmed: "events were removed",
      ahead: "the log was cut short",
    }[reason] ?? "events may be lost";
    this.enter(element("li", "notice", `Gap: ${why}. Going on from the oldest event that is kept.`));
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

class Polling extends Reader {
  async turn(signal) {
    this.state("polling", "on");
    await this.feed({}, either(signal, AbortSignal.timeout(SLACK_SECONDS * 1000)));
    this.state("idle until the next poll");
    await pause(POLL_MS, signal);
  }
}

class Waiting extends Reader {
  async turn(signal) {
    this.state(this.failures ? "trying again" : "waiting", "on");
    const { body, response } = await this.feed(
      { Prefer: `wait=${WAIT_SECONDS}` },
      either(signal, AbortSignal.timeout((WAIT_SECONDS + SLACK_SECONDS) * 1000)),
    );
    if (response.status === 410) return;
    let ms = body.retry_ms ?? 0;
    // An answer without this header did not wait: who asks again at once would spin.
    if (!body.events.length && !response.headers.has("preference-applied")) {
      ms ||= Number(response.headers.get("x-poll-interval")) * 1000 || POLL_MS;
    }
    if (ms) {
      this.state(`told to come back in ${duration(ms)}`);
      await pause(ms, signal);
    }
  }
}

class Streaming extends Reader {
  /** One EventSource, from its opening to its end. */
  async turn(signal) {
    const url = new URL(eventsUrl());
    url.searchParams.set("since", this.cursor);
    if (token) url.searchParams.set("ticket", await this.ticket(signal));
    this.requests += 1;
    this.show();
    this.state("connecting");
    const source = new EventSource(url);
    const ended = new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => { source.close(); reject(signal.reason); }, { once: true });
      source.onerror = () => {
        // Without a ticket the browser comes back by itself, with the last id. A ticket is used up,
        // and a refused stream is not tried again: then a new one has to be made.
        if (source.readyState === EventSource.CONNECTING && !token) {
          this.requests += 1;
          this.failures += 1;
          this.state("offline; the browser tries again by itself", "bad");
          say(`${this.title}: offline.`, this.failures === 1);
          this.show();
          return;
        }
        source.close();
        reject(new Error("the stream ended"));
      };
    });
    source.onopen = () => {
      if (this.failures) say(`${this.title} is back.`, true);
      this.failures = 0;
      this.state("live", "on");
    };
    source.onmessage = (event) => {
      this.count(event, "");
      let data = event.data;
      try { data = JSON.parse(event.data); } catch { /* text */ }
      this.took(event.lastEventId, data);
    };
    source.addEventListener("gap", (event) => {
      this.count(event, "event: gap\n");
      this.gap(JSON.parse(event.data));
    });
    try {
      await ended;
    } catch (error) {
      if (!signal.aborted) await this.explain(signal);
      throw error;
    }
  }

  /** An EventSource does not say why it was refused; a plain request does. */
  async explain(signal) {
    const response = await fetch(`${eventsUrl()}?since=now`, { headers: credentials(), signal, cache: "no-store" });
    if (!response.ok) throw new Refused(response, await response.json().catch(() => ({})));
  }

  async ticket(signal) {
    this.requests += 1;
    const response = await fetch(new URL("v1/tickets", location.href), { method: "POST", headers: credentials(), signal });
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(response, body);
    return body.ticket;
  }

  count(event, type) {
    this.cursor = event.lastEventId || this.cursor;
    this.bytes += bytes(`id: ${event.lastEventId}\n${type}data: ${event.data}\n\n`);
  }
}

/** A signal that follows two. */
function either(one, other) {
  const both = new AbortController();
  for (const signal of [one, other]) {
    if (signal.aborted) both.abort(signal.reason);
    signal.addEventListener("abort", () => both.abort(signal.reason), { once: true, signal: both.signal });
  }
  return both.signal;
}

// -- the code to copy -------------------------------------------------------------

const pollingCode = (url) => `let cursor = "now";
for (;;) {
  const answer = await fetch(
    \`${url}?since=\${cursor}\`);
  const page = await answer.json();
  if (answer.status === 410) cursor = page.oldest;
  if (answer.ok) {
    page.events.forEach(show);
    cursor = page.cursor;
  }
  await new Promise((done) =>
    setTimeout(done, 5000));
}`;

const waitingCode = (url) => `let cursor = "now", pause = 0;
for (;;) {
  await new Promise((done) =>
    setTimeout(done, pause + Math.random() * 100));
  pause = Math.min(60000, 2 * pause || 1000);
  try {
    const answer = await fetch(
      \`${url}?since=\${cursor}\`, {
        headers: { Prefer: "wait=25" },
        signal: AbortSignal.timeout(35000) });
    const page = await answer.json();
    if (answer.status === 410) cursor = page.oldest;
    if (!answer.ok) continue;
    page.events.forEach(show);
    cursor = page.cursor;
    const waited = answer.headers
      .has("preference-applied");
    pause = page.retry_ms ?? (waited ? 0 : 5000);
  } catch { /* offline; later */ }
}`;

const streamCode = (url) => `const source = new EventSource(
  "${url}?since=now");
source.onmessage = (event) =>
  show(JSON.parse(event.data));
source.addEventListener("gap", (event) =>
  reload(JSON.parse(event.data)));`;

// -- publishing -------------------------------------------------------------------

/** Who has received what this page published, for the ear. */
const arrivals = {
  of: new Map(),
  took(reader, n, latency) {
    const got = this.of.get(n) ?? [];
    got.push(`${reader.title} ${duration(latency)}`);
    this.of.set(n, got);
    if (got.length === 3) {
      this.of.delete(n);
      say(`Event ${n} has arrived: ${got.join(", ")}.`);
    }
    if (this.of.size > 100) this.of.delete(this.of.keys().next().value);
  },
};

let published = 0;
let publishing = false;

async function publish() {
  if (publishing) return;
  publishing = true;
  const n = (published += 1);
  const begun = now();
  const note = $("published");
  try {
    const response = await fetch(eventsUrl(), {
      method: "POST",
      headers: { "Content-Type": "application/json", ...credentials() },
      body: JSON.stringify({ text: `${$("text").value} ${n}`.trim(), n, page: PAGE, at: begun }),
      signal: AbortSignal.timeout(10_000),
    });
    const body = await response.json().catch(() => ({}));
    if (response.status === 401 || response.status === 403) askForToken();
    if (!response.ok) throw new Error(body.detail ?? `the server answered ${response.status}`);
    note.textContent = `Event ${body.offset} of ${body.channel} was in the log after ${duration(now() - begun)}.`;
    note.className = "note";
  } catch (error) {
    note.textContent = `Not published: ${error.name === "TypeError" ? "the server cannot be reached." : error.message}`;
    note.className = "note bad";
    say(note.textContent);
  }
  publishing = false;
}

function askForToken() {
  $("access").hidden = false;
  showCurl();
}

function showCurl() {
  const words = ["curl"];
  if (token || !$("access").hidden) words.push('-H "Authorization: Bearer $TOKEN"');
  words.push("-d", quote(JSON.stringify({ text: $("text").value || "hello" })), quote(eventsUrl()));
  $("curl").textContent = words.join(" ");
}

async function copyText(from, button) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(from);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

// -- the plot -----------------------------------------------------------------------

const plot = {
  canvas: $("plot"),
  points: [],
  least: 1,
  most: 10_000,

  add(id, latency) {
    this.points.push({ id, latency, time: performance.now() });
    this.draw();
  },

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const styles = getComputedStyle(document.documentElement);
    const colour = (name) => styles.getPropertyValue(`--${name}`).trim();
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const box = { left: 60, right: width - 14, top: 14, bottom: height - 28 };
    const scale = (box.bottom - box.top) / Math.log10(this.most / this.least);
    const y = (ms) => box.bottom - scale * Math.log10(Math.min(this.most, Math.max(this.least, ms)) / this.least);
    const end = performance.now();
    const x = (time) => box.right - ((end - time) / PLOT_MS) * (box.right - box.left);

    context.font = `12px ${styles.getPropertyValue("--sans")}`;
    context.fillStyle = colour("soft");
    context.strokeStyle = colour("line");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let ms = this.least; ms <= this.most; ms *= 10) {
      context.beginPath();
      context.moveTo(box.left, Math.round(y(ms)) + 0.5);
      context.lineTo(box.right, Math.round(y(ms)) + 0.5);
      context.stroke();
      context.fillText(ms < 1000 ? `${ms} ms` : `${ms / 1000} s`, box.left - 8, y(ms));
    }
    context.textAlign = "left";
    context.fillText("a minute ago", box.left, height - 11);
    context.textAlign = "right";
    context.fillText("now", box.right, height - 11);

    this.points = this.points.filter(({ time }) => end - time < PLOT_MS);
    for (const { id, latency, time } of this.points) {
      context.fillStyle = colour(id);
      this.mark(context, id, x(time), y(latency));
    }
    const means = readers.filter((one) => one.latencies.length).map((one) => `${one.title} ${duration(one.mean)}`);
    canvas.setAttribute("aria-label", means.length ? `Mean latencies: ${means.join(", ")}.` : "No latencies yet.");
  },

  /** A square, a triangle or a disc: colour is not all that tells them apart. */
  mark(context, id, x, y) {
    context.beginPath();
    if (id === "polling") context.rect(x - 3.5, y - 3.5, 7, 7);
    else if (id === "waiting") { context.moveTo(x, y - 5); context.lineTo(x + 4.6, y + 3.6); context.lineTo(x - 4.6, y + 3.6); }
    else context.arc(x, y, 4, 0, 7);
    context.fill();
  },
};

// -- the page -----------------------------------------------------------------------

const readers = [];

function restart() {
  plot.points = [];
  arrivals.of.clear();
  for (const reader of readers) reader.start();
  showCurl();
  plot.draw();
}

$("channel").value = channel;
readers.push(
  new Polling("polling", "Plain polling", pollingCode),
  new Waiting("waiting", "Long-polling", waitingCode),
  new Streaming("stream", "Server-Sent Events", streamCode),
);
showCurl();
plot.draw();

$("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("channel").value.trim() !== channel) return; // its change comes first, and starts the readers
  publish();
});
$("channel").addEventListener("change", () => {
  const name = $("channel").value.trim();
  if (!name || name === channel) return;
  channel = name;
  const address = new URL(location.href);
  address.searchParams.set("channel", channel);
  history.replaceState(null, "", address);
  restart();
});
$("text").addEventListener("input", showCurl);
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  restart();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copyText($(button.dataset.copy), button));
}

let ticking = 0;
$("every").addEventListener("change", () => {
  clearInterval(ticking);
  if ($("every").checked) {
    publish();
    ticking = setInterval(publish, 1000);
  }
});

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let drawn = 0;
setInterval(() => {
  if (document.hidden || performance.now() - drawn < (calm.matches ? 5000 : 100)) return;
  drawn = performance.now();
  if (plot.points.length) plot.draw();
}, 100);
addEventListener("resize", () => plot.draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.draw());
