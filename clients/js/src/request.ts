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

/** The answer if it is a success; else a `Refused` is thrown. */
export const checked = async (response: Response): Promise<Response> => {
  if (response.ok) return response;
  throw refusal(await response.json().catch(() => ({})), response.status, response.headers);
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

/** What sends requests to one hub. */
export const sender = (
  base: string,
  { token, fetch = (where, how) => globalThis.fetch(where, how) }: Options,
): Send => {
  const renew = typeof token == "function" && token;
  let bearer = token as string | undefined;
  let good = 0;
  return async (path, body, headers, signal) => {
    for (let again = false; ; again = true) {
      // Without an end it is good until somebody says otherwise.
      if (renew && (again || Date.now() > good)) {
        bearer = await renew();
        // A tenth before its end, whatever its length: clocks differ, and requests take time.
        good = Date.now() + 0.9 * (expiry(bearer)! - Date.now());
      }
      const response = await fetch(base + path, {
        method: "POST",
        // Without a content type of ours, and without a token, a browser needs no preflight.
        headers: { ...headers, ...(bearer && { Authorization: "Bearer " + bearer }) },
        body: JSON.stringify(body),
        cache: "no-store",
        signal,
      });
      if (again || response.status != 401 || !renew) return checked(response);
    }
  };
};
