/** How long to wait: before a retry, and for a held request. */

// AWS' "full jitter": anything from nothing to the bound, so that a crowd that was cut off together
// does not come back together. From 1 s, which a restart takes, to a minute.
const FIRST_MS = 1000;
const MOST_MS = 60_000;

/** Milliseconds before the try after so many failures in a row, at least 1. */
export const backoff = (failures: number): number =>
  Math.random() * Math.min(MOST_MS, FIRST_MS * 2 ** (failures - 1));

/** Seconds of a `Retry-After`, as milliseconds; a date is too rare to be read (RFC 9110 §10.2.3). */
export const retryAfter = (headers: Headers): number => 1000 * +headers.get("retry-after")! || 0;

/** The wait to ask for, which learns at what age a proxy cuts requests. */
export interface Pace {
  wait: number;
  /** A held request failed, so many milliseconds old. */
  died(age: number): void;
  /** One was answered. */
  lived(age: number): void;
}

// What counts as the same age; and what is younger dies of something else.
const NEAR_MS = 1000;
// Of the age at which requests are cut. A hub ends a wait up to 20 % early, never late.
const SHARE = 0.75;

export const createPace = (wait: number): Pace => {
  let cut = 0;
  return {
    wait,
    died(age) {
      // Once may be chance; twice in a row at the same age is the rule of somebody in between. Browsers
      // send a request once again by themselves when a kept connection is cut, so that it may seem twice
      // as old as it was: less is asked for each time.
      if (age > NEAR_MS && Math.abs(age - cut) < NEAR_MS)
        this.wait = Math.floor(Math.min(this.wait, age / 1000) * SHARE) || 1;
      cut = age;
    },
    lived(age) {
      if (age > cut) cut = 0;
    },
  };
};
