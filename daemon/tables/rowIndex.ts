/**
 * An open-addressing hash from keys to row numbers. The keys themselves stay in the rows: a slot
 * holds only the row and, in the bits the row leaves free, a tag of the key's hash, so that a probe
 * reads a row only when the tag agrees.
 *
 * Measured against Map and std::unordered_map in test/bench/tables.
 */

const SMALLEST = 16;
const MAX_LOAD = 0.75;
const GROWTH = 1.5;
const TWO_32 = 4294967296;

export interface RowIndexImage {
  readonly slots: Int32Array<ArrayBuffer>;
  readonly count: number;
  readonly rowBits: number;
}

export class RowIndex {
  /** `0` is an empty slot; else `tag << rowBits | row + 1`. */
  slots = new Int32Array(SMALLEST);
  #count = 0;
  #rowBits = 5;
  #rowMask = 31;
  #scale = SMALLEST / TWO_32;

  /** @param hashOf the hash of the key that a row carries in this index (any int32) */
  constructor(private readonly hashOf: (row: number) => number) {}

  get count(): number {
    return this.#count;
  }

  get byteLength(): number {
    return this.slots.byteLength;
  }

  /** The slot that holds this very row, whose key has this hash, or -1. */
  slotOf(hash: number, row: number): number {
    let slot = this.first(hash);
    for (;;) {
      const found = this.candidate(slot, hash);
      if (found === row) return slot;
      if (found === EMPTY) return -1;
      slot = this.next(slot);
    }
  }

  /** The slot where a probe for this hash begins. */
  first(hash: number): number {
    return Math.floor((hash >>> 0) * this.#scale);
  }

  next(slot: number): number {
    return slot + 1 === this.slots.length ? 0 : slot + 1;
  }

  /** The row in a slot when its tag agrees with the hash, `OTHER` when not, or `EMPTY`. */
  candidate(slot: number, hash: number): number {
    const value = this.slots[slot] ?? 0;
    if (value === 0) return EMPTY;
    if ((value ^ (hash << this.#rowBits)) >>> this.#rowBits !== 0) return OTHER;
    return (value & this.#rowMask) - 1;
  }

  /** The row in a slot that is known to be in use. */
  rowAt(slot: number): number {
    return ((this.slots[slot] ?? 0) & this.#rowMask) - 1;
  }

  /** Adds a row whose key is in no other row of this index. */
  add(row: number): void {
    if (this.#count + 1 > this.slots.length * MAX_LOAD) {
      this.#rebuild(Math.ceil(this.slots.length * GROWTH), row);
    } else if (row + 1 > this.#rowMask) {
      this.#rebuild(this.slots.length, row);
    }
    this.#place(row, this.hashOf(row));
    this.#count++;
  }

  /** Gives a slot in use to another row with an equal key. */
  replaceAt(slot: number, row: number): void {
    if (row + 1 > this.#rowMask) {
      this.removeAt(slot);
      this.add(row);
      return;
    }
    this.slots[slot] = this.#valueOf(row, this.hashOf(row));
  }

  /**
   * Empties a slot, moving later rows of the same probe run up so that no run has a hole.
   * Every row still in the index must still carry its key.
   */
  removeAt(slot: number): void {
    let hole = slot;
    let at = slot;
    for (;;) {
      at = this.next(at);
      const value = this.slots[at] ?? 0;
      if (value === 0) break;
      const home = this.first(this.hashOf((value & this.#rowMask) - 1));
      // Cyclic distance: a row may move up only as far as the slot where its probe begins.
      const fromHome = at >= home ? at - home : at - home + this.slots.length;
      const fromHole = at >= hole ? at - hole : at - hole + this.slots.length;
      if (fromHome >= fromHole) {
        this.slots[hole] = value;
        hole = at;
      }
    }
    this.slots[hole] = 0;
    this.#count--;
  }

  clear(): void {
    this.slots = new Int32Array(SMALLEST);
    this.#count = 0;
    this.#rowBits = 5;
    this.#rowMask = 31;
    this.#scale = SMALLEST / TWO_32;
  }

  /** A copy of everything, to be sent to another thread. */
  image(): RowIndexImage {
    return { slots: this.slots.slice(), count: this.#count, rowBits: this.#rowBits };
  }

  restore(image: RowIndexImage): void {
    this.slots = image.slots;
    this.#count = image.count;
    this.#rowBits = image.rowBits;
    this.#rowMask = 2 ** image.rowBits - 1;
    this.#scale = image.slots.length / TWO_32;
  }

  #valueOf(row: number, hash: number): number {
    return (hash << this.#rowBits) | (row + 1);
  }

  #place(row: number, hash: number): void {
    let slot = this.first(hash);
    while (this.slots[slot] !== 0) slot = this.next(slot);
    this.slots[slot] = this.#valueOf(row, hash);
  }

  #rebuild(capacity: number, highestRow: number): void {
    const old = this.slots;
    const oldMask = this.#rowMask;
    // Room for the rows that may come before the next rebuild; the rest of the bits is the tag.
    const rows = Math.max(capacity, Math.ceil((highestRow + 2) * GROWTH), oldMask);
    this.#rowBits = Math.min(31, 32 - Math.clz32(rows));
    this.#rowMask = 2 ** this.#rowBits - 1;
    this.slots = new Int32Array(capacity);
    this.#scale = capacity / TWO_32;
    // In the order of the rows, not of the slots: neighbouring rows lie in one cache line, and
    // which rows there are fits the cache as one bit each.
    const members = new Uint8Array((oldMask >> 3) + 1);
    let highest = -1;
    for (const value of old) {
      if (value === 0) continue;
      const row = (value & oldMask) - 1;
      const at = row >> 3;
      members[at] = (members[at] ?? 0) | (1 << (row & 7));
      if (row > highest) highest = row;
    }
    for (let row = 0; row <= highest; row++) {
      if (((members[row >> 3] ?? 0) & (1 << (row & 7))) !== 0) this.#place(row, this.hashOf(row));
    }
  }
}

/** An empty slot ends a probe. */
export const EMPTY = -1;
/** A slot that belongs to another key: go on. */
export const OTHER = -2;
