// The driver of `pushhub conformance`: pushhub conformance node clients/js/conformance/driver.mjs
//
// docs/protocol.md says what it is given and what it prints. It runs the client that a hub serves.
import { readFile } from "node:fs/promises";
import { connect, poll } from "../../../pushhub/api/static/client.mjs";

// A page has events of its own (pageshow, online); Node.js has none.
globalThis.addEventListener ??= () => {};

const { CONFORMANCE_MODE: mode, CONFORMANCE_URL: url, ...given } = process.env;
const wait = Number(given.CONFORMANCE_WAIT);
const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const read = () => {
  const file = given.CONFORMANCE_TOKEN_FILE;
  const hub = connect(url, {
    wait,
    tabs: false,
    transport: mode == "stream" ? "sse" : "poll",
    ...(file && { token: () => readFile(file, "utf8") }),
  });
  for (const [channel, since] of Object.entries(JSON.parse(given.CONFORMANCE_CHANNELS)))
    hub.on(
      channel,
      (message) => {
        if (message.type == "error") print({ type: "error", channel, status: message.error.status });
        else if (message.type == "gap") print(message);
        else print({ type: "event", channel, cursor: message.cursor, data: message.data });
      },
      { since },
    );
  return () => hub.close();
};

const value = () => {
  const poller = poll(url, { wait, every: 1000 * Number(given.CONFORMANCE_EVERY) });
  poller.on((data) => print({ type: "value", data }));
  return () => poller.stop();
};

const modes = { feed: read, many: read, stream: read, value };
if (modes[mode]) {
  const close = modes[mode]();
  // The end of standard input cancels; what the client leaves behind keeps the process alive.
  process.stdin.resume().on("end", close);
} else print({ type: "unsupported" });
