/** What is between a tab and the hub: latency, outages, proxies that cut, connections that die without a word. */

import type { Tab } from "./browser.js";
import type { World } from "./world.js";

export interface Head {
  status: number;
  headers?: Record<string, string>;
}

/** One request and its response. */
export class Connection {
  readonly began: number;
  closed = false;
  /** Nothing goes through any more, and neither end knows. */
  silent = false;
  /** What the hub does when the client is gone. */
  onGone = () => {};
  private last = 0;
  private chunks: string[] = [];
  private ended = false;
  private broken?: { reason: unknown };
  private waiting: { done(): void; fail(error: unknown): void }[] = [];
  private kept = "";

  constructor(
    readonly network: Network,
    readonly tab: Tab,
    readonly path: string,
    readonly headers: Record<string, string>,
    readonly body: any,
    private readonly settle: { done(response: unknown): void; fail(error: unknown): void },
  ) {
    this.began = network.world.now;
  }

  /** The response's head, and its body up to now. */
  respond({ status, headers = {} }: Head, text: string, more = false): void {
    const map = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
    const response = {
      status,
      ok: status >= 200 && status < 300,
      headers: { get: (name: string) => map.get(name.toLowerCase()) ?? null, has: (name: string) => map.has(name.toLowerCase()) },
      json: async () => JSON.parse(await this.all()),
      text: () => this.all(),
      body: { getReader: () => ({ read: () => this.read(), cancel: async () => this.gone() }) },
    };
    this.deliver(() => {
      this.network.onResponse(this, status, text);
      this.settle.done(response);
    });
    if (text) this.write(text);
    if (!more) this.end();
  }

  /** More of the body. A proxy that compresses keeps it until there is more. */
  write(text: string): void {
    if (this.network.keeps) [text, this.kept] = [this.kept, text];
    else [text, this.kept] = [this.kept + text, ""];
    if (!text) return;
    this.deliver(() => {
      this.chunks.push(text);
      this.wake();
    }, this.network.apart);
  }

  end(): void {
    const rest = this.kept;
    this.deliver(() => {
      if (rest) this.chunks.push(rest);
      this.ended = true;
      this.close();
    });
  }

  /** The connection breaks, for both ends. */
  cut(): void {
    if (this.closed) return;
    this.onGone();
    this.deliver(() => this.fail(new TypeError("network error")));
  }

  /** The client has given up. */
  abort(reason: unknown): void {
    if (this.closed) return;
    this.fail(reason);
    this.gone();
  }

  private gone(): void {
    this.ended = true;
    this.close();
    const { world, latency } = this.network;
    if (!this.silent) world.after(latency, () => this.onGone());
  }

  private fail(reason: unknown): void {
    this.broken = { reason };
    this.settle.fail(reason);
    this.close();
  }

  private close(): void {
    this.closed = true;
    this.network.open.delete(this);
    this.wake();
  }

  private wake(): void {
    for (const { done, fail } of this.waiting.splice(0)) this.broken ? fail(this.broken.reason) : done();
  }

  private more(): Promise<void> {
    return new Promise((done, fail) => this.waiting.push({ done, fail }));
  }

  private async all(): Promise<string> {
    for (;;) {
      if (this.broken) throw this.broken.reason;
      if (this.ended) return this.chunks.join("");
      await this.more();
    }
  }

  private async read(): Promise<{ done: boolean; value?: Uint8Array }> {
    for (;;) {
      if (this.broken) throw this.broken.reason;
      if (this.chunks[0]) return { done: false, value: new TextEncoder().encode(this.chunks.shift()) };
      if (this.ended) return { done: true };
      await this.more();
    }
  }

  /** Have it happen in the page, after what was sent before. */
  private deliver(run: () => void, later = 0): void {
    const { world, latency } = this.network;
    if (this.silent) return;
    this.last = Math.max(this.last, world.now + latency + later);
    world.after(this.last - world.now, () => this.silent || this.tab.task(() => this.closed || run()));
  }
}

export interface Server {
  accept(connection: Connection): void;
}

const FAILS_MS = 5;

export class Network {
  open = new Set<Connection>();
  server!: Server;
  latency = 2;
  /** Whether requests fail, or get no response at all. */
  trouble: "" | "down" | "silent" = "";
  /** Age at which a proxy cuts a request. */
  cuts = Infinity;
  /** Whether a proxy keeps back the last piece of a body. */
  keeps = false;
  /** Milliseconds between a head and its body. */
  apart = 0;
  /** Whether the request goes on: one of a client that spins would never end. */
  onFetch = (_connection: Connection): boolean => true;
  onResponse = (_connection: Connection, _status: number, _text: string) => {};

  constructor(readonly world: World) {}

  fetch(tab: Tab, url: string, init: RequestInit): Promise<unknown> {
    return new Promise((done, fail) => {
      if (!tab.alive) return;
      const { signal } = init;
      if (signal?.aborted) return fail(signal.reason);
      const path = new URL(url).pathname;
      const body = init.body && JSON.parse(init.body as string);
      const connection = new Connection(this, tab, path, (init.headers ?? {}) as any, body, { done, fail });
      this.open.add(connection);
      if (!this.onFetch(connection)) return;
      signal?.addEventListener("abort", () => connection.abort(signal.reason));
      if (this.trouble == "silent") connection.silent = true;
      else if (this.trouble == "down") this.world.after(FAILS_MS, () => connection.cut());
      else {
        this.world.after(this.latency, () => {
          if (connection.closed || connection.silent) return;
          if (this.trouble == "down") connection.cut();
          else this.server.accept(connection);
        });
        if (this.cuts < Infinity) this.world.after(this.cuts, () => connection.cut());
      }
    });
  }

  /** Requests of the client proper that are open in a tab. */
  of(tab: Tab): Connection[] {
    return [...this.open].filter((one) => one.tab == tab && one.path == "/v1/poll");
  }

  cutAll(): void {
    for (const one of [...this.open]) one.cut();
  }

  /** No word of any connection arrives any more, anywhere. */
  silence(): void {
    for (const one of this.open) one.silent = true;
  }

  /** A tab ends, and its connections with it. */
  end(tab: Tab): void {
    for (const one of [...this.open])
      if (one.tab == tab) {
        this.open.delete(one);
        one.closed = true;
        if (!one.silent) this.world.after(this.latency, () => one.onGone());
      }
  }
}
