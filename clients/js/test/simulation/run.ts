/** Live through a story, and hold the client to its promises. */

import { Browser, Tab } from "./browser.js";
import type { Client, Start } from "./client.js";
import { cursor, parse, ScriptedHub } from "./hub.js";
import { Network, type Connection } from "./network.js";
import { Reader } from "./reader.js";
import { CHANNELS, manner, TABS, tell, type Action, type Step, type Story } from "./story.js";
import { random, Violation, World } from "./world.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
// When troubles have ended: a token() that does not end (60 s), a backoff (60 s), a lock that is taken over (45 s),
// and a request that is given up (10 s and its wait, at most 55 s). A hidden tab is woken once a minute for each.
const LIVE_MS = 240 * SECOND;
const HIDDEN_MS = 180 * SECOND;
// From publish to listener in a page that is seen; of hidden ones, after their rest.
const PROMPT_MS = 12 * SECOND;
const PROMPT_HIDDEN_MS = 130 * SECOND;
// Requests of a tab in a minute to which nothing happens: waits of a second, if a page or a proxy makes them so short,
// of which each ends up to 20 % early, and retries; and for each thing that happens.
const CALM_REQUESTS = 110;
// From the end of a hub until nothing of it is left: readers that leave are gathered for 10 ms.
const LEFT_MS = 50;
const REQUESTS_EACH = 8;

interface Slot {
  name: string;
  storage: Record<string, string>;
  tab?: Tab;
  hub?: ReturnType<Client["connect"]>;
  poll?: ReturnType<Client["poll"]>;
  readers: Reader[];
  value?: number;
  /** Whether it ended without a word. */
  crashed?: boolean;
  /** Until when, in the time of its timers, the hub asked it to pause. */
  owed: number;
}

export interface Outcome {
  violation?: Violation;
  /** What happened, in words. */
  lines: string[];
  requests: number;
  events: number;
  gaps: number;
  /** Virtual milliseconds. */
  lived: number;
  /** The most requests of a minute, as a part of what is allowed. */
  busiest: number;
}

export const run = async (story: Story, start: Start): Promise<Outcome> => {
  const life = new Run(story, start);
  try {
    await life.all();
  } catch (error) {
    life.violation ??= error instanceof Violation ? error : new Violation("no exception", String((error as Error)?.stack ?? error));
  }
  return life.outcome();
};

class Run {
  violation?: Violation;
  private lines: string[] = [];
  private world = new World();
  private network = new Network(this.world);
  private chance: () => number;
  private hub: ScriptedHub;
  private browser: Browser;
  private slots: Slot[];
  /** Troubles that go on, and what ends each. */
  private troubles = new Set<() => void>();
  private asleep = false;
  private tokens: "" | "fail" | "slow" | "hang" = "";
  /** When something happened to which a client may react by a request. */
  private stirs: number[] = [];
  private counts = new Map<string, number[]>();
  private busiest = 0;
  private requests = 0;
  private readers: Reader[] = [];
  private began: number;

  constructor(
    readonly story: Story,
    start: Start,
  ) {
    this.world.now = this.began = Date.UTC(2026, 0, 1);
    this.chance = random(story.seed + 0.5 * 2 ** 31);
    this.hub = new ScriptedHub(this.world, this.network, this.chance, { ...story.setting, tokens: story.setting.tokens });
    this.hub.onPause = ({ tab }, ms) => {
      const slot = this.slots.find((one) => one.tab == tab);
      if (slot) slot.owed = Math.max(slot.owed, tab.lived + Math.min(86_400_000, ms));
    };
    this.browser = new Browser(this.world, this.network, start, this.chance, story.setting.refuses);
    this.slots = TABS.map((name) => ({ name, storage: {}, readers: [], owed: 0 }));
    if (process.env.SIMULATE_LOG)
      this.network.onResponse = ({ tab, path }, status, text) => this.say(`    ${tab.name} has ${status} of ${path} ${text.slice(0, 3000)}`);
    this.network.onFetch = (connection) => this.asked(connection);
  }

  outcome(): Outcome {
    const sum = (of: (reader: Reader) => number) => this.readers.reduce((all, reader) => all + of(reader), 0);
    return {
      violation: this.violation,
      lines: this.lines,
      requests: this.requests,
      events: sum(({ heard }) => heard),
      gaps: sum(({ gaps }) => gaps),
      lived: this.world.now - this.began,
      busiest: this.busiest,
    };
  }

  async all(): Promise<void> {
    for (const [n, slot] of this.slots.entries()) {
      this.read(slot, CHANNELS[n]!, { iterates: false, slow: 0 });
      this.read(slot, "a", { iterates: n == 2, slow: 0 });
      this.open(slot);
      await this.pass(300);
    }
    for (const step of this.story.steps) {
      await this.pass(step.pause);
      this.say(tell(step));
      this.stir();
      if (step.action == "calm") await this.calm();
      else this.act(step);
      await this.pass(0);
    }
    this.say("at the end, every trouble ends, and it is quiet");
    await this.calm();
    await this.leave();
  }

  private say(text: string): void {
    const seconds = Math.floor((this.world.now - this.began) / SECOND);
    const clock = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, "0"));
    this.lines.push(`day ${1 + Math.floor(seconds / 86_400)} ${clock.join(":")}  ${text}`);
  }

  private broken = (error: unknown) => {
    this.world.halted = true;
    this.violation ??= error instanceof Violation ? error : new Violation("no exception", String(error));
  };

  private async pass(ms: number): Promise<void> {
    await this.world.pass(ms);
    if (this.violation) throw this.violation;
    for (const { tab, hub, readers } of this.slots)
      if (tab && hub && !tab.stopped && hub.state == "live") {
        const cursors = hub.debug().cursors as Record<string, string>;
        for (const reader of readers) if (!reader.ended && /^e\d/.test(cursors[reader.channel] ?? "")) reader.settled();
      }
  }

  // -- promises about requests -----------------------------------------------------

  private stir(): void {
    this.stirs.push(this.world.now);
  }

  private asked(connection: Connection): boolean {
    const { path, tab } = connection;
    if (process.env.SIMULATE_LOG) this.say(`    ${tab.name} asks ${path} ${JSON.stringify(connection.body ?? "")}`);
    this.requests++;
    const now = this.world.now;
    const recent = (times: number[]) => {
      while (times[0]! < now - MINUTE) times.shift();
      return times.length;
    };
    if (path == "/v1/publish") {
      this.stir();
      return true;
    }
    const key = tab.name + path;
    const times = this.counts.get(key) ?? this.counts.set(key, []).get(key)!;
    times.push(now);
    const polls = path == "/value" ? MINUTE / this.story.setting.every : 0;
    const most = CALM_REQUESTS + polls + REQUESTS_EACH * recent(this.stirs);
    this.busiest = Math.max(this.busiest, recent(times) / most);
    if (recent(times) > most) this.fail("no busy loop", `${tab.name} sent ${times.length} requests to ${path} within a minute`);
    if (path == "/v1/poll" && this.network.of(tab).length > 1) this.fail("one request at a time", `${tab.name} has two`);
    return !this.violation;
  }

  private fail(rule: string, detail: string): Violation {
    this.world.halted = true;
    return (this.violation ??= new Violation(rule, detail));
  }

  // -- tabs ------------------------------------------------------------------------

  private token = (tab: Tab) => (): Promise<string> =>
    new Promise((done, fail) => {
      const answer = () => {
        const seconds = 60 + Math.floor(this.chance() * 3600);
        const claims = { sub: "u", made: this.world.now, exp: this.world.now / 1000 + seconds };
        if (this.tokens == "fail") fail(new TypeError("login"));
        else done(`h.${btoa(JSON.stringify(claims))}.s`);
      };
      if (this.tokens != "hang") this.world.after(this.tokens == "slow" ? 5 * SECOND : 3, () => tab.task(answer));
    });

  private open(slot: Slot): void {
    const { setting } = this.story;
    this.stir();
    const tab = (slot.tab = new Tab(this.browser, slot.name, slot.storage));
    if (this.asleep) tab.stop("sleep");
    this.connect(slot, tab, setting);
  }

  private connect(slot: Slot, tab: Tab, setting: Story["setting"]): void {
    slot.hub = tab.client.connect("http://hub", {
      transport: setting.transport,
      ...(setting.tokens && { token: this.token(tab) }),
      ...(!setting.share && { tabs: false }),
      wait: setting.wait,
    });
    slot.owed = 0;
    slot.value = undefined;
    slot.poll = tab.client.poll("http://hub/value", { every: setting.every });
    slot.poll.on((value) => {
      const next = Number(value);
      if (slot.value! > next) this.broken(new Violation("a value never goes back", `${slot.name} heard ${next} after ${slot.value}`));
      slot.value = next;
    });
    for (const reader of this.unended(slot)) this.start(slot, reader);
    slot.crashed = false;
  }

  private unended(slot: Slot): Reader[] {
    return slot.readers.filter(({ ended }) => !ended);
  }

  private start(slot: Slot, reader: Reader): void {
    const shared = this.unended(slot).filter(({ channel, since }) => channel == reader.channel && !since);
    const stored = slot.crashed && Object.values(slot.storage).map((text) => JSON.parse(text).cursors[reader.channel])[0];
    reader.start(slot.hub!, slot.tab!, this.broken, shared, stored ? parse(stored) : undefined);
  }

  private read(slot: Slot, channel: string, { iterates, since, slow }: { iterates: boolean; since?: string; slow: number }): Reader {
    const reader = new Reader(this.hub, slot.name, channel, iterates, since, slow);
    slot.readers = [...this.unended(slot), reader];
    this.readers.push(reader);
    return reader;
  }

  /** The page ends. */
  private shut(slot: Slot, crash: boolean): void {
    const { tab } = slot;
    if (!tab) return;
    if (!crash) tab.say("pagehide", { persisted: false });
    tab.end();
    slot.tab = slot.hub = slot.poll = undefined;
  }

  /** It lasts so long, or until it is calm. */
  private lasts(ms: number, end: () => void): void {
    const finish = () => {
      if (!this.troubles.delete(finish)) return;
      this.stir();
      end();
    };
    this.troubles.add(finish);
    this.world.after(ms, finish);
  }

  // -- what happens ----------------------------------------------------------------

  private act({ action, tab: number, channel: index, lasts, luck }: Step): void {
    const { hub, network, browser } = this;
    const slot = this.slots[number]!;
    const { tab } = slot;
    const channel = CHANNELS[index]!;
    /** The page, if it is there and runs. */
    const page = tab && !tab.stopped && slot.hub ? tab : undefined;
    const acts: Record<Exclude<Action, "calm">, () => void> = {
      publish: () => void hub.publish(channel, 1 + Math.floor(luck * luck * 12)),
      publishFromTab: () => page && void slot.hub!.publish(channel, 1).catch(() => {}),
      setValue: () => hub.set(),
      subscribe: () => {
        if (!page || this.unended(slot).length > 5) return;
        const how = manner(luck);
        const end = hub.end(channel);
        const since = how.since == "cursor" ? cursor(end.life, end.offset) : how.since;
        // A page that has a reader of the channel goes on where that stands; it has no position of its own.
        this.start(slot, this.read(slot, channel, { ...how, since }));
      },
      unsubscribe: () => page && this.unended(slot).find((one) => one.channel == channel)?.leave(),
      freeze: () => {
        if (!page) return;
        page.stop("freeze");
        this.lasts(lasts, () => {
          page.go("freeze");
          if (luck < 0.3) page.hide(!page.hidden);
        });
      },
      hide: () => page?.hide(true),
      show: () => page?.hide(false),
      goBack: () => {
        if (!page) return;
        page.say("pagehide", { persisted: true });
        page.stop("back/forward cache");
        for (const one of [...network.open]) if (one.tab == page) one.cut();
        this.world.after(100, () => {
          if (page.alive && page.stopped && this.browser.locks.of(page)) this.fail("nothing is held in the back/forward cache", `${slot.name} has a lock`);
        });
        this.lasts(Math.max(200, lasts), () => {
          page.go("back/forward cache");
          page.say("pageshow", { persisted: true });
        });
      },
      reload: () => {
        if (!page) return;
        if (luck < 0.5) for (const one of [...network.open]) if (one.tab == page) one.cut();
        this.lasts(50, () => {
          if (slot.tab != page) return;
          this.shut(slot, false);
          this.open(slot);
        });
      },
      crash: () => {
        if (!tab || this.asleep) return;
        this.shut(slot, true);
        slot.crashed = true;
        this.lasts(lasts, () => slot.tab ?? this.open(slot));
      },
      closeTab: () => {
        if (!page) return;
        this.shut(slot, false);
        slot.storage = {};
        for (const reader of slot.readers) reader.ended ||= "closed";
        this.read(slot, channel, { iterates: false, slow: 0 });
        this.lasts(lasts, () => slot.tab ?? this.open(slot));
      },
      closeHub: () => {
        if (!page) return;
        this.closeHub(slot);
        const closed = this.world.now;
        this.lasts(lasts, () => {
          if (slot.tab != page || slot.hub) return;
          if (this.world.now - closed > LEFT_MS && !page.hidden && !page.stopped) this.clean(slot);
          this.read(slot, channel, { iterates: false, slow: 0 });
          this.connect(slot, page, this.story.setting);
        });
      },
      sleep: () => {
        if (this.asleep) return;
        this.asleep = true;
        const still = luck < 0.5;
        for (const one of this.slots) one.tab?.stop("sleep", still);
        const before = this.world.now;
        if (luck % 0.5 < 0.25) network.silence();
        else network.cutAll();
        this.lasts(lasts, () => {
          this.asleep = false;
          for (const { tab } of this.slots) {
            if (!tab) continue;
            if (still) tab.stood += this.world.now - before;
            tab.go("sleep");
            if (luck % 0.1 < 0.05) tab.say("visibilitychange");
            if (luck % 0.05 < 0.02) tab.say("online");
          }
        });
      },
      clockStep: () => (browser.step += luck < 0.5 ? -lasts : lasts),
      loseNetwork: () => {
        const told = luck < 0.5;
        network.trouble = "down";
        network.cutAll();
        if (told) this.tell("offline");
        this.lasts(lasts, () => {
          network.trouble = "";
          if (told) this.tell("online");
        });
      },
      silence: () => {
        network.trouble = "silent";
        network.silence();
        this.lasts(lasts, () => (network.trouble = ""));
      },
      changeNetwork: () => {
        network.silence();
        this.tell("online");
      },
      cutAll: () => network.cutAll(),
      proxyCuts: () => {
        network.cuts = Math.max(50, Math.min(lasts, MINUTE));
        this.lasts(10 * MINUTE, () => (network.cuts = Infinity));
      },
      slowNetwork: () => {
        network.latency = Math.min(lasts, 8 * SECOND);
        this.lasts(10 * MINUTE, () => (network.latency = 2));
      },
      proxyKeeps: () => {
        network.keeps = this.story.setting.transport == "sse";
        this.lasts(lasts, () => (network.keeps = false));
      },
      lateBodies: () => {
        network.apart = Math.min(lasts, 20 * SECOND);
        this.lasts(5 * MINUTE, () => (network.apart = 0));
      },
      restart: () => {
        hub.crash();
        this.lasts(lasts, () => (hub.up = true));
      },
      newEpoch: () => {
        hub.crash();
        this.lasts(lasts, () => {
          hub.renew();
          hub.up = true;
        });
      },
      drain: () => {
        hub.drain(lasts);
        this.lasts(2 * SECOND, () => {});
      },
      overload: () => this.refuse(503, lasts, 2 * MINUTE),
      tooMany: () => this.refuse(429, lasts, 20 * SECOND),
      broken: () => this.refuse(502, 0, lasts, "<h1>Bad Gateway</h1>"),
      goneStatus: () => this.refuse(410, 0, lasts),
      forbid: () => hub.forbidden.add(channel),
      remove: () => hub.remove(channel),
      trim: () => hub.trim(channel, Math.floor(luck * 3)),
      endTokens: () => (hub.revoked = this.world.now),
      slowTokens: () => {
        this.tokens = luck < 0.4 ? "fail" : luck < 0.8 ? "slow" : "hang";
        this.lasts(lasts, () => (this.tokens = ""));
      },
      impatient: () => {
        hub.impatient = luck < 0.5 ? "empty" : "plain";
        this.lasts(lasts, () => (hub.impatient = ""));
      },
    };
    acts[action as keyof typeof acts]();
  }

  private tell(type: string): void {
    for (const { tab } of this.slots) tab?.say(type);
  }

  private refuse(status: number, after: number, ms: number, body?: string): void {
    const headers = after ? { "Retry-After": String(Math.ceil(after / 1000)) } : undefined;
    this.hub.refusal = { status, headers, body };
    this.lasts(ms, () => (this.hub.refusal = undefined));
  }

  // -- when it is calm -------------------------------------------------------------

  /** Every trouble ends; within its bound each page is live, and has all that was published. */
  private async calm(): Promise<void> {
    for (const end of [...this.troubles]) end();
    this.hub.forbidden.clear();
    Object.assign(this.network, { trouble: "", cuts: Infinity, latency: 2, keeps: false, apart: 0 });
    const slow = this.readers.map((reader) => [reader, reader.slow] as const);
    for (const reader of this.readers) reader.slow = 0;
    const hidden = this.slots.some(({ tab }) => tab?.hidden);
    const owed = Math.max(0, ...this.slots.map(({ tab, owed }) => (tab ? owed - tab.lived : 0)));
    await this.pass(LIVE_MS + owed + (hidden ? HIDDEN_MS : 0));
    const open = this.slots.filter(({ tab, hub }) => tab && hub);
    for (const { name, hub, readers } of open)
      // This hub refuses single channels only.
      if (hub!.state == "closed") throw new Violation("live again", `${name} is closed: ${this.debug()}`);
      else if (hub!.state != "live" && readers.some(({ ended }) => !ended))
        throw new Violation("live again", `${name} is ${hub!.state}: ${this.debug()}`);
    this.stir();
    for (const channel of CHANNELS) this.hub.publish(channel);
    this.hub.set();
    await this.pass(Math.max(hidden ? PROMPT_HIDDEN_MS : PROMPT_MS, 0));
    for (const slot of open) {
      for (const reader of this.unended(slot)) reader.check();
      if (this.unended(slot)[0] && slot.hub!.state != "live") throw new Violation("live again", `${slot.name} is ${slot.hub!.state}`);
    }
    const { setting } = this.story;
    await this.pass(setting.every + (hidden ? MINUTE : 0));
    for (const { name, value } of open)
      if (value != this.hub.value) throw new Violation("a value arrives", `${name} has ${value}, and it is ${this.hub.value}`);
    const held = open.map(({ tab }) => this.network.of(tab!).length).reduce((sum, one) => sum + one, 0);
    if (setting.share && !setting.refuses.locks && !setting.refuses.bus && held > 1)
      throw new Violation("one request for all tabs", `${held} requests are held: ${this.debug()}`);
    if (setting.share)
      for (const { body } of this.network.open) {
        const read = new Set(this.readers.filter(({ ended }) => !ended).map(({ channel }) => channel));
        for (const channel of Object.keys(body?.channels ?? {}))
          if (!read.has(channel)) throw new Violation("only what is read is asked for", `${channel}, by ${this.debug()}`);
      }
    for (const [reader, ms] of slow) reader.slow = ms;
  }

  /** What each client says of itself. */
  private debug(): string {
    const of = ({ name, hub, tab }: Slot) => `\n    ${name}: ${JSON.stringify({ ...hub?.debug(), hidden: tab?.hidden, held: tab && this.network.of(tab).length })}`;
    return this.slots.map(of).join("");
  }

  private closeHub(slot: Slot): void {
    for (const reader of slot.readers) reader.ended ||= "left";
    slot.hub!.close();
    slot.poll!.stop();
    slot.hub = slot.poll = undefined;
  }

  /** A hub that is closed leaves nothing in its page. */
  private clean({ tab, name, hub }: Slot): void {
    if (!tab || hub) return;
    const left = {
      timers: tab.timers.size,
      listeners: tab.listeners,
      locks: this.browser.locks.of(tab),
      channels: [...this.browser.buses].filter((bus) => bus.tab == tab).length,
      requests: [...this.network.open].filter((one) => one.tab == tab && one.path != "/v1/publish").length,
    };
    if (Object.values(left).some(Boolean)) throw this.fail("nothing is left", `${name} has ${JSON.stringify(left)}`);
  }

  /** All hubs are closed, then all pages. */
  private async leave(): Promise<void> {
    this.say("every page closes its hub");
    for (const slot of this.slots) if (slot.hub) this.closeHub(slot);
    await this.pass(2 * MINUTE);
    for (const slot of this.slots) this.clean(slot);
    const held = [...this.hub.held].filter(({ connection }) => !connection.silent).length;
    if (held) throw new Violation("nothing is left", `the hub has ${held} requests`);
  }
}
