/** The hub as a page has it: its readers, and what they are told. */

import { createAsking } from "./asking.js";
import { recall, remember } from "./memory.js";
import { createPace } from "./pace.js";
import { createReaders, safely, type Answer, type Positions, type Reader, type Readers } from "./readers.js";
import { refusal, sender, until, type Refused } from "./request.js";
import type { Stream } from "./stream.js";
import type { Event, Gap, Hub, Message, Options, PushhubError, ReadOptions, State } from "./types.js";

// Components of a page come and go together: one new request for all of them.
const MERGE_MS = 10;
// Below what proxies cut at: nginx, HAProxy and AWS at 60 s, Heroku at 55.
const WAIT = 25;
// In a page that nobody sees, the first event comes at once, and what follows it together.
const HIDDEN_MS = 5000;
// What an iterator keeps before its channel is no longer asked for: one answer's worth.
const BACKLOG = 1000;

/** What one tab tells the others. */
export interface News {
  /** What was read, and from where. */
  from?: Positions;
  answer?: Answer;
  state?: State;
  /** A refusal of one channel, or of everything. */
  refused?: { message: string; channel?: string; status?: number; problem?: Refused["problem"] };
}

/** What shares one request among tabs. */
export interface Sharing {
  /** Tell the others, if this tab asks for them. */
  post(news: News): void;
  /** What is read here, or whether anybody sees it, has changed. */
  changed(): void;
  /** Whether another tab is seen. */
  seen(): boolean;
  close(): void;
  debug(): Record<string, unknown>;
}

/** What it needs of a hub for that. */
export interface Shared {
  readers: Readers;
  state(): State;
  hear(news: News): void;
  /** Ask for all tabs, or for none. */
  lead(yes: boolean): void;
  /** The readers of another tab have changed. */
  changed(): void;
}

export type Share = (key: string, hub: Shared) => Sharing;

/** What a hub can do without. */
export interface Parts {
  share?: Share;
  /** Whom a token is for: tabs share with their like only. */
  identify?(token?: string): Promise<string>;
  stream?: Stream;
}

const hidden = () => globalThis.document?.hidden;

export const createHub = (url = "", options: Options = {}, { share, identify, stream }: Parts = {}): Hub => {
  const base = url.replace(/\/$/, "");
  const key = `pushhub:${base}#${options.tabs ?? ""}`;
  const memory = recall(key);
  const most = options.wait ?? WAIT;
  const pace = createPace(most, Math.min(most, memory.wait ?? most));
  const readers = createReaders();
  const watchers = new Set<(state: State) => void>();
  const { send, fresh, renews } = sender(base, options);
  let sharing: Sharing | undefined;
  let who: string | undefined;
  let known: string | undefined | null = null;
  let state: State = "connecting";
  let merging: ReturnType<typeof setTimeout> | undefined;

  const become = (next: State) => {
    if (state == next || state == "closed") return;
    state = next;
    // That this tab closes its hub is its own affair.
    if (next != "closed") sharing?.post({ state });
    for (const watcher of watchers) safely(() => watcher(next));
  };

  const save = () => {
    memory.wait = pace.wait;
    for (const { channel, resume } of readers) if (resume) memory.cursors[channel] = resume();
    remember(key, memory);
  };

  // -- what is heard ---------------------------------------------------------------

  /** Take what was read or refused, here or by the tab that asks for all. */
  const hear = (news: News) => {
    const { from, answer, refused, state } = news;
    // What is refused to this tab's token may be given to another's.
    if (!refused || refused.channel) sharing?.post(news);
    if (answer) {
      readers.accept(from!, answer);
      save();
    }
    if (refused) {
      const { message, channel } = refused;
      const error: PushhubError = Object.assign(new Error(message), refused);
      for (const reader of [...readers])
        if (!channel || reader.channel == channel) {
          stop(reader);
          safely(() => reader.take?.({ type: "error", channel: reader.channel, error }, ""));
        }
      if (!channel) close();
    }
    if (state) become(state);
  };

  // -- who reads -------------------------------------------------------------------

  const changed = () => {
    const [from, answer] = readers.joining();
    if (state == "live" && Object.keys(from)[0]) hear({ from, answer });
    merging ??= setTimeout(() => {
      merging = undefined;
      sharing?.changed();
      asking.again();
    }, MERGE_MS);
  };

  const start = (reader: Reader, { since, signal }: ReadOptions) => {
    const leave = () => stop(reader);
    // Who says where to begin says it again after a reload.
    if (since) delete reader.resume;
    reader.at = since ?? memory.cursors[reader.channel] ?? "now";
    if (state != "closed") readers.add(reader);
    changed();
    until(signal, leave);
    return leave;
  };

  const stop = (reader: Reader) => {
    if (!readers.delete(reader)) return;
    delete memory.cursors[reader.channel];
    save();
    reader.stir?.();
    changed();
  };

  async function* iterate(reader: Reader, queue: [Message, string][]) {
    try {
      for (;;) {
        while (queue[0]) {
          const [message] = queue[0];
          if ("error" in message) throw message.error;
          yield message as Event | Gap;
          // It is read now, and not before: a reload in between brings it again.
          queue.shift();
          if (queue.length == BACKLOG - 1) changed();
        }
        if (!readers.has(reader)) return;
        await new Promise<void>((done) => (reader.stir = done));
      }
    } finally {
      stop(reader);
    }
  }

  // -- the page --------------------------------------------------------------------

  const life = new AbortController();
  const sign = ({ type }: { type: string }) => {
    // A page in the back/forward cache asks for nothing, and cuts its request itself.
    if (type.startsWith("page") && !sharing) asking.run(type == "pageshow");
    if (type == "pagehide") {
      pace.left();
      return save();
    }
    sharing?.changed();
    if (!hidden()) asking.kick(type.endsWith("line"));
  };

  const close = () => {
    become("closed");
    asking.run(false);
    sharing?.close();
    life.abort();
    for (const reader of [...readers]) stop(reader);
  };

  /** Know whom the next request is for, and share it with the tabs of the same one. */
  const enter = async () => {
    const token = await fresh();
    if (!share || known === token) return;
    const next = await identify!(token);
    known = token;
    if (next === who || state == "closed") return;
    who = next;
    sharing?.close();
    // From here on the tabs decide which of them asks.
    asking.run(false);
    sharing = share(key + next, { readers, state: () => state, hear, lead: asking.run, changed });
  };

  const asking = createAsking({
    readers,
    pace,
    send,
    stream: options.transport == "sse" ? stream : undefined,
    renews,
    enter,
    state: () => state,
    become,
    hear,
    rest: () => (hidden() && !sharing?.seen() ? (options.hidden ?? HIDDEN_MS) : 0),
  });
  for (const type of "online offline pageshow visibilitychange pagehide".split(" "))
    addEventListener(type, sign, { signal: life.signal });
  asking.run(true);
  if (!renews) void enter();
  until(options.signal, close);

  return {
    get state() {
      return state;
    },
    onState(listener) {
      watchers.add(listener);
      return () => void watchers.delete(listener);
    },
    on(channel, take, options = {}) {
      const reader: Reader = { channel, at: "", take, resume: () => reader.at };
      return start(reader, options);
    },
    channel(channel, options = {}) {
      const queue: [Message, string][] = [];
      const reader: Reader = {
        channel,
        at: "",
        take(message, before) {
          queue.push([message, before]);
          reader.stir?.();
        },
        full: () => queue.length >= BACKLOG,
        resume: () => queue[0]?.[1] ?? reader.at,
      };
      start(reader, options);
      return iterate(reader, queue);
    },
    async publish(channel, data, { signal, ...item } = {}) {
      const post = () => send("/v1/publish", { ...item, channel, data }, {}, signal);
      const response = await post().catch((error) => {
        // The token has ended; it is asked for again, once.
        if (error.status == 401 && renews) return post();
        throw error;
      });
      const { error, ...receipt } = (await response.json()).results[0];
      if (error) throw refusal(error, error.status);
      return receipt;
    },
    debug: () => ({ url: base, state, "cursors": readers.positions(), ...asking.debug(), ...sharing?.debug() }),
    close,
  };
};
