// From samples of processes to figures of the whole: sums, rates, quantiles, second by second.

const KEEP_SECONDS = 300;
const STALE_SECONDS = 4; // a process that says nothing for longer is not counted
const WINDOW = 10; // seconds that a quantile looks back on; one second alone has too few

const HISTOGRAMS = ["wake", "append", "read", "loop"];
const total = (counts) => Object.values(counts).reduce((sum, one) => sum + one, 0);

/** The value below which a share `q` of the observations is, in seconds; null without any. */
export function quantile(q, counts, bounds) {
  const all = counts.reduce((sum, one) => sum + one, 0);
  if (!all) return null;
  let below = 0;
  for (let i = 0; i < counts.length; i += 1) {
    if (below + counts[i] >= q * all && counts[i]) {
      if (i === bounds.length) return bounds[i - 1];
      const from = i ? bounds[i - 1] : 0;
      return from + ((bounds[i] - from) * (q * all - below)) / counts[i];
    }
    below += counts[i];
  }
  return bounds.at(-1);
}

/** What has happened between two samples of one process; null if they are not of one life. */
function between(older, newer, seconds) {
  const diff = (pick) => Math.max(0, pick(newer) - pick(older));
  return {
    published: diff((one) => one.published.ok) / seconds,
    delivered: diff((one) => one.delivered) / seconds,
    gaps: diff((one) => total(one.gaps)) / seconds,
    rejected: diff((one) => one.rejected) / seconds,
    failed: diff((one) => one.published.failed) / seconds,
    cpu: diff((one) => one.cpu) / seconds,
    fetches: diff((one) => one.origin?.fetches ?? 0) / seconds,
    fetchFailed: diff((one) => one.origin?.failed ?? 0) / seconds,
    ...Object.fromEntries(HISTOGRAMS.map((name) => [name, newer[name].map((count, i) => Math.max(0, count - older[name][i]))])),
  };
}

export class Figures {
  constructor(bounds) {
    this.bounds = bounds;
    this.processes = new Map(); // id → {node, pid, figures, rates, time, recent}
    this.seconds = []; // one point each, oldest first
    this.since = 0; // the second from which on somebody has always spoken
  }

  /** Take in a sample, told at `time` (ms). */
  add({ id, node, pid, figures }, time) {
    let process = this.processes.get(id);
    if (process && figures.time <= process.figures.time) return;
    let rates = null;
    if (process) rates = between(process.figures, figures, Math.max(0.2, figures.time - process.figures.time));
    else this.processes.set(id, process = { id, node, pid, recent: [] });
    Object.assign(process, { figures, rates, time });
    if (rates) process.recent = [...process.recent.filter((one) => time - one.time < WINDOW * 1000), { time, rates }];
    this.point(Math.floor(time / 1000));
  }

  /** The figures of a second: of whoever spoke lately. */
  point(second) {
    const last = this.seconds.at(-1);
    if (last && second < last.second) return;
    for (const [id, one] of this.processes) {
      if (second - one.time / 1000 > 60) this.processes.delete(id);
    }
    if (!last || second - last.second > STALE_SECONDS) this.since = second;
    const now = { second, ...this.sum(second) };
    if (last?.second === second) this.seconds.pop();
    // A line must not join what was before a silence with what came after.
    else if (last && second - last.second > STALE_SECONDS) this.seconds.push({ second: last.second + 1 });
    this.seconds.push(now);
    while (this.seconds[0].second < second - KEEP_SECONDS) this.seconds.shift();
  }

  quantile(q, counts) {
    return quantile(q, counts, this.bounds);
  }

  alive(second) {
    return [...this.processes.values()].filter((one) => second - one.time / 1000 <= STALE_SECONDS);
  }

  /** How long, in seconds, the first of those has said nothing who spoke lately while others go on; 0 if all speak. */
  silent(second) {
    const ages = [...this.processes.values()].map((one) => second - Math.max(one.time / 1000, this.since));
    return Math.max(0, ...ages.filter((age) => age > STALE_SECONDS));
  }

  sum(second) {
    const alive = this.alive(second);
    const add = (pick) => alive.reduce((sum, one) => sum + (pick(one) ?? 0), 0);
    const known = (pick) => (alive.some((one) => (pick(one) ?? null) !== null) ? add(pick) : null);
    const rate = (name) => known((one) => one.rates?.[name]);
    const at = (name, q) => quantile(q, this.recent(alive, name), this.bounds);
    return {
      processes: alive.length,
      silent: this.silent(second),
      holds: known((one) => one.figures.holds),
      channels: known((one) => one.figures.channels),
      sessions: known((one) => one.figures.sessions),
      tunnels: known((one) => one.figures.tunnels),
      memory: known((one) => one.figures.memory),
      tails: known((one) => one.figures.tail_bytes),
      published: rate("published"),
      delivered: rate("delivered"),
      gaps: rate("gaps"),
      rejected: rate("rejected"),
      failed: rate("failed"),
      cpu: rate("cpu"),
      wake50: at("wake", 0.5),
      wake99: at("wake", 0.99),
      loop99: at("loop", 0.99),
      append99: at("append", 0.99),
      store: {
        ready: alive.every((one) => one.figures.store.ready),
        hears: alive.every((one) => one.figures.store.hears),
        lag: Math.max(0, ...alive.map((one) => one.figures.store.lag)),
      },
      failing: alive.flatMap(({ node, pid, figures }) => (figures.canary ?? []).map((check) => ({ check, process: `${node} ${pid}` }))),
      origin: alive.some((one) => one.figures.origin),
      fetches: rate("fetches"),
      fetchFailed: rate("fetchFailed"),
      resources: known((one) => one.figures.origin?.resources),
      fetching: known((one) => one.figures.origin?.under_way),
      draining: alive.some((one) => one.figures.draining),
    };
  }

  recent(processes, name) {
    const counts = new Array(this.bounds.length + 1).fill(0);
    for (const { recent } of processes) {
      for (const { rates } of recent) rates[name].forEach((count, i) => { counts[i] += count; });
    }
    return counts;
  }

  /** How many were counted over all that is kept, of a rate by the second. */
  over(name) {
    return this.seconds.reduce((sum, one) => sum + (one[name] ?? 0), 0);
  }
}
