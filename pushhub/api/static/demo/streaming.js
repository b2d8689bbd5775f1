// Server-Sent Events, by the browser's own EventSource.

import { Reader } from "./reader.js";
import { Refused, address, bytes, credentials, eventsUrl, page, say } from "./shared.js";

export class Streaming extends Reader {
  /** One EventSource, from its opening to its end. */
  async turn(signal) {
    const url = new URL(eventsUrl());
    url.searchParams.set("since", this.cursor);
    if (page.token) url.searchParams.set("ticket", await this.ticket(signal));
    this.requests += 1;
    this.show();
    this.state("connecting");
    const source = new EventSource(url);
    const ended = new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => { source.close(); reject(signal.reason); }, { once: true });
      source.onerror = () => {
        // Without a ticket the browser comes back by itself, with the last id. A ticket is used up,
        // and a refused stream is not tried again: then a new one has to be made.
        if (source.readyState === EventSource.CONNECTING && !page.token) {
          this.requests += 1;
          this.failures += 1;
          this.state("offline; the browser tries again automatically", "bad");
          say(`${this.title}: offline.`, this.failures === 1);
          this.show();
          return;
        }
        source.close();
        reject(new Error("the stream ended"));
      };
    });
    source.onopen = () => {
      if (this.failures) say(`${this.title} is back.`, true);
      this.failures = 0;
      this.state("live", "on");
    };
    source.onmessage = (event) => {
      this.count(event, "");
      let data = event.data;
      try { data = JSON.parse(event.data); } catch { /* text */ }
      this.took(event.lastEventId, data);
    };
    source.addEventListener("gap", (event) => {
      this.count(event, "event: gap\n");
      this.gap(JSON.parse(event.data));
    });
    try {
      await ended;
    } catch (error) {
      if (!signal.aborted) await this.explain(signal);
      throw error;
    }
  }

  /** An EventSource does not say why it was refused; a plain request does. */
  async explain(signal) {
    const response = await fetch(`${eventsUrl()}?since=now`, { headers: credentials(), signal, cache: "no-store" });
    if (!response.ok) throw new Refused(response, await response.json().catch(() => ({})));
  }

  async ticket(signal) {
    this.requests += 1;
    const response = await fetch(address("v1/tickets"), { method: "POST", headers: credentials(), signal });
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(response, body);
    return body.ticket;
  }

  count(event, type) {
    this.cursor = event.lastEventId || this.cursor;
    this.bytes += bytes(`id: ${event.lastEventId}\n${type}data: ${event.data}\n\n`);
  }
}
