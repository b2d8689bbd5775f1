/** What happens in a run: steps, drawn from a seed, each of which makes sense without the others. */

import { collect, MONTH, pauses } from "./times.js";
import { random } from "./world.js";

export const ACTIONS = {
  publish: 22,
  publishFromTab: 3,
  setValue: 4,
  subscribe: 8,
  unsubscribe: 4,
  freeze: 5,
  hide: 4,
  show: 4,
  goBack: 4,
  reload: 5,
  crash: 4,
  closeTab: 3,
  closeHub: 2,
  sleep: 5,
  clockStep: 2,
  loseNetwork: 5,
  silence: 4,
  changeNetwork: 3,
  cutAll: 5,
  proxyCuts: 2,
  slowNetwork: 3,
  proxyKeeps: 2,
  lateBodies: 2,
  restart: 4,
  newEpoch: 3,
  drain: 4,
  overload: 4,
  tooMany: 3,
  broken: 3,
  goneStatus: 2,
  forbid: 1,
  remove: 2,
  trim: 3,
  endTokens: 4,
  slowTokens: 2,
  impatient: 2,
  calm: 7,
} as const;
export type Action = keyof typeof ACTIONS;

export interface Step {
  /** Milliseconds before it. */
  pause: number;
  action: Action;
  /** Which of the tabs, and which channel. */
  tab: number;
  channel: number;
  /** How long what it causes lasts. */
  lasts: number;
  /** A number in [0, 1) of the step's own. */
  luck: number;
}

export interface Setting {
  transport: "poll" | "sse";
  tokens: boolean;
  share: boolean;
  refuses: { locks?: boolean; bus?: boolean; storage?: boolean };
  keep: number;
  age: number;
  limit: number;
  waits: boolean;
  every: number;
  wait?: number;
}

export interface Story {
  seed: number;
  setting: Setting;
  steps: Step[];
}

export const TABS = ["Ann", "Ben", "Cat"];
export const CHANNELS = ["a", "b", "c"];

const HOUR = 3600_000;
// Steps with which nothing runs: they may last a month, and cost nothing.
const ASLEEP = new Set<Action>(["sleep"]);
// Pauses that a hub may ask for; a client takes a day at most.
const HINTED = new Set<Action>(["drain", "overload", "tooMany"]);

// What a story is about happens so many times as often.
const FOCUS = 8;

/**
 * `awake` is the longest time that passes while tabs are awake: each 25 s of it are a request. `focus` names
 * what the story is about.
 */
export const draw = (seed: number, count = 40, awake = 6 * HOUR, focus: Action[] = []): Story => {
  const chance = random(seed);
  const pause = pauses(chance, [...collect().times.values()]);
  const names = Object.entries(ACTIONS).flatMap(([name, weight]) =>
    Array<Action>(weight * (focus.includes(name as Action) ? FOCUS : 1)).fill(name as Action),
  );
  const some = (part: number) => chance() < part;
  const setting: Setting = {
    transport: some(0.35) ? "sse" : "poll",
    tokens: some(0.4),
    share: !some(0.1),
    refuses: { locks: some(0.07), bus: some(0.04), storage: some(0.05) },
    keep: some(0.5) ? 1000 : 2 + Math.floor(30 * chance()),
    age: some(0.7) ? 24 * HOUR : 10 * 60_000,
    limit: some(0.7) ? 1000 : 8 + Math.floor(16 * chance()),
    waits: some(0.7),
    every: [1000, 5000, 60_000][Math.floor(3 * chance())]!,
    wait: some(0.2) ? [1, 5, 55][Math.floor(3 * chance())] : undefined,
  };
  const steps: Step[] = [];
  for (let n = 0; n < count; n++) {
    const action = names[Math.floor(chance() * names.length)]!;
    // Most pauses are short, so that troubles meet.
    const before = pause(some(0.9) ? Math.min(awake, 600_000) : awake);
    const asleep = ASLEEP.has(action);
    const lasts = pause(asleep ? MONTH : HINTED.has(action) && !some(0.05) ? 600_000 : some(0.7) ? Math.min(awake, HOUR) : awake);
    steps.push({
      pause: before,
      action,
      tab: Math.floor(chance() * TABS.length),
      channel: Math.floor(chance() * CHANNELS.length),
      lasts,
      luck: chance(),
    });
  }
  return { seed, setting, steps };
};

/** A story written by hand. */
export const script = (steps: Partial<Step>[], setting: Partial<Setting> = {}): Story => ({
  seed: 1,
  setting: {
    transport: "poll", tokens: false, share: true, refuses: {}, keep: 1000, age: 24 * HOUR, limit: 1000, waits: true, every: 5000,
    ...setting,
  },
  steps: steps.map((step) => ({ pause: 100, action: "calm", tab: 0, channel: 0, lasts: 1000, luck: 0.1, ...step })),
});

const span = (ms: number) => {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 120_000) return `${ms / 1000} s`;
  if (ms < 2 * HOUR) return `${(ms / 60_000).toFixed(1)} min`;
  return ms < 48 * HOUR ? `${(ms / HOUR).toFixed(1)} h` : `${(ms / (24 * HOUR)).toFixed(1)} days`;
};

/** A step in words. */
export const tell = ({ action, tab, channel, lasts, luck, pause }: Step): string => {
  const who = TABS[tab]!;
  const what = CHANNELS[channel]!;
  const during = `for ${span(lasts)}`;
  const words: Record<Action, string> = {
    publish: `a publisher sends ${1 + Math.floor(luck * luck * 12)} events to ${what}`,
    publishFromTab: `${who} publishes to ${what}`,
    setValue: "the polled value changes",
    subscribe: `${who} reads ${what}${kind(luck)}`,
    unsubscribe: `${who} leaves ${what}`,
    freeze: `the browser freezes ${who} ${during}`,
    hide: `${who} is hidden`,
    show: `${who} is seen`,
    goBack: `${who} is in the back/forward cache ${during}`,
    reload: `${who} is reloaded`,
    crash: `${who} crashes, and is restored after ${span(lasts)}`,
    closeTab: `${who} is closed, and opened as another page after ${span(lasts)}`,
    closeHub: `${who}'s page closes its hub, and connects again after ${span(lasts)}`,
    sleep: `the machine sleeps ${during}; timers ${luck < 0.5 ? "stand still" : "are late"}, connections ${luck % 0.5 < 0.25 ? "die without a word" : "break"}`,
    clockStep: `the machine's clock is set by ${luck < 0.5 ? "-" : "+"}${span(lasts)}`,
    loseNetwork: `the network is down ${during}${luck < 0.5 ? ", and the browser says so" : ""}`,
    silence: `every connection dies without a word, and so does each new one ${during}`,
    changeNetwork: "the machine joins another network",
    cutAll: "every connection breaks",
    proxyCuts: `a proxy cuts requests at an age of ${span(Math.min(lasts, 60_000))} for 10 min`,
    slowNetwork: `the network is slow by ${span(Math.min(lasts, 8000))} for 10 min`,
    proxyKeeps: `a proxy keeps back the last piece of each stream ${during}`,
    lateBodies: `bodies come ${span(Math.min(lasts, 20_000))} after their heads for 5 min`,
    restart: `the hub is down ${during}`,
    newEpoch: `the hub is down ${during}, and comes back with an empty log`,
    drain: `the hub drains, and asks for a pause of ${span(lasts)}`,
    overload: `the hub answers 503 with a Retry-After of ${span(lasts)} for 2 min`,
    tooMany: `the hub answers 429 with a Retry-After of ${span(lasts)} for 20 s`,
    broken: `a proxy answers 502 with a page of HTML ${during}`,
    goneStatus: `a proxy answers 410 ${during}`,
    forbid: `the hub refuses the next reader of ${what}`,
    remove: `the channel ${what} is removed`,
    trim: `${what} is trimmed to ${Math.floor(luck * 3)} events`,
    endTokens: "every token ends",
    slowTokens: `token() ${luck < 0.4 ? "fails" : luck < 0.8 ? "takes 5 s" : "does not end"} ${during}`,
    impatient: `waits end immediately ${during}${luck < 0.5 ? ", and claim that they waited" : ""}`,
    calm: "every trouble ends, and it is quiet",
  };
  return `after ${span(pause)}, ${words[action]}`;
};

/** How a reader reads, by the step's number. */
export const manner = (luck: number): { iterates: boolean; since?: string; slow: number } => ({
  iterates: luck % 0.5 > 0.3,
  since: luck < 0.6 ? undefined : luck < 0.75 ? "earliest" : luck < 0.9 ? "now" : "cursor",
  slow: luck % 0.1 < 0.06 ? 0 : luck % 0.1 < 0.08 ? 700 : 20_000,
});
const kind = (luck: number) => {
  const { iterates, since, slow } = manner(luck);
  return (since ? ` from ${since}` : "") + (iterates ? `, one by one${slow ? `, ${span(slow)} each` : ""}` : "");
};
