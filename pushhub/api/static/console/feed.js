// What the processes tell, by the hub's own long-poll: one held request for the whole page.

import { ask, get, Unreachable, wish } from "./api.js";

const WAIT_SECONDS = 25;
const WISH_MS = 5000; // a wish is good for 15 s
const SILENT_MS = 4000;
const MOST_BACKOFF_MS = 15_000;

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

export class Feed {
  constructor() {
    this.listeners = { figures: [], trace: [], presence: [], origin: [], limits: [], nodes: [], hour: [], state: [] };
    this.heard = 0;
    this.reported = "";
  }

  on(kind, listen) {
    this.listeners[kind].push(listen);
    return () => { this.listeners[kind] = this.listeners[kind].filter((one) => one !== listen); };
  }

  /** Tell every listener. One that throws keeps nothing from the others; its error is returned. */
  tell(kind, ...what) {
    let failed = null;
    for (const listen of this.listeners[kind]) {
      try {
        listen(...what);
      } catch (error) {
        failed = error;
        // Once, and not with every second's figures.
        if (this.reported !== String(error)) reportError(error);
        this.reported = String(error);
      }
    }
    return failed;
  }

  start() {
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    this.follow(signal);
    this.wishing(signal);
  }

  stop() {
    this.stopping?.abort();
  }

  /** Read for ever; what fails is tried again, later and later. */
  async follow(signal) {
    let cursor = "earliest";
    let failures = 0;
    while (!signal.aborted) {
      try {
        const headers = { Prefer: `wait=${WAIT_SECONDS}` };
        const path = `console/feed?limit=1000&since=${encodeURIComponent(cursor)}`;
        const { answer, status } = await ask("GET", path, { headers, signal, seconds: WAIT_SECONDS + 10, gap: true });
        failures = 0;
        if (status === 410) { cursor = answer.oldest; await pause(100, signal); continue; }
        cursor = answer.cursor;
        for (const event of answer.events) this.take(event.data, Date.parse(event.time));
        if (!answer.events.length) await pause(answer.retry_ms ?? 100, signal);
      } catch (error) {
        if (signal.aborted || error.status === 401) return;
        failures += 1;
        if (!error.status && !(error instanceof Unreachable)) reportError(error);
        this.tell("state", "bad", error.message);
        await pause(Math.min(MOST_BACKOFF_MS, 500 * 2 ** failures) * (0.5 + Math.random()), signal);
      }
    }
  }

  take(told, time) {
    if (told.figures) {
      if (Date.now() - time < 60_000) this.heard = performance.now();
      const failed = this.tell("figures", told, time);
      if (failed) this.tell("state", "fair", `live, but this page failed: ${failed.message}`);
      else this.tell("state", "good", "live");
    } else if (told.trace) this.tell("trace", told);
    else if (told.presence) this.tell("presence", told);
    else if (told.origin) this.tell("origin", told);
    else if (told.limits) this.tell("limits", told);
    else if (told.nodes) this.tell("nodes", told);
    else if (told.hour) this.tell("hour", told, time);
  }

  /** Say again what is wanted; and when nothing is heard, ask the one process that answers. */
  async wishing(signal) {
    let said = -WISH_MS;
    const begun = performance.now();
    while (!signal.aborted) {
      const now = performance.now();
      if (!document.hidden && now - said >= WISH_MS) {
        said = now;
        await wish({ figures: true }).catch(() => {});
      }
      if (!document.hidden && now - Math.max(this.heard, begun) > SILENT_MS) {
        try {
          const told = await get("console/now", { signal });
          if (!signal.aborted) this.tell("figures", told, told.figures.time * 1000);
          this.tell("state", "fair", "only one process responds; the store is silent");
        } catch { /* `follow` says why */ }
      }
      await pause(1000, signal);
    }
  }
}
