/** A browser of one origin: tabs with timers, locks, messages, storage and page events of their own. */

import { createHash, type BinaryLike } from "node:crypto";
import type { Client, Start } from "./client.js";
import type { Network } from "./network.js";
import type { Task, World } from "./world.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
// Chrome wakes a tab that is hidden for five minutes once a minute, and one that is hidden once a second.
const THROTTLED_MS = 5 * MINUTE;
// Messages between processes.
const POST_MS = 1;

export class Browser {
  locks = new Locks();
  buses = new Set<Bus>();
  /** What the machine's clock is wrong by. */
  step = 0;

  constructor(
    readonly world: World,
    readonly network: Network,
    readonly start: Start,
    readonly chance: () => number,
    /** What the browser refuses. */
    readonly refuses: { locks?: boolean; bus?: boolean; storage?: boolean } = {},
  ) {}

  /** Whether a page finds after a reload what it stored. */
  get remembers(): boolean {
    return !this.refuses.storage;
  }

  get clock(): number {
    return Math.floor(this.world.now + this.step);
  }
}

/** Web Locks of the origin. */
class Locks {
  /** The first of a queue has the lock. */
  private queues = new Map<string, Wanted[]>();

  request(name: string, wanted: Wanted, steal: boolean): void {
    const queue = this.queues.get(name) ?? this.queues.set(name, []).get(name)!;
    if (steal) {
      queue.shift()?.fail(new DOMException("stolen", "AbortError"));
      queue.unshift(wanted);
    } else queue.push(wanted);
    if (queue[0] == wanted) wanted.grant();
  }

  drop(name: string, wanted: Wanted): void {
    const queue = this.queues.get(name) ?? [];
    const at = queue.indexOf(wanted);
    if (at < 0) return;
    queue.splice(at, 1);
    if (!queue.length) this.queues.delete(name);
    else if (!at) queue[0]!.grant();
  }

  dropAll(tab: Tab): void {
    for (const [name, queue] of [...this.queues]) for (const one of [...queue].reverse()) if (one.tab == tab) this.drop(name, one);
  }

  of(tab?: Tab): number {
    return [...this.queues.values()].flat().filter((one) => !tab || one.tab == tab).length;
  }
}

interface Wanted {
  tab: Tab;
  grant(): void;
  fail(error: unknown): void;
}

interface Bus {
  tab: Tab;
  name: string;
  onmessage?: (event: { data: unknown }) => void;
}

interface Timer {
  due: number;
  run(): void;
  task?: Task;
  /** Milliseconds left, while the machine sleeps and timers stand still. */
  left?: number;
}

/** One page from its beginning to its end. A reload makes another. */
export class Tab {
  alive = true;
  client: Client;
  timers = new Map<number, Timer>();
  /** What came while the page was stopped, in order. */
  private queue: (() => void)[] = [];
  /** Why the page is stopped. */
  private stops = new Set<string>();
  private target = new EventTarget();
  /** What it listens to: each pair of a type and a listener once. */
  private listening = new Map<unknown, Set<string>>();
  private number = 0;
  private document = { hidden: false };
  private hiddenSince = 0;
  /** Milliseconds for which timers stood still. */
  stood = 0;

  constructor(
    readonly browser: Browser,
    readonly name: string,
    readonly storage: Record<string, string>,
  ) {
    this.client = browser.start(this.globals());
  }

  /** Do it as a task of the page: not after its end, and not while it is stopped. */
  task(run: () => void): void {
    if (!this.alive) return;
    if (this.stops.size) this.queue.push(run);
    else run();
  }

  get listeners(): number {
    return [...this.listening.values()].reduce((sum, types) => sum + types.size, 0);
  }

  get stopped(): boolean {
    return this.stops.size > 0;
  }

  get hidden(): boolean {
    return this.document.hidden;
  }

  /** Milliseconds of its timers so far. */
  get lived(): number {
    return this.browser.world.now - this.stood;
  }

  // -- what happens to a page ------------------------------------------------------

  stop(why: string, still = false): void {
    if (!this.alive) return;
    this.stops.add(why);
    if (!still) return;
    for (const timer of this.timers.values())
      if (timer.task) {
        timer.left = timer.due - this.browser.world.now;
        this.browser.world.cancel(timer.task);
        timer.task = undefined;
      }
  }

  go(why: string): void {
    if (!this.stops.delete(why) || this.stops.size || !this.alive) return;
    for (const [id, timer] of this.timers)
      if (timer.left != undefined) {
        timer.due = this.browser.world.now + Math.max(0, timer.left);
        timer.left = undefined;
        this.arm(id, timer);
      }
    for (const run of this.queue.splice(0)) this.browser.world.after(0, () => this.task(run));
  }

  say(type: string, members: object = {}): void {
    this.task(() => this.target.dispatchEvent(Object.assign(new Event(type), members)));
  }

  hide(hidden: boolean): void {
    if (this.document.hidden == hidden || !this.alive) return;
    this.document.hidden = hidden;
    this.hiddenSince = this.browser.world.now;
    this.say("visibilitychange");
    if (!hidden)
      for (const [id, timer] of this.timers)
        if (timer.task) {
          this.browser.world.cancel(timer.task);
          this.arm(id, timer);
        }
  }

  /** Its process ends; what it has in the browser ends with it. */
  end(): void {
    this.alive = false;
    for (const { task } of this.timers.values()) this.browser.world.cancel(task);
    this.timers.clear();
    this.queue = [];
    for (const bus of [...this.browser.buses]) if (bus.tab == this) this.browser.buses.delete(bus);
    this.browser.network.end(this);
    this.browser.locks.dropAll(this);
  }

  // -- what a page has -------------------------------------------------------------

  private arm(id: number, timer: Timer): void {
    const { world } = this.browser;
    timer.task = world.after(timer.due - world.now, () => {
      timer.task = undefined;
      const beat = world.now - this.hiddenSince > THROTTLED_MS ? MINUTE : SECOND;
      const rest = this.document.hidden ? (beat - (world.now % beat)) % beat : 0;
      if (rest) return void (timer.task = world.after(rest, fire));
      fire();
    });
    const fire = () => {
      timer.task = undefined;
      this.task(() => this.timers.delete(id) && timer.run());
    };
  }

  private globals(): Record<string, unknown> {
    const { browser } = this;
    const { world, refuses } = browser;
    const tab = this;
    const of = (listener: unknown) => this.listening.get(listener) ?? this.listening.set(listener, new Set()).get(listener)!;
    class Channel implements Bus {
      tab = tab;
      onmessage?: Bus["onmessage"];
      constructor(readonly name: string) {
        browser.buses.add(this);
      }
      postMessage(data: unknown) {
        const text = JSON.stringify(data);
        for (const bus of browser.buses)
          if (bus != this && bus.name == this.name)
            world.after(POST_MS, () => bus.tab.task(() => browser.buses.has(bus) && bus.onmessage?.({ data: JSON.parse(text) })));
      }
      close() {
        browser.buses.delete(this);
      }
    }
    const math = Object.create(Math, { random: { value: browser.chance } });
    const throws = () => {
      throw new DOMException("The operation is insecure.", "SecurityError");
    };
    return {
      setTimeout: (run: (...args: any[]) => void, ms = 0, ...args: unknown[]) => {
        const id = ++this.number;
        // A browser's timer is a signed 32-bit number of milliseconds, at least 1.
        const timer: Timer = { due: world.now + Math.max(1, ms | 0), run: () => run(...args) };
        if (!this.alive) return id;
        this.timers.set(id, timer);
        this.arm(id, timer);
        return id;
      },
      clearTimeout: (id: number) => {
        world.cancel(this.timers.get(id)?.task);
        this.timers.delete(id);
      },
      Date: { now: () => browser.clock, parse: Date.parse },
      Math: math,
      addEventListener: (type: string, listener: any, options?: { signal?: AbortSignal }) => {
        of(listener).add(type);
        this.target.addEventListener(type, listener, options);
        options?.signal?.addEventListener("abort", () => of(listener).delete(type));
      },
      removeEventListener: (type: string, listener: any) => {
        of(listener).delete(type);
        this.target.removeEventListener(type, listener);
      },
      document: this.document,
      navigator: refuses.locks ? {} : { locks: { request: this.lock } },
      BroadcastChannel: refuses.bus ? throws : Channel,
      sessionStorage: refuses.storage ? new Proxy({}, { get: throws, set: throws }) : this.storage,
      fetch: (url: string, init: RequestInit) => browser.network.fetch(this, url, init),
      crypto: { subtle: { digest: async (_: string, data: BinaryLike) => createHash("sha256").update(data).digest() } },
      origin: "http://hub",
      location: { href: "http://hub/" },
    };
  }

  private lock = (name: string, { signal, steal }: { signal?: AbortSignal; steal?: boolean }, given: () => unknown) =>
    new Promise<unknown>((done, fail) => {
      const { locks, world } = this.browser;
      if (signal?.aborted) return fail(signal.reason);
      let held = false;
      const wanted: Wanted = {
        tab: this,
        grant: () => {
          held = true;
          world.after(POST_MS, () =>
            this.task(async () => {
              try {
                signal?.throwIfAborted();
                done(await given());
              } catch (error) {
                fail(error);
              }
              locks.drop(name, wanted);
            }),
          );
        },
        fail: (error) => world.after(POST_MS, () => this.task(() => fail(error))),
      };
      signal?.addEventListener("abort", () => {
        if (held) return;
        locks.drop(name, wanted);
        fail(signal.reason);
      });
      locks.request(name, wanted, !!steal);
    });
}
