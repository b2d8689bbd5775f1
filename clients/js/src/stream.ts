/** Holding by a stream: Server-Sent Events by `fetch` (WHATWG HTML §9.2), as far as a hub uses them. */

import { backoff } from "./pace.js";
import type { Answer } from "./readers.js";

// A hub's stream has a sign of life every 15 s.
const BEAT_MS = 25_000;

// Why a request was ended by the page itself: something else is to be asked.
export const DROPPED = 0;

export interface Stream {
  /** Whether somebody in between keeps streams until they end; then requests are held instead. */
  blocked?: boolean;
  /**
   * Read a stream of answers to its end, and return after how many milliseconds to come back.
   * `limit` sets the time within which there must be more.
   */
  follow(
    response: Response,
    take: (answer: Answer) => void,
    limit: (ms: number) => void,
    signal: AbortSignal,
  ): Promise<number>;
}

export const createStream = (): Stream => ({
  async follow(response, take, limit, signal) {
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    let text = "";
    let retry = "";
    // A hub's first message comes at once.
    let heard = false;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return retry ? +retry : backoff(1);
        heard = true;
        limit(BEAT_MS);
        text += decoder.decode(value, { stream: true });
        const messages = text.split("\n\n");
        text = messages.pop()!;
        for (const message of messages) {
          // A hub writes JSON on one line, and ends lines with LF.
          const data = /^data: (.*)/m.exec(message);
          if (data) take(JSON.parse(data[1]!));
          retry = /^retry: (.*)/m.exec(message)?.[1] ?? retry;
        }
      }
    } finally {
      this.blocked = !heard && signal.reason !== DROPPED;
    }
  },
});
