/**
 * The inode tables of a virtio-fs daemon: entries by node id, `inodes_by_ids`, `inodes_by_handle`.
 *
 * The semantics are those of Rust virtiofsd 1.13 (src/passthrough/inode_store.rs), including what
 * it does wrong: an insert overwrites a key that another entry owns without a word, and removing an
 * entry removes its keys without asking who owns them by then.
 *
 * Rows live in typed arrays and the hot operations (`claim`, `insert`, `forget`) allocate nothing;
 * what they found stands in `asked`, `inserted` and `forgotten` until the next call.
 */

import { Candidate, NO_FD, NO_HANDLE } from './candidate';
import type { HandleHeapImage } from './handleHeap';
import { HandleHeap, hashHandle } from './handleHeap';
import type { HitKind } from './hitKind';
import type { EntryKind, FileHandle, Ids, Nodeid } from './identity';
import { NO_NODEID, ROOT_NODEID } from './identity';
import type { LookupRule } from './lookupRule';
import type { RowIndexImage } from './rowIndex';
import { EMPTY, OTHER, RowIndex } from './rowIndex';
import type { VolumeKey } from './volumeTable';
import { VolumeTable } from './volumeTable';

/** What the tables said when they were asked last. */
export interface Asked {
  byHandle: Nodeid;
  byIds: Nodeid;
  hit: HitKind;
}

/** Whose keys the last insert overwrote. */
export interface Inserted {
  nodeid: Nodeid;
  idsStolenFrom: Nodeid;
  handleStolenFrom: Nodeid;
}

/** What the last forget did. */
export interface Forgotten {
  /** The entry's lookup count after it; 0 when it was removed. */
  lookups: number;
  /** How many more than there were the forget asked for. */
  excess: number;
  removed: boolean;
  /** The descriptor that the removed entry held and that nobody needs any more, or -1. */
  fd: number;
  /** The living entry whose ids key went with the removed one, or 0. */
  idsLostBy: Nodeid;
  handleLostBy: Nodeid;
}

/** One entry, for those who look; made on demand. */
export interface Entry {
  readonly nodeid: Nodeid;
  readonly kind: EntryKind;
  readonly lookups: number;
  readonly mode: number;
  readonly ids: Ids;
  readonly handle: FileHandle | null;
  readonly fd: number | null;
}

/** A copy of the tables that travels between threads as it is. */
export interface TablesImage {
  readonly words: Int32Array<ArrayBuffer>;
  readonly rows: number;
  readonly vacant: readonly number[];
  readonly nextNodeid: number;
  readonly kinds: readonly number[];
  readonly volumes: readonly VolumeKey[];
  readonly handles: HandleHeapImage;
  readonly byNodeid: RowIndexImage;
  readonly byIds: RowIndexImage;
  readonly byHandle: RowIndexImage;
}

const KINDS: readonly EntryKind[] = ['file', 'handle', 'invalid'];
const KIND_FILE = 0;
const KIND_HANDLE = 1;
const KIND_INVALID = 2;
const VACANT = 3;

// One word a row: the lookup's st_mode (16 bits), the handle's length (8), the kind (2).
const MODE_MASK = 0xffff;
const LENGTH_SHIFT = 16;
const KIND_SHIFT = 24;

const NO_TWINS: readonly Nodeid[] = [];

const FIRST_CAPACITY = 64;

/** A row: two doubles (node id, lookups), then six words. */
const ROW_WORDS = 10;
const ROW_DOUBLES = 5;
const NODEID = 0;
const LOOKUPS = 1;
const INO_LOW = 4;
const INO_HIGH = 5;
const VOLUME = 6;
const META = 7;
/** The descriptor of a file entry, the place in the heap of a handle entry's handle. */
const HELD = 8;
const HANDLE_TYPE = 9;

export class InodeTables {
  readonly asked: Asked = { byHandle: NO_NODEID, byIds: NO_NODEID, hit: 'miss' };
  readonly inserted: Inserted = {
    nodeid: NO_NODEID,
    idsStolenFrom: NO_NODEID,
    handleStolenFrom: NO_NODEID,
  };
  readonly forgotten: Forgotten = {
    lookups: 0,
    excess: 0,
    removed: false,
    fd: NO_FD,
    idsLostBy: NO_NODEID,
    handleLostBy: NO_NODEID,
  };

  // A row's fields lie together, so that a lookup touches one or two cache lines of it.
  #words = new Int32Array(FIRST_CAPACITY * ROW_WORDS);
  #doubles = new Float64Array(this.#words.buffer);

  #rows = 0;
  #vacant: number[] = [];
  #nextNodeid = 2;
  readonly #kinds = [0, 0, 0];

  /** A row's own handle while its key is looked for. */
  readonly #rowsHandle = new Candidate();
  readonly #volumes = new VolumeTable();
  readonly #handles = new HandleHeap();
  readonly #byNodeid = new RowIndex((row) =>
    hashNodeid(this.#doubles[row * ROW_DOUBLES + NODEID] ?? 0),
  );
  readonly #byIds = new RowIndex((row) => this.#hashIdsOf(row));
  readonly #byHandle = new RowIndex((row) => this.#hashHandleOf(row));

  constructor(readonly rule: LookupRule) {}

  // --- what a daemon does -------------------------------------------------------------------

  /**
   * Asks both tables under the rule and, when an entry answers, counts the lookup.
   *
   * @returns the entry's node id, or 0: then the caller inserts the candidate
   */
  claim(candidate: Candidate): Nodeid {
    const row = this.#ask(candidate);
    if (row === EMPTY) return NO_NODEID;
    this.#doubles[row * ROW_DOUBLES + LOOKUPS] =
      (this.#doubles[row * ROW_DOUBLES + LOOKUPS] ?? 0) + 1;
    return this.#nodeidOf(row);
  }

  /**
   * Says in `asked` what `claim` would find, and changes nothing.
   *
   * @returns the node id that would answer, or 0
   */
  explain(candidate: Candidate): Nodeid {
    return this.#nodeidOf(this.#ask(candidate));
  }

  /** The row that answers under the rule, or EMPTY. */
  #ask(candidate: Candidate): number {
    const { rule, asked } = this;
    const hasHandle = candidate.handleLength !== NO_HANDLE;
    const handleRow = hasHandle && rule.byHandle !== 'never' ? this.#rowByHandle(candidate) : EMPTY;
    const idsRow = this.#rowByIds(candidate);
    asked.byHandle = this.#nodeidOf(handleRow);
    asked.byIds = this.#nodeidOf(idsRow);

    const idsAccepted = idsRow !== EMPTY && rule.acceptsIds(hasHandle, this.#kindOf(idsRow));
    let row = EMPTY;
    if (handleRow !== EMPTY && (rule.byHandle === 'first' || !idsAccepted)) {
      row = handleRow;
      asked.hit = 'handle_hit';
    } else if (idsAccepted) {
      row = idsRow;
      asked.hit = hasHandle ? 'fallback_hit' : 'handleless_hit';
    } else {
      asked.hit = idsRow === EMPTY ? 'miss' : 'fallback_rejected';
    }
    return row;
  }

  /**
   * Makes an entry of the candidate with a node id never used before and one lookup. Keys that
   * other entries own are overwritten, as in virtiofsd's `insert_new`; `inserted` says whose.
   */
  insert(candidate: Candidate): Nodeid {
    const nodeid = this.#nextNodeid as Nodeid;
    this.insertAs(nodeid, 1, candidate);
    return nodeid;
  }

  /** Makes the root's entry; virtiofsd gives it two lookups so that a guest's FORGET of one keeps it. */
  insertRoot(candidate: Candidate): void {
    this.insertAs(ROOT_NODEID, 2, candidate);
  }

  /**
   * Counts `count` lookups less; an entry that reaches zero is removed together with both keys,
   * whoever owns them. An unknown node id is left alone, as virtiofsd does.
   *
   * @returns whether there was such an entry; `forgotten` says the rest
   */
  forget(nodeid: Nodeid, count: number): boolean {
    const { forgotten } = this;
    forgotten.removed = false;
    forgotten.fd = NO_FD;
    forgotten.idsLostBy = NO_NODEID;
    forgotten.handleLostBy = NO_NODEID;
    forgotten.lookups = 0;
    forgotten.excess = 0;
    const row = this.#rowOf(nodeid);
    if (row === EMPTY) return false;
    const had = this.#doubles[row * ROW_DOUBLES + LOOKUPS] ?? 0;
    const left = Math.max(0, had - count);
    forgotten.excess = Math.max(0, count - had);
    this.#doubles[row * ROW_DOUBLES + LOOKUPS] = left;
    forgotten.lookups = left;
    if (left === 0) this.#remove(row);
    return true;
  }

  /** INIT and DESTROY: every entry goes; node ids are not used again. */
  clear(): void {
    this.#words = new Int32Array(FIRST_CAPACITY * ROW_WORDS);
    this.#doubles = new Float64Array(this.#words.buffer);
    this.#rows = 0;
    this.#vacant = [];
    this.#kinds.fill(0);
    this.#handles.clear();
    this.#byNodeid.clear();
    this.#byIds.clear();
    this.#byHandle.clear();
  }

  // --- what a consumer of events does --------------------------------------------------------

  /** Inserts an entry under a node id that the source chose. */
  insertAs(nodeid: Nodeid, lookups: number, candidate: Candidate): void {
    const { inserted } = this;
    const hasHandle = candidate.handleLength !== NO_HANDLE;
    const row = this.#vacant.pop() ?? this.#rows++;
    if (row * ROW_WORDS >= this.#words.length) this.#grow();

    this.#doubles[row * ROW_DOUBLES + NODEID] = nodeid;
    this.#doubles[row * ROW_DOUBLES + LOOKUPS] = lookups;
    this.#words[row * ROW_WORDS + INO_LOW] = candidate.inoLow;
    this.#words[row * ROW_WORDS + INO_HIGH] = candidate.inoHigh;
    this.#words[row * ROW_WORDS + VOLUME] = this.#volumes.of(candidate);
    const kind = hasHandle ? KIND_HANDLE : candidate.fd === NO_FD ? KIND_INVALID : KIND_FILE;
    const length = hasHandle ? candidate.handleLength : 0;
    this.#words[row * ROW_WORDS + META] =
      (candidate.mode & MODE_MASK) | (length << LENGTH_SHIFT) | (kind << KIND_SHIFT);
    this.#words[row * ROW_WORDS + HELD] = hasHandle
      ? this.#handles.put(candidate.handleWords, length)
      : candidate.fd;
    this.#words[row * ROW_WORDS + HANDLE_TYPE] = hasHandle ? candidate.handleType : 0;
    this.#kinds[kind] = (this.#kinds[kind] ?? 0) + 1;
    if (nodeid >= this.#nextNodeid) this.#nextNodeid = nodeid + 1;

    this.#byNodeid.add(row);
    inserted.nodeid = nodeid;
    inserted.idsStolenFrom = this.#own(this.#byIds, this.#slotByIds(candidate), row);
    inserted.handleStolenFrom = hasHandle
      ? this.#own(this.#byHandle, this.#slotByHandle(candidate), row)
      : NO_NODEID;
  }

  /** Counts one lookup more of a known entry; `false` when there is none. */
  count(nodeid: Nodeid): boolean {
    const row = this.#rowOf(nodeid);
    if (row === EMPTY) return false;
    this.#doubles[row * ROW_DOUBLES + LOOKUPS] =
      (this.#doubles[row * ROW_DOUBLES + LOOKUPS] ?? 0) + 1;
    return true;
  }

  /** A copy of everything; for a consumer that lost the thread of events. */
  image(): TablesImage {
    return {
      words: this.#words.slice(),
      rows: this.#rows,
      vacant: this.#vacant.slice(),
      nextNodeid: this.#nextNodeid,
      kinds: this.#kinds.slice(),
      volumes: this.#volumes.keys.slice(),
      handles: this.#handles.image(),
      byNodeid: this.#byNodeid.image(),
      byIds: this.#byIds.image(),
      byHandle: this.#byHandle.image(),
    };
  }

  /** Becomes the tables of an image, which must not be used elsewhere afterwards. */
  restore(image: TablesImage): void {
    this.#words = image.words;
    this.#doubles = new Float64Array(image.words.buffer);
    this.#rows = image.rows;
    this.#vacant = image.vacant.slice();
    this.#nextNodeid = image.nextNodeid;
    image.kinds.forEach((count, kind) => (this.#kinds[kind] = count));
    this.#volumes.restore(image.volumes);
    this.#handles.restore(image.handles);
    this.#byNodeid.restore(image.byNodeid);
    this.#byIds.restore(image.byIds);
    this.#byHandle.restore(image.byHandle);
  }

  // --- what an observer asks ------------------------------------------------------------------

  get size(): number {
    return this.#byNodeid.count;
  }

  /** Keys in `inodes_by_ids`. */
  get idsKeys(): number {
    return this.#byIds.count;
  }

  /** Keys in `inodes_by_handle`. */
  get handleKeys(): number {
    return this.#byHandle.count;
  }

  entriesOfKind(kind: EntryKind): number {
    return this.#kinds[KINDS.indexOf(kind)] ?? 0;
  }

  /** Bytes of the rows, the handles and the three indexes. */
  get byteLength(): number {
    const rows = this.#words.byteLength;
    const indexes = this.#byNodeid.byteLength + this.#byIds.byteLength + this.#byHandle.byteLength;
    return rows + indexes + this.#handles.byteLength + this.#vacant.length * 8;
  }

  has(nodeid: Nodeid): boolean {
    return this.#rowOf(nodeid) !== EMPTY;
  }

  entry(nodeid: Nodeid): Entry | undefined {
    const row = this.#rowOf(nodeid);
    return row === EMPTY ? undefined : this.entryAt(row);
  }

  /** The st_mode that the entry was inserted with, or 0 when there is no such entry. */
  modeOf(nodeid: Nodeid): number {
    const row = this.#rowOf(nodeid);
    return row === EMPTY ? 0 : (this.#words[row * ROW_WORDS + META] ?? 0) & MODE_MASK;
  }

  /** The descriptor that a file entry holds; -1 for other kinds and unknown node ids. */
  fdOf(nodeid: Nodeid): number {
    const row = this.#rowOf(nodeid);
    return row === EMPTY || this.#kindBits(row) !== KIND_FILE
      ? NO_FD
      : (this.#words[row * ROW_WORDS + HELD] ?? NO_FD);
  }

  mntIdOf(nodeid: Nodeid): number {
    const row = this.#rowOf(nodeid);
    return row === EMPTY ? 0 : this.#volumes.mntId(this.#words[row * ROW_WORDS + VOLUME] ?? 0);
  }

  /** A number that two entries share if and only if their st_dev and mount id agree; -1 if unknown. */
  volumeOf(nodeid: Nodeid): number {
    const row = this.#rowOf(nodeid);
    return row === EMPTY ? -1 : (this.#words[row * ROW_WORDS + VOLUME] ?? 0);
  }

  /**
   * Copies a handle entry's handle as padded words and leaves its type and length in the two words
   * before them, the layout of struct file_handle: [bytes, type, words…].
   *
   * @returns false when the entry holds no handle
   */
  copyHandle(nodeid: Nodeid, out: Int32Array, at: number): boolean {
    const row = this.#rowOf(nodeid);
    if (row === EMPTY || this.#kindBits(row) !== KIND_HANDLE) return false;
    const length = this.#handleLength(row);
    const held = this.#words[row * ROW_WORDS + HELD] ?? 0;
    out[at] = length;
    out[at + 1] = this.#words[row * ROW_WORDS + HANDLE_TYPE] ?? 0;
    this.#handles.copyTo(held, length, out, at + 2);
    return true;
  }

  /** Who owns the ids key of an entry now: itself when all is well, another, or 0 when it is lost. */
  ownerOfIdsKey(nodeid: Nodeid): Nodeid {
    const row = this.#rowOf(nodeid);
    if (row === EMPTY) return NO_NODEID;
    const slot = this.#slotByIdsOf(row);
    return slot === -1 ? NO_NODEID : this.#nodeidOf(this.#byIds.rowAt(slot));
  }

  /** The same for the handle key; 0 for an entry without handle. */
  ownerOfHandleKey(nodeid: Nodeid): Nodeid {
    const row = this.#rowOf(nodeid);
    if (row === EMPTY || this.#kindBits(row) !== KIND_HANDLE) return NO_NODEID;
    const slot = this.#slotByHandleOf(row);
    return slot === -1 ? NO_NODEID : this.#nodeidOf(this.#byHandle.rowAt(slot));
  }

  /**
   * The entries of the same file on other mounts of its file system: the same device and number
   * and, where the entry has one, the same handle.
   */
  twinsOf(nodeid: Nodeid): readonly Nodeid[] {
    const row = this.#rowOf(nodeid);
    if (row === EMPTY) return NO_TWINS;
    const siblings = this.#volumes.siblings(this.#words[row * ROW_WORDS + VOLUME] ?? 0);
    if (siblings.length === 0) return NO_TWINS;
    return siblings.flatMap((volume) => this.#twinOn(row, volume));
  }

  #twinOn(row: number, volume: number): Nodeid | [] {
    const at = row * ROW_WORDS;
    const low = this.#words[at + INO_LOW] ?? 0;
    const high = this.#words[at + INO_HIGH] ?? 0;
    const kind = this.#kindBits(row);
    const [index, slot] =
      kind === KIND_HANDLE
        ? [this.#byHandle, this.#slotByHandleOf(row, this.#volumes.mntId(volume))]
        : [this.#byIds, this.#slotOfIds(low, high, volume)];
    if (slot === -1) return [];
    const other = index.rowAt(slot);
    const otherAt = other * ROW_WORDS;
    const same =
      this.#kindBits(other) === kind &&
      this.#words[otherAt + VOLUME] === volume &&
      this.#words[otherAt + INO_LOW] === low &&
      this.#words[otherAt + INO_HIGH] === high;
    return same ? this.#nodeidOf(other) : [];
  }

  /** Rows that were ever used; some of them may be vacant. */
  get rowLimit(): number {
    return this.#rows;
  }

  /** The row of an entry, stable while it lives; -1 when there is none. */
  rowOf(nodeid: Nodeid): number {
    return this.#rowOf(nodeid);
  }

  /** The node id in a row, or 0 when the row is vacant. */
  nodeidAt(row: number): Nodeid {
    return (this.#doubles[row * ROW_DOUBLES + NODEID] ?? 0) as Nodeid;
  }

  /** The kind of the entry in a row that is not vacant. */
  kindAt(row: number): EntryKind {
    return this.#kindOf(row);
  }

  /** The entry in a row that is not vacant. */
  entryAt(row: number): Entry {
    const kind = this.#kindOf(row);
    const held = this.#words[row * ROW_WORDS + HELD] ?? 0;
    const volume = this.#words[row * ROW_WORDS + VOLUME] ?? 0;
    return {
      nodeid: this.#nodeidOf(row),
      kind,
      lookups: this.#doubles[row * ROW_DOUBLES + LOOKUPS] ?? 0,
      mode: (this.#words[row * ROW_WORDS + META] ?? 0) & MODE_MASK,
      ids: {
        ino:
          (BigInt((this.#words[row * ROW_WORDS + INO_HIGH] ?? 0) >>> 0) << 32n) |
          BigInt((this.#words[row * ROW_WORDS + INO_LOW] ?? 0) >>> 0),
        dev: this.#volumes.device(volume),
        mntId: this.#volumes.mntId(volume),
      },
      handle: kind === 'handle' ? this.#handleAt(row, held, volume) : null,
      fd: kind === 'file' ? held : null,
    };
  }

  /** Every living entry, in row order. */
  *entries(): Generator<Entry> {
    for (let row = 0; row < this.#rows; row++)
      if (this.nodeidAt(row) !== 0) yield this.entryAt(row);
  }

  /** Every pair of `inodes_by_ids` as (owner), in the owner's row order. */
  *idsOwners(): Generator<Nodeid> {
    for (let row = 0; row < this.#rows; row++) {
      if (this.nodeidAt(row) !== 0 && this.#ownsIds(row)) yield this.nodeidAt(row);
    }
  }

  /** Every pair of `inodes_by_handle` as (owner), in the owner's row order. */
  *handleOwners(): Generator<Nodeid> {
    for (let row = 0; row < this.#rows; row++) {
      if (this.nodeidAt(row) !== 0 && this.#ownsHandle(row)) yield this.nodeidAt(row);
    }
  }

  /** The owner of an ids key that somebody names, or 0. */
  ownerOfIds(ids: Ids): Nodeid {
    const volume = this.#volumes.find(ids.dev.major, ids.dev.minor, ids.mntId);
    if (volume === -1) return NO_NODEID;
    const low = Number(ids.ino & 0xffffffffn) | 0;
    const high = Number(ids.ino >> 32n) | 0;
    const slot = this.#slotOfIds(low, high, volume);
    return slot === -1 ? NO_NODEID : this.#nodeidOf(this.#byIds.rowAt(slot));
  }

  // --- rows ------------------------------------------------------------------------------------

  #nodeidOf(row: number): Nodeid {
    return (row === EMPTY ? 0 : (this.#doubles[row * ROW_DOUBLES + NODEID] ?? 0)) as Nodeid;
  }

  #kindBits(row: number): number {
    return ((this.#words[row * ROW_WORDS + META] ?? 0) >>> KIND_SHIFT) & 3;
  }

  #kindOf(row: number): EntryKind {
    return KINDS[this.#kindBits(row)] ?? 'invalid';
  }

  #handleLength(row: number): number {
    return ((this.#words[row * ROW_WORDS + META] ?? 0) >>> LENGTH_SHIFT) & 0xff;
  }

  #handleAt(row: number, held: number, volume: number): FileHandle {
    const length = this.#handleLength(row);
    const words = new Int32Array((length + 3) >> 2);
    this.#handles.copyTo(held, length, words, 0);
    return {
      mntId: this.#volumes.mntId(volume),
      type: this.#words[row * ROW_WORDS + HANDLE_TYPE] ?? 0,
      bytes: new Uint8Array(words.buffer, 0, length),
    };
  }

  #rowOf(nodeid: Nodeid): number {
    const hash = hashNodeid(nodeid);
    let slot = this.#byNodeid.first(hash);
    for (;;) {
      const row = this.#byNodeid.candidate(slot, hash);
      if (row === EMPTY) return EMPTY;
      if (row !== OTHER && this.#doubles[row * ROW_DOUBLES + NODEID] === nodeid) return row;
      slot = this.#byNodeid.next(slot);
    }
  }

  #remove(row: number): void {
    const { forgotten } = this;
    const nodeid = this.#nodeidOf(row);
    const kind = this.#kindBits(row);
    forgotten.removed = true;
    // virtiofsd's remove(): the keys go whoever owns them by now. While they are being taken out
    // of the indexes every row must still carry its key, so the row is vacated last.
    if (kind === KIND_HANDLE) {
      forgotten.handleLostBy = this.#disown(this.#byHandle, this.#slotByHandleOf(row), nodeid);
    }
    forgotten.idsLostBy = this.#disown(this.#byIds, this.#slotByIdsOf(row), nodeid);
    this.#byNodeid.removeAt(this.#byNodeid.slotOf(hashNodeid(nodeid), row));

    const held = this.#words[row * ROW_WORDS + HELD] ?? NO_FD;
    if (kind === KIND_FILE) forgotten.fd = held;
    if (kind === KIND_HANDLE) this.#handles.drop(held, this.#handleLength(row));
    this.#kinds[kind] = (this.#kinds[kind] ?? 0) - 1;
    this.#doubles[row * ROW_DOUBLES + NODEID] = 0;
    this.#words[row * ROW_WORDS + META] = VACANT << KIND_SHIFT;
    this.#vacant.push(row);
  }

  /** Puts a row under its key, overwriting the owner when there is one. */
  #own(index: RowIndex, slot: number, row: number): Nodeid {
    if (slot === -1) {
      index.add(row);
      return NO_NODEID;
    }
    const owner = this.#nodeidOf(index.rowAt(slot));
    index.replaceAt(slot, row);
    return owner;
  }

  /** Removes a key; answers with its owner when that was somebody else. */
  #disown(index: RowIndex, slot: number, nodeid: Nodeid): Nodeid {
    if (slot === -1) return NO_NODEID;
    const owner = this.#nodeidOf(index.rowAt(slot));
    index.removeAt(slot);
    return owner === nodeid ? NO_NODEID : owner;
  }

  #grow(): void {
    const capacity = this.#words.length / ROW_WORDS;
    const larger = Math.ceil(capacity * (capacity < 4096 ? 2 : 1.125));
    const words = new Int32Array(larger * ROW_WORDS);
    words.set(this.#words);
    this.#words = words;
    this.#doubles = new Float64Array(words.buffer);
  }

  // --- inodes_by_ids ---------------------------------------------------------------------------

  #hashIdsOf(row: number): number {
    return hashIds(
      this.#words[row * ROW_WORDS + INO_LOW] ?? 0,
      this.#words[row * ROW_WORDS + INO_HIGH] ?? 0,
      this.#words[row * ROW_WORDS + VOLUME] ?? 0,
    );
  }

  #slotOfIds(low: number, high: number, volume: number): number {
    const index = this.#byIds;
    const hash = hashIds(low, high, volume);
    let slot = index.first(hash);
    for (;;) {
      const row = index.candidate(slot, hash);
      if (row === EMPTY) return -1;
      if (
        row !== OTHER &&
        this.#words[row * ROW_WORDS + INO_LOW] === low &&
        this.#words[row * ROW_WORDS + INO_HIGH] === high &&
        this.#words[row * ROW_WORDS + VOLUME] === volume
      ) {
        return slot;
      }
      slot = index.next(slot);
    }
  }

  #slotByIds(candidate: Candidate): number {
    return this.#slotOfIds(
      candidate.inoLow | 0,
      candidate.inoHigh | 0,
      this.#volumes.of(candidate),
    );
  }

  #slotByIdsOf(row: number): number {
    return this.#slotOfIds(
      this.#words[row * ROW_WORDS + INO_LOW] ?? 0,
      this.#words[row * ROW_WORDS + INO_HIGH] ?? 0,
      this.#words[row * ROW_WORDS + VOLUME] ?? 0,
    );
  }

  #rowByIds(candidate: Candidate): number {
    const slot = this.#slotByIds(candidate);
    return slot === -1 ? EMPTY : this.#byIds.rowAt(slot);
  }

  #ownsIds(row: number): boolean {
    const slot = this.#slotByIdsOf(row);
    return slot !== -1 && this.#byIds.rowAt(slot) === row;
  }

  // --- inodes_by_handle ------------------------------------------------------------------------

  #hashHandleOf(row: number): number {
    const at = row * ROW_WORDS;
    const handle = this.#handles.hash(
      this.#words[at + HELD] ?? 0,
      this.#words[at + HANDLE_TYPE] ?? 0,
      this.#handleLength(row),
    );
    return mixMount(handle, this.#volumes.mntId(this.#words[row * ROW_WORDS + VOLUME] ?? 0));
  }

  #slotByHandle(candidate: Candidate): number {
    const { handleType, handleWords, handleLength, mntId } = candidate;
    const hash = mixMount(hashHandle(handleType, handleWords, handleLength), mntId);
    const index = this.#byHandle;
    let slot = index.first(hash);
    for (;;) {
      const row = index.candidate(slot, hash);
      if (row === EMPTY) return -1;
      if (
        row !== OTHER &&
        this.#handleLength(row) === handleLength &&
        this.#volumes.mntId(this.#words[row * ROW_WORDS + VOLUME] ?? 0) === mntId &&
        this.#words[row * ROW_WORDS + HANDLE_TYPE] === handleType &&
        this.#handles.equals(this.#words[row * ROW_WORDS + HELD] ?? 0, handleWords, handleLength)
      ) {
        return slot;
      }
      slot = index.next(slot);
    }
  }

  #slotByHandleOf(row: number, mntId = this.#mntIdAt(row)): number {
    const scratch = this.#rowsHandle;
    const length = this.#handleLength(row);
    const held = this.#words[row * ROW_WORDS + HELD] ?? 0;
    this.#handles.copyTo(held, length, scratch.handleWords, 0);
    scratch.handleType = this.#words[row * ROW_WORDS + HANDLE_TYPE] ?? 0;
    scratch.handleLength = length;
    scratch.mntId = mntId;
    return this.#slotByHandle(scratch);
  }

  #mntIdAt(row: number): number {
    return this.#volumes.mntId(this.#words[row * ROW_WORDS + VOLUME] ?? 0);
  }

  #rowByHandle(candidate: Candidate): number {
    const slot = this.#slotByHandle(candidate);
    return slot === -1 ? EMPTY : this.#byHandle.rowAt(slot);
  }

  #ownsHandle(row: number): boolean {
    if (this.#kindBits(row) !== KIND_HANDLE) return false;
    const slot = this.#slotByHandleOf(row);
    return slot !== -1 && this.#byHandle.rowAt(slot) === row;
  }
}

function hashNodeid(nodeid: number): number {
  const h = Math.imul(nodeid | 0, 0x9e3779b1) ^ Math.imul((nodeid / 4294967296) | 0, 0x85ebca6b);
  return h ^ (h >>> 15);
}

function hashIds(low: number, high: number, volume: number): number {
  let h = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ Math.imul(volume + 1, 0xc2b2ae35), 0x27d4eb2f);
  return h ^ (h >>> 13);
}

function mixMount(hash: number, mntId: number): number {
  const h = Math.imul(hash ^ Math.imul(mntId | 0, 0x9e3779b1), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
