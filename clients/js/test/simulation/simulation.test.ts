/**
 * The client lives through virtual days, and its promises hold.
 *
 * SIMULATE_SEEDS=500 npm run simulate    fresh seeds, from SIMULATE_FROM or the clock
 * SIMULATE_SEED=7 npm run simulate       one seed again; SIMULATE_STEPS=3,9 keeps only these steps of it,
 *                                        and SIMULATE_LOG=1 shows every request
 */

import { beforeAll, describe, expect, it } from "vitest";
import { compile, served, type Start } from "./client.js";
import { FAULTS } from "./faults.js";
import { run, type Outcome } from "./run.js";
import { shrink } from "./shrink.js";
import { draw, type Story } from "./story.js";
import { collect, MONTH } from "./times.js";

const { SIMULATE_SEEDS, SIMULATE_FROM, SIMULATE_SEED, SIMULATE_STEPS } = process.env;
const STEPS = 40;
const FIXED = 10;
// A fault is found within so many seeds.
const SOON = 30;
const BRIEF_MS = 600_000;

let client: Start;
beforeAll(async () => {
  client = await compile();
});

const part = (story: Story, numbers: number[]): Story => ({ ...story, steps: numbers.map((n) => story.steps[n]!) });

/** What a failure prints. */
const report = async (story: Story, outcome: Outcome, awake: string): Promise<string> => {
  const kept = await shrink(story, client, outcome.violation!.rule);
  const short = await run(part(story, kept), client);
  const { violation, lines } = short.violation ? short : outcome;
  return [
    `Seed ${story.seed} breaks a promise.`,
    ...lines,
    `BROKEN  ${violation!.message}`,
    `Setting: ${JSON.stringify(story.setting)}`,
    `Replay:  ${awake}SIMULATE_SEED=${story.seed} SIMULATE_STEPS=${kept} SIMULATE_LOG=1 npm run simulate`,
  ].join("\n");
};

const tell = (seeds: number, { lived, requests, events, gaps }: Outcome) =>
  console.log(`${seeds} seeds: ${(lived / 86_400_000).toFixed(1)} virtual days, ${requests} requests, ${events} events, ${gaps} gaps`);

const live = async (from: number, count: number, awake?: number): Promise<void> => {
  const sum: Outcome = { lines: [], requests: 0, events: 0, gaps: 0, lived: 0, busiest: 0 };
  for (let seed = from; seed < from + count; seed++) {
    const story = draw(seed, STEPS, awake);
    const outcome = await run(story, client);
    if (outcome.violation) throw new Error(await report(story, outcome, awake ? "SIMULATE_SEEDS=1 " : ""));
    for (const key of ["requests", "events", "gaps", "lived"] as const) sum[key] += outcome[key];
    if (awake && (seed - from) % 50 == 49) tell(seed - from + 1, sum);
  }
  tell(count, sum);
  expect(sum.events).toBeGreaterThan(count);
};

const awake = SIMULATE_SEEDS ? MONTH : undefined;

if (SIMULATE_SEED)
  it(`lives through seed ${SIMULATE_SEED}`, { timeout: 0 }, async () => {
    const story = draw(+SIMULATE_SEED, STEPS, awake);
    const outcome = await run(SIMULATE_STEPS ? part(story, SIMULATE_STEPS.split(",").map(Number)) : story, client);
    console.log(outcome.lines.join("\n"));
    expect(outcome.violation?.message).toBeUndefined();
  });
else if (SIMULATE_SEEDS)
  it(`lives through ${SIMULATE_SEEDS} seeds`, { timeout: 0 }, async () => {
    await live(SIMULATE_FROM ? +SIMULATE_FROM : Math.floor(Date.now() / 1000) % 1e6, +SIMULATE_SEEDS, awake);
  });
else {
  it("lives through a fixed set of seeds", { timeout: 60_000 }, () => live(1, FIXED));

  it("lives through them as it is served", { timeout: 60_000 }, async () => {
    const start = served();
    for (let seed = 1; seed <= 4; seed++) {
      const one = await run(draw(seed, STEPS), start);
      expect(one.violation?.message).toBeUndefined();
      // Made small, it does the same.
      expect(one.lines).toEqual((await run(draw(seed, STEPS), client)).lines);
    }
  });

  it("does the same with the same seed", async () => {
    const [one, other] = [await run(draw(5), client), await run(draw(5), client)];
    expect(one).toEqual(other);
    expect(one.requests).toBeGreaterThan(20);
  });

  describe("finds", () => {
    it.each(FAULTS)("$name", { timeout: 60_000 }, async (fault) => {
      const start = await compile(fault);
      if (fault.story) expect((await run(fault.story, client)).violation?.message).toBeUndefined();
      for (let seed = 1; seed <= SOON; seed++) {
        const { violation } = await run(fault.story ?? draw(seed, STEPS, BRIEF_MS, fault.focus), start);
        if (violation) return console.log(`seed ${seed}: ${fault.name} → ${violation.message.split("\n")[0]}`);
        if (fault.story) break;
      }
      throw new Error("not found");
    });
  });

  it("makes a failing story short", { timeout: 60_000 }, async () => {
    const start = await compile(FAULTS.find(({ name }) => name == "a gap is swallowed")!);
    for (let seed = 1; ; seed++) {
      const story = draw(seed, STEPS);
      const { violation } = await run(story, start);
      if (!violation) continue;
      const kept = await shrink(story, start, violation.rule);
      expect(kept.length).toBeLessThan(6);
      return;
    }
  });
}

describe("the times of the client", () => {
  const { times, unknown } = collect();

  it("are all in the draw", () => {
    expect(unknown).toEqual([]);
    expect([...times.keys()]).toEqual(expect.arrayContaining(["tabs.ts:SILENCE_MS", "pace.ts:DAY_MS", "hub.ts:WAIT"]));
  });

  it("are met by pauses", () => {
    const pauses = Array.from({ length: 300 }, (_, seed) => draw(seed).steps).flat().map(({ pause, lasts }) => [pause, lasts]).flat();
    for (const [name, ms] of times) if (ms <= 3600_000) expect(pauses.some((pause) => Math.abs(pause - ms) <= 2), name).toBe(true);
  });
});
