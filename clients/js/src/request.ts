/** Requests to the hub: the token, the time limit, and refusals as errors. */

import { retryAfter } from "./pace.js";
import type { Options, PushhubError } from "./types.js";

export interface Refused extends PushhubError {
  problem?: { type?: string; detail?: string; channel?: string };
  /** Milliseconds of `Retry-After`. */
  after?: number;
}

/** A problem (RFC 9457) as an error. */
export const refusal = (problem: Refused["problem"], status: number, headers?: Headers): Refused =>
  Object.assign(new Error(problem!.detail || "HTTP " + status), {
    status,
    problem,
    after: headers && retryAfter(headers),
  });

/**
 * The answer if it is a success; else a `Refused` is thrown. With `hub` the server should be one: a page, and a 404, 405
 * or 501 that is none of a hub's problems, come from another server.
 */
export const checked = async (response: Response, hub?: boolean): Promise<Response> => {
  const { ok, status, url } = response;
  const page = hub && /html/.test(response.headers.get("content-type")!);
  if (ok && !page) return response;
  // A body that is cut fails here: it may have named the one channel that is refused.
  const text = await response.text();
  let problem: Refused["problem"] = {};
  try {
    problem = JSON.parse(text);
  } catch {}
  if (hub && (ok || [404, 405, 501].includes(status)) && !problem!.type)
    problem = { detail: `${url} responded ${status} and is no hub. Check the hub's URL; in front of an origin it ends with /_pushhub.` };
  throw refusal(problem, status, response.headers);
};

/** When a token ends, in milliseconds since 1970; nothing, if it is no JWT (RFC 7519 §4.1.4). */
const expiry = (token: string): number | undefined => {
  try {
    return 1000 * JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))).exp;
  } catch {}
};

export type Send = (
  path: string,
  body: unknown,
  headers?: Record<string, string>,
  signal?: AbortSignal,
) => Promise<Response>;

// A page's own `token()` may show a login; one that has no end must not stop the hub.
const TOKEN_MS = 60_000;

/** What to do, where a browser tells its pages no reason: an outage looks like a refusal by CORS. */
export const unreachable = (url: string, cause: unknown): Refused => {
  const { origin, protocol } = new URL(url, globalThis.location?.href);
  const here = globalThis.origin;
  // A sandboxed frame's origin, which has no name of its own.
  const name = here == "null" ? "*" : here;
  const hint =
    origin == here
      ? ""
      : ` If it runs, its setting cors_origins may lack "${name}". Only the browser's console tells the reason.`;
  const message = /^http/.test(protocol) ? `No response from ${origin}.${hint}` : url + " must begin with https:// or http://.";
  return Object.assign(new Error(message), { cause });
};

/** What sends requests to one hub. */
export const sender = (
  base: string,
  { token, fetch = (where, how) => globalThis.fetch(where, how) }: Options,
) => {
  const renew = typeof token == "function" && token;
  let bearer = token as string | undefined;
  let good = 0;
  let renewing: Promise<void> | undefined;

  const take = async () => {
    let timer: ReturnType<typeof setTimeout>;
    const late = new Promise<never>((_, fail) => (timer = setTimeout(fail, TOKEN_MS, new Error("token() does not end"))));
    try {
      bearer = await Promise.race([(renew as () => string | Promise<string>)(), late]);
      // A tenth before its end, whatever its length: clocks differ, and requests take time. Where there is
      // no end, or it seems to be over because this clock is wrong, it is good until the hub says otherwise.
      const life = 0.9 * (expiry(bearer)! - Date.now());
      good = life > 0 ? Date.now() + life : Infinity;
    } finally {
      clearTimeout(timer!);
      renewing = undefined;
    }
  };

  /** The token, after it was renewed if it has to be. */
  const fresh = async () => {
    if (renew && Date.now() > good) await (renewing ??= take());
    return bearer;
  };

  const send: Send = async (path, body, headers, signal) => {
    await fresh();
    const sent = fetch(base + path, {
      method: "POST",
      // Without a content type of ours, and without a token, a browser needs no preflight.
      headers: { ...headers, ...(bearer && { Authorization: "Bearer " + bearer }) },
      body: JSON.stringify(body),
      cache: "no-store",
      signal,
    });
    let response: Response;
    try {
      // A page's own `fetch` may ignore the signal.
      response = await Promise.race([sent, new Promise<never>((_, fail) => until(signal, () => fail(signal!.reason)))]);
    } catch (error) {
      throw error instanceof TypeError ? unreachable(base, error) : error;
    }
    if (response.status == 401) good = 0;
    return checked(response, true);
  };
  return { send, fresh, renews: !!renew };
};

/** Call `end` when the signal says so, or has said it. */
export const until = (signal: AbortSignal | undefined, end: () => void) => {
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
};
