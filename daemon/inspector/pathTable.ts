/**
 * The name by which each entry was looked up last: its parent's node id and the name's bytes, kept
 * beside the tables' rows. The tables themselves know no names, as in virtiofsd.
 */

import type { Nodeid } from '../tables/identity';
import { NO_NODEID, ROOT_NODEID } from '../tables/identity';
import type { InodeTables } from '../tables/inodeTables';
import { EMPTY, OTHER, RowIndex } from '../tables/rowIndex';
import { nameText } from '../protocol/text';

const NONE = -1;
/** Names are packed in places of a multiple of this many bytes, so that freed ones fit again. */
const GRAIN = 8;
/** PATH_MAX / 2: no walk to the root is longer, and a ring of stale names ends. */
const MAX_DEPTH = 2048;

export class PathTable {
  /** The row that each name led to last. */
  readonly #byName = new RowIndex((row) => this.#hashOf(row));
  /** Rows whose name does not lead to them: it was taken back, or leads to another row by now. */
  readonly #unnamed = new Set<number>();
  #parent = new Float64Array(64);
  #nameAt = new Int32Array(64).fill(NONE);
  /** One byte of length, then the name. */
  #bytes = new Uint8Array(4096);
  #end = 0;
  readonly #free: number[][] = [];

  get byteLength(): number {
    const rows = this.#parent.byteLength + this.#nameAt.byteLength;
    return rows + this.#bytes.byteLength + this.#byName.byteLength;
  }

  /**
   * Notes the newest name of the entry in a row: `length` bytes from `from` on, at most 255
   * (NAME_MAX).
   */
  note(row: number, parent: Nodeid, name: Uint8Array, from = 0, length = name.length): void {
    if (row >= this.#parent.length) this.#grow(row + 1);
    if (this.is(row, parent, name, from, length)) {
      if (this.#unnamed.size > 0 && this.#unnamed.delete(row)) this.#lead(row, name, from, length);
      return;
    }
    this.drop(row);
    const at = this.#place(placeFor(length));
    this.#bytes[at] = length;
    for (let i = 0; i < length; i++) this.#bytes[at + 1 + i] = name[from + i] ?? 0;
    this.#nameAt[row] = at;
    this.#parent[row] = parent;
    this.#lead(row, name, from, length);
  }

  /** The row that a name led to last; -1 when there is none. */
  rowNamed(parent: Nodeid, name: Uint8Array, from = 0, length = name.length): number {
    const slot = this.#slotOf(parent, name, from, length);
    return slot === -1 ? NONE : this.#byName.rowAt(slot);
  }

  /** The name leads nowhere any more, as far as is known; the row keeps it for its path. */
  unname(parent: Nodeid, name: Uint8Array, from = 0, length = name.length): void {
    const slot = this.#slotOf(parent, name, from, length);
    if (slot === -1) return;
    this.#unnamed.add(this.#byName.rowAt(slot));
    this.#byName.removeAt(slot);
  }

  /** The entry left its row. */
  drop(row: number): void {
    const at = this.#nameAt[row] ?? NONE;
    if (at === NONE) return;
    const slot = this.#byName.slotOf(this.#hashOf(row), row);
    if (slot !== -1) this.#byName.removeAt(slot);
    this.#unnamed.delete(row);
    const grains = placeFor(this.#bytes[at] ?? 0);
    (this.#free[grains] ??= []).push(at);
    this.#nameAt[row] = NONE;
    this.#parent[row] = 0;
  }

  clear(): void {
    this.#nameAt.fill(NONE);
    this.#parent.fill(0);
    this.#end = 0;
    this.#free.length = 0;
    this.#byName.clear();
    this.#unnamed.clear();
  }

  /** 0 when no name is known. */
  parentOf(row: number): Nodeid {
    return (this.#parent[row] ?? NO_NODEID) as Nodeid;
  }

  /** The bytes of the name, valid until the next change; null when none is known. */
  nameOf(row: number): Uint8Array | null {
    const at = this.#nameAt[row] ?? NONE;
    return at === NONE ? null : this.#bytes.subarray(at + 1, at + 1 + (this.#bytes[at] ?? 0));
  }

  is(row: number, parent: Nodeid, name: Uint8Array, from = 0, length = name.length): boolean {
    const at = this.#nameAt[row] ?? NONE;
    if (at === NONE || this.#parent[row] !== parent || this.#bytes[at] !== length) return false;
    for (let i = 0; i < length; i++) {
      if (this.#bytes[at + 1 + i] !== name[from + i]) return false;
    }
    return true;
  }

  /**
   * The path of an entry below the shared directory, by the newest names; `.` for the root. An
   * ancestor that is no longer known shows as `…`.
   *
   * @returns null when the entry has no name
   */
  pathOf(nodeid: Nodeid, tables: InodeTables): string | null {
    if (nodeid === ROOT_NODEID) return '.';
    const parts: string[] = [];
    let at = nodeid;
    for (let depth = 0; depth < MAX_DEPTH && at !== ROOT_NODEID; depth++) {
      const row = tables.rowOf(at);
      const name = row === -1 ? null : this.nameOf(row);
      if (name === null) {
        if (depth === 0) return null;
        parts.push('…');
        break;
      }
      parts.push(nameText(name));
      at = this.parentOf(row);
    }
    return parts.reverse().join('/');
  }

  /** Makes the row's name lead to it. */
  #lead(row: number, name: Uint8Array, from: number, length: number): void {
    const slot = this.#slotOf(this.parentOf(row), name, from, length);
    if (slot === -1) this.#byName.add(row);
    else {
      this.#unnamed.add(this.#byName.rowAt(slot));
      this.#byName.replaceAt(slot, row);
    }
  }

  #hashOf(row: number): number {
    const at = this.#nameAt[row] ?? NONE;
    const length = at === NONE ? 0 : (this.#bytes[at] ?? 0);
    return hashName(this.#parent[row] ?? 0, this.#bytes, at + 1, length);
  }

  #slotOf(parent: Nodeid, name: Uint8Array, from: number, length: number): number {
    const index = this.#byName;
    const hash = hashName(parent, name, from, length);
    let slot = index.first(hash);
    for (;;) {
      const row = index.candidate(slot, hash);
      if (row === EMPTY) return -1;
      if (row !== OTHER && this.is(row, parent, name, from, length)) return slot;
      slot = index.next(slot);
    }
  }

  #place(grains: number): number {
    const free = this.#free[grains]?.pop();
    if (free !== undefined) return free;
    const at = this.#end;
    this.#end += grains * GRAIN;
    if (this.#end > this.#bytes.length) {
      const larger = new Uint8Array(Math.ceil(this.#end * 1.125));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }

  #grow(rows: number): void {
    const capacity = Math.ceil(rows * 1.125);
    const parent = new Float64Array(capacity);
    parent.set(this.#parent);
    this.#parent = parent;
    const nameAt = new Int32Array(capacity).fill(NONE);
    nameAt.set(this.#nameAt);
    this.#nameAt = nameAt;
  }
}

/** FNV-1a over the name, with the parent mixed in. */
function hashName(parent: number, bytes: Uint8Array, from: number, length: number): number {
  let h = 0x811c9dc5 ^ Math.imul(parent | 0, 0x9e3779b1) ^ Math.imul((parent / 2 ** 32) | 0, 31);
  for (let i = 0; i < length; i++) h = Math.imul(h ^ (bytes[from + i] ?? 0), 0x01000193);
  return h ^ (h >>> 15);
}

function placeFor(length: number): number {
  return Math.ceil((length + 1) / GRAIN);
}
