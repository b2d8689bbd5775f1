/** A reader of a page, and what it was promised: every event once, in order, or a gap is told. */

import type { Hub, Message } from "../../src/types.js";
import type { Tab } from "./browser.js";
import { parse, type ScriptedHub } from "./hub.js";
import { Violation } from "./world.js";

interface Position {
  life: number;
  offset: number;
}

const show = (at?: Position) => (at ? `e${at.life}-${at.offset}` : "no position");

/** The promise to one subscription; it goes on over reloads of its tab. */
export class Reader {
  /** The last event that was handed over, or where a gap said that reading goes on. */
  at?: Position;
  /** The position that the page knows to have been read, of an iterator. */
  read?: Position;
  /** What was published until the subscription was known to stand. */
  floor?: Position;
  /** Why it hears no more. */
  ended = "";
  heard = 0;
  gaps = 0;
  /** Where the tab goes on after a reload, if another reader of the channel was behind this one. */
  private low?: Position;
  private stop = () => {};
  private hub?: Hub;

  constructor(
    readonly world: ScriptedHub,
    readonly tab: string,
    readonly channel: string,
    readonly iterates: boolean,
    readonly since: string | undefined,
    /** Milliseconds that the page takes for an event, if it iterates. */
    readonly slow: number,
  ) {
    this.at = since ? parse(since) : undefined;
  }

  get name(): string {
    return `${this.tab}'s reader of ${this.channel}`;
  }

  get position(): Position | undefined {
    return this.iterates ? this.read : this.at;
  }

  /** Subscribe in a page: the first time, or after a reload from where the tab stopped. */
  start(hub: Hub, page: Tab, broken: (error: unknown) => void, shared: Reader[], stored?: Position): void {
    this.hub = hub;
    const options = { since: this.since };
    if (this.since || !page.browser.remembers) {
      this.at = this.since ? parse(this.since) : undefined;
      this.read = this.at;
      this.floor = undefined;
    } else {
      const stood = shared.map(({ position }) => position).filter((one) => one != undefined);
      // A tab that crashed may not have stored what an iterator had read last, and all readers of the channel share that.
      if (stored && shared.some(({ iterates }) => iterates)) stood.push(stored);
      if (this.position) this.low = stood.sort((one, other) => one.life - other.life || one.offset - other.offset)[0];
      this.at = this.position;
    }
    const take = (message: Message) => {
      try {
        this.take(message);
      } catch (error) {
        broken(error);
      }
    };
    if (!this.iterates) return void (this.stop = hub.on(this.channel, take, options));
    const end = new AbortController();
    this.stop = () => end.abort();
    const iterator = hub.channel(this.channel, { ...options, signal: end.signal });
    const next = async () => {
      try {
        for (;;) {
          this.read = this.at;
          const { done, value } = await iterator.next();
          if (done || !page.alive) return;
          take(value);
          if (this.slow) await new Promise<void>((go) => this.world.world.after(this.slow, () => page.task(go)));
        }
      } catch (error) {
        if (page.alive) this.ended = "refused";
      }
    };
    void next();
  }

  leave(): void {
    this.ended ||= "left";
    this.stop();
  }

  private take(message: Message): void {
    // What an iterator had read before it was left comes all the same.
    if (this.ended && this.iterates) return;
    if (this.ended) throw new Violation("an ended reader hears nothing", `${this.name} (${this.ended}) heard ${message.type ?? "an event"}`);
    if (message.type == "error") {
      this.ended = "refused";
      return;
    }
    if (message.type == "gap") return this.gap(message as { oldest: string; reason: string });
    const event = this.world.entries[message.data as number]!;
    const { life, offset } = event;
    if (event.channel != this.channel) throw new Violation("own channel only", `${this.name} heard an event of ${event.channel}`);
    const { at, floor, low } = this;
    const said = `${this.name} stood at ${show(at)} and heard ${show(event)}`;
    if (at) {
      if (life != at.life && life != low?.life) throw new Violation("a gap is told", `${said}, without a word of the new life`);
      if (offset <= (low?.life == life ? low : at).offset) throw new Violation("once", said);
      if (offset > at.offset + 1) throw new Violation("no silent skip", said);
    } else if (this.since == "earliest") {
      const before = this.world.entries.find((one) => one.channel == this.channel && one.life == life && one.offset == offset - 1);
      if (before && !before.trimmed) throw new Violation("earliest is the oldest", `${this.name} heard ${show(event)} first`);
    } else if (floor && (life != floor.life || offset > floor.offset + 1)) {
      throw new Violation("no silent skip", `${said} first, though it was live at ${show(floor)}`);
    }
    this.heard++;
    this.low = undefined;
    this.at = { life, offset };
  }

  private gap({ oldest, reason }: { oldest: string; reason: string }): void {
    const to = parse(oldest)!;
    const at = this.low ?? this.at;
    if (at) {
      const next = this.world.entries.find((one) => one.channel == this.channel && one.life == at.life && one.offset == at.offset + 1);
      // It is true if the log began again, or if the next event was removed.
      if (at.life == this.world.life && (!next || !next.trimmed))
        throw new Violation("no false gap", `${this.name} at ${show(at)} was told ${reason}, to ${oldest}`);
    }
    this.gaps++;
    this.low = undefined;
    this.at = to;
  }

  /** The page is live and knows the position: from now on all is promised. */
  settled(): void {
    if (!this.floor && !this.at) this.floor = this.world.end(this.channel);
  }

  /** Whether all that was published has been handed over. */
  check(): void {
    if (this.ended) return;
    const end = this.world.end(this.channel);
    const at = this.at ?? this.floor;
    const where = `${this.name} stands at ${show(at)}, the log at ${show(end)}, the page is ${this.hub?.state}`;
    if (!at || at.life != end.life || at.offset != end.offset) throw new Violation("nothing is lost", where);
  }
}
