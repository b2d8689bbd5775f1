/** A hub as clients meet it: a log for each channel, epochs, retention, waits, streams, drains and refusals. */

import type { Connection, Head, Network, Server } from "./network.js";
import type { Task, World } from "./world.js";

export interface Entry {
  channel: string;
  /** The log's life in which it was published. */
  life: number;
  offset: number;
  data: number;
  at: number;
  trimmed: boolean;
}

interface Log {
  entries: Entry[];
  /** Offset of the last event that was ever published in this life. */
  last: number;
}

interface Held {
  connection: Connection;
  channels: Record<string, string>;
  limit: number;
  stream: boolean;
  timer?: Task;
  beat?: Task;
}

export interface Terms {
  /** Events and milliseconds that a channel keeps. */
  keep: number;
  age: number;
  /** Events of a response. */
  limit: number;
  /** Whether a token is asked for. */
  tokens: boolean;
  /** Whether the value's server waits. */
  waits: boolean;
}

const SECOND = 1000;
const BEAT_MS = 15 * SECOND;
// A stream ends now and then: a deploy, a rebalance.
const STREAM_MS = 3600 * SECOND;
const JSON_HEAD = { "Content-Type": "application/json", "Cache-Control": "no-store" };

export const cursor = (life: number, offset: number) => `e${life}-${offset}`;
export const parse = (text: string): { life: number; offset: number } | undefined => {
  const match = /^e(\d+)-(\d+)$/.exec(text);
  return match ? { life: +match[1]!, offset: +match[2]! } : undefined;
};

export class ScriptedHub implements Server {
  life = 1;
  logs = new Map<string, Log>();
  /** Every event by its data, which is a number of its own. */
  entries: Entry[] = [];
  held = new Set<Held>();
  /** Whether it runs. */
  up = true;
  /** What it refuses everything with. */
  refusal?: Head & { body?: string };
  /** Channels that the next request with them is refused. */
  forbidden = new Set<string>();
  /** Waits that end immediately, with or without a word of having waited. */
  impatient: "" | "plain" | "empty" = "";
  /** Tokens that were made before are refused. */
  revoked = 0;
  value = 1;
  private waiters = new Set<() => void>();
  /** Pauses that a tab was asked for. */
  onPause = (_connection: Connection, _ms: number) => {};
  published = 0;

  constructor(
    readonly world: World,
    readonly network: Network,
    readonly chance: () => number,
    readonly terms: Terms,
  ) {
    network.server = this;
  }

  // -- the log ---------------------------------------------------------------------

  private log(channel: string): Log {
    return this.logs.get(channel) ?? this.logs.set(channel, { entries: [], last: 0 }).get(channel)!;
  }

  publish(channel: string, count = 1): Entry {
    const log = this.log(channel);
    let entry!: Entry;
    for (let n = 0; n < count; n++) {
      entry = { channel, life: this.life, offset: ++log.last, data: this.entries.length, at: this.world.now, trimmed: false };
      this.entries.push(entry);
      log.entries.push(entry);
      this.published++;
    }
    this.trim(channel, this.terms.keep);
    this.news();
    return entry;
  }

  trim(channel: string, keep: number): void {
    const log = this.log(channel);
    while (log.entries.length > keep) log.entries.shift()!.trimmed = true;
  }

  private expire(channel: string): Log {
    const log = this.log(channel);
    // The last event survives age.
    while (log.entries.length > 1 && this.world.now - log.entries[0]!.at > this.terms.age) log.entries.shift()!.trimmed = true;
    return log;
  }

  /** The channel is removed, and its holds are told. Offsets go on. */
  remove(channel: string): void {
    this.trim(channel, 0);
    for (const one of [...this.held])
      if (channel in one.channels && !one.stream) {
        this.release(one);
        this.refuse(one.connection, { status: 404, body: JSON.stringify({ channel }) });
      }
  }

  /** Another life of the log: what was there is gone. */
  renew(): void {
    for (const channel of this.logs.keys()) this.trim(channel, 0);
    this.logs.clear();
    this.life++;
    this.news();
  }

  set(): void {
    this.value++;
    for (const wake of [...this.waiters]) wake();
  }

  end(channel: string): { life: number; offset: number } {
    return { life: this.life, offset: this.log(channel).last };
  }

  private news(): void {
    for (const one of [...this.held]) this.look(one, false);
  }

  private read(channels: Record<string, string>, most: number) {
    const events: Entry[] = [];
    const cursors: Record<string, string> = {};
    const gaps: Record<string, object> = {};
    const limit = Math.min(most, this.terms.limit);
    for (const [channel, at] of Object.entries(channels)) {
      const log = this.expire(channel);
      const oldest = log.entries.length ? log.entries[0]!.offset - 1 : log.last;
      const position = parse(at);
      const after = position ? position.offset : at == "now" ? log.last : oldest;
      const reason = position && (position.life != this.life ? "epoch" : after < oldest ? "trimmed" : after > log.last && "ahead");
      if (reason) {
        gaps[channel] = { reason, oldest: cursor(this.life, oldest), latest: cursor(this.life, log.last) };
        cursors[channel] = cursor(this.life, oldest);
        continue;
      }
      const some = log.entries.filter(({ offset }) => offset > after).slice(0, limit - events.length);
      events.push(...some);
      if (some.length || !position) cursors[channel] = cursor(this.life, after + some.length);
    }
    return { events, cursors, gaps };
  }

  private answer(read: ReturnType<ScriptedHub["read"]>, retry?: number): string {
    const events = read.events.map(({ channel, life, offset, data, at }) => ({
      channel, offset, cursor: cursor(life, offset), id: cursor(life, offset), time: new Date(at).toISOString(), data,
    }));
    return JSON.stringify({
      events,
      cursors: read.cursors,
      ...(Object.keys(read.gaps).length && { gaps: read.gaps }),
      ...(retry && { retry_ms: retry }),
    });
  }

  // -- requests --------------------------------------------------------------------

  accept(connection: Connection): void {
    if (!this.up) return connection.cut();
    const { path, body } = connection;
    if (this.refusal) return this.refuse(connection, this.refusal);
    if (path == "/value") return this.serveValue(connection);
    const expires = this.expires(connection.headers.Authorization);
    if (expires <= this.world.now) return this.refuse(connection, { status: 401, body: '{"detail":"The token has ended."}' });
    if (path == "/v1/publish") {
      const { channel } = body;
      const { life, offset } = this.publish(channel);
      const result = { item: 0, channel, offset, cursor: cursor(life, offset) };
      return connection.respond({ status: 200, headers: JSON_HEAD }, JSON.stringify({ results: [result] }));
    }
    const { channels, limit, wait } = body;
    for (const channel of Object.keys(channels))
      if (this.forbidden.delete(channel))
        return this.refuse(connection, { status: 403, body: JSON.stringify({ channel, detail: "Not yours." }) });
    const stream = connection.headers.Accept == "text/event-stream";
    const one: Held = { connection, channels: { ...channels }, limit, stream };
    const applied = stream || (wait && this.impatient != "plain") ? { "Preference-Applied": `wait=${wait || 25}` } : {};
    const headers = { ...JSON_HEAD, ...applied, date: new Date(this.world.now).toUTCString() };
    if (stream) {
      connection.respond({ status: 200, headers }, ":\n\n", true);
      this.beat(one);
    }
    if (!stream && (!wait || this.impatient))
      return connection.respond({ status: 200, headers }, this.answer(this.read(channels, limit)));
    this.held.add(one);
    connection.onGone = () => this.release(one);
    // A hub ends a wait up to 20 % early, and with the token's end.
    const most = stream ? STREAM_MS : 1000 * wait * (0.8 + 0.2 * this.chance());
    const left = expires - this.world.now;
    one.timer = this.world.after(Math.min(most, left), () => {
      this.release(one);
      if (stream) connection.end();
      else if (left < most) this.refuse(connection, { status: 401, body: "{}" });
      else this.give(one);
    });
    this.look(one, false);
  }

  private beat(one: Held): void {
    one.beat = this.world.after(BEAT_MS, () => {
      one.connection.write(":\n\n");
      this.beat(one);
    });
  }

  private look(one: Held, end: boolean): void {
    if (!one.stream) {
      const { events, gaps } = this.read(one.channels, one.limit);
      if (end || events.length || Object.keys(gaps).length) {
        this.release(one);
        this.give(one);
      }
      return;
    }
    for (;;) {
      const read = this.read(one.channels, one.limit);
      const gap = Object.keys(read.gaps).length;
      if (!read.events.length && !gap) return;
      Object.assign(one.channels, read.cursors);
      one.connection.write(`${gap ? "event: gap\n" : ""}data: ${this.answer(read)}\n\n`);
    }
  }

  private give(one: Held, retry?: number): void {
    const { connection, channels, limit } = one;
    const headers = { ...JSON_HEAD, "Preference-Applied": "wait=25" };
    connection.respond({ status: 200, headers }, this.answer(this.read(channels, limit), retry));
  }

  private release(one: Held): void {
    this.held.delete(one);
    this.world.cancel(one.timer);
    this.world.cancel(one.beat);
  }

  private refuse(connection: Connection, { status, headers, body = "{}" }: Head & { body?: string }): void {
    const after = +(headers?.["Retry-After"] ?? 0);
    if (after) this.onPause(connection, 1000 * after);
    connection.respond({ status, headers: { ...JSON_HEAD, ...headers } }, body);
  }

  /** Answer every hold, with a hint when to come back. */
  drain(retry: number): void {
    for (const one of [...this.held]) {
      this.release(one);
      this.onPause(one.connection, retry);
      if (one.stream) {
        one.connection.write(`retry: ${retry}\n\n`);
        one.connection.end();
      } else this.give(one, retry);
    }
  }

  // -- tokens and values -----------------------------------------------------------

  private expires(header = ""): number {
    if (!this.terms.tokens) return Infinity;
    try {
      const { made, exp } = JSON.parse(atob(header.split(".")[1]!));
      return made < this.revoked ? 0 : 1000 * exp;
    } catch {
      return 0;
    }
  }

  private serveValue(connection: Connection): void {
    const { headers } = connection;
    const waits = this.terms.waits && "Prefer" in headers;
    const give = () => {
      ended();
      const tag = `"${this.value}"`;
      const same = headers["If-None-Match"] == tag;
      const head = { ...JSON_HEAD, etag: tag, ...(waits && { "Preference-Applied": headers.Prefer! }) };
      connection.respond({ status: same ? 304 : 200, headers: head }, same ? "" : String(this.value));
    };
    let timer: Task | undefined;
    const ended = () => {
      this.world.cancel(timer);
      this.waiters.delete(give);
    };
    if (!waits || headers["If-None-Match"] != `"${this.value}"`) return give();
    const wait = +/wait=(\d+)/.exec(headers.Prefer!)![1]!;
    timer = this.world.after(1000 * wait * (0.8 + 0.2 * this.chance()), give);
    this.waiters.add(give);
    connection.onGone = ended;
  }

  /** Everything that is open breaks. */
  crash(): void {
    this.up = false;
    this.network.cutAll();
  }
}
