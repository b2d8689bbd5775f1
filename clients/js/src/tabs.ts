/** One request for all tabs: whoever has the lock asks, and tells the others what it reads. */

import type { News, Share } from "./hub.js";

/** What goes over the BroadcastChannel. */
interface Letter {
  /** Whoever asks from now on wants to know what the others read. */
  hello?: true;
  /** From whoever asks. */
  news?: News;
  /** What a tab reads, and whether it is seen. */
  tab?: { id: string; reads: [channel: string, at: string][]; seen: boolean };
}

// After this the tab that asks is asked for a sign of life, which a held request gives by itself.
const SILENCE_MS = 40_000;
// It may be slow, but not so slow: its page is stopped, by a dialogue or a debugger.
const ANSWER_MS = 5000;

export const shareTabs: Share = (key, hub) => {
  const { locks } = navigator;
  // There are no locks without https: then every tab asks for itself.
  if (!locks) return;

  const { readers } = hub;
  const me = Math.random().toString(36).slice(2);
  /** The tabs that this one asks for, and whether they are seen. */
  const tabs = new Map<string, boolean>();
  let leading = false;
  let bus: BroadcastChannel | undefined;
  /** Gives back every lock. */
  let leaving: AbortController;
  let watch: ReturnType<typeof setTimeout> | undefined;

  const send = (letter: Letter) => bus?.postMessage(letter);

  const hold = (name: string, granted: () => unknown, steal?: boolean) => {
    const { signal } = leaving;
    const given = () => {
      granted();
      return new Promise((done) => signal.addEventListener("abort", done));
    };
    return locks.request(`${key}/${name}`, steal ? { steal } : { signal }, given).catch(() => {});
  };

  const post = (news: News) => {
    if (leading) send({ news });
  };

  /** Tell whoever asks what is read here. */
  const changed = () => {
    const reads: [string, string][] = [];
    for (const { channel, at, full } of readers) if (!full?.()) reads.push([channel, at]);
    if (!leading) send({ tab: { id: me, reads, seen: !document.hidden } });
  };

  const forget = (id: string) => {
    for (const reader of [...readers]) if (reader.tab == id) readers.delete(reader);
  };

  /** Ask for another tab too, as long as it lives: that is, as long as it has its lock. */
  const adopt = ({ id, reads, seen }: NonNullable<Letter["tab"]>) => {
    if (!tabs.has(id))
      locks.request(`${key}/${id}`, { signal: leaving.signal }, () => {
        tabs.delete(id);
        forget(id);
        hub.changed();
      }).catch(() => {});
    tabs.set(id, seen);
    forget(id);
    for (const [channel, at] of reads) readers.add({ channel, at, tab: id });
    post({ state: hub.state() });
    hub.changed();
  };

  const lead = (yes: boolean) => {
    leading = yes;
    hub.lead(yes);
    if (yes) return send({ hello: true });
    for (const id of tabs.keys()) forget(id);
    tabs.clear();
  };

  const apply = (steal?: boolean) => {
    const { signal } = leaving;
    void hold("lead", () => lead(true), steal).then(() => {
      // Taken by another, which thought that this page had stopped.
      if (signal.aborted || !leading) return;
      lead(false);
      apply();
    });
  };

  const listen = () => {
    clearTimeout(watch);
    watch = setTimeout(() => {
      changed();
      watch = setTimeout(() => leading || apply(true), ANSWER_MS);
    }, SILENCE_MS);
  };

  const enter = () => {
    leaving = new AbortController();
    bus = new BroadcastChannel(key);
    bus.onmessage = ({ data: { hello, news, tab } }: { data: Letter }) => {
      listen();
      if (hello) changed();
      if (news && !leading) hub.hear(news);
      if (tab && leading) adopt(tab);
    };
    void hold(me, () => {
      changed();
      apply();
      listen();
    });
  };

  const leave = () => {
    clearTimeout(watch);
    leaving.abort();
    bus?.close();
    bus = undefined;
    lead(false);
  };

  // A page in the back/forward cache asks for nobody, and may not hold a lock.
  const show = (event: PageTransitionEvent) => event.persisted && enter();
  addEventListener("pagehide", leave);
  addEventListener("pageshow", show);
  enter();

  return {
    post,
    changed,
    seen: () => [...tabs.values()].includes(true),
    close() {
      leave();
      removeEventListener("pagehide", leave);
      removeEventListener("pageshow", show);
    },
    debug: () => ({ leading, tabs: tabs.size }),
  };
};
