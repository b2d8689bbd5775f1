/** How long to wait: before a retry, and for a held request. */

// AWS' "full jitter": anything from nothing to the bound, so that a crowd that was cut off together
// does not come back together. From 1 s, which a restart takes, to a minute.
const FIRST_MS = 1000;
const MOST_MS = 60_000;
// A timer takes 24.8 days at most, and a longer one ends immediately: a pause that somebody asks for is a
// day at most.
const DAY_MS = 86_400_000;
/** A request must last so long to count as one that was held. */
export const QUICK_MS = 1000;

/** Milliseconds before the try after so many failures in a row, at least 1. */
export const backoff = (failures: number): number =>
  Math.random() * Math.min(MOST_MS, FIRST_MS * 2 ** (failures - 1));

/** A pause that a server asks for, in milliseconds; 0 if it is no number above 0. */
export const delay = (text: unknown, unit = 1): number => Math.max(0, Math.min(DAY_MS, unit * +(text as string))) || 0;

/** Seconds of a `Retry-After`, as milliseconds; a date is too rare to be read (RFC 9110 §10.2.3). */
export const retryAfter = (headers: Headers): number => delay(headers.get("retry-after"), 1000);

/** The wait to ask for, which learns at what age a proxy cuts requests. */
export interface Pace {
  wait: number;
  /** A held request failed, so many milliseconds old. */
  died(age: number): void;
  /** One was answered. */
  lived(age: number): void;
  /** The page was left: a browser cuts requests for that, before it says so. */
  left(): void;
}

// What counts as the same age; and what is younger dies of something else.
const NEAR_MS = 1000;
// Of the age at which requests are cut. A hub ends a wait up to 20 % early, never late.
const SHARE = 0.75;
// Requests that must live to their end before a longer wait is tried; twice as many each time that it fails.
const PATIENCE = 8;
const MOST_PATIENCE = 512;

/** `most` is what the page wants, `wait` what it begins with. */
export const createPace = (most: number, wait = most): Pace => {
  let cut = 0;
  let good = wait;
  let lives = 0;
  let patience = PATIENCE;
  return {
    wait,
    died(age) {
      lives = 0;
      // Older than any request may become: the machine slept, or its clock was set.
      if (age > 1000 * most + SLACK_MS + NEAR_MS) return;
      if (age > NEAR_MS && this.wait > good) {
        // A longer wait was tried, and is too long.
        this.wait = good;
        patience = Math.min(2 * patience, MOST_PATIENCE);
      } else if (age > NEAR_MS && Math.abs(age - cut) < NEAR_MS)
        // Once may be chance; twice in a row at the same age is the rule of somebody in between. Browsers
        // send a request once again by themselves when a kept connection is cut, so that it may seem twice
        // as old as it was: less is asked for each time.
        good = this.wait = Math.floor(Math.min(this.wait, age / 1000) * SHARE) || 1;
      cut = age;
    },
    lived(age) {
      if (age > cut) cut = 0;
      if (age < 1000 * this.wait * SHARE) return;
      // This wait is proven, so that a longer one may be tried.
      good = this.wait;
      if (this.wait < most && ++lives >= patience) {
        lives = 0;
        this.wait = Math.min(most, Math.ceil(this.wait / SHARE));
      }
    },
    left() {
      cut = 0;
    },
  };
};

// A hub answers a plain read immediately, and a wait before its end. A request that takes so much longer is dead.
export const SLACK_MS = 10_000;
