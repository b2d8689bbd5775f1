import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connect } from "../src/index.js";
import type { Hub } from "../src/types.js";
import { Model, page, pass, problem } from "./model.js";

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
        asked.push(name);
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

/** Digests are made by another thread, which a fake clock does not wait for. */
const settle = async () => {
  for (let n = 0; n < 3; n++) {
    await pass(20);
    await crypto.subtle.digest("SHA-256", new Uint8Array(1));
  }
};

let model: Model;
/** Every name of a lock that was asked for. */
const asked: string[] = [];
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
const tab = async (options = {}, refuse: { locks?: unknown; bus?: unknown; storage?: unknown } = {}) => {
  const there = page();
  const { request, die } = browser();
  vi.stubGlobal("navigator", "locks" in refuse ? refuse.locks : { locks: { request } });
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
  vi.stubGlobal("BroadcastChannel", "bus" in refuse ? refuse.bus : Bus);
  if (refuse.storage) Object.defineProperty(globalThis, "sessionStorage", { configurable: true, get: refuse.storage as any });
  const alive = { yes: true };
  const fetch = (url: string, init: any) => (alive.yes ? model.fetch(url, { ...init, signal: AbortSignal.any([init.signal, ended.signal]) }) : new Promise(() => {}));
  const ended = new AbortController();
  const hub = connect("http://hub", { fetch: fetch as any, ...options });
  hubs.push(hub);
  // It joins the others as soon as it is known whom it is for.
  await pass();
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
    /** It goes on. */
    resume() {
      for (const bus of own) buses.add(bus);
    },
  };
};

it("share one request", async () => {
  const tabs = [];
  for (let n = 0; n < 50; n++) tabs.push(await tab());
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
  const [first, second] = [await tab(), await tab()];
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
  const [first, second] = [await tab(), await tab()];
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
  const [first, second, third] = [await tab(), await tab(), await tab()];
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
  const [first, second, third] = [await tab(), await tab(), await tab()];
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
  const [first, second] = [await tab(), await tab()];
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
  const [first, second] = [await tab(), await tab()];
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
  const [first, second] = [await tab(), await tab()];
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

it("share again with a tab whose page had stopped while they were opened", async () => {
  const first = await tab();
  first.on("a");
  await pass(50);
  first.stall();
  const second = await tab();
  second.on("a");
  await pass(50_000);
  expect(model.held).toBe(2);
  first.resume();
  model.publish("a", 1);
  await pass(100);
  expect([first.heard, second.heard, model.held]).toEqual([[1], [1], 1]);
  expect([first, second].map(({ hub }) => hub.debug().leading)).toEqual([true, false]);
});

it("share again after the back/forward cache, whatever another tab does with its locks", async () => {
  const [first, second] = [await tab(), await tab()];
  first.on("a");
  second.on("a");
  await pass(50);
  // The other tab is given the lock of this one, and its page stops before it gives the lock back.
  const [name] = asked.filter((name) => !name.endsWith("lead")).slice(-1);
  void browser().request(name!, {}, () => new Promise(() => {}));
  second.say("pagehide", { persisted: true });
  await pass(50);
  second.say("pageshow", { persisted: true });
  await pass(6000);
  model.publish("a", 1);
  await pass(50);
  expect([first.heard, second.heard, model.held]).toEqual([[1], [1], 1]);
});

it("hear of an outage that began before they were opened, and do not ask, too", async () => {
  const first = await tab();
  first.on("a");
  await pass(50);
  model.next = [problem(503, {}, { "Retry-After": "600" })];
  for (const end of [...model.cuts]) end();
  await pass(10_000);
  const second = await tab();
  second.on("a");
  await pass(10_000);
  expect(second.hub.state).toBe("offline");
  await pass(300_000);
  expect([first.hub.debug().leading, second.hub.debug().requests]).toEqual([true, 0]);
});

it("that are kept apart each ask for themselves", async () => {
  for (const one of [await tab({ tabs: "u1" }), await tab({ tabs: "u2" }), await tab({ tabs: false })]) one.on("a");
  await pass(50);
  expect(model.held).toBe(3);
});

const refusal = () => new DOMException("The operation is insecure.", "SecurityError");
const throws = () => {
  throw refusal();
};
it.each([
  ["locks, by their absence", { locks: {} }],
  ["locks, by an exception of navigator.locks", { locks: Object.defineProperty({}, "locks", { get: throws }) }],
  ["locks, by an exception", { locks: { locks: { request: throws } } }],
  ["locks, by a rejection", { locks: { locks: { request: () => Promise.reject(refusal()) } } }],
  ["locks, by silence", { locks: { locks: { request: () => new Promise(() => {}) } } }],
  ["locks that others have too", { locks: { locks: { request: (name: string, _: object, given: () => any) => (name.endsWith("lead") ? Promise.reject(refusal()) : Promise.resolve().then(given)) } } }],
  ["messages, by their absence", { bus: undefined }],
  ["messages, by an exception", { bus: throws }],
  ["messages, by an exception when one is sent", { bus: class { postMessage = throws; close() {} } }],
  ["storage, by an exception", { storage: throws }],
  ["everything", { locks: {}, bus: throws, storage: throws }],
])("asks for itself where a page is refused %s", async (_, refuse) => {
  const one = await tab({}, refuse);
  one.on("a");
  await pass(6000);
  expect([one.hub.state, model.held]).toEqual(["live", 1]);
  model.publish("a", 1);
  await pass(50);
  expect([one.heard, model.most]).toEqual([[1], 1]);
  // Away and back, as the back/forward cache does it.
  one.say("pagehide", { persisted: true });
  await pass(50);
  expect(model.held).toBe(0);
  model.publish("a", 2);
  one.say("pageshow", { persisted: true });
  await pass(6000);
  expect([one.heard, one.hub.state, model.held]).toEqual([[1, 2], "live", 1]);
  one.hub.close();
  await pass(50);
  expect(model.held).toBe(0);
});

it("asks for itself where locks are never given, though others are heard", async () => {
  const locks = { locks: { request: () => new Promise(() => {}) } };
  const [first, second] = [await tab({}, { locks }), await tab({}, { locks })];
  first.on("a");
  for (let n = 0; n < 10; n++) {
    second.on("b" + n);
    await pass(1000);
  }
  expect([first.hub.state, second.hub.state, model.held]).toEqual(["live", "live", 2]);
});

it("asks for itself where nobody is heard, though there are locks", async () => {
  const first = await tab();
  class Deaf {
    postMessage() {}
    close() {}
  }
  const second = await tab({}, { bus: Deaf });
  first.on("a");
  second.on("a");
  await pass(46_000);
  model.publish("a", 1);
  await pass(50);
  expect([first.heard, second.heard]).toEqual([[1], [1]]);
  await pass(600_000);
  expect([first.hub.state, second.hub.state, model.held]).toEqual(["live", "live", 2]);
  // They do not take the lock from each other for ever.
  expect(first.hub.debug().leading).toBe(true);
});

it("go on when the token of the one that asks is refused for good", async () => {
  const jwt = `h.${btoa(JSON.stringify({ exp: Date.now() / 1000 + 60, sub: "u1" }))}.s`;
  const first = await tab({ token: jwt });
  first.on("a");
  await settle();
  const second = await tab({ token: () => jwt });
  second.on("a");
  await settle();
  expect([first.hub.debug().leading, model.held]).toEqual([true, 1]);
  model.next.push(problem(401, { detail: "expired" }));
  model.publish("a", 1);
  await pass(2000);
  expect([first.hub.state, second.hub.state, second.heard, model.held]).toEqual(["closed", "live", [1], 1]);
});

it("stay live when the tab that asks is reloaded", async () => {
  const [first, second] = [await tab(), await tab()];
  first.on("a");
  second.on("a");
  await pass(50);
  const states: unknown[] = [];
  second.hub.onState((state) => states.push(state));
  // Browsers cut the request first, and the page after it.
  for (const end of [...model.cuts]) end();
  await pass(400);
  first.kill();
  model.publish("a", 1);
  await pass(3000);
  expect([states, second.heard, second.hub.state]).toEqual([[], [1], "live"]);
});

it("are all told when the hub cannot be reached", async () => {
  const [first, second] = [await tab(), await tab()];
  first.on("a");
  second.on("a");
  await pass(50);
  model.next = Array.from({ length: 1000 }, () => new TypeError("network"));
  for (const end of [...model.cuts]) end();
  await pass(2000);
  expect([first.hub.state, second.hub.state]).toEqual(["offline", "offline"]);
  model.next = [];
  await pass(60_000);
  expect([first.hub.state, second.hub.state]).toEqual(["live", "live"]);
});

describe("are of one share key only if they are for the same one", () => {
  const jwt = (claims: object) => `h.${btoa(JSON.stringify({ exp: Date.now() / 1000 + 3600, jti: Math.random(), ...claims }))}.s`;
  const reads = { read: ["a"] };
  it.each([
    ["no token and a token", undefined, jwt({ sub: "u1", pushhub: reads }), 2],
    ["two users", jwt({ sub: "u1", pushhub: reads }), jwt({ sub: "u2", pushhub: reads }), 2],
    ["two rights", jwt({ sub: "u1", pushhub: reads }), jwt({ sub: "u1", pushhub: { read: ["*"] } }), 2],
    ["two issuers", jwt({ iss: "x", pushhub: reads }), jwt({ iss: "y", pushhub: reads }), 2],
    ["two keys", "key-1", "key-2", 2],
    ["two tokens of one user", jwt({ sub: "u1", pushhub: reads }), jwt({ sub: "u1", pushhub: reads }), 1],
    ["a token and what fetches one", jwt({ sub: "u1" }), () => jwt({ sub: "u1" }), 1],
    ["one key", "key-1", "key-1", 1],
    ["no tokens", undefined, undefined, 1],
  ])("%s", async (_, one, other, requests) => {
    const tabs = [await tab({ token: one }), await tab({ token: other })];
    for (const each of tabs) {
      each.on("a");
      await settle();
    }
    await pass(50);
    expect(model.held).toBe(requests);
    for (const { name } of buses) for (const token of [one, other]) if (typeof token == "string") expect(name).not.toContain(token);
    model.publish("a", 1);
    await pass(50);
    expect(tabs.map(({ heard }) => heard)).toEqual([[1], [1]]);
  });

  it("leave one another when a token becomes another's", async () => {
    let sub = "u1";
    const token = () => jwt({ sub });
    const first = await tab({ token });
    first.on("a");
    await settle();
    const second = await tab({ token: jwt({ sub: "u1" }) });
    second.on("a");
    await settle();
    await pass(50);
    expect(model.held).toBe(1);
    sub = "u2";
    model.next.push(problem(401));
    model.publish("a", 1);
    await settle();
    await pass(1000);
    await settle();
    await pass(1000);
    expect([model.held, first.hub.state, second.hub.state]).toEqual([2, "live", "live"]);
    model.publish("a", 2);
    await pass(50);
    expect([first.heard, second.heard]).toEqual([[1, 2], [1, 2]]);
  });
});
