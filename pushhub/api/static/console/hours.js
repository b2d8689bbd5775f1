// The last hour of each process: what it kept before this page was opened, and what it has told since.

const KEEP_SECONDS = 3600;
const HOLE_SECONDS = 35; // three samples and a half: this page has missed some

export class Hours {
  constructor() {
    this.processes = new Map(); // id → {id, node, pid, points, heard}
    this.changes = 0;
  }

  of({ id, node, pid }, time) {
    let process = this.processes.get(id);
    if (!process) this.processes.set(id, process = { id, node, pid, points: [], heard: 0 });
    process.heard = Math.max(process.heard, time / 1000);
    return process;
  }

  /** The whole hour of a process, told at `time` (ms). */
  take(told, time) {
    const { ago, ...figures } = told.hour;
    const points = ago.map((one, i) => ({ at: time / 1000 - one, ...Object.fromEntries(Object.entries(figures).map(([name, values]) => [name, values[i]])) }));
    const process = this.of(told, time);
    const last = points.at(-1)?.at ?? 0;
    process.points = [...points, ...process.points.filter(({ at }) => at > last + 1)];
    process.whole = true;
    this.changes += 1;
  }

  /** The newest point of a process, which comes with each second's figures. */
  add(told, time) {
    const process = this.of(told, time);
    const { latest } = told.figures;
    if (!latest) return;
    const at = time / 1000 - latest.ago;
    const last = process.points.at(-1)?.at ?? 0;
    if (at <= last + 1) return;
    if (process.points.length && at - last > HOLE_SECONDS) process.whole = false;
    process.points.push({ ...latest, at });
    while (process.points[0].at < at - KEEP_SECONDS) process.points.shift();
    this.changes += 1;
  }

  /** Those that have told something in the last hour, by their names. */
  all(now) {
    for (const [id, { heard }] of this.processes) if (now - heard > KEEP_SECONDS) this.processes.delete(id);
    return [...this.processes.values()].sort((a, b) => a.node.localeCompare(b.node) || a.pid - b.pid);
  }

  /** Whether the hour of a process is to be asked for. */
  get incomplete() {
    return [...this.processes.values()].some(({ whole }) => !whole);
  }
}
