/** The one request of a hub, again and again: plain until all is read, then held, or a stream. */

import type { News } from "./hub.js";
import { backoff, delay, QUICK_MS, SLACK_MS, type Pace } from "./pace.js";
import type { Answer, Positions, Readers } from "./readers.js";
import type { Refused, Send } from "./request.js";
import { DROPPED, type Stream } from "./stream.js";
import type { State } from "./types.js";

// The most that a hub gives at once.
const LIMIT = 1000;
// What plain pollers ask at, where the hub would not wait.
const PLAIN_MS = 5000;
// What asking again would not change, as docs/problems.md has them.
const FINAL = [400, 401, 403, 404, 413];

export interface Asker {
  readers: Readers;
  pace: Pace;
  send: Send;
  /** Before each request: whom it is for, and so with which tabs it is shared. */
  enter(): Promise<void>;
  /** What holds by a stream, if that is wanted. */
  stream?: Stream;
  /** Whether a 401 may be over when it is asked again. */
  renews: boolean;
  state(): State;
  become(state: State): void;
  hear(news: News): void;
  /** Milliseconds to rest after an answer, because nobody looks. */
  rest(): number;
}

export interface Asking {
  /** Begin, or end and leave nothing behind. */
  run(yes: boolean): void;
  /** Readers came or went: ask anew, if what is asked is no longer what is wanted. */
  again(): void;
  /** Ask at once: the network is another one, or time may have passed unseen. */
  kick(network: boolean): void;
  debug(): Record<string, unknown>;
}

const same = (one: Positions, other: Positions) => JSON.stringify(one) == JSON.stringify(other);

export const createAsking = ({ readers, pace, send, stream, ...asker }: Asker): Asking => {
  let running = false;
  /** What the held request asks for. */
  let held: Positions | undefined;
  /** When the request was sent, or its stream gave its last sign of life. */
  let began = 0;
  let controller = new AbortController();
  let wake = () => {};
  let failures = 0;
  let requests = 0;
  let error: unknown;
  /** Whether a 401 was the last response. */
  let refused = false;
  /** Requests in a row that ended immediately and brought nothing. */
  let idle = 0;

  const age = () => Date.now() - began;
  const drop = () => controller.abort(DROPPED);

  /** A firm pause is the hub's own wish; any other ends when there is a reason to. 0 is for ever. */
  const pause = (ms: number, firm?: boolean) =>
    new Promise<void>((done) => {
      const timer = ms && setTimeout(done, ms);
      wake = () => {
        if (firm && running) return;
        clearTimeout(timer);
        done();
      };
    });

  /** Milliseconds to rest before a request like one that brought nothing: never longer than plain pollers. */
  const slower = () => Math.min(PLAIN_MS, backoff(++idle));

  /** One request, from its sending to its end. Returns for how long the hub wants no other. */
  const ask = async (from: Positions, hold: boolean): Promise<number> => {
    const streams = hold && !stream?.blocked() && stream;
    const wait = hold && !streams ? pace.wait : 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = (ms: number) => {
      began = Date.now();
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), ms);
    };
    controller = new AbortController();
    requests++;
    if (hold) held = from;
    limit(SLACK_MS + 1000 * wait);
    const sent = began;
    try {
      const response = await send(
        "/v1/poll",
        { channels: from, limit: LIMIT, wait },
        streams ? { Accept: "text/event-stream" } : {},
        controller.signal,
      );
      refused = false;
      if (streams) {
        const take = (answer: Answer) => {
          asker.hear({ from, answer });
          held = from = { ...from, ...answer.cursors };
          idle = 0;
        };
        const ms = await streams.follow(response, take, limit, controller.signal);
        if (Date.now() - sent > SLACK_MS) idle = 0;
        return streams.blocked() ? 0 : ms || slower();
      }
      const answer: Answer = await response.json();
      const news = answer.events[0] || answer.gaps;
      if (hold) pace.lived(age());
      asker.hear({ from, answer });
      const now = readers.positions();
      if (news && !hold) asker.become("catching-up");
      else if (readers.holds(now)) asker.become("live");
      const ms = delay(answer.retry_ms);
      if (ms) return ms;
      const still = same(from, now);
      // A request that neither waited nor moved anybody would be sent again immediately, for ever.
      if (still && (asker.state() != "live" || (hold && !response.headers.has("preference-applied")))) return PLAIN_MS;
      // So would one whose wait ends immediately, or that meets one gap after another.
      if (answer.gaps || (hold && still && age() < QUICK_MS)) return idle++ ? slower() : 0;
      if (hold) idle = 0;
      return 0;
    } finally {
      clearTimeout(timer);
      held = undefined;
    }
  };

  const failed = async (reason: Refused, hold: boolean) => {
    const { message, status = 0, problem, after } = reason;
    const channel = problem?.channel;
    error = reason;
    if (hold) {
      pace.died(age());
      if (age() > SLACK_MS / 10) failures = 0;
    }
    // The token has ended, and the next one is asked for immediately: but once.
    if (status == 401 && asker.renews && !refused) return void (refused = true);
    // A channel that was deleted meanwhile goes on being read; one that is not read here ends nobody.
    const unknown = channel && ![...readers].some((reader) => reader.channel == channel);
    const fresh = status == 401 ? asker.renews : (status == 404 && channel) || unknown;
    if (FINAL.includes(status) && !fresh) asker.hear({ refused: { message, status, problem, channel } });
    else {
      asker.become("offline");
      await pause(Math.max(after || 0, backoff(++failures)), !!after);
    }
  };

  const loop = async () => {
    for (;;) {
      let from = readers.positions();
      let hold = false;
      if (!running || !Object.keys(from)[0]) {
        // Who reads next begins immediately, in an outage too.
        failures = 0;
        await pause(0);
      } else
        try {
          await asker.enter();
          if (!running) continue;
          from = readers.positions();
          hold = asker.state() == "live" && readers.holds(from);
          const ms = await ask(from, hold);
          if (hold) failures = 0;
          if (ms) await pause(ms, true);
          else if (hold && asker.rest()) await pause(asker.rest());
        } catch (error) {
          if (controller.signal.reason !== DROPPED) await failed(error as Refused, hold);
        }
    }
  };
  void loop();

  return {
    run(yes) {
      running = yes;
      if (!yes) drop();
      wake();
    },
    again() {
      if (!held) {
        if (!failures) wake();
      } else if (!same(held, readers.positions())) drop();
    },
    kick(network) {
      wake();
      if (held && (network || age() > 1000 * pace.wait)) drop();
    },
    debug: () => ({ requests, failures, error, wait: pace.wait }),
  };
};
