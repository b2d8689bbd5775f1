/** A value, polled: what `setInterval(() => fetch(url))` was, waiting where the server can. */

import { backoff, createPace } from "./pace.js";
import { safely } from "./readers.js";
import { checked, type Refused } from "./request.js";
import type { PushhubError, StartPoll } from "./types.js";

const EVERY_MS = 5000;
const WAIT = 25;
const SLACK_MS = 10_000;

export const poll: StartPoll = (
  url,
  { every = EVERY_MS, wait = WAIT, headers, signal, fetch = (where: RequestInfo | URL, how?: RequestInit) => globalThis.fetch(where, how) } = {},
) => {
  const listeners = new Set<(value: any, response: Response) => void>();
  const losers = new Set<(error: PushhubError) => void>();
  const pace = createPace(wait);
  let controller = new AbortController();
  let tag: string | null = null;
  let known = false;
  let waits = false;
  let stopped = false;
  let wake = () => {};
  /** Whether the server's own headers are all that another origin lets through. */
  let plain = false;

  const ask = async (): Promise<number> => {
    const waiting = plain ? {} : { Prefer: "wait=" + pace.wait, ...(tag && { "If-None-Match": tag }) };
    const response = await fetch(url, {
      headers: { ...headers, ...waiting },
      cache: "no-store",
      signal: controller.signal,
    });
    known = true;
    const interval = response.headers.get("x-poll-interval");
    waits = response.headers.has("preference-applied");
    if (response.status != 304 && response.status != 404) {
      await checked(response);
      tag = response.headers.get("etag");
      const json = /json/.test(response.headers.get("content-type")!);
      const value = await (json ? response.json() : response.text());
      for (const listener of listeners) safely(() => listener(value, response));
    } else if (response.status == 404) tag = null;
    return interval ? 1000 * +interval : waits ? 0 : every;
  };

  const run = async () => {
    for (let failures = 0; !stopped; ) {
      const began = Date.now();
      let ms: number;
      controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), SLACK_MS + 1000 * pace.wait);
      try {
        ms = await ask();
        failures = 0;
        pace.lived(Date.now() - began);
      } catch (error) {
        const { status, after = 0 } = error as Refused;
        if (stopped) return;
        if (!status) pace.died(Date.now() - began);
        if (!status && !known) plain = !plain;
        ms = Math.max(after, waits ? 0 : every, backoff(++failures));
        for (const loser of losers) safely(() => loser(error as PushhubError));
      }
      clearTimeout(timer);
      if (ms && !stopped)
        await new Promise<void>((done) => {
          const timer = setTimeout(done, ms);
          wake = () => {
            clearTimeout(timer);
            done();
          };
        });
    }
  };

  const stop = () => {
    stopped = true;
    controller.abort();
    wake();
  };
  signal?.addEventListener("abort", stop);
  void run();

  return {
    on(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    onError(listener) {
      losers.add(listener);
      return () => void losers.delete(listener);
    },
    get waits() {
      return waits;
    },
    stop,
  };
};
