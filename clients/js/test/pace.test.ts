import { describe, expect, it, vi } from "vitest";
import { backoff, createPace, delay, retryAfter } from "../src/pace.js";

it("backs off by full jitter, up to a minute", () => {
  const random = vi.spyOn(Math, "random");
  random.mockReturnValue(0);
  expect(backoff(5)).toBe(0);
  random.mockReturnValue(1);
  expect([1, 2, 3, 7, 100].map(backoff)).toEqual([1000, 2000, 4000, 60_000, 60_000]);
});

it("reads seconds of a Retry-After", () => {
  const read = (value?: string) => retryAfter(new Headers(value ? { "retry-after": value } : {}));
  expect([read(), read("3"), read("Wed, 21 Oct 2026 07:28:00 GMT")]).toEqual([0, 3000, 0]);
});

it.each([
  { ages: [10_000], wait: 25, why: "once is chance" },
  { ages: [10_000, 10_300], wait: 7, why: "twice is a rule" },
  { ages: [10_000, 14_000], wait: 25, why: "at another age" },
  { ages: [200, 210], wait: 25, why: "too young" },
  { ages: [1100, 1200], wait: 1, why: "never less than a second" },
  { ages: [20_000, 20_000, 20_000, 20_000], wait: 8, why: "less each time" },
  { ages: [35_000, 35_000], wait: 18, why: "never more than asked for" },
])("waits $wait s after deaths at $ages: $why", ({ ages, wait }) => {
  const pace = createPace(25);
  for (const age of ages) pace.died(age);
  expect(pace.wait).toBe(wait);
});

it("forgets a suspicion when a request has lived longer", () => {
  const pace = createPace(25);
  pace.died(10_000);
  pace.lived(12_000);
  pace.died(10_000);
  expect(pace.wait).toBe(25);
});

it("takes a pause from a server for a day at most, and no odd one", () => {
  expect(["5", "0", "-5", "", null, undefined, "x", "1e99", "Infinity", "NaN"].map((text) => delay(text, 1000))).toEqual([
    5000, 0, 0, 0, 0, 0, 0, 86_400_000, 86_400_000, 0,
  ]);
});

describe("a wait that was made shorter", () => {
  const cut = () => {
    const pace = createPace(25);
    for (const age of [3000, 3100]) pace.died(age);
    expect(pace.wait).toBe(2);
    return pace;
  };

  it("grows again, step by step, while requests live", () => {
    const pace = cut();
    const waits = new Set<number>();
    let seconds = 0;
    while (pace.wait < 25 && seconds < 3600) {
      waits.add(pace.wait);
      seconds += pace.wait;
      pace.lived(1000 * pace.wait * 0.9);
    }
    expect([...waits]).toEqual([2, 3, 4, 6, 8, 11, 15, 20]);
    expect(seconds).toBeLessThan(15 * 60);
  });

  it("grows rarely where the proxy is still there", () => {
    const pace = createPace(25);
    let deaths = 0;
    let seconds = 0;
    // A proxy that cuts at 10 s, for a day.
    while (seconds < 86_400) {
      const age = Math.min(10, pace.wait);
      seconds += age;
      if (pace.wait >= 10) pace.died(1000 * age), deaths++;
      else pace.lived(1000 * age * 0.9);
    }
    expect(pace.wait).toBeLessThan(10);
    expect(deaths).toBeLessThan(40);
  });

  it("is no business of events that come early", () => {
    const pace = cut();
    for (let n = 0; n < 1000; n++) pace.lived(100);
    expect(pace.wait).toBe(2);
  });
});

it("counts no death from before the page was left", () => {
  const pace = createPace(25);
  for (let n = 0; n < 10; n++) {
    pace.died(3000);
    pace.left();
  }
  expect(pace.wait).toBe(25);
});

it.each([3600_000, 86_400_000, -3600_000])("counts no death at an age of %d ms: the machine slept, or its clock was set", (age) => {
  const pace = createPace(25);
  for (let n = 0; n < 3; n++) pace.died(age);
  expect(pace.wait).toBe(25);
});
