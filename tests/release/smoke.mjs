// Use the installed npm package: node smoke.mjs ADDRESS
// `connect` needs a browser (tests/browser has three); `poll` runs in Node.js, too.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { connect, poll } from "pushhub";
import { connect as connectCore } from "pushhub/core";

const url = `${process.argv[2]}/v1/channels/smoke-js`;
const headers = { "Content-Type": "application/json" };
const publish = (data) => fetch(`${url}/events`, { method: "POST", headers, body: JSON.stringify(data) });

assert.equal(typeof connect, "function");
assert.equal(typeof connectCore, "function");
const script = await readFile(createRequire(import.meta.url).resolve("pushhub/client.js"), "utf8");
assert.match(script, /pushhub/);

assert.equal((await publish({ n: 1 })).status, 200);
const values = await new Promise((resolve, reject) => {
  const seen = [];
  const poller = poll(url, { every: 1000 });
  setTimeout(() => reject(new Error("no second value within 30 s")), 30_000).unref();
  poller.onError(reject);
  poller.on(async (value) => {
    seen.push(value);
    // The second value comes to a request that waits.
    if (seen.length === 1) await publish({ n: 2 });
    else {
      assert.equal(poller.waits, true);
      poller.stop();
      resolve(seen);
    }
  });
});
assert.deepEqual(values, [{ n: 1 }, { n: 2 }]);
