/** A value, polled: what `setInterval(() => fetch(url))` was, waiting where the server can. */

import { backoff, createPace, delay, QUICK_MS, SLACK_MS } from "./pace.js";
import { safely } from "./readers.js";
import { checked, unreachable, type Refused } from "./request.js";
import type { PushhubError, StartPoll } from "./types.js";

const EVERY_MS = 5000;
const WAIT = 25;
// Changes that follow one another so often are waited for; more of them come at the pace of a plain poller.
const BURST = 4;
// The fastest pace that a page may ask for, as a frame of a slow animation.
const LEAST_MS = 100;

export const poll: StartPoll = (
  url,
  { every = EVERY_MS, wait = WAIT, headers, signal, fetch = (where: RequestInfo | URL, how?: RequestInit) => globalThis.fetch(where, how) } = {},
) => {
  const listeners = new Set<(value: any, response: Response) => void>();
  const losers = new Set<(error: PushhubError) => void>();
  const pace = createPace(wait);
  const least = Math.max(LEAST_MS, every) || EVERY_MS;
  let controller = new AbortController();
  let tag: string | null = null;
  let known = false;
  let waits = false;
  let stopped = false;
  /** Responses in a row that came immediately. */
  let quick = 0;
  /** Whether the page is in the back/forward cache, which cuts its request. */
  let away = false;
  let wake = () => {};
  /** Whether the server itself asked for the pause. */
  let firm = false;
  /** Whether the server's own headers are all that another origin lets through. */
  let plain = false;

  const ask = async (): Promise<number> => {
    const waiting = plain ? {} : { Prefer: "wait=" + pace.wait, ...(tag && { "If-None-Match": tag }) };
    const began = Date.now();
    const response = await fetch(url, {
      headers: { ...headers, ...waiting },
      cache: "no-store",
      signal: controller.signal,
    });
    known = true;
    const interval = delay(response.headers.get("x-poll-interval"), 1000);
    waits = response.headers.has("preference-applied");
    if (response.status != 304 && response.status != 404) {
      await checked(response);
      tag = response.headers.get("etag");
      const json = /json/.test(response.headers.get("content-type")!);
      const value = await (json ? response.json() : response.text());
      for (const listener of listeners) safely(() => listener(value, response));
    } else if (response.status == 404) tag = null;
    quick = Date.now() - began < QUICK_MS ? quick + 1 : 0;
    // A server that says that it waits, and does not, would be asked without a pause.
    firm = !!interval;
    return interval || (!waits ? least : quick > BURST || (quick && !response.ok) ? Math.min(least, backoff(quick)) : 0);
  };

  const run = async () => {
    for (let failures = 0; !stopped; ) {
      const began = Date.now();
      let ms: number;
      controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), SLACK_MS + 1000 * pace.wait);
      try {
        ms = await ask().finally(() => clearTimeout(timer));
        failures = 0;
        pace.lived(Date.now() - began);
      } catch (error) {
        const { status, after = 0 } = error as Refused;
        if (stopped) return;
        firm = !!after;
        ms = Math.max(after, waits ? 0 : least, backoff(++failures));
        if (!away) {
          if (!status) pace.died(Date.now() - began);
          if (!status && !known) plain = !plain;
          const reason = error instanceof TypeError ? unreachable(url, error) : (error as PushhubError);
          for (const loser of losers) safely(() => loser(reason));
        }
      }
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

  const life = new AbortController();
  const sign = ({ type }: { type: string }) => {
    away = type == "pagehide";
    if (away) pace.left();
    else if (!firm) wake();
  };
  for (const type of ["pagehide", "pageshow", "online"]) globalThis.addEventListener?.(type, sign, { signal: life.signal });

  const stop = () => {
    stopped = true;
    life.abort();
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
