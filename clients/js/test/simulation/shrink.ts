/** Leave out steps of a failing story as long as the same promise is broken. */

import type { Start } from "./client.js";
import { run } from "./run.js";
import type { Story } from "./story.js";

// Runs until it is small enough for a reader.
const MOST_RUNS = 150;

/** The numbers of the steps that are needed. */
export const shrink = async (story: Story, start: Start, rule: string): Promise<number[]> => {
  let kept = story.steps.map((_, n) => n);
  let runs = 0;
  const fails = async (numbers: number[]) => {
    runs++;
    const { violation } = await run({ ...story, steps: numbers.map((n) => story.steps[n]!) }, start);
    return violation?.rule == rule;
  };
  // First all that happens to one tab, then halves, quarters and single steps.
  for (const tab of new Set(story.steps.map((step) => step.tab))) {
    const rest = kept.filter((n) => story.steps[n]!.tab != tab);
    if (await fails(rest)) kept = rest;
  }
  for (let size = Math.ceil(kept.length / 2); size >= 1 && runs < MOST_RUNS; size = size > 1 ? Math.ceil(size / 2) : 0)
    for (let at = 0; at < kept.length && runs < MOST_RUNS; ) {
      const rest = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (await fails(rest)) kept = rest;
      else at += size;
    }
  return kept;
};
