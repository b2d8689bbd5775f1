// What the modules of the demo share: the channel, the credential, and small words.

export const page = {
  channel: new URLSearchParams(location.search).get("channel") || "demo",
  token: "",
  // Only what this page publishes is timed: another machine's clock says nothing about ours.
  id: Math.random().toString(36).slice(2, 10),
};

const base = new URL("..", import.meta.url);

export const $ = (id) => document.getElementById(id);
export const now = () => performance.timeOrigin + performance.now();
export const bytes = (text) => new TextEncoder().encode(text).length;
export const address = (path) => new URL(path, base).href;
export const eventsUrl = () => address(`v1/channels/${encodeURIComponent(page.channel)}/events`);
export const credentials = () => (page.token ? { Authorization: `Bearer ${page.token}` } : {});

export function duration(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", stop); resolve(); }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** A signal that follows two. */
export function either(one, other) {
  const both = new AbortController();
  for (const signal of [one, other]) {
    if (signal.aborted) both.abort(signal.reason);
    signal.addEventListener("abort", () => both.abort(signal.reason), { once: true, signal: both.signal });
  }
  return both.signal;
}

/** An answer that is none: its problem, and when to come back. */
export class Refused extends Error {
  constructor(response, problem) {
    super(problem.title ?? `status ${response.status}`);
    this.status = response.status;
    this.problem = problem;
    this.retryAfter = Number(response.headers.get("retry-after")) * 1000 || 0;
  }
}

const QUIET_MS = 4000; // between two things that are read aloud
let spoken = 0;

/** Tell a screen reader; events of a busy channel are not worth a word each. */
export function say(text, important = false) {
  if (!important && performance.now() - spoken < QUIET_MS) return;
  spoken = performance.now();
  $("news").textContent = text;
}

/** Copy an element's text, with `button` to tell of it. */
export async function copyText(from, button) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(from);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
