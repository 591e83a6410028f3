/**
 * Entries of kind file whose file has no name any more, as found by looking at their descriptors,
 * with the bytes that the disk keeps for them. Summed by directory as they come and go.
 */

import type { Zombies } from '../hazards/resources';
import type { Nodeid } from '../tables/identity';
import { largest } from './largest';

interface Zombie {
  readonly directory: Nodeid;
  readonly bytes: number;
}

interface Group {
  count: number;
  bytes: number;
  /** When the first of them was found. */
  since: number;
}

export class ZombieBook {
  readonly #zombies = new Map<Nodeid, Zombie>();
  readonly #groups = new Map<Nodeid, Group>();
  #bytes = 0;

  get count(): number {
    return this.#zombies.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Directories that they were in. */
  get directories(): number {
    return this.#groups.size;
  }

  /** What a look at an entry's file said. */
  looked(nodeid: Nodeid, directory: Nodeid, nlink: number, bytes: number, time: number): void {
    // Where it was counted first it stays.
    const known = this.#zombies.get(nodeid)?.directory ?? directory;
    const since = this.#groups.get(known)?.since ?? time;
    this.drop(nodeid);
    if (nlink > 0) return;
    this.#zombies.set(nodeid, { directory: known, bytes });
    const group = this.#groups.get(known) ?? { count: 0, bytes: 0, since };
    group.count++;
    group.bytes += bytes;
    this.#bytes += bytes;
    this.#groups.set(known, group);
  }

  /** The entry is forgotten. */
  drop(nodeid: Nodeid): void {
    if (this.#zombies.size === 0) return;
    const zombie = this.#zombies.get(nodeid);
    if (zombie === undefined) return;
    this.#zombies.delete(nodeid);
    this.#bytes -= zombie.bytes;
    const group = this.#groups.get(zombie.directory);
    if (group === undefined) return;
    group.count--;
    group.bytes -= zombie.bytes;
    if (group.count === 0) this.#groups.delete(zombie.directory);
  }

  clear(): void {
    this.#zombies.clear();
    this.#groups.clear();
    this.#bytes = 0;
  }

  /** The directories with most, the costliest first. */
  largest(most: number, pathOf: (directory: Nodeid) => string | null): Zombies[] {
    return largest(this.#groups, most, ([, { bytes, count }]) => bytes + count).map(
      ([directory, group]) => ({ directory, path: pathOf(directory), ...group }),
    );
  }
}
