/**
 * Who owned a number, and when: the ids keys that belonged to more than one entry, folded from the
 * same events as the tables. A lane is one key of `inodes_by_ids`; its bars are the entries that had
 * it, from insert to removal. Where bars of different files overlap, the number was used again while
 * the guest still held the old file; where they follow each other, nothing happened.
 *
 * Bounded: of what makes room for newer things it is counted how much.
 */

import { generationOf } from '../hazards/generation';
import { nameText } from '../protocol/text';
import { hashHandle } from '../tables/handleHeap';
import type { EntryKind, FileHandle, Ids, Nodeid } from '../tables/identity';
import { MAX_HANDLE_BYTES, NO_NODEID } from '../tables/identity';
import type { Entry, InodeTables } from '../tables/inodeTables';
import type { VolumeFacts } from '../tables/recorder';
import type { FormerOwner, IdsKey } from './formerOwners';
import { FormerOwners, hashOfIds, isSameObject, NAME_BYTES } from './formerOwners';
import type { PathTable } from './pathTable';

/** A lookup that this entry answered though it is another file. */
export interface WrongAnswer {
  readonly time: number;
  /** `H11 UNPINNED ALIAS`. */
  readonly hazard: string;
  /** The path that was asked for. */
  readonly asked: string | null;
}

export interface LaneBar {
  readonly nodeid: Nodeid;
  readonly kind: EntryKind;
  /** Milliseconds since the epoch; null: before the daemon was watched. */
  readonly from: number | null;
  /** When the entry was removed; null while it lives. */
  to: number | null;
  /** When another entry took the key. */
  taken: number | null;
  /** When the entry's handle was found stale, and the errno. */
  stale: { readonly time: number; readonly errno: number } | null;
  readonly handle: number;
  readonly birth: number;
  readonly generation: number | null;
  /** The file's number within the lane, from 0; null when it cannot be told. */
  readonly owner: number | null;
  /** The path of a removed entry; a living one is asked for its newest. */
  path: string | null;
  readonly wrong: WrongAnswer[];
  wrongAnswers: number;
}

export interface Lane {
  readonly key: IdsKey;
  readonly bars: LaneBar[];
  /** Older bars that made room. */
  barsDropped: number;
  /** Files that are told apart. */
  owners: number;
  wrongAnswers: number;
  /** Milliseconds during which bars of different files overlapped, but for the overlap going on. */
  overlap: number;
  overlapSince: number | null;
  /** When something happened in the lane last. */
  changed: number;
  /** Another lane whose key has the same hash. */
  next: Lane | null;
}

export interface LaneLimits {
  readonly lanes: number;
  readonly bars: number;
  readonly barsOfLane: number;
  readonly former: number;
}

const LIMITS: LaneLimits = { lanes: 20_000, bars: 60_000, barsOfLane: 32, former: 65_536 };
/** The newest notches of a bar; the others are counted. */
const NOTCHES = 16;
/** FUSE_SUPER_MAGIC: handles that a FUSE server without export support gives change by themselves. */
const FUSE = 0x65735546;

/** What makes room last: wrong answers, then overlaps. */
const RANKS = 3;

export class NumberLanes {
  /** Grows with every change of what a view of the lanes shows. */
  version = 0;
  lanesDropped = 0;
  barsDropped = 0;
  readonly #former: FormerOwners;
  readonly #byHash = new Map<number, Lane>();
  /** By rank; the lane in which something happened last is the last of its set. */
  readonly #byRank: readonly Set<Lane>[] = Array.from({ length: RANKS }, () => new Set<Lane>());
  #size = 0;
  #bars = 0;
  /** Mounts whose handles say nothing about the file. */
  readonly #volatile = new Set<number>();
  /** By the tables' rows: when the entry came (NaN: unknown), and a hash of its file's birth. */
  #since = new Float64Array(64).fill(NaN);
  #birth = new Int32Array(64);

  constructor(
    private readonly tables: InodeTables,
    private readonly paths: PathTable,
    private readonly limits: LaneLimits = LIMITS,
  ) {
    this.#former = new FormerOwners(limits.former);
  }

  /** Every lane, in no order. */
  *lanes(): Generator<Lane> {
    for (const lanes of this.#byRank) yield* lanes;
  }

  get size(): number {
    return this.#size;
  }

  get bars(): number {
    return this.#bars;
  }

  /** Forgotten entries whose numbers are not watched for any more. */
  get formerDropped(): number {
    return this.#former.dropped;
  }

  get byteLength(): number {
    return this.#former.byteLength + this.#since.byteLength + this.#birth.byteLength;
  }

  /** What is known of a mount. */
  mounted({ mntId, fsType }: VolumeFacts): void {
    if (fsType === FUSE) this.#volatile.add(mntId);
    else this.#volatile.delete(mntId);
  }

  /**
   * An entry has come into a row.
   *
   * @param birth of birthHash
   * @param victim the living entry whose ids key it took, or 0
   */
  inserted(row: number, key: IdsKey, time: number, birth: number, victim: Nodeid): void {
    if (row >= this.#since.length) this.#grow(row + 1);
    this.#since[row] = time;
    this.#birth[row] = birth;
    const lane = victim === NO_NODEID ? this.#find(key) : this.#taken(victim, time);
    if (lane !== undefined) {
      this.#add(lane, this.#livingBar(this.tables.entryAt(row), row, lane.bars), time);
      return;
    }
    if (!this.#former.has(key)) return;
    const entry = this.tables.entryAt(row);
    if (!this.#former.hasOther(key, this.#handleOf(entry), birth)) return;
    const made = this.#make(key, time);
    this.#add(made, this.#livingBar(entry, row, made.bars), time);
  }

  #taken(victim: Nodeid, time: number): Lane | undefined {
    const found = this.#laneOf(victim, time);
    if (found !== undefined) found.bar.taken = time;
    return found?.lane;
  }

  /** An entry is about to be removed; its row and its name are still there. */
  removed(row: number, entry: Entry, time: number): void {
    const key = keyOf(entry.ids);
    const lane = this.#find(key);
    const bar = lane === undefined ? undefined : barOf(lane, entry.nodeid);
    if (lane === undefined || bar === undefined) {
      const generation = entry.handle === null ? null : generationOf(entry.handle);
      this.#former.add(key, {
        nodeid: entry.nodeid,
        kind: entry.kind,
        from: this.#sinceOf(row),
        to: time,
        handle: this.#handleOf(entry),
        birth: this.#birth[row] ?? 0,
        generation: generation === null ? null : Number(generation),
        parent: this.paths.parentOf(row),
        name: this.paths.nameOf(row) ?? NO_NAME,
      });
    } else {
      bar.to = time;
      bar.path = this.paths.pathOf(entry.nodeid, this.tables);
      this.#overlapEnds(lane, time);
      this.#touch(lane, time);
    }
    this.#since[row] = NaN;
    this.#birth[row] = 0;
  }

  /** The daemon could not open an entry's handle. */
  stale(nodeid: Nodeid, errno: number, time: number): void {
    const row = this.tables.rowOf(nodeid);
    const lane = row === -1 ? undefined : this.#find(keyOf(this.tables.entryAt(row).ids));
    const bar = lane === undefined ? undefined : barOf(lane, nodeid);
    if (lane === undefined || bar === undefined || bar.stale !== null) return;
    bar.stale = { time, errno };
    this.#touch(lane, time);
  }

  /** An entry has answered a lookup of another file. */
  answeredWrongly(nodeid: Nodeid, answer: WrongAnswer): void {
    const found = this.#laneOf(nodeid, answer.time);
    if (found === undefined) return;
    const { lane, bar } = found;
    bar.wrong.push(answer);
    if (bar.wrong.length > NOTCHES) bar.wrong.shift();
    bar.wrongAnswers++;
    lane.wrongAnswers++;
    this.#touch(lane, answer.time);
  }

  /** Every entry goes; the tables still have them. */
  ended(time: number): void {
    const { tables } = this;
    for (let row = 0; row < tables.rowLimit; row++) {
      if (tables.nodeidAt(row) !== 0) this.removed(row, tables.entryAt(row), time);
    }
  }

  /** The tables were read anew: what they no longer have went at some time before. */
  restored(time: number): void {
    this.#since.fill(NaN);
    this.#birth.fill(0);
    for (const lane of this.lanes()) {
      for (const bar of lane.bars) {
        if (bar.to !== null) continue;
        const row = this.tables.rowOf(bar.nodeid);
        if (row !== -1 && isKey(keyOf(this.tables.entryAt(row).ids), lane.key)) {
          if (row >= this.#since.length) this.#grow(row + 1);
          this.#since[row] = bar.from ?? NaN;
          this.#birth[row] = bar.birth;
        } else bar.to = time;
      }
      this.#overlapEnds(lane, time);
    }
    this.version++;
  }

  // --- lanes ------------------------------------------------------------------------------------

  #find(key: IdsKey): Lane | undefined {
    let lane = this.#byHash.get(hashOfIds(key)) ?? null;
    while (lane !== null && !isKey(lane.key, key)) lane = lane.next;
    return lane ?? undefined;
  }

  /** A living entry's lane, made when there was none, and its bar in it. */
  #laneOf(nodeid: Nodeid, time: number): { lane: Lane; bar: LaneBar } | undefined {
    const row = this.tables.rowOf(nodeid);
    if (row === -1) return undefined;
    const entry = this.tables.entryAt(row);
    const key = keyOf(entry.ids);
    const lane = this.#find(key) ?? this.#make(key, time);
    let bar = barOf(lane, nodeid);
    if (bar === undefined) {
      bar = this.#livingBar(entry, row, lane.bars);
      this.#add(lane, bar, bar.from ?? time);
    }
    return { lane, bar };
  }

  #handleOf({ ids, handle }: Entry): number {
    return this.#volatile.has(ids.mntId) ? 0 : handleHash(handle);
  }

  /** A lane with the forgotten owners of its key. */
  #make(key: IdsKey, time: number): Lane {
    const { inoLow, inoHigh, devMajor, devMinor, mntId } = key;
    const hash = hashOfIds(key);
    const lane: Lane = {
      key: { inoLow, inoHigh, devMajor, devMinor, mntId },
      bars: [],
      barsDropped: 0,
      owners: 0,
      wrongAnswers: 0,
      overlap: 0,
      overlapSince: null,
      changed: time,
      next: this.#byHash.get(hash) ?? null,
    };
    this.#byHash.set(hash, lane);
    this.#byRank[0]?.add(lane);
    this.#size++;
    for (const former of this.#former.take(key)) {
      this.#add(lane, this.#formerBar(former, lane.bars), former.from ?? former.to);
    }
    return lane;
  }

  #livingBar(entry: Entry, row: number, before: readonly LaneBar[]): LaneBar {
    const generation = entry.handle === null ? null : generationOf(entry.handle);
    const object = { handle: this.#handleOf(entry), birth: this.#birth[row] ?? 0 };
    return {
      nodeid: entry.nodeid,
      kind: entry.kind,
      from: this.#sinceOf(row),
      to: null,
      taken: null,
      stale: null,
      ...object,
      generation: generation === null ? null : Number(generation),
      owner: ownerOf(object, before),
      path: null,
      wrong: [],
      wrongAnswers: 0,
    };
  }

  #formerBar(former: FormerOwner, before: readonly LaneBar[]): LaneBar {
    const { nodeid, kind, from, to, handle, birth, generation, parent } = former;
    const cut = former.name.length === NAME_BYTES ? '…' : '';
    const folder = this.paths.pathOf(parent, this.tables);
    const name = former.name.length === 0 ? null : `${nameText(former.name)}${cut}`;
    const place = folder === '.' ? '' : `${folder ?? '…'}/`;
    return {
      nodeid,
      kind,
      from,
      to,
      taken: null,
      stale: null,
      handle,
      birth,
      generation,
      owner: ownerOf(former, before),
      path: name === null ? null : `${place}${name}`,
      wrong: [],
      wrongAnswers: 0,
    };
  }

  #add(lane: Lane, bar: LaneBar, time: number): void {
    lane.bars.push(bar);
    if (bar.owner !== null) lane.owners = Math.max(lane.owners, bar.owner + 1);
    this.#bars++;
    if (bar.to === null && lane.overlapSince === null && hasOverlap(lane)) lane.overlapSince = time;
    while (lane.bars.length > this.limits.barsOfLane) this.#dropBar(lane);
    this.#touch(lane, time);
    this.#makeRoom(lane);
  }

  /** The oldest bar that has ended, or else the oldest. */
  #dropBar(lane: Lane): void {
    const ended = lane.bars.findIndex(({ to }) => to !== null);
    lane.bars.splice(Math.max(0, ended), 1);
    lane.barsDropped++;
    this.barsDropped++;
    this.#bars--;
  }

  #overlapEnds(lane: Lane, time: number): void {
    if (lane.overlapSince === null || hasOverlap(lane)) return;
    lane.overlap += Math.max(0, time - lane.overlapSince);
    lane.overlapSince = null;
  }

  #touch(lane: Lane, time: number): void {
    lane.changed = Math.max(lane.changed, time);
    for (const lanes of this.#byRank) lanes.delete(lane);
    this.#byRank[rankOf(lane)]?.add(lane);
    this.version++;
  }

  #makeRoom(newest: Lane): void {
    while (this.#size > this.limits.lanes || this.#bars > this.limits.bars) {
      const oldest = this.#oldestBut(newest);
      if (oldest === undefined) return;
      this.#dropLane(oldest);
    }
  }

  #oldestBut(newest: Lane): Lane | undefined {
    for (const lanes of this.#byRank) {
      for (const lane of lanes) if (lane !== newest) return lane;
    }
    return undefined;
  }

  #dropLane(lane: Lane): void {
    for (const lanes of this.#byRank) lanes.delete(lane);
    this.#size--;
    this.#bars -= lane.bars.length;
    this.lanesDropped++;
    const hash = hashOfIds(lane.key);
    const first = this.#byHash.get(hash);
    if (first === lane) {
      if (lane.next === null) this.#byHash.delete(hash);
      else this.#byHash.set(hash, lane.next);
      return;
    }
    for (let at = first ?? null; at !== null; at = at.next) {
      if (at.next === lane) at.next = lane.next;
    }
  }

  #sinceOf(row: number): number | null {
    const since = this.#since[row] ?? NaN;
    return Number.isNaN(since) ? null : since;
  }

  #grow(rows: number): void {
    const capacity = Math.ceil(rows * 1.125);
    const since = new Float64Array(capacity).fill(NaN);
    since.set(this.#since);
    this.#since = since;
    const birth = new Int32Array(capacity);
    birth.set(this.#birth);
    this.#birth = birth;
  }
}

const NO_NAME = new Uint8Array(0);

function rankOf({ wrongAnswers, overlap, overlapSince }: Lane): number {
  if (wrongAnswers > 0) return 2;
  return overlap > 0 || overlapSince !== null ? 1 : 0;
}

/** A hash of a file's time of birth; 0 when it is unknown (-1 seconds). */
export function birthHash(seconds: number, nanoseconds: number): number {
  if (seconds === -1) return 0;
  const hash = Math.imul((seconds | 0) ^ Math.imul(nanoseconds, 0x85ebca6b), 0x9e3779b1);
  return (hash ^ (hash >>> 15)) | 1;
}

export function keyOf({ ino, dev, mntId }: Ids): IdsKey {
  return {
    inoLow: Number(ino & 0xffffffffn) | 0,
    inoHigh: Number(ino >> 32n) | 0,
    devMajor: dev.major,
    devMinor: dev.minor,
    mntId,
  };
}

function isKey(a: IdsKey, b: IdsKey): boolean {
  return (
    a.inoLow === b.inoLow &&
    a.inoHigh === b.inoHigh &&
    a.devMajor === b.devMajor &&
    a.devMinor === b.devMinor &&
    a.mntId === b.mntId
  );
}

const handleWords = new Int32Array(MAX_HANDLE_BYTES / 4);
const handleBytes = new Uint8Array(handleWords.buffer);

function handleHash(handle: FileHandle | null): number {
  if (handle === null) return 0;
  handleWords.fill(0);
  handleBytes.set(handle.bytes);
  return hashHandle(handle.type, handleWords, handle.bytes.length) | 1;
}

function barOf(lane: Lane, nodeid: Nodeid): LaneBar | undefined {
  return lane.bars.find((bar) => bar.nodeid === nodeid && bar.to === null);
}

/** The number of a bar's file in its lane: that of a bar of the same file, or the next. */
function ownerOf(
  object: { readonly handle: number; readonly birth: number },
  before: readonly LaneBar[],
): number | null {
  let next = 0;
  let isUnknown = object.handle === 0 && object.birth === 0;
  for (const bar of before) {
    const same = isSameObject(bar, object);
    if (same === true && bar.owner !== null) return bar.owner;
    if (same === null) isUnknown = true;
    if (bar.owner !== null) next = Math.max(next, bar.owner + 1);
  }
  return isUnknown ? null : next;
}

/** Whether two living entries have the key that are not known to be one file. */
function hasOverlap(lane: Lane): boolean {
  const living = lane.bars.filter(({ to }) => to === null);
  return living.some((a, at) =>
    living.some((b, other) => other > at && isSameObject(a, b) !== true),
  );
}
