/** One request for all tabs: the tab with the lock sends it, and tells the others what it reads. */

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
// Browsers cut the requests of a page that is left before the page itself ends. The others hear that the
// hub cannot be reached after the first retry, which a page that is left does not live to see.
const OFFLINE_MS = 1500;

export const shareTabs: Share = (key, hub) => {
  const { readers } = hub;
  let locks: LockManager;
  /** Another name each time, so that nobody waits for its lock yet. */
  let me: string;
  /** The tabs that this one asks for, and whether they are seen. */
  const tabs = new Map<string, boolean>();
  let leading = false;
  /** Whether another tab was ever heard. */
  let heard = false;
  let bus: BroadcastChannel | undefined;
  /** Gives back every lock. */
  let leaving: AbortController;
  let watch: ReturnType<typeof setTimeout> | undefined;
  let offline: ReturnType<typeof setTimeout> | undefined;
  let patience: ReturnType<typeof setTimeout> | undefined;

  const send = (letter: Letter) => {
    try {
      bus?.postMessage(letter);
    } catch {
      alone();
    }
  };

  /** Browsers refuse locks by an absence, an exception or a rejection: here all are rejections. */
  const lock = async (name: string, options: LockOptions, granted: () => unknown) =>
    locks.request(`${key}/${name}`, options, granted);

  /** Have a lock until this tab leaves. Settles when the lock is lost, or was refused. */
  const hold = (name: string, granted: () => unknown, steal?: boolean) => {
    const { signal } = leaving;
    const given = () => {
      granted();
      return new Promise((done) => signal.addEventListener("abort", done));
    };
    return lock(name, steal ? { steal } : { signal }, given).catch(() => {
      // Taken by another tab, which thought that this page had stopped; else refused by the browser.
      if (signal.aborted) return;
      if (!leading) return alone();
      lead(false);
      void apply();
    });
  };

  const post = (news: News) => {
    if (!leading) return;
    if (news.state == "offline") return void (offline ??= setTimeout(() => (calm(), send({ news })), OFFLINE_MS));
    if (news.state) calm();
    send({ news });
  };

  const calm = () => {
    clearTimeout(offline);
    offline = undefined;
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
      lock(id, { signal: leaving.signal }, () => {
        tabs.delete(id);
        forget(id);
        hub.changed();
      }).catch(() => {});
    tabs.set(id, seen);
    forget(id);
    for (const [channel, at] of reads) readers.add({ channel, at, tab: id });
    // A sign of life comes at once, also in an outage.
    send({ news: {} });
    post({ state: hub.state() });
    hub.changed();
  };

  const lead = (yes: boolean) => {
    leading = yes;
    calm();
    hub.lead(yes);
    if (yes) return send({ hello: true });
    for (const id of tabs.keys()) forget(id);
    tabs.clear();
  };

  const apply = (steal?: boolean) => hold("lead", () => lead(true), steal);

  const listen = () => {
    clearTimeout(watch);
    watch = setTimeout(() => {
      changed();
      // A tab that never answered anything is not heard here at all, or its page has stopped: until it is heard,
      // this one asks for itself.
      watch = setTimeout(() => leading || (heard ? apply(true) : hub.lead(true)), ANSWER_MS);
    }, SILENCE_MS);
  };

  const enter = () => {
    me = Math.random().toString(36).slice(2);
    leaving = new AbortController();
    try {
      locks ??= navigator.locks;
      bus = new BroadcastChannel(key);
    } catch {
      return alone();
    }
    bus.onmessage = ({ data: { hello, news, tab } }: { data: Letter }) => {
      if (!heard && !leading) {
        hub.lead(false);
        changed();
      }
      heard = true;
      listen();
      if (hello) changed();
      if (news && !leading) hub.hear(news);
      if (tab && leading) adopt(tab);
    };
    void hold(me, () => {
      clearTimeout(patience);
      listen();
      changed();
      void apply();
    });
    // A lock of which nobody else knows the name is given at once, or not at all.
    patience = setTimeout(alone, ANSWER_MS);
  };

  const leave = () => {
    clearTimeout(patience);
    clearTimeout(watch);
    leaving.abort();
    bus?.close();
    bus = undefined;
    lead(false);
  };

  /** The browser refuses what tabs share by, so this one asks for itself. */
  const alone = () => {
    leave();
    hub.lead(true);
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
