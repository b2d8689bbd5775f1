// node parity.mjs CLIENT HUB OTHER TOKEN CHANNEL ROW: what the client for JavaScript does in one row of the
// table of parity, as JSON. test_parity.py has the same in Python.
import { pathToFileURL } from "node:url";

// A browser has it; Node.js does not.
globalThis.addEventListener ??= () => {};
const [file, url, other, token, channel, row] = process.argv.slice(2);
const { connect, poll } = await import(pathToFileURL(file).href);

const hub = connect(url, { token, tabs: false });
const name = (more) => channel + more;
const take = async (iterator, count) => {
  const messages = [];
  for (let number = 0; number < count; number++) messages.push((await iterator.next()).value);
  return messages;
};
const data = async (iterator, count) => (await take(iterator, count)).map((message) => message.data);
const until = (state, from = hub) =>
  from.state == state ? undefined : new Promise((done) => from.onState((now) => now == state && done()));
const refused = (promise) => promise.then(() => 0, (error) => error.status);
const readings = (from, count) =>
  new Promise((done) => {
    const found = [];
    from.on((value) => found.push(value) == count && (from.stop(), done(found)));
  });

const ROWS = {
  async "a channel, from the earliest event"() {
    for (const number of [1, "two", { three: 3 }]) await hub.publish(channel, number);
    return data(hub.channel(channel, { since: "earliest" }), 3);
  },
  async "a channel, from a cursor"() {
    const { cursor } = await hub.publish(channel, 1);
    await hub.publish(channel, 2);
    return data(hub.channel(channel, { since: cursor }), 1);
  },
  async "a channel, from now on"() {
    await hub.publish(channel, 1);
    const next = data(hub.channel(channel), 1);
    await until("live");
    await hub.publish(channel, 2);
    return next;
  },
  async "many channels in one request"() {
    await hub.publish(name("a"), 1);
    await hub.publish(name("b"), 2);
    const sent = new Set();
    const note = (where, how) => {
      sent.add(Object.keys(JSON.parse(how.body).channels).length);
      return fetch(where, how);
    };
    const many = connect(url, { token, tabs: false, fetch: note });
    const one = many.channel(name("a"), { since: "earliest" });
    const two = many.channel(name("b"), { since: "earliest" });
    const found = [...(await data(one, 1)), ...(await data(two, 1))];
    return [found, [...sent]];
  },
  async "a channel more, while a request is held"() {
    await hub.publish(name("b"), 2);
    hub.on(name("a"), () => {});
    await until("live");
    return data(hub.channel(name("b"), { since: "earliest" }), 1);
  },
  async "a gap"() {
    await hub.publish(channel, 1);
    const [gap, event] = await take(hub.channel(channel, { since: "another-3" }), 2);
    return [gap.reason, event.data];
  },
  async "a refused channel beside others"() {
    const refusal = new Promise((done) => hub.on("closed:x", done));
    await hub.publish(channel, 1);
    const found = await data(hub.channel(channel, { since: "earliest" }), 1);
    return [(await refusal).error.status, found];
  },
  async "a stream of Server-Sent Events"() {
    const streams = connect(url, { token, tabs: false, transport: "sse" });
    const found = data(streams.channel(channel), 2);
    await until("live", streams);
    await hub.publish(channel, 1);
    await hub.publish(channel, 2);
    return found;
  },
  async "the states"() {
    const states = [hub.state];
    hub.onState((state) => states.push(state));
    await hub.publish(channel, 1);
    await data(hub.channel(channel, { since: "earliest" }), 1);
    await until("live");
    hub.close();
    return states;
  },
  async "a publish, with type and id"() {
    const receipt = await hub.publish(channel, "x", { type: "note", id: "n-1" });
    const [event] = await take(hub.channel(channel, { since: "earliest" }), 1);
    return [receipt.offset, receipt.id, event.type, event.id, event.data];
  },
  async "a publish of another content type"() {
    await hub.publish(channel, "text", { content_type: "text/plain" });
    await hub.publish(channel, "AP8=", { content_type: "image/png", encoding: "base64" });
    const events = await take(hub.channel(channel, { since: "earliest" }), 2);
    return events.map((event) => [event.content_type, event.data]);
  },
  async "an idempotent publish"() {
    const options = { idempotency_key: "k" };
    const receipts = [await hub.publish(channel, 1, options), await hub.publish(channel, 1, options)];
    return receipts.map((receipt) => [receipt.offset, receipt.duplicate]);
  },
  async "a conditional publish"() {
    const first = await hub.publish(channel, 1);
    const second = await hub.publish(channel, 2, { if_match: first.cursor });
    return [second.offset, await refused(hub.publish(channel, 3, { if_match: first.cursor }))];
  },
  async "a token by a function, asked for again after a 401"() {
    const tokens = ["worn", token];
    let calls = 0;
    const other = connect(url, { tabs: false, token: () => tokens[Math.min(calls++, 1)] });
    await other.publish(channel, 1);
    return [await data(other.channel(channel, { since: "earliest" }), 1), calls];
  },
  async "a value, polled"() {
    await hub.publish(channel, 1);
    const value = poll(`${url}/v1/channels/${channel}`, { headers: { Authorization: `Bearer ${token}` } });
    const found = readings(value, 2);
    await new Promise((done) => setTimeout(done, 500));
    await hub.publish(channel, 2);
    return [await found, value.waits];
  },
  async "a poller of another API, that does not wait"() {
    const value = poll(`${other}/counter`, { every: 200 });
    return [await readings(value, 3), value.waits];
  },
  async "a poller, after an error"() {
    const value = poll(`${other}/failing`, { every: 100 });
    const errors = [];
    value.onError((error) => errors.push(error.status));
    return [await readings(value, 1), errors];
  },
  async "Retry-After"() {
    const begun = Date.now();
    const busy = connect(other, { tabs: false });
    const found = await data(busy.channel("a", { since: "earliest" }), 1);
    return [found, Date.now() - begun >= 1000];
  },
  async "reconnecting after an outage"() {
    // The first two connections break.
    const broken = connect(`${other}/broken`, { tabs: false });
    return data(broken.channel("a", { since: "earliest" }), 1);
  },
  async "closing"() {
    const iterator = hub.channel(channel);
    const next = iterator.next();
    await until("live");
    hub.close();
    return [(await next).done, hub.state];
  },
};

console.log(JSON.stringify(row ? await ROWS[row]() : Object.keys(ROWS)));
process.exit();
