import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { connect } from "../src/index.js";
import type { Hub } from "../src/types.js";
import { Model, page, pass } from "./model.js";

/** Web Locks, and what the end of a tab does to them: `tab.die()` gives back what it held. */
const locks = () => {
  const queues = new Map<string, { grant(): void; lose(error: Error): void }[]>();
  const free = (name: string) => {
    const queue = queues.get(name)!;
    queue.shift();
    queue[0]?.grant();
  };
  return () => {
    const mine: (() => void)[] = [];
    let dead = false;
    const request = (name: string, options: any, given: () => any) =>
      new Promise<void>((done, fail) => {
        const queue = queues.get(name) ?? queues.set(name, []).get(name)!;
        const entry = {
          lose: fail,
          async grant() {
            if (!dead) await given();
            done();
            if (queue[0] == entry) free(name);
          },
        };
        mine.push(() => {
          const at = queue.indexOf(entry);
          if (at == 0) free(name);
          else if (at > 0) queue.splice(at, 1);
        });
        options.signal?.addEventListener("abort", () => {
          const at = queue.indexOf(entry);
          if (at > 0) queue.splice(at, 1), fail(new Error("aborted"));
        });
        if (options.steal) queue.shift()?.lose(new Error("stolen")), queue.unshift(entry);
        else queue.push(entry);
        if (queue[0] == entry) void Promise.resolve().then(() => entry.grant());
      });
    return { request, die: () => ((dead = true), mine.forEach((end) => end())) };
  };
};

let model: Model;
let browser: ReturnType<typeof locks>;
let buses: Set<any>;
const hubs: Hub[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  model = new Model();
  browser = locks();
  buses = new Set();
});
afterEach(async () => {
  for (const hub of hubs.splice(0)) hub.close();
  vi.useRealTimers();
});

/** A tab: its page, its hub, what it hears, and its end. */
const tab = (options = {}) => {
  const there = page();
  const { request, die } = browser();
  vi.stubGlobal("navigator", { locks: { request } });
  const own = new Set<any>();
  class Bus {
    onmessage?: (event: { data: unknown }) => void;
    constructor(readonly name: string) {
      buses.add(this);
      own.add(this);
    }
    postMessage(data: unknown) {
      if (!buses.has(this)) return;
      for (const bus of buses)
        if (bus != this && bus.name == this.name) {
          const copy = structuredClone(data);
          void Promise.resolve().then(() => buses.has(bus) && bus.onmessage?.({ data: copy }));
        }
    }
    close() {
      buses.delete(this);
    }
  }
  vi.stubGlobal("BroadcastChannel", Bus);
  const alive = { yes: true };
  const fetch = (url: string, init: any) => (alive.yes ? model.fetch(url, { ...init, signal: AbortSignal.any([init.signal, ended.signal]) }) : new Promise(() => {}));
  const ended = new AbortController();
  const hub = connect("http://hub", { fetch: fetch as any, ...options });
  hubs.push(hub);
  const heard: any[] = [];
  return {
    ...there,
    hub,
    heard,
    on: (channel: string, since?: string) => hub.on(channel, (message) => heard.push(message.data ?? message), { since }),
    /** As a killed process ends: nothing is said, locks are free, the request is gone. */
    kill() {
      alive.yes = false;
      for (const bus of own) buses.delete(bus);
      ended.abort();
      die();
    },
    /** Its page is stopped: it holds its locks, and does nothing. */
    stall() {
      for (const bus of own) buses.delete(bus);
    },
  };
};

it("share one request", async () => {
  const tabs = Array.from({ length: 50 }, () => tab());
  for (const one of tabs) one.on("a");
  await pass(50);
  expect([model.held, model.most]).toEqual([1, 1]);
  expect(model.asked.length).toBeLessThan(5);
  model.publish("a", 1);
  await pass(50);
  expect(tabs.map(({ heard }) => heard)).toEqual(tabs.map(() => [1]));
  expect(tabs.map(({ hub }) => hub.state)).toEqual(tabs.map(() => "live"));
  expect(tabs.filter(({ hub }) => hub.debug().leading).length).toBe(1);
});

it("each hear their own channels, from where they want", async () => {
  model.publish("a", 1, 2);
  const [first, second] = [tab(), tab()];
  first.on("a");
  await pass(50);
  second.on("a", "earliest");
  second.on("b");
  await pass(50);
  model.publish("a", 3);
  model.publish("b", 4);
  await pass(50);
  expect([first.heard, second.heard]).toEqual([[3], [1, 2, 3, 4]]);
});

it("lose nothing when the tab that asks is killed", async () => {
  const [first, second] = [tab(), tab()];
  first.on("a");
  second.on("a");
  await pass(50);
  model.publish("a", 1);
  await pass(50);
  first.kill();
  model.publish("a", 2);
  await pass(50);
  expect(second.heard).toEqual([1, 2]);
  expect(second.hub.debug().leading).toBe(true);
  model.publish("a", 3);
  await pass(50);
  expect(second.heard).toEqual([1, 2, 3]);
});

it("are all asked for by the one that comes next", async () => {
  const [first, second, third] = [tab(), tab(), tab()];
  first.on("a");
  second.on("b");
  third.on("c");
  await pass(50);
  first.kill();
  model.publish("b", 1);
  model.publish("c", 2);
  await pass(50);
  expect([second.heard, third.heard]).toEqual([[1], [2]]);
  expect(Object.keys(model.asked.at(-1)!.body.channels).sort()).toEqual(["b", "c"]);
});

it("are no longer asked for when they are gone", async () => {
  const [first, second, third] = [tab(), tab(), tab()];
  first.on("a");
  second.on("b");
  third.on("c");
  await pass(50);
  second.kill();
  third.hub.close();
  await pass(50);
  expect(model.asked.at(-1)!.body.channels).toEqual({ a: "e1-0" });
});

it("hand over when the tab that asks closes its hub, and stay open", async () => {
  const [first, second] = [tab(), tab()];
  first.on("a");
  second.on("a");
  await pass(50);
  first.hub.close();
  await pass(50);
  model.publish("a", 1);
  await pass(50);
  expect([second.heard, second.hub.state]).toEqual([[1], "live"]);
});

it("hear gaps and refusals, all of them", async () => {
  const [first, second] = [tab(), tab()];
  first.on("a");
  second.on("a");
  await pass(50);
  model.epoch = "e2";
  model.publish("a", 1);
  await pass(50);
  for (const { heard } of [first, second]) expect(heard[0]).toMatchObject({ type: "gap", reason: "epoch" });
  model.next.push(Response.json({ channel: "a", detail: "no longer" }, { status: 403 }));
  model.publish("a", 2);
  await pass(50);
  for (const { heard } of [first, second]) expect(heard.at(-1)).toMatchObject({ type: "error", error: { status: 403, message: "no longer" } });
});

it("take over from a tab whose page has stopped, and it comes back as another", async () => {
  const [first, second] = [tab(), tab()];
  first.on("a");
  second.on("a");
  await pass(50);
  first.stall();
  await pass(50_000);
  model.publish("a", 1);
  await pass(100);
  expect(second.heard).toEqual([1]);
  expect([first, second].map(({ hub }) => hub.debug().leading)).toEqual([false, true]);
});

it("that are kept apart each ask for themselves", async () => {
  for (const one of [tab({ tabs: "u1" }), tab({ tabs: "u2" }), tab({ tabs: false })]) one.on("a");
  await pass(50);
  expect(model.held).toBe(3);
});
