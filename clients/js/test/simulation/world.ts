/** Virtual time and seeded randomness: one seed decides everything, and no test waits. */

/** A broken promise. `rule` names the promise; the rest tells the case. */
export class Violation extends Error {
  constructor(
    readonly rule: string,
    detail: string,
  ) {
    super(`${rule}: ${detail}`);
  }
}

/** Numbers of a seed, uniform in [0, 1): mulberry32. */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
};

export interface Task {
  at: number;
  order: number;
  /** Left out when it was cancelled. */
  run?: () => void;
}

// So many tasks at one instant are a loop without a pause.
const MOST_AT_ONCE = 20_000;

/** Let every promise that is settled have its effect. */
const settle = () => new Promise<void>((done) => setImmediate(done));

/** The clock, which jumps to the next task. */
export class World {
  now = 0;
  /** A binary heap by time, then by order. */
  private heap: Task[] = [];
  private order = 0;
  private atOnce = 0;
  /** Nothing happens any more. */
  halted = false;

  after(ms: number, run: () => void): Task {
    const task: Task = { at: this.now + Math.max(0, ms), order: this.order++, run };
    const { heap } = this;
    let at = heap.push(task) - 1;
    for (let up = (at - 1) >> 1; at && earlier(task, heap[up]!); at = up, up = (at - 1) >> 1) {
      heap[at] = heap[up]!;
      heap[up] = task;
    }
    return task;
  }

  cancel(task?: Task): void {
    if (task) task.run = undefined;
  }

  /** Live through so many milliseconds. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    await settle();
    for (;;) {
      const next = this.heap[0];
      if (this.halted || !next || next.at > end) break;
      this.pop();
      if (!next.run) continue;
      this.atOnce = next.at == this.now ? this.atOnce + 1 : 0;
      if (this.atOnce > MOST_AT_ONCE) throw new Violation("no busy loop", "time stands still");
      this.now = next.at;
      next.run();
      await settle();
    }
    this.now = end;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop()!;
    if (!heap.length) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && earlier(heap[down + 1]!, heap[down]!)) down++;
      if (!earlier(heap[down]!, last)) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
  }
}

const earlier = (one: Task, other: Task) => one.at < other.at || (one.at == other.at && one.order < other.order);
