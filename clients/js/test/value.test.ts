import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { poll } from "../src/value.js";
import { page, pass } from "./model.js";

const asked: { headers: Record<string, string>; at: number }[] = [];
let answer: (asked: { headers: Record<string, string>; signal: AbortSignal }) => Response | Promise<Response>;
const fetch = (async (_: string, init: any) => {
  asked.push({ headers: init.headers, at: Date.now() });
  return answer(init);
}) as any;
const value = (data: unknown, etag: string, headers: object = {}) => Response.json(data, { headers: { etag, ...headers } });

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  asked.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

it("keeps the old interval where the server does not wait", async () => {
  answer = ({ headers }) => (headers["If-None-Match"] == '"1"' ? new Response(null, { status: 304 }) : value({ n: 1 }, '"1"'));
  const values: unknown[] = [];
  const orders = poll("/api/orders", { every: 5000, fetch });
  orders.on((value) => values.push(value));
  await pass(20_100);
  expect(values).toEqual([{ n: 1 }]);
  expect(asked.map(({ at }) => at)).toEqual([0, 5000, 10_000, 15_000, 20_000]);
  expect(asked[1]!.headers).toEqual({ Prefer: "wait=25", "If-None-Match": '"1"' });
  expect(orders.waits).toBe(false);
  orders.stop();
  await pass(20_000);
  expect(asked.length).toBe(5);
});

it("asks again at once where the server waits", async () => {
  let n = 0;
  answer = async () => {
    await new Promise((done) => setTimeout(done, 1000));
    return value(++n, `"${n}"`, { "preference-applied": "wait=25" });
  };
  const values: unknown[] = [];
  const end = new AbortController();
  const orders = poll("/api/orders", { fetch, signal: end.signal });
  orders.on((value) => values.push(value));
  await pass(3500);
  expect(values).toEqual([1, 2, 3]);
  expect(orders.waits).toBe(true);
  end.abort();
  await pass(5000);
  expect(asked.length).toBe(4);
});

it("obeys X-Poll-Interval, and Retry-After", async () => {
  answer = () => value(1, '"1"', { "x-poll-interval": "9" });
  const orders = poll("/api/orders", { fetch });
  const errors: unknown[] = [];
  orders.onError((error) => errors.push(error.status));
  await pass(100);
  answer = () => new Response(null, { status: 503, headers: { "retry-after": "20" } });
  await pass(30_000);
  expect(asked.map(({ at }) => at)).toEqual([0, 9000, 29_000]);
  expect(errors).toEqual([503, 503]);
  orders.stop();
});

it("leaves no timer when it is stopped", async () => {
  answer = ({ signal }) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
  const orders = poll("/api/orders", { fetch });
  await pass(100);
  orders.stop();
  await pass();
  expect(vi.getTimerCount()).toBe(0);
});

it("reads text, and what is not there yet", async () => {
  answer = () => new Response("hi", { headers: { etag: '"t"', "content-type": "text/plain" } });
  const values: unknown[] = [];
  const orders = poll("/api/orders", { fetch });
  orders.on((value) => values.push(value));
  await pass(100);
  answer = () => new Response(null, { status: 404 });
  await pass(10_000);
  expect(values).toEqual(["hi"]);
  expect(asked[2]!.headers).toEqual({ Prefer: "wait=25" });
  orders.stop();
});

it("falls back to a plain request where another origin allows no other", async () => {
  answer = ({ headers }) => {
    if ("Prefer" in headers) throw new TypeError("a preflight failed");
    return value(1, '"1"');
  };
  const values: unknown[] = [];
  const orders = poll("https://other.example/orders", { fetch });
  orders.on((value) => values.push(value));
  await pass(12_000);
  expect(values[0]).toBe(1);
  orders.stop();
});

describe("does not spin", () => {
  it.each(["0", "-5", "soon", "", "1e99", "Infinity"])("where X-Poll-Interval is %j", async (interval) => {
    answer = () => value(1, '"1"', { "x-poll-interval": interval });
    const orders = poll("/api/orders", { fetch });
    await pass(60_000);
    expect(asked.length).toBeLessThan(14);
    orders.stop();
  });

  it.each(["1e99", "9999999999", "Infinity"])("where Retry-After is %j", async (after) => {
    answer = () => new Response(null, { status: 503, headers: { "retry-after": after } });
    const orders = poll("/api/orders", { fetch });
    await pass(3600_000);
    expect(asked.length).toBe(1);
    await pass(86_400_000);
    expect(asked.length).toBe(2);
    orders.stop();
  });

  it.each([
    ["404", () => new Response(null, { status: 404, headers: { "preference-applied": "wait=25" } })],
    ["304", () => new Response(null, { status: 304, headers: { "preference-applied": "wait=25" } })],
    ["401", () => new Response(null, { status: 401, headers: { "preference-applied": "wait=25" } })],
    ["500", () => new Response(null, { status: 500, headers: { "preference-applied": "wait=25" } })],
    ["200 with another body each time", () => value(asked.length, `"${asked.length}"`, { "preference-applied": "wait=25" })],
  ])("where each response is an immediate %s that says it waited", async (_, make) => {
    answer = make;
    const orders = poll("/api/orders", { fetch });
    await pass(60_000);
    // A plain poller's twelve, and the first ones.
    expect(asked.length).toBeLessThan(35);
    orders.stop();
  });

  it.each([0, -1, NaN])("where a page asks for %d ms", async (every) => {
    answer = () => value(1, '"1"');
    const orders = poll("/api/orders", { fetch, every });
    await pass(10_000);
    expect(asked.length).toBeLessThan(102);
    orders.stop();
  });
});

it("gives changes that come together at once", async () => {
  let n = 0;
  answer = async () => {
    if (n > 3) await new Promise((done) => setTimeout(done, 20_000));
    return value(++n, `"${n}"`, { "preference-applied": "wait=25" });
  };
  const values: unknown[] = [];
  const orders = poll("/api/orders", { fetch });
  orders.on((value) => values.push(value));
  await pass();
  expect(values).toEqual([1, 2, 3, 4]);
  orders.stop();
});

it("tells nobody of a request that ended with its page, and asks for no shorter wait", async () => {
  const browser = page();
  let cut = () => {};
  answer = ({ signal }) =>
    asked.length == 1
      ? value(1, '"1"', { "preference-applied": "wait=25" })
      : new Promise((_, fail) => {
          cut = () => fail(new TypeError("Load failed"));
          signal.addEventListener("abort", () => fail(signal.reason));
        });
  const orders = poll("/api/orders", { fetch });
  const errors: unknown[] = [];
  orders.onError((error) => errors.push(error));
  for (let n = 0; n < 4; n++) {
    await pass(3000);
    browser.say("pagehide", { persisted: true });
    cut();
    await pass();
    browser.say("pageshow", { persisted: true });
    await pass();
  }
  expect(errors).toEqual([]);
  expect(asked.at(-1)!.headers.Prefer).toBe("wait=25");
  expect(asked.length).toBe(6);
  orders.stop();
});

it("says what a page can do where the browser gives no reason", async () => {
  vi.stubGlobal("origin", "https://app.example.com");
  answer = () => {
    throw new TypeError("Failed to fetch");
  };
  const orders = poll("https://push.example.com/orders", { fetch });
  const errors: any[] = [];
  orders.onError((error) => errors.push(error));
  await pass();
  expect(errors[0].message).toBe(
    'No response from https://push.example.com. If it runs, its setting cors_origins may lack "https://app.example.com". Only the browser\'s console tells the reason.',
  );
  expect(errors[0].cause).toBeInstanceOf(TypeError);
  orders.stop();
});
