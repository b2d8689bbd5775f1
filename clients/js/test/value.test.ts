import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { poll } from "../src/value.js";
import { pass } from "./model.js";

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
