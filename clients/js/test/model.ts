/** A hub in memory, as far as a client can tell: what it is asked, it answers as the real one does. */

import { vi } from "vitest";
import type { Event } from "../src/types.js";

interface Asked {
  path: string;
  headers: Record<string, string>;
  body: { channels: Record<string, string>; limit: number; wait: number };
}

export class Model {
  epoch = "e1";
  log: Record<string, Event[]> = Object.create(null);
  /** Oldest events are trimmed beyond this. */
  keep = Infinity;
  asked: Asked[] = [];
  /** How many requests are open, and how many were at most. */
  open = 0;
  most = 0;
  /** Answers with which the next requests are refused, or errors. */
  next: (Response | Error | ((asked: Asked) => Response | Error | undefined | Promise<Response>))[] = [];
  /** Whether answers say that they waited. */
  applies = true;
  /** Seconds after which somebody in between cuts a request. */
  cut = Infinity;
  /** Cuts a held request, as a proxy or a browser does. */
  cuts = new Set<() => void>();
  private waiting = new Set<() => void>();

  publish(channel: string, ...data: unknown[]): void {
    const log = (this.log[channel] ??= []);
    for (const one of data) {
      const offset = (log.at(-1)?.offset ?? 0) + 1;
      const cursor = `${this.epoch}-${offset}`;
      log.push({ channel, offset, cursor, id: cursor, time: "2026-01-01T00:00:00Z", data: one });
    }
    for (const wake of [...this.waiting]) wake();
  }

  get held(): number {
    return this.waiting.size;
  }

  fetch = async (url: string, { headers, body, signal }: any): Promise<Response> => {
    const asked: Asked = { path: new URL(url, "http://hub").pathname, headers, body: JSON.parse(body) };
    this.asked.push(asked);
    this.open++;
    this.most = Math.max(this.most, this.open);
    try {
      signal?.throwIfAborted();
      await Promise.resolve();
      const planned = this.next.shift();
      const instead = await (typeof planned == "function" ? planned(asked) : planned);
      if (instead instanceof Error) throw instead;
      if (instead) return instead;
      return await this.answer(asked, signal);
    } finally {
      this.open--;
    }
  };

  private async answer({ body: { channels, limit, wait } }: Asked, signal: AbortSignal): Promise<Response> {
    const end = Date.now() + wait * 1000;
    const cut = Date.now() + this.cut * 1000;
    for (;;) {
      const { events, cursors, gaps } = this.read(channels, limit, !wait || Date.now() >= end);
      const headers: HeadersInit = wait && this.applies ? { "Preference-Applied": `wait=${wait}` } : {};
      if (!wait || !this.applies || events.length || Object.keys(gaps).length || Date.now() >= end)
        return Response.json({ events, cursors, ...(Object.keys(gaps).length && { gaps }) }, { headers });
      await new Promise<void>((done, fail) => {
        const ended = () => {
          this.waiting.delete(wake);
          this.cuts.delete(broken);
          clearTimeout(timer);
        };
        const broken = () => {
          ended();
          fail(new TypeError("network error"));
        };
        const wake = () => {
          ended();
          if (Date.now() >= cut) fail(new TypeError("network error"));
          else done();
        };
        const timer = setTimeout(wake, Math.min(end, cut) - Date.now());
        this.waiting.add(wake);
        this.cuts.add(broken);
        signal.addEventListener("abort", () => {
          ended();
          fail(signal.reason);
        });
      });
    }
  }

  private read(channels: Record<string, string>, limit: number, all: boolean) {
    const events: Event[] = [];
    const cursors: Record<string, string> = Object.create(null);
    const gaps: Record<string, object> = Object.create(null);
    for (const [channel, at] of Object.entries(channels)) {
      const log = this.log[channel] ?? [];
      const oldest = Math.max(0, log.length - this.keep);
      const [epoch, offset] = at.split("-");
      const last = log.length;
      const after = at == "now" ? last : at == "earliest" ? oldest : +offset!;
      const lost = offset && (epoch != this.epoch ? "epoch" : after < oldest ? "trimmed" : after > last && "ahead");
      if (lost) {
        gaps[channel] = { reason: lost, oldest: `${this.epoch}-${oldest}`, latest: `${this.epoch}-${last}` };
        cursors[channel] = `${this.epoch}-${oldest}`;
        continue;
      }
      const some = log.slice(after, after + limit - events.length);
      events.push(...some);
      if (some.length || (!offset && all)) cursors[channel] = `${this.epoch}-${after + some.length}`;
    }
    return { events, cursors, gaps };
  }
}

export const problem = (status: number, members: object = {}, headers: HeadersInit = {}) =>
  Response.json({ type: "urn:pushhub:problem:x", status, ...members }, { status, headers });

/** The browser, as far as a hub listens to it. */
export const page = () => {
  const target = new EventTarget();
  const document = { hidden: false };
  const storage: Record<string, string> = {};
  vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
  vi.stubGlobal("removeEventListener", target.removeEventListener.bind(target));
  vi.stubGlobal("document", document);
  vi.stubGlobal("sessionStorage", storage);
  return {
    storage,
    say: (type: string, members: object = {}) => target.dispatchEvent(Object.assign(new Event(type), members)),
    hide(hidden: boolean) {
      document.hidden = hidden;
      this.say("visibilitychange");
    },
  };
};

const Event = globalThis.Event;
/** Let everything happen that needs no time, and some that does. */
export const pass = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
