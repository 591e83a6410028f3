/**
 * The mounts that entries are on, counted as entries come and go: how many of each kind, how many
 * have a twin on another mount, and which mounts refuse.
 */

import type { Refusal, Twins } from '../hazards/resources';
import type { EntryKind, Nodeid } from '../tables/identity';
import type { InodeTables } from '../tables/inodeTables';

export interface MountCount {
  readonly mntId: number;
  file: number;
  handle: number;
  invalid: number;
  refused: Refusal | null;
}

interface Pair {
  pairs: number;
  example: readonly [Nodeid, Nodeid];
}

export class MountTally {
  readonly #counts = new Map<number, MountCount>();
  readonly #twins = new Map<string, Pair>();
  /** Neighbouring events are mostly on one mount. */
  #last: MountCount | null = null;

  constructor(private readonly tables: InodeTables) {}

  /** An entry has come. */
  came(nodeid: Nodeid, mntId: number, kind: EntryKind): void {
    const count = this.#of(mntId);
    count[kind]++;
    if (kind === 'handle') count.refused = null;
    this.#pair(nodeid, mntId, 1);
  }

  /** An entry is about to go. */
  goes(nodeid: Nodeid, mntId: number, kind: EntryKind): void {
    const count = this.#of(mntId);
    this.#pair(nodeid, mntId, -1);
    count[kind]--;
    // A mount that nothing is on any more is out of play, unless it refuses.
    if (count.refused === null && !inUse(count)) this.#drop(mntId);
  }

  /** A lookup found a file that has a handle, but the mount's handles cannot be opened. */
  refuses(mntId: number, refusal: Refusal): void {
    this.#of(mntId).refused = refusal;
  }

  hasHandles(mntId: number): boolean {
    return (this.#counts.get(mntId)?.handle ?? 0) > 0;
  }

  get size(): number {
    return this.#counts.size;
  }

  /** In the order in which they were met. */
  all(): MountCount[] {
    return [...this.#counts.values()];
  }

  /** A mount that refuses, whose nothing is held: when it is out of sight, it is over. */
  forgetRefusal(mntId: number): void {
    const count = this.#counts.get(mntId);
    if (count === undefined) return;
    count.refused = null;
    if (!inUse(count)) this.#drop(mntId);
  }

  twins(): Twins[] {
    return [...this.#twins].map(([key, { pairs, example }]) => {
      const [low = 0, high = 0] = key.split('/').map(Number);
      return { low, high, pairs, example };
    });
  }

  /** Counts all that is in the tables. */
  recount(): void {
    this.clear();
    for (const { nodeid, kind, ids } of this.tables.entries()) {
      this.#of(ids.mntId)[kind]++;
      // Each pair is met from both sides.
      this.#pair(nodeid, ids.mntId, 1, (twin) => twin < nodeid);
    }
  }

  clear(): void {
    this.#counts.clear();
    this.#twins.clear();
    this.#last = null;
  }

  #of(mntId: number): MountCount {
    if (this.#last?.mntId === mntId) return this.#last;
    let count = this.#counts.get(mntId);
    if (count === undefined) {
      count = { mntId, file: 0, handle: 0, invalid: 0, refused: null };
      this.#counts.set(mntId, count);
    }
    this.#last = count;
    return count;
  }

  #drop(mntId: number): void {
    this.#counts.delete(mntId);
    this.#last = null;
    // What was counted as a pair under keys that changed hands since is over, too.
    for (const key of this.#twins.keys()) {
      if (key.split('/').includes(String(mntId))) this.#twins.delete(key);
    }
  }

  #pair(
    nodeid: Nodeid,
    mntId: number,
    by: 1 | -1,
    counts: (twin: Nodeid) => boolean = () => true,
  ): void {
    for (const twin of this.tables.twinsOf(nodeid)) {
      if (!counts(twin)) continue;
      const other = this.tables.mntIdOf(twin);
      const [low, high] = mntId < other ? [mntId, other] : [other, mntId];
      const key = `${low}/${high}`;
      const pair = this.#twins.get(key);
      if (pair === undefined) {
        if (by === 1) this.#twins.set(key, { pairs: 1, example: [twin, nodeid] });
        continue;
      }
      pair.pairs += by;
      if (by === 1) pair.example = [twin, nodeid];
      if (pair.pairs <= 0) this.#twins.delete(key);
    }
  }
}

function inUse({ file, handle, invalid }: MountCount): boolean {
  return file + handle + invalid > 0;
}
