/** The times that the client's source names, and pauses around them. */

import { readdirSync, readFileSync } from "node:fs";

export const SOURCE = new URL("../../src/", import.meta.url);

/** Constants that are numbers and no times. A new constant is a time by its name, or is listed here. */
const NO_TIMES = new Set(["LIMIT", "FINAL", "BACKLOG", "BURST", "SHARE", "PATIENCE", "MOST_PATIENCE", "DROPPED"]);

export interface Times {
  /** Name of the constant to milliseconds. */
  times: Map<string, number>;
  /** Numbers of which nobody said what they are: a mistake. */
  unknown: string[];
}

/** Collect the constants: `…_MS` are milliseconds, `WAIT` is seconds. */
export const collect = (): Times => {
  const times = new Map<string, number>();
  const unknown: string[] = [];
  for (const file of readdirSync(SOURCE).sort()) {
    const text = readFileSync(new URL(file, SOURCE), "utf8");
    for (const [, name, value] of text.matchAll(/\bconst ([A-Z][A-Z_0-9]*) = ([^;]*);/g)) {
      const number = Number(value!.replaceAll("_", ""));
      if (name!.endsWith("_MS") && number) times.set(`${file}:${name}`, number);
      else if (name == "WAIT") times.set(`${file}:${name}`, 1000 * number);
      else if (!NO_TIMES.has(name!) && /^[\d_.*+ ]+$/.test(value!)) unknown.push(`${file}:${name}`);
    }
    // A timer has a name for its time.
    for (const [call] of text.matchAll(/setTimeout\([^;]*?,\s*[1-9][\d_]*\s*[,)]/g)) unknown.push(`${file}: ${call}`);
  }
  return { times, unknown };
};

const SECOND = 1000;
const DAY = 86_400 * SECOND;
export const MONTH = 30 * DAY;

/** Draw pauses from 1 ms to `most`: many around the constants, some of any length. */
export const pauses = (chance: () => number, times: number[]) => (most = MONTH): number => {
  const kind = chance();
  const near = times[Math.floor(chance() * times.length)]!;
  const off = chance();
  let ms: number;
  if (kind < 0.3) ms = Math.exp(chance() * Math.log(2 * SECOND));
  else if (kind < 0.5) ms = near + Math.floor(off * 5) - 2;
  else if (kind < 0.7) ms = near * (0.7 + 0.6 * off);
  else if (kind < 0.8) ms = near + (off - 0.5) * 2 * SECOND;
  else ms = Math.exp(chance() * Math.log(most));
  return Math.max(1, Math.min(most, Math.round(ms)));
};
