/**
 * The entries that were forgotten last, by their ids: when a number comes back, this is what still
 * knows whom it belonged to. A guest forgets a million entries in one go, so they lie in typed
 * arrays of a fixed size, and the oldest make room for the newest.
 */

import type { EntryKind, Nodeid } from '../tables/identity';

/** The key of `inodes_by_ids` as numbers, as a Candidate has it. */
export interface IdsKey {
  readonly inoLow: number;
  readonly inoHigh: number;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly mntId: number;
}

/** What is remembered of an entry that a key belonged to. */
export interface FormerOwner {
  readonly nodeid: Nodeid;
  readonly kind: EntryKind;
  /** Milliseconds since the epoch; null: before the daemon was watched. */
  readonly from: number | null;
  readonly to: number;
  /** A hash of its handle, of its time of birth; 0 when it has none. */
  readonly handle: number;
  readonly birth: number;
  readonly generation: number | null;
  readonly parent: Nodeid;
  /** The bytes of its name, as far as NAME_BYTES go. */
  readonly name: Uint8Array;
}

const CAPACITY = 65_536;
/** Of a longer name the beginning is kept. */
export const NAME_BYTES = 40;
const KINDS: readonly EntryKind[] = ['file', 'handle', 'invalid'];

// One word each, then one double each.
const INO_LOW = 0;
const INO_HIGH = 1;
const DEV_MAJOR = 2;
const DEV_MINOR = 3;
const HANDLE = 4;
const BIRTH = 5;
const KIND = 6;
const NAME_LENGTH = 7;
/** The next slot of the same chain, plus one. */
const NEXT = 8;
const WORDS = 9;
const MNT_ID = 0;
const NODEID = 1;
const FROM = 2;
const TO = 3;
const GENERATION = 4;
const PARENT = 5;
const DOUBLES = 6;

export class FormerOwners {
  // Made when the first entry is forgotten.
  #words = new Int32Array(0);
  #doubles = new Float64Array(0);
  #names = new Uint8Array(0);
  /** The first slot of each chain, plus one. */
  #heads = new Int32Array(0);
  #next = 0;
  /** Of the entries that made room for newer ones. */
  dropped = 0;

  constructor(private readonly capacity = CAPACITY) {}

  get byteLength(): number {
    const { byteLength } = this.#words;
    return byteLength + this.#doubles.byteLength + this.#names.byteLength + this.#heads.byteLength;
  }

  add(key: IdsKey, owner: FormerOwner): void {
    if (this.#heads.length === 0) this.#make();
    const slot = this.#next;
    this.#next = slot + 1 === this.capacity ? 0 : slot + 1;
    if (this.#double(slot, NODEID) !== 0) {
      this.#unlink(slot);
      this.dropped++;
    }
    const w = slot * WORDS;
    this.#words[w + INO_LOW] = key.inoLow;
    this.#words[w + INO_HIGH] = key.inoHigh;
    this.#words[w + DEV_MAJOR] = key.devMajor;
    this.#words[w + DEV_MINOR] = key.devMinor;
    this.#words[w + HANDLE] = owner.handle;
    this.#words[w + BIRTH] = owner.birth;
    this.#words[w + KIND] = KINDS.indexOf(owner.kind);
    const d = slot * DOUBLES;
    this.#doubles[d + MNT_ID] = key.mntId;
    this.#doubles[d + NODEID] = owner.nodeid;
    this.#doubles[d + FROM] = owner.from ?? NaN;
    this.#doubles[d + TO] = owner.to;
    this.#doubles[d + GENERATION] = owner.generation ?? NaN;
    this.#doubles[d + PARENT] = owner.parent;
    const length = Math.min(owner.name.length, NAME_BYTES);
    this.#words[w + NAME_LENGTH] = length;
    for (let i = 0; i < length; i++) this.#names[slot * NAME_BYTES + i] = owner.name[i] ?? 0;
    const head = this.#headOf(key);
    this.#words[w + NEXT] = this.#heads[head] ?? 0;
    this.#heads[head] = slot + 1;
  }

  /** Takes the owners of a key out, the oldest first. */
  take(key: IdsKey): FormerOwner[] {
    const taken: FormerOwner[] = [];
    if (this.#heads.length === 0) return taken;
    let at = this.#heads[this.#headOf(key)] ?? 0;
    while (at !== 0) {
      const slot = at - 1;
      at = this.#word(slot, NEXT);
      if (!this.#is(slot, key)) continue;
      taken.push(this.#ownerAt(slot));
      this.#unlink(slot);
      this.#doubles[slot * DOUBLES + NODEID] = 0;
    }
    return taken.reverse();
  }

  /** Whether another object than this one is among the owners of a key. */
  hasOther(key: IdsKey, handle: number, birth: number): boolean {
    if (this.#heads.length === 0) return false;
    let at = this.#heads[this.#headOf(key)] ?? 0;
    for (; at !== 0; at = this.#word(at - 1, NEXT)) {
      const slot = at - 1;
      if (!this.#is(slot, key)) continue;
      const was = { handle: this.#word(slot, HANDLE), birth: this.#word(slot, BIRTH) };
      if (isSameObject(was, { handle, birth }) === false) return true;
    }
    return false;
  }

  /** Whether anything is known of a key. */
  has(key: IdsKey): boolean {
    if (this.#heads.length === 0) return false;
    let at = this.#heads[this.#headOf(key)] ?? 0;
    while (at !== 0 && !this.#is(at - 1, key)) at = this.#word(at - 1, NEXT);
    return at !== 0;
  }

  #make(): void {
    this.#words = new Int32Array(this.capacity * WORDS);
    this.#doubles = new Float64Array(this.capacity * DOUBLES);
    this.#names = new Uint8Array(this.capacity * NAME_BYTES);
    this.#heads = new Int32Array(this.capacity);
  }

  #headOf(key: IdsKey): number {
    return (hashOfIds(key) >>> 0) % this.capacity;
  }

  #word(slot: number, field: number): number {
    return this.#words[slot * WORDS + field] ?? 0;
  }

  #double(slot: number, field: number): number {
    return this.#doubles[slot * DOUBLES + field] ?? 0;
  }

  #is(slot: number, key: IdsKey): boolean {
    return (
      this.#word(slot, INO_LOW) === key.inoLow &&
      this.#word(slot, INO_HIGH) === key.inoHigh &&
      this.#word(slot, DEV_MAJOR) === key.devMajor &&
      this.#word(slot, DEV_MINOR) === key.devMinor &&
      this.#double(slot, MNT_ID) === key.mntId
    );
  }

  #ownerAt(slot: number): FormerOwner {
    const from = this.#double(slot, FROM);
    const generation = this.#double(slot, GENERATION);
    const name = slot * NAME_BYTES;
    return {
      nodeid: this.#double(slot, NODEID) as Nodeid,
      kind: KINDS[this.#word(slot, KIND)] ?? 'invalid',
      from: Number.isNaN(from) ? null : from,
      to: this.#double(slot, TO),
      handle: this.#word(slot, HANDLE),
      birth: this.#word(slot, BIRTH),
      generation: Number.isNaN(generation) ? null : generation,
      parent: this.#double(slot, PARENT) as Nodeid,
      name: this.#names.slice(name, name + this.#word(slot, NAME_LENGTH)),
    };
  }

  /** Takes a slot out of its chain. */
  #unlink(slot: number): void {
    const w = slot * WORDS;
    const head = this.#headOf({
      inoLow: this.#words[w + INO_LOW] ?? 0,
      inoHigh: this.#words[w + INO_HIGH] ?? 0,
      devMajor: this.#words[w + DEV_MAJOR] ?? 0,
      devMinor: this.#words[w + DEV_MINOR] ?? 0,
      mntId: this.#double(slot, MNT_ID),
    });
    const after = this.#word(slot, NEXT);
    let at = this.#heads[head] ?? 0;
    if (at === slot + 1) {
      this.#heads[head] = after;
      return;
    }
    while (at !== 0) {
      const next = this.#word(at - 1, NEXT);
      if (next === slot + 1) {
        this.#words[(at - 1) * WORDS + NEXT] = after;
        return;
      }
      at = next;
    }
  }
}

/**
 * Whether two entries with the same ids are one object. The handle decides where both have one: a
 * file system's clock is coarse, and two files may be born in one tick of it.
 *
 * @returns null when neither the handles nor the times of birth can be compared
 */
export function isSameObject(
  a: { readonly handle: number; readonly birth: number },
  b: { readonly handle: number; readonly birth: number },
): boolean | null {
  if (a.handle !== 0 && b.handle !== 0) return a.handle === b.handle;
  if (a.birth !== 0 && b.birth !== 0) return a.birth === b.birth;
  return null;
}

export function hashOfIds({ inoLow, inoHigh, devMajor, devMinor, mntId }: IdsKey): number {
  let hash = Math.imul(inoLow ^ (inoHigh << 7), 0x9e3779b1);
  hash ^= hash >>> 15;
  hash = Math.imul(hash ^ (devMajor << 20) ^ devMinor, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash ^ (mntId | 0), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
