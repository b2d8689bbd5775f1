import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connect } from "../src/core.js";
import type { Hub, Message, Options, State } from "../src/types.js";
import { Model, page, pass, problem } from "./model.js";

let model: Model;
let browser: ReturnType<typeof page>;
const hubs: Hub[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  model = new Model();
  browser = page();
});

afterEach(() => {
  for (const hub of hubs.splice(0)) hub.close();
  expect(model.most).toBeLessThan(2); // never two at once
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const open = (options: Options = {}) => {
  const hub = connect("http://hub/", { fetch: model.fetch as any, ...options });
  hubs.push(hub);
  return hub;
};
const heard = (hub: Hub, channel: string, options = {}) => {
  const messages: Message[] = [];
  const stop = hub.on(channel, (message) => messages.push(message), options);
  return Object.defineProperties(messages as Message[] & { stop(): void; data: unknown[] }, {
    stop: { value: stop },
    data: { get: () => messages.map(({ data }) => data) },
  });
};
const last = () => model.asked.at(-1)!.body;

describe("reading", () => {
  it("asks where it stands, then is held, and hears what is published", async () => {
    const hub = open();
    const states: State[] = [];
    hub.onState((state) => states.push(state));
    model.publish("a", "old");
    const a = heard(hub, "a");
    await pass(20);
    expect(model.asked.map(({ body }) => body)).toEqual([
      { channels: { a: "now" }, limit: 1000, wait: 0 },
      { channels: { a: "e1-1" }, limit: 1000, wait: 25 },
    ]);
    model.publish("a", 1, 2);
    await pass();
    expect(a.data).toEqual([1, 2]);
    expect(states).toEqual(["live"]);
    expect(hub.state).toBe("live");
  });

  it("gives everything from the earliest, then what comes", async () => {
    model.publish("a", ...Array.from({ length: 2500 }, (_, n) => n));
    const hub = open();
    const states: State[] = [];
    hub.onState((state) => states.push(state));
    const a = heard(hub, "a", { since: "earliest" });
    await pass(20);
    model.publish("a", 2500);
    await pass();
    expect(a.data).toEqual(Array.from({ length: 2501 }, (_, n) => n));
    expect(states).toEqual(["catching-up", "live"]);
  });

  it("merges channels that come together into one request, and disturbs none", async () => {
    const hub = open();
    const a = heard(hub, "a");
    await pass(20);
    const b = heard(hub, "b");
    const c = heard(hub, "c", { since: "earliest" });
    model.publish("a", 1); // between the old request and the new
    await pass(20);
    model.publish("b", 2);
    await pass();
    model.publish("c", 3);
    await pass();
    expect([a.data, b.data, c.data]).toEqual([[1], [2], [3]]);
    expect(Object.keys(last().channels)).toEqual(["a", "b", "c"]);
    b.stop();
    await pass(20);
    expect(Object.keys(last().channels)).toEqual(["a", "c"]);
    expect(model.held).toBe(1);
  });

  it("asks for nothing when nobody reads", async () => {
    const hub = open();
    const a = heard(hub, "a");
    await pass(20);
    a.stop();
    await pass(100);
    expect(model.held).toBe(0);
    const count = model.asked.length;
    await pass(100_000);
    expect(model.asked.length).toBe(count);
  });

  it("lets a second reader of a channel join without a request", async () => {
    const hub = open();
    heard(hub, "a");
    await pass(20);
    const count = model.asked.length;
    const second = heard(hub, "a");
    await pass(20);
    expect(model.asked.length).toBe(count);
    model.publish("a", 1);
    await pass();
    expect(second.data).toEqual([1]);
  });

  it("gives a late reader the past without giving it to others twice", async () => {
    model.publish("a", 1, 2);
    const hub = open();
    const first = heard(hub, "a");
    await pass(20);
    model.publish("a", 3);
    const second = heard(hub, "a", { since: "earliest" });
    await pass(20);
    model.publish("a", 4);
    await pass();
    expect(first.data).toEqual([3, 4]);
    expect(second.data).toEqual([1, 2, 3, 4]);
  });

  it("gives a reader that is behind what it missed, and others nothing twice", async () => {
    model.publish("a", 1, 2);
    const hub = open();
    const first = heard(hub, "a");
    await pass(20);
    model.publish("a", 3);
    await pass();
    const second = heard(hub, "a", { since: "e1-1" });
    await pass(20);
    expect([first.data, second.data]).toEqual([[3], [2, 3]]);
  });

  it("begins now and at the earliest in one page, each its own", async () => {
    model.publish("a", 1);
    const hub = open();
    const now = heard(hub, "a");
    const all = heard(hub, "a", { since: "earliest" });
    await pass(20);
    model.publish("a", 2);
    await pass();
    expect([now.data, all.data]).toEqual([[2], [1, 2]]);
  });

  it("has channels of any name", async () => {
    const hub = open();
    const names = ["constructor", "__proto__", "a/b c", "ключ"];
    model.log = Object.create(null);
    const all = names.map((name) => heard(hub, name));
    await pass(20);
    for (const name of names) model.publish(name, name);
    await pass(20);
    expect(all.map((one) => one.data)).toEqual(names.map((name) => [name]));
  });

  it("reports a listener that throws, and goes on", async () => {
    const errors: unknown[] = [];
    const hub = open();
    hub.on("a", () => {
      throw new Error("mine");
    });
    const a = heard(hub, "a");
    await pass(20);
    process.once("uncaughtException", (error) => errors.push(error));
    model.publish("a", 1);
    await pass().catch((error) => errors.push(error));
    await pass();
    expect(errors).toMatchObject([{ message: "mine" }]);
    expect(a.data).toEqual([1]);
    expect(hub.state).toBe("live");
  });

  it("is closed by its signal, and a reader by its own", async () => {
    const all = new AbortController();
    const one = new AbortController();
    const hub = open({ signal: all.signal });
    heard(hub, "a", { signal: one.signal });
    heard(hub, "b");
    await pass(20);
    one.abort();
    await pass(20);
    expect(last().channels).toEqual({ b: "e1-0" });
    all.abort();
    await pass(20);
    expect([hub.state, model.held]).toEqual(["closed", 0]);
    expect(open({ signal: AbortSignal.abort() }).state).toBe("closed");
  });
});

describe("iterating", () => {
  it("yields events, and ends with its signal", async () => {
    const hub = open();
    const end = new AbortController();
    const got: unknown[] = [];
    const done = (async () => {
      for await (const event of hub.channel("a", { signal: end.signal })) got.push(event.data);
    })();
    await pass(20);
    model.publish("a", 1, 2);
    await pass();
    expect(got).toEqual([1, 2]);
    end.abort();
    await done;
    await pass(20);
    expect(model.held).toBe(0);
  });

  it("stops reading when it is left", async () => {
    const hub = open();
    model.publish("a", 1);
    for await (const event of (setTimeout(() => {}, 0), advance(), hub.channel("a", { since: "earliest" }))) {
      expect(event.data).toBe(1);
      break;
    }
    await pass(20);
    expect(hub.debug().cursors).toEqual({});
  });

  it("keeps a bounded backlog, and the log keeps the rest", async () => {
    model.publish("a", ...Array.from({ length: 3500 }, (_, n) => n));
    const hub = open();
    const events = hub.channel("a", { since: "earliest" });
    await pass(1000);
    expect(model.asked.length).toBe(1);
    for (let n = 0; n < 3500; n++) {
      const next = events.next();
      await pass(n % 100 ? 0 : 20);
      expect((await next).value?.data).toBe(n);
    }
  });

  it("throws a refusal", async () => {
    model.next.push(problem(403, { detail: "no", channel: "a" }));
    const next = open().channel("a").next();
    next.catch(() => {});
    await pass(20);
    await expect(next).rejects.toMatchObject({ message: "no", status: 403 });
  });
});

/** Time passes while somebody awaits. */
const advance = () => void pass(20);

describe("remembering", () => {
  it("goes on after a reload where it stopped", async () => {
    const a = open();
    heard(a, "a");
    await pass(20);
    model.publish("a", 1);
    await pass();
    browser.say("pagehide");
    const storage = { ...browser.storage };
    a.close(); // a reload closes nothing, it ends everything; the storage stays
    Object.assign(browser.storage, storage);
    await pass(20);
    model.publish("a", 2);
    const again = heard(open(), "a");
    await pass(20);
    expect(again.data).toEqual([2]);
  });

  it("counts an event of an iterator as read when the next is asked for", async () => {
    const hub = open();
    const events = hub.channel("a");
    await pass(20);
    model.publish("a", 1, 2, 3);
    await pass();
    await events.next();
    await events.next(); // 1 is read, 2 is in hand, 3 is to come
    browser.say("pagehide");
    expect(Object.values(browser.storage).map((text) => JSON.parse(text).cursors)).toEqual([{ a: "e1-1" }]);
  });

  it("forgets what is stopped, and what the page places itself", async () => {
    const hub = open();
    const a = heard(hub, "a");
    heard(hub, "b", { since: "now" });
    await pass(20);
    a.stop();
    expect(Object.values(browser.storage).map((text) => JSON.parse(text).cursors)).toEqual([{}]);
  });

  it("works where nothing can be stored", async () => {
    vi.stubGlobal("sessionStorage", undefined);
    const a = heard(open(), "a");
    await pass(20);
    model.publish("a", 1);
    await pass();
    expect(a.data).toEqual([1]);
  });
});

describe("gaps", () => {
  it("tells every reader of a new life of the log, once, and reads on", async () => {
    const hub = open();
    const a = heard(hub, "a");
    const other = heard(hub, "a");
    await pass(20);
    model.publish("a", 1, 2);
    await pass();
    model.epoch = "e2";
    model.log = {};
    model.publish("a", "new");
    await pass(100);
    const gap = { type: "gap", channel: "a", reason: "epoch", oldest: "e2-0", latest: "e2-1" };
    for (const messages of [a, other]) {
      expect(messages.slice(2)).toMatchObject([gap, { data: "new", offset: 1 }]);
    }
  });

  it("tells who was away too long", async () => {
    browser.storage["pushhub:http://hub#"] = JSON.stringify({ cursors: { a: "e1-1" } });
    model.keep = 2;
    model.publish("a", 1, 2, 3, 4, 5);
    const a = heard(open(), "a");
    await pass(20);
    expect(a).toMatchObject([{ type: "gap", reason: "trimmed" }, { data: 4 }, { data: 5 }]);
  });

  it("tells only those that miss what was trimmed, and brings nobody anything twice", async () => {
    const hub = open();
    model.publish("a", 1, 2, 3, 4);
    const first = heard(hub, "a");
    await pass(20);
    model.publish("a", 5);
    await pass();
    model.keep = 2;
    const late = heard(hub, "a", { since: "e1-1" });
    await pass(50);
    model.publish("a", 6);
    await pass();
    expect(first.data).toEqual([5, 6]);
    expect(late).toMatchObject([{ type: "gap", reason: "trimmed" }, { data: 4 }, { data: 5 }, { data: 6 }]);
  });

  it("tells a reader that comes with a cursor of another life", async () => {
    const hub = open();
    const a = heard(hub, "a");
    await pass(20);
    const b = heard(hub, "a", { since: "e0-7" });
    await pass(20);
    model.publish("a", 1);
    await pass();
    expect(a.data).toEqual([1]);
    expect(b).toMatchObject([{ type: "gap", reason: "epoch" }, { data: 1 }]);
  });
});

describe("failing", () => {
  it("waits longer and longer, up to a minute, at random", async () => {
    const hub = open();
    heard(hub, "a");
    model.next = Array.from({ length: 12 }, () => new TypeError("network"));
    await pass();
    expect(hub.state).toBe("offline");
    for (const ms of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      const count = model.asked.length;
      await pass(ms - 1);
      expect(model.asked.length).toBe(count);
      await pass(1);
      expect(model.asked.length).toBe(count + 1);
    }
  });

  it.each([429, 503])("obeys Retry-After of a %i, whatever happens meanwhile", async (status) => {
    const hub = open();
    heard(hub, "a");
    model.next.push(problem(status, {}, { "Retry-After": "7" }));
    await pass(10);
    browser.say("online");
    heard(hub, "b");
    await pass(6900);
    expect(model.asked.length).toBe(1);
    await pass(200);
    expect(hub.state).toBe("live");
  });

  it("begins to read in an outage", async () => {
    const hub = open();
    const a = heard(hub, "a");
    model.next.push(new TypeError("network"));
    await pass(10);
    a.stop();
    await pass(60_000);
    expect([hub.state, model.asked.length]).toEqual(["offline", 1]);
    const b = heard(hub, "b");
    await pass(100);
    model.publish("b", 1);
    await pass();
    expect([b.data, hub.state]).toEqual([[1], "live"]);
  });

  it("leaves no timer when it is closed in a pause", async () => {
    const hub = open();
    heard(hub, "a");
    model.next.push(problem(503, {}, { "Retry-After": "86400" }));
    await pass(50);
    hub.close();
    await pass(50);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("obeys the hub's retry_ms", async () => {
    const hub = open();
    heard(hub, "a");
    await pass(20);
    model.next.push(Response.json({ events: [], cursors: {}, retry_ms: 3000 }, { headers: { "Preference-Applied": "wait=25" } }));
    model.publish("a", 1); // ends the held request; the next gets the hint
    await pass(2990);
    expect(model.asked.length).toBe(3);
    await pass(20);
    expect(model.asked.length).toBe(4);
  });

  it.each(["online", "pageshow", "visibilitychange"])("asks at once on %s", async (sign) => {
    const hub = open();
    heard(hub, "a");
    model.next = Array.from({ length: 6 }, () => new TypeError("network"));
    await pass(20_000);
    model.next = [];
    browser.say(sign);
    await pass();
    expect(hub.state).toBe("live");
  });

  it("asks anew on another network, and after a sleep", async () => {
    heard(open(), "a");
    await pass(20);
    browser.say("online");
    await pass();
    expect(model.asked.length).toBe(3);
    browser.say("visibilitychange");
    await pass();
    expect(model.asked.length).toBe(3); // it is young
    vi.setSystemTime(Date.now() + 3600_000); // timers did not run
    browser.say("visibilitychange");
    await pass();
    expect(model.asked.length).toBe(4);
  });

  it("gives up a request that the hub does not end", async () => {
    const hub = open();
    heard(hub, "a");
    await pass(20);
    model.next.push(() => undefined);
    vi.spyOn(model as any, "answer").mockImplementation(
      (_, signal: any) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason))),
    );
    model.publish("a", 1);
    await pass(34_900);
    expect(hub.state).toBe("live");
    await pass(200);
    expect(hub.state).toBe("offline");
  });

  it("does not spin where the hub does not wait", async () => {
    model.applies = false;
    heard(open(), "a");
    await pass(60_000);
    expect(model.asked.length).toBeLessThan(15);
    expect(model.asked.length).toBeGreaterThan(10);
  });

  it("does not spin where answers say nothing", async () => {
    model.next = Array.from({ length: 1000 }, () => Response.json({ events: [], cursors: {} }));
    heard(open(), "a");
    await pass(60_000);
    expect(model.asked.length).toBeLessThan(15);
  });

  it("waits longer and longer where only held requests fail", async () => {
    const fail = ({ body }: { body: { wait: number } }) => (body.wait ? new TypeError("network") : undefined);
    model.next = Array.from({ length: 1000 }, () => fail);
    heard(open(), "a");
    await pass(60_000);
    expect(model.asked.length).toBeLessThan(16);
  });

  it("comes back soon after a request that had been held for a while", async () => {
    const ages = [10, 7, 4, 100]; // none is like the one before
    model.cut = ages[0]!;
    const hub = open();
    heard(hub, "a");
    for (const [n, age] of ages.slice(0, -1).entries()) {
      await pass(20);
      model.cut = ages[n + 1]!;
      await pass(age * 1000 + 500);
      expect([hub.state, hub.debug().failures]).toEqual(["live", 1]);
    }
  });

  it("learns where requests are cut, and remembers it", async () => {
    model.cut = 10;
    const hub = open();
    heard(hub, "a");
    await pass(60_000);
    expect(last().wait).toBe(7);
    expect(hub.state).toBe("live");
    const count = model.asked.length;
    await pass(7000);
    expect(hub.state).toBe("live");
    expect(model.asked.length).toBe(count + 1);
    hub.close();
    await pass(20);
    heard(open(), "a");
    await pass(20);
    expect(last().wait).toBe(7);
  });

  it("takes one death for chance", async () => {
    model.cut = 10;
    heard(open(), "a");
    await pass(10_100);
    model.cut = Infinity;
    await pass(60_000);
    expect(last().wait).toBe(25);
  });

  it("rests in a hidden page, but not before the first event", async () => {
    const a = heard(open(), "a");
    await pass(20);
    browser.hide(true);
    model.publish("a", 1);
    await pass();
    expect(a.data).toEqual([1]);
    model.publish("a", 2);
    model.publish("a", 3);
    await pass(4900);
    expect(a.data).toEqual([1]);
    browser.hide(false);
    await pass();
    expect(a.data).toEqual([1, 2, 3]);
  });
});

describe("for hours and days", () => {
  const hour = 3600_000;
  const cut = () => [...model.cuts].forEach((end) => end());

  it("asks as often in the hundredth hour as in the first", async () => {
    heard(open(), "a");
    await pass(hour);
    const first = model.asked.length;
    expect(first).toBeLessThan(150);
    await pass(99 * hour);
    expect(model.asked.length).toBeLessThanOrEqual(100 * first);
  }, 60_000);

  it("tries on through an outage of two days, at most twice a minute in the mean", async () => {
    const hub = open();
    const a = heard(hub, "a");
    await pass(20);
    let works = false;
    const dead = () => (works ? undefined : new TypeError("network"));
    model.next = Array.from({ length: 100_000 }, () => dead);
    cut();
    await pass(48 * hour);
    expect(model.asked.length).toBeLessThan(48 * 120 + 20);
    works = true;
    model.publish("a", 1);
    await pass(61_000);
    expect([a.data, hub.state]).toEqual([[1], "live"]);
  }, 60_000);

  it.each([60, 8 * 3600, 30 * 86_400])("comes back from a sleep of %d s with the request of before it", async (seconds) => {
    const hub = open();
    const a = heard(hub, "a");
    await pass(20);
    // Nothing runs, and the far end is gone without a word.
    vi.spyOn(model as any, "answer").mockImplementationOnce(
      (_, signal: any) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason))),
    );
    cut();
    await pass(1000);
    vi.setSystemTime(Date.now() + 1000 * seconds);
    model.publish("a", 1);
    await pass(36_000);
    expect([a.data, hub.state, last().wait]).toEqual([[1], "live", 25]);
    expect(model.asked.length).toBeLessThan(9);
  });

  it.each([-86_400, 86_400])("goes on when the clock is set by %d s", async (seconds) => {
    const hub = open({ token: async () => `h.${btoa(JSON.stringify({ exp: Date.now() / 1000 + 600 }))}.s` });
    const a = heard(hub, "a");
    await pass(20);
    vi.setSystemTime(Date.now() + 1000 * seconds);
    for (const sign of ["visibilitychange", "online", "pageshow"]) browser.say(sign);
    await pass(1000);
    model.publish("a", 1);
    await pass(60_000);
    expect([a.data, hub.state, last().wait]).toEqual([[1], "live", 25]);
    expect(model.asked.length).toBeLessThan(12);
  });

  it("waits as long as before after many visits by Back", async () => {
    const hub = open();
    const states: State[] = [];
    const a = heard(hub, "a");
    await pass(20);
    hub.onState((state) => states.push(state));
    for (let n = 0; n < 20; n++) {
      await pass(3000);
      // WebKit cuts requests when a navigation begins, before the page hears of it.
      cut();
      browser.say("pagehide", { persisted: true });
      await pass(hour);
      expect(model.held).toBe(0);
      browser.say("pageshow", { persisted: true });
      model.publish("a", n);
      await pass(1500);
    }
    expect(last().wait).toBe(25);
    expect(a.data).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(Object.values(browser.storage).map((text) => JSON.parse(text).wait)).toEqual([25]);
  });

  it("waits as long as it is told again, when the proxy that cut is gone", async () => {
    model.cut = 10;
    const hub = open();
    heard(hub, "a");
    await pass(60_000);
    expect(last().wait).toBe(7);
    model.cut = Infinity;
    await pass(hour);
    expect(last().wait).toBe(25);
  });
});

describe("does not spin", () => {
  const minute = async () => {
    const before = model.asked.length;
    await pass(60_000);
    return model.asked.length - before;
  };

  it.each([1e12, Infinity, -1, "soon", NaN])("where retry_ms is %s", async (retry_ms) => {
    const make = () => Object.assign(new Response(), { json: async () => ({ events: [], cursors: {}, retry_ms }) });
    model.next = Array.from({ length: 1000 }, () => make);
    heard(open(), "a");
    expect(await minute()).toBeLessThan(30);
  });

  it.each(["1e99", "9999999999", "-3"])("where Retry-After is %s", async (after) => {
    model.next = Array.from({ length: 1000 }, () => () => problem(503, {}, { "Retry-After": after }));
    heard(open(), "a");
    expect(await minute()).toBeLessThan(15);
  });

  it("where waits end immediately", async () => {
    heard(open(), "a");
    await pass(20);
    model.next = Array.from({ length: 10_000 }, () => () =>
      Response.json({ events: [], cursors: {} }, { headers: { "Preference-Applied": "wait=25" } }),
    );
    expect(await minute()).toBeLessThan(40);
  });

  it("where two hubs of different epochs answer in turn", async () => {
    heard(open(), "a");
    await pass(20);
    let n = 0;
    model.next = Array.from({ length: 10_000 }, () => () => {
      const at = `e${++n}-0`;
      return Response.json({ events: [], cursors: { a: at }, gaps: { a: { reason: "epoch", oldest: at, latest: at } } });
    });
    expect(await minute()).toBeLessThan(40);
  });

  it("where a channel is refused that nobody reads", async () => {
    const hub = open();
    heard(hub, "a");
    model.next = Array.from({ length: 10_000 }, () => () => problem(403, { channel: "A" }));
    expect(await minute()).toBeLessThan(15);
    expect(hub.state).toBe("offline");
  });

  it("where tokens have ended when they come, by this clock or by the hub's", async () => {
    const token = vi.fn(async () => `h.${btoa(JSON.stringify({ exp: Date.now() / 1000 - 60 }))}.s`);
    heard(open({ token }), "a");
    expect(await minute()).toBeLessThan(6);
    expect(token).toHaveBeenCalledTimes(1); // the hub's clock says that it is good
    model.next = Array.from({ length: 10_000 }, () => () => problem(401));
    await pass(120_000);
    expect(token.mock.calls.length).toBeLessThan(20);
  });

  it("where the page's fetch ignores its signal", async () => {
    let hangs = true;
    const fetch = ((url: string, init: any) => (hangs ? new Promise(() => {}) : model.fetch(url, init))) as any;
    const hub = open({ fetch });
    heard(hub, "a");
    await pass(12_000);
    expect(hub.state).toBe("offline");
    hangs = false;
    await pass(60_000);
    expect(hub.state).toBe("live");
  });
});

describe("refusals", () => {
  it("end one channel, and no other", async () => {
    const hub = open();
    const a = heard(hub, "a");
    const b = heard(hub, "b");
    model.next.push(problem(403, { channel: "b", detail: "not yours" }));
    await pass(20);
    model.publish("a", 1);
    await pass();
    expect(a.data).toEqual([1]);
    expect(b).toMatchObject([{ type: "error", channel: "b", error: { message: "not yours", status: 403 } }]);
  });

  it("without a channel end everything", async () => {
    const hub = open();
    const a = heard(hub, "a");
    model.next.push(problem(400, { detail: "odd" }));
    await pass(20);
    expect(a).toMatchObject([{ type: "error", error: { message: "odd" } }]);
    expect(hub.state).toBe("closed");
    await pass(100_000);
    expect(model.asked.length).toBe(1);
  });

  it("are none if the connection breaks within them", async () => {
    const hub = open();
    const a = heard(hub, "a");
    const b = heard(hub, "b");
    const body = new ReadableStream({ start: (stream) => stream.error(new TypeError("network error")) });
    model.next.push(new Response(body, { status: 403 }), new TypeError("network"), problem(403, { channel: "b" }));
    await pass(5000);
    model.publish("a", 1);
    await pass();
    expect([a.data, hub.state]).toEqual([[1], "live"]);
    expect(b).toMatchObject([{ type: "error", error: { status: 403 } }]);
  });

  it("are none if the channel was deleted meanwhile", async () => {
    const hub = open();
    const a = heard(hub, "a");
    await pass(20);
    model.next.push(problem(404, { channel: "a" }));
    model.publish("a", 1);
    await pass(1000);
    model.publish("a", 2);
    await pass(1000);
    expect(a.data).toEqual([1, 2]);
  });
});

describe("tokens", () => {
  const jwt = (seconds: number) =>
    `h.${btoa(JSON.stringify({ exp: Date.now() / 1000 + seconds, name: "ü?>" })).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}.s`;

  it("are sent as headers, and are in no address", async () => {
    heard(open({ token: "T" }), "a");
    await pass(20);
    for (const { headers, path } of model.asked) {
      expect(headers.Authorization).toBe("Bearer T");
      expect(path).toBe("/v1/poll");
    }
  });

  it("are fetched once, and anew on a 401", async () => {
    const token = vi.fn(async () => "T" + token.mock.calls.length);
    heard(open({ token }), "a");
    await pass(20);
    expect(token).toHaveBeenCalledTimes(1);
    model.next.push(problem(401));
    model.publish("a", 1);
    await pass();
    expect(token).toHaveBeenCalledTimes(2);
    expect(model.asked.at(-1)!.headers.Authorization).toBe("Bearer T2");
  });

  it("are fetched anew before they end", async () => {
    const token = vi.fn(async () => jwt(100));
    heard(open({ token }), "a");
    await pass(89_000);
    expect(token).toHaveBeenCalledTimes(1);
    await pass(30_000);
    expect(token).toHaveBeenCalledTimes(2);
  });

  it("that stay bad are asked for again and again, not often", async () => {
    const token = vi.fn(async () => "bad");
    const hub = open({ token });
    heard(hub, "a");
    model.next = Array.from({ length: 100 }, () => problem(401));
    await pass(120_000);
    expect(hub.state).toBe("offline");
    expect(token.mock.calls.length).toBeLessThan(20);
    model.next = [];
    await pass(60_000);
    expect(hub.state).toBe("live");
  });

  it("that cannot be renewed end everything", async () => {
    const hub = open({ token: "bad" });
    const a = heard(hub, "a");
    model.next.push(problem(401, { detail: "expired" }));
    await pass(20);
    expect([hub.state, a]).toMatchObject(["closed", [{ error: { status: 401 } }]]);
  });

  it("that ended during a wait are renewed at once, and nobody is told of an outage", async () => {
    const token = vi.fn(async () => "T" + token.mock.calls.length);
    const hub = open({ token });
    const a = heard(hub, "a");
    await pass(20);
    const states: State[] = [];
    hub.onState((state) => states.push(state));
    // The wait's end is a 401, and the next request has its whole time.
    model.next.push(() => new Promise((done) => setTimeout(() => done(problem(401)), 24_000)));
    model.publish("a", 0);
    await pass(24_000 + 24_000);
    model.publish("a", 1);
    await pass();
    expect([a.data, states, token.mock.calls.length]).toEqual([[0, 1], [], 2]);
  });

  it("that never come do not stop the hub for ever", async () => {
    let hangs = true;
    const token = vi.fn(() => (hangs ? new Promise<string>(() => {}) : Promise.resolve("T")));
    const hub = open({ token });
    heard(hub, "a");
    await pass(61_000);
    expect(hub.state).toBe("offline");
    hangs = false;
    await pass(62_000);
    expect(hub.state).toBe("live");
    expect(token.mock.calls.length).toBeLessThan(4);
  });

  it("that cannot be fetched are tried again", async () => {
    let works = false;
    const hub = open({
      token: async () => {
        if (works) return "T";
        throw new Error("login");
      },
    });
    heard(hub, "a");
    await pass(20);
    expect(hub.state).toBe("offline");
    works = true;
    await pass(1000);
    expect(hub.state).toBe("live");
  });
});

describe("publishing", () => {
  it("resolves with the receipt", async () => {
    model.next.push(Response.json({ results: [{ item: 0, channel: "a", offset: 7 }] }));
    const receipt = await open().publish("a", { x: 1 }, { type: "note", idempotency_key: "k" });
    expect(receipt).toMatchObject({ channel: "a", offset: 7 });
    expect(model.asked[0]).toMatchObject({
      path: "/v1/publish",
      body: { channel: "a", data: { x: 1 }, type: "note", idempotency_key: "k" },
    });
  });

  it("rejects with the hub's reason", async () => {
    model.next.push(Response.json({ results: [{ error: { status: 412, detail: "another" } }] }));
    await expect(open().publish("a", 1)).rejects.toMatchObject({ status: 412, message: "another" });
    model.next.push(problem(413, { detail: "large" }));
    await expect(open().publish("a", 1)).rejects.toMatchObject({ status: 413, message: "large" });
  });
});

it("says what a page can do where the browser gives no reason", async () => {
  vi.stubGlobal("origin", "https://app.example.com");
  model.next.push(new TypeError("Failed to fetch"), new TypeError("Failed to fetch"));
  const hub = open();
  heard(hub, "a");
  await pass();
  const sentence =
    'No response from http://hub. If it runs, its setting cors_origins may lack "https://app.example.com". Only the browser\'s console tells the reason.';
  expect(hub.debug().error).toMatchObject({ message: sentence });
  await expect(hub.publish("a", 1)).rejects.toMatchObject({ message: sentence, cause: { message: "Failed to fetch" } });
  vi.stubGlobal("origin", "http://hub");
  model.next.push(new TypeError("Failed to fetch"));
  await expect(hub.publish("a", 1)).rejects.toMatchObject({ message: "No response from http://hub." });
});

it.each([
  [200, "text/html", "<title>Sign in</title>"],
  [404, "text/html", "Not Found"],
  [404, "application/json", '{"detail": "Not Found"}'],
  [405, "text/plain", "Method Not Allowed"],
  [501, "text/plain", "Unsupported method"],
])("names a server that is no hub: %i, %s", async (status, type, body) => {
  model.next.push(new Response(body, { status, headers: { "content-type": type } }));
  await expect(open().publish("a", 1)).rejects.toMatchObject({
    status,
    message: expect.stringMatching(RegExp(`responded ${status} and is no hub\\. Check the hub's URL;`)),
  });
});

it("leaves a proxy's refusal as it is, and a hub's own 404", async () => {
  model.next.push(new Response("<p>Bad Gateway</p>", { status: 502, headers: { "content-type": "text/html" } }));
  await expect(open().publish("a", 1)).rejects.toMatchObject({ status: 502, message: "HTTP 502" });
  model.next.push(problem(404, { type: "urn:pushhub:problem:deleted", detail: "deleted" }));
  await expect(open().publish("a", 1)).rejects.toMatchObject({ status: 404, message: "deleted" });
});

it("says what it is doing", async () => {
  const hub = open();
  heard(hub, "a");
  await pass(20);
  expect(hub.debug()).toMatchObject({ url: "http://hub", state: "live", cursors: { a: "e1-0" }, requests: 2, failures: 0, wait: 25 });
});
