/** Who reads what from where. Pure: no requests, no clock. */

import type { Event, Gap, Message } from "./types.js";

/** Channel to position: a cursor, `now` or `earliest`. */
export type Positions = Record<string, string>;

/** The body of an answer of `/v1/poll`. */
export interface Answer {
  events: Event[];
  cursors: Positions;
  gaps?: Record<string, Pick<Gap, "reason" | "oldest" | "latest">>;
  retry_ms?: number;
}

/** One reader of one channel. Each has a position of its own. */
export interface Reader {
  channel: string;
  at: string;
  /** Takes a message; `before` is the position from which it comes again. None in another tab's. */
  take?(message: Message, before: string): void;
  /** Hears that something has changed: there is a message, or no more to come. */
  stir?(): void;
  /** Whether it can take no more for now. */
  full?(): boolean;
  /** From where to go on after a reload; none if the page says so itself. */
  resume?(): string;
  /** The tab whose reader it is, if it is another. */
  tab?: string;
}

/** Call a listener. Its mistake is the page's own: it is reported, and nobody misses an event for it. */
export const safely = (call: () => void): void => {
  try {
    call();
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
};

/** An object whose keys are channels, of which one may be called `constructor`. */
export const table = <Value>(of?: Record<string, Value>): Record<string, Value> =>
  ({ __proto__: null, ...of }) as any;

// A cursor is `<epoch>-<offset>`. Other clients need not know; this one comes with the hub.
const epochOf = (at: string) => at.slice(0, at.lastIndexOf("-") + 1);
const offsetOf = (at: string) => +at.split("-").pop()!;

/** Whether what is read from there is for a reader that stands here. */
const serves = (from: string | undefined, at: string) =>
  from == at || (!!from && epochOf(from) == epochOf(at) && offsetOf(from) <= offsetOf(at));

export interface Readers extends Set<Reader> {
  /** The next request: for each channel the position that is most behind. */
  positions(): Positions;
  /** Whether a request from there can be held: everybody would get its answer. */
  holds(from: Positions): boolean;
  /** What readers that begin `now` may take as their answer, since others of their channel are there. */
  joining(): [from: Positions, answer: Answer];
  /** Give everybody what is theirs of an answer to a request from there. */
  accept(from: Positions, answer: Answer): void;
}

export const createReaders = (): Readers => {
  const readers = new Set<Reader>();
  /** The log's present life, as the last answer had it. */
  let epoch = "";

  const active = () => [...readers].filter((reader) => !reader.full?.());

  // `now` passes if it is not asked for first. A cursor of another life is to be told of its gap.
  const rank = (at: string) =>
    at == "now" ? -3 : at == "earliest" ? -2 : epochOf(at) != epoch ? -1 : offsetOf(at);

  return Object.assign(readers, {
    positions() {
      const positions = table<string>();
      for (const { channel, at } of active())
        if (!(rank(positions[channel] ?? at) < rank(at))) positions[channel] = at;
      return positions;
    },

    holds: (from: Positions) =>
      active().every(({ channel, at }) => offsetOf(at) >= 0 && serves(from[channel], at)),

    joining() {
      const there = table<string>();
      const from = table<string>();
      for (const { channel, at } of active()) if (offsetOf(at) >= 0) there[channel] = at;
      for (const { channel, at } of active()) if (at == "now" && there[channel]) from[channel] = at;
      return [from, { events: [], cursors: there }] as [Positions, Answer];
    },

    accept(from: Positions, answer: Answer) {
      const cursors = table(answer.cursors);
      const gaps = table(answer.gaps);
      const events = table<Event[]>();
      for (const event of answer.events) (events[event.channel] ??= []).push(event);
      for (const reader of active()) {
        const { channel } = reader;
        const to = cursors[channel];
        if (!to || !serves(from[channel], reader.at)) continue;
        epoch = epochOf(to);
        const give = (message: Message, at: string) => {
          const before = reader.at;
          reader.at = at;
          if (readers.has(reader)) safely(() => reader.take?.(message, before));
        };
        const gap = gaps[channel];
        // What was trimmed is no loss to a reader that has read it.
        if (gap && !(gap.reason == "trimmed" && serves(to, reader.at))) give({ type: "gap", channel, ...gap }, to);
        for (const event of events[channel] ?? [])
          if (!(event.offset <= offsetOf(reader.at))) give(event, epoch + event.offset);
        if (!(offsetOf(to) <= offsetOf(reader.at))) reader.at = to;
      }
    },
  });
};
