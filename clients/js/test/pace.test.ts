import { expect, it, vi } from "vitest";
import { backoff, createPace, retryAfter } from "../src/pace.js";

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
