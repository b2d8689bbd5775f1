// Plain polling, and the same request with one header more.

import { Reader } from "./reader.js";
import { either, pause } from "./shared.js";

const POLL_MS = 5000;
const WAIT_SECONDS = 25;
const SLACK_SECONDS = 10; // how much longer than its wait a request may take before it counts as lost

export class Polling extends Reader {
  async turn(signal) {
    this.state("polling", "on");
    await this.feed({}, either(signal, AbortSignal.timeout(SLACK_SECONDS * 1000)));
    this.state("idle until the next poll");
    await pause(POLL_MS, signal);
  }
}

export class Waiting extends Reader {
  async turn(signal) {
    this.state(this.failures ? "trying again" : "waiting", "on");
    const { body, response } = await this.feed(
      { Prefer: `wait=${WAIT_SECONDS}` },
      either(signal, AbortSignal.timeout((WAIT_SECONDS + SLACK_SECONDS) * 1000)),
    );
    if (response.status === 410) return;
    let ms = body.retry_ms ?? 0;
    // An answer without this header did not wait: who asks again at once would spin.
    if (!body.events.length && !response.headers.has("preference-applied")) {
      ms ||= Number(response.headers.get("x-poll-interval")) * 1000 || POLL_MS;
    }
    if (ms) {
      this.state(`the server asked for a pause of ${duration(ms)}`);
      await pause(ms, signal);
    }
  }
}
