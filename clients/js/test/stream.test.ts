import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createHub } from "../src/hub.js";
import { createStream } from "../src/stream.js";
import { Model, page, pass } from "./model.js";

let model: Model;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  model = new Model();
  page();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A hub by streams, and the far end of its last one. */
const open = (behind = 0) => {
  const far: { write(text: string): void; end(): void; asked: any }[] = [];
  const fetch = async (url: string, init: any) => {
    if (init.headers.Accept != "text/event-stream") return model.fetch(url, init);
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    writer.closed.catch(() => {});
    far.push({
      asked: JSON.parse(init.body),
      write: (text) => void writer.write(new TextEncoder().encode(text)),
      end: () => void writer.close(),
    });
    init.signal.addEventListener("abort", () => void writer.abort(init.signal.reason));
    return new Response(readable, { headers: { date: new Date(Date.now() - behind).toUTCString() } });
  };
  const hub = createHub("http://hub", { fetch: fetch as any, transport: "sse" }, { stream: createStream() });
  return { hub, far };
};
const event = (offset: number) => ({ channel: "a", offset, cursor: `e1-${offset}`, id: "", time: "", data: offset });
const answer = (...offsets: number[]) =>
  `data: ${JSON.stringify({ events: offsets.map(event), cursors: { a: `e1-${offsets.at(-1)}` } })}\n\n`;

it("holds by a stream, after it has asked where it stands", async () => {
  const { hub, far } = open();
  const data: unknown[] = [];
  hub.on("a", (message) => data.push(message.data));
  await pass(20);
  expect(model.asked.length).toBe(1);
  expect(far[0]!.asked.channels).toEqual({ a: "e1-0" });
  const text = ":\n\n" + answer(1, 2) + answer(3);
  for (const piece of [text.slice(0, 30), text.slice(30, 41), text.slice(41)]) {
    far[0]!.write(piece);
    await pass();
  }
  expect(data).toEqual([1, 2, 3]);
  expect(hub.state).toBe("live");
});

it("tells gaps", async () => {
  const { hub, far } = open();
  const messages: any[] = [];
  hub.on("a", (message) => messages.push(message));
  await pass(20);
  const gap = { reason: "epoch", oldest: "e2-0", latest: "e2-0" };
  far[0]!.write(`event: gap\ndata: ${JSON.stringify({ events: [], cursors: { a: "e2-0" }, gaps: { a: gap } })}\n\n`);
  await pass();
  expect(messages).toEqual([{ type: "gap", channel: "a", ...gap }]);
});

it("goes on where the last stream ended, when the hub says", async () => {
  const { hub, far } = open();
  hub.on("a", () => {});
  await pass(20);
  far[0]!.write(answer(1) + "retry: 4000\n\n");
  far[0]!.end();
  await pass(3900);
  expect(far.length).toBe(1);
  await pass(200);
  expect(far[1]!.asked.channels).toEqual({ a: "e1-1" });
});

it("is given up without a sign of life", async () => {
  const { hub, far } = open();
  hub.on("a", () => {});
  await pass(20);
  far[0]!.write(":\n\n");
  await pass(20_000);
  far[0]!.write(":\n\n");
  await pass(24_900);
  expect(hub.state).toBe("live");
  await pass(200);
  expect(hub.state).toBe("offline");
  await pass(1000);
  // A network that kept the stream back lets held requests through; in five minutes a stream is tried again.
  expect([far.length, hub.state, model.asked.at(-1)!.body.wait]).toEqual([1, "live", 25]);
  await pass(330_000);
  expect([far.length, hub.state]).toEqual([2, "live"]);
});

it("falls back when the end of a message is kept back", async () => {
  const { hub, far } = open();
  const data: unknown[] = [];
  const states: unknown[] = [];
  hub.on("a", (message) => data.push(message.data));
  await pass(20);
  far[0]!.write(":\n\n");
  hub.onState((state) => states.push(state));
  model.publish("a", 1);
  far[0]!.write(answer(1).slice(0, -1));
  await pass(2900);
  expect(data).toEqual([]);
  await pass(200);
  expect([data, states, far.length, model.held]).toEqual([[1], [], 1, 1]);
});

it("falls back when an event comes late", async () => {
  const { hub, far } = open();
  const data: unknown[] = [];
  hub.on("a", (message) => data.push(message.data));
  await pass(20);
  far[0]!.write(":\n\n");
  await pass(20_000);
  const time = new Date(Date.now() - 10_000).toISOString();
  model.publish("a", 1);
  far[0]!.write(answer(1).replace('"time":""', `"time":"${time}"`));
  await pass();
  model.publish("a", 2);
  await pass();
  expect([data, far.length, model.held]).toEqual([[1, 2], 1, 1]);
});

it("counts a late stream once, however many events were late", async () => {
  const { hub, far } = open();
  hub.on("a", () => {});
  await pass(20);
  far[0]!.write(":\n\n");
  await pass(20_000);
  const time = new Date(Date.now() - 10_000).toISOString();
  const late = [1, 2, 3, 4, 5, 6, 7, 8].map((offset) => {
    model.publish("a", offset);
    return answer(offset).replace('"time":""', `"time":"${time}"`);
  });
  far[0]!.write(late.join(""));
  await pass(290_000);
  expect(far.length).toBe(1);
  // In five minutes a stream is tried again.
  await pass(40_000);
  expect(far.length).toBe(2);
});

it("stays with a stream whose events are old because they were missed, or whose clock differs", async () => {
  const { hub, far } = open(3600_000);
  hub.on("a", () => {});
  await pass(20);
  far[0]!.write(answer(1).replace('"time":""', `"time":"${new Date(Date.now() - 3700_000).toISOString()}"`));
  await pass(100);
  far[0]!.write(answer(2).replace('"time":""', `"time":"${new Date(Date.now() - 3600_000).toISOString()}"`));
  await pass(20_000);
  expect([far.length, hub.state, model.held]).toEqual([1, "live", 0]);
});

it("does not spin where streams end immediately", async () => {
  const { hub, far } = open();
  hub.on("a", () => {});
  for (let n = 0, ended = 0; n < 600; n++) {
    await pass(100);
    if (far.length == ended) continue;
    ended = far.length;
    far.at(-1)!.write(":\n\nretry: x\n\n");
    far.at(-1)!.end();
  }
  // Held requests would be as good, but a stream that ends is no stream that is late.
  expect(far.length).toBeLessThan(25);
  expect(far.length).toBeGreaterThan(10);
});

it("holds requests where streams do not come through", async () => {
  const { hub, far } = open();
  hub.on("a", () => {});
  await pass(12_000);
  expect(far.length).toBe(1);
  expect(model.asked.at(-1)!.body.wait).toBe(25);
});

it("does not take a change of channels for a stream that does not come through", async () => {
  const { hub, far } = open();
  hub.on("a", () => {});
  await pass(20);
  hub.on("b", () => {});
  await pass(20);
  expect(far.map(({ asked }) => Object.keys(asked.channels))).toEqual([["a"], ["a", "b"]]);
});
