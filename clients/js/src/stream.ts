/** Holding by a stream: Server-Sent Events by `fetch` (WHATWG HTML §9.2), as far as a hub uses them. */

import { delay } from "./pace.js";
import type { Answer } from "./readers.js";

// A hub's stream has a sign of life every 15 s.
const BEAT_MS = 25_000;
// A hub writes a message in one piece. A compressing proxy keeps its last bytes, or all of it, until more is
// written: HAProxy's `compression algo gzip` delivers 13 to 26 s late. Networks that work do not take so long.
const LATE_MS = 3000;
// Held requests do as well meanwhile; twice as long each time, to a day.
const BLOCKED_MS = 300_000;
const MOST_BLOCKED_MS = 86_400_000;

// Why a request was ended by the page itself: something else is to be asked.
export const DROPPED = 0;

export interface Stream {
  /** Whether something in between delays streams; then requests are held instead. */
  blocked(): boolean;
  /**
   * Read a stream of answers to its end, and return the milliseconds that the hub wants no other.
   * `limit` sets the time within which there must be more.
   */
  follow(
    response: Response,
    take: (answer: Answer) => void,
    limit: (ms: number) => void,
    signal: AbortSignal,
  ): Promise<number>;
}

export const createStream = (): Stream => {
  let until = 0;
  let pause = BLOCKED_MS;
  const block = () => {
    until = Date.now() + pause;
    pause = Math.min(2 * pause, MOST_BLOCKED_MS);
  };

  return {
    blocked: () => Date.now() < until,

    async follow(response, take, limit, signal) {
      const reader = response.body!.getReader();
      const decoder = new TextDecoder();
      const began = Date.parse(response.headers.get("date")!);
      /** What the hub's clock and this one differ by. */
      const skew = Date.now() - began;
      let text = "";
      let retry = 0;
      // A hub's first message comes at once.
      let heard = false;
      let stuck: ReturnType<typeof setTimeout> | undefined;
      let late = false;
      const giveUp = () => {
        // Once for each stream: a late message may have many events.
        if (!late) block();
        late = true;
        void reader.cancel();
      };
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return retry;
          heard = true;
          limit(BEAT_MS);
          clearTimeout(stuck);
          text += decoder.decode(value, { stream: true });
          const messages = text.split("\n\n");
          text = messages.pop()!;
          for (const message of messages) {
            // A hub writes JSON on one line, and ends lines with LF.
            const data = /^data: (.*)/m.exec(message);
            retry = delay(/^retry: (.*)/m.exec(message)?.[1]) || retry;
            if (!data) continue;
            // The token has ended; the next request is refused, and gets another one.
            if (/^event: error$/m.test(message)) return retry;
            const answer: Answer = JSON.parse(data[1]!);
            take(answer);
            for (const { time } of answer.events) {
              const at = Date.parse(time);
              // What was published before the stream began is late for another reason.
              if (at > began && Date.now() - at - skew > LATE_MS) giveUp();
            }
          }
          if (text) stuck = setTimeout(giveUp, LATE_MS);
        }
      } finally {
        clearTimeout(stuck);
        if ((!heard || signal.aborted) && signal.reason !== DROPPED) block();
      }
    },
  };
};
