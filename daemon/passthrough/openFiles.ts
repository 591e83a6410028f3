/**
 * The files and directories that the guest has open: fh -> descriptor. File handles count up from 0
 * and are never used again, as in virtiofsd. Rows are used again, so that opening allocates nothing.
 */

import type { Addon } from '../../native/index';
import type { OpenFile, OpenFilesPage } from '../tables/gate';
import type { Nodeid } from '../tables/identity';

const NONE = -1;
const O_DIRECTORY = 0o200000;

export class OpenFiles {
  readonly #native: Addon;
  readonly #rowOf = new Map<number, number>();
  #fd = new Int32Array(64);
  #nodeid = new Float64Array(64);
  #flags = new Int32Array(64);
  /** Where a directory's descriptor stands, as two words, when `#placed` says so. */
  #positionLow = new Int32Array(64);
  #positionHigh = new Int32Array(64);
  #placed = new Uint8Array(64);
  #vacant: number[] = [];
  #rows = 0;
  #next = 0;

  constructor(native: Addon) {
    this.#native = native;
  }

  get count(): number {
    return this.#rowOf.size;
  }

  /** Keeps a descriptor for the guest; returns its fh. @param flags of open(2) */
  add(fd: number, nodeid: number, flags: number): number {
    const row = this.#vacant.pop() ?? this.#rows++;
    if (row >= this.#fd.length) this.#grow();
    this.#fd[row] = fd;
    this.#nodeid[row] = nodeid;
    this.#flags[row] = flags;
    this.#placed[row] = 0;
    const fh = this.#next++;
    this.#rowOf.set(fh, row);
    return fh;
  }

  /** The descriptor of an fh; -1 when there is none or it belongs to another node. */
  fd(fh: number, nodeid: number): number {
    const row = this.row(fh, nodeid);
    return row === NONE ? NONE : (this.#fd[row] ?? NONE);
  }

  /** The row of an fh; -1 when there is none or it belongs to another node. */
  row(fh: number, nodeid: number): number {
    const row = this.#rowOf.get(fh);
    return row !== undefined && this.#nodeid[row] === nodeid ? row : NONE;
  }

  fdAt(row: number): number {
    return this.#fd[row] ?? NONE;
  }

  /** Whether a directory's descriptor stands at this offset already. */
  standsAt(row: number, low: number, high: number): boolean {
    return (
      this.#placed[row] === 1 && this.#positionLow[row] === low && this.#positionHigh[row] === high
    );
  }

  place(row: number, low: number, high: number): void {
    this.#positionLow[row] = low;
    this.#positionHigh[row] = high;
    this.#placed[row] = 1;
  }

  displace(row: number): void {
    this.#placed[row] = 0;
  }

  /** Closes an fh; false when there is none or it belongs to another node. */
  release(fh: number, nodeid: number): boolean {
    const row = this.row(fh, nodeid);
    if (row === NONE) return false;
    this.#native.close(this.fdAt(row));
    this.#rowOf.delete(fh);
    this.#vacant.push(row);
    return true;
  }

  /** @param from how many to leave out, in the order of opening */
  page(from: number, count: number): OpenFilesPage {
    const files: OpenFile[] = [];
    let left = from;
    for (const [fh, row] of this.#rowOf) {
      if (left-- > 0) continue;
      if (files.length === count) break;
      const flags = this.#flags[row] ?? 0;
      const nodeid = (this.#nodeid[row] ?? 0) as Nodeid;
      files.push({ fh, nodeid, flags, isDirectory: (flags & O_DIRECTORY) !== 0 });
    }
    return { total: this.#rowOf.size, files };
  }

  closeAll(): void {
    for (const row of this.#rowOf.values()) this.#native.close(this.fdAt(row));
    this.#rowOf.clear();
    this.#vacant = [];
    this.#rows = 0;
  }

  #grow(): void {
    const capacity = this.#fd.length * 2;
    this.#fd = enlarged(this.#fd, new Int32Array(capacity));
    this.#nodeid = enlarged(this.#nodeid, new Float64Array(capacity));
    this.#flags = enlarged(this.#flags, new Int32Array(capacity));
    this.#positionLow = enlarged(this.#positionLow, new Int32Array(capacity));
    this.#positionHigh = enlarged(this.#positionHigh, new Int32Array(capacity));
    this.#placed = enlarged(this.#placed, new Uint8Array(capacity));
  }
}

function enlarged<T extends Int32Array | Float64Array | Uint8Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}
