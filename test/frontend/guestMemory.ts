/** The guest's memory: memfds, the regions that a VMM announces of them, and an allocator. */

import { must, native } from './native';

/** Where the VMM has guest address 0 in its own address space: unlike both other address spaces. */
const USER_BASE = 0x7e00_0000_0000;
const SMALLEST = 64;

/** A region of guest-physical memory in a file. Sizes and offsets are bytes, multiples of 4096. */
export interface RegionPlan {
  readonly guestAddress: number;
  readonly size: number;
  /** Which memfd; regions with the same number share one. */
  readonly file: number;
  readonly offset: number;
}

const MEBIBYTE = 1 << 20;

/** Memory as VMMs lay it out. */
const MEMORY_LAYOUTS = {
  /** QEMU 10: one region. */
  one: [{ guestAddress: 0, size: 64 * MEBIBYTE, file: 0, offset: 0 }],
  /** QEMU 7.2: below and above the VGA window, from one file. */
  qemu: [
    { guestAddress: 0, size: 0xa0000, file: 0, offset: 0 },
    { guestAddress: 0xc0000, size: 64 * MEBIBYTE - 0xc0000, file: 0, offset: 0xc0000 },
  ],
  /** Several files, with and without gaps between their guest addresses. */
  several: [
    { guestAddress: 0, size: 16 * MEBIBYTE, file: 0, offset: 0 },
    { guestAddress: 16 * MEBIBYTE, size: 16 * MEBIBYTE, file: 1, offset: 0 },
    { guestAddress: 0x1_0000_0000, size: 32 * MEBIBYTE, file: 2, offset: 4096 },
  ],
} as const satisfies Record<string, readonly RegionPlan[]>;

export type MemoryLayout = keyof typeof MEMORY_LAYOUTS | readonly RegionPlan[];

export interface Region extends RegionPlan {
  readonly userAddress: number;
  readonly fd: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

interface File {
  readonly fd: number;
  readonly memory: ArrayBuffer;
}

export class GuestMemory {
  readonly #files = new Map<number, File>();
  readonly #regions: Region[] = [];
  /** Freed pieces by their size, which is a power of two. */
  readonly #free = new Map<number, number[]>();
  #next = 0;
  #end = 0;

  constructor(layout: MemoryLayout) {
    const plans: readonly RegionPlan[] =
      typeof layout === 'string' ? MEMORY_LAYOUTS[layout] : layout;
    for (const plan of plans) {
      const size = Math.max(
        ...plans.filter(({ file }) => file === plan.file).map((each) => each.offset + each.size),
      );
      this.add(plan, size);
    }
    const largest = [...this.#regions].sort((a, b) => b.size - a.size)[0];
    if (largest !== undefined) this.allocateFrom(largest);
  }

  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** Makes a region, which the device is not told of by this. */
  add(plan: RegionPlan, fileSize = plan.offset + plan.size): Region {
    const file = this.#files.get(plan.file) ?? openFile(fileSize);
    this.#files.set(plan.file, file);
    const region = {
      ...plan,
      userAddress: USER_BASE + plan.guestAddress,
      fd: file.fd,
      bytes: new Uint8Array(file.memory, plan.offset, plan.size),
      view: new DataView(file.memory, plan.offset, plan.size),
    };
    this.#regions.push(region);
    return region;
  }

  remove(region: Region): void {
    this.#regions.splice(this.#regions.indexOf(region), 1);
  }

  /** From now on allocations are made in this region; its first page stays unused. */
  allocateFrom(region: Region, from = 4096): void {
    this.#free.clear();
    this.#next = region.guestAddress + from;
    this.#end = region.guestAddress + region.size;
  }

  /** The region that holds this guest address. */
  at(guestAddress: number): { readonly region: Region; readonly offset: number } {
    const region = this.#regions.find(
      (each) => guestAddress >= each.guestAddress && guestAddress < each.guestAddress + each.size,
    );
    if (region === undefined) throw new Error(`No region at 0x${guestAddress.toString(16)}.`);
    return { region, offset: guestAddress - region.guestAddress };
  }

  /** The bytes at a guest address; they lie in one region. */
  bytes(guestAddress: number, length: number): Uint8Array {
    const { region, offset } = this.at(guestAddress);
    return region.bytes.subarray(offset, offset + length);
  }

  /** Copies bytes out, also across regions that touch. */
  read(guestAddress: number, length: number): Uint8Array {
    const copy = new Uint8Array(length);
    this.#pieces(guestAddress, length, (piece, at) => copy.set(piece, at));
    return copy;
  }

  /** Copies bytes in, also across regions that touch. */
  write(guestAddress: number, bytes: Uint8Array): void {
    this.#pieces(guestAddress, bytes.length, (piece, at) => {
      piece.set(bytes.subarray(at, at + piece.length));
    });
  }

  #pieces(
    guestAddress: number,
    length: number,
    act: (piece: Uint8Array, at: number) => void,
  ): void {
    for (let at = 0; at < length;) {
      const { region, offset } = this.at(guestAddress + at);
      const piece = region.bytes.subarray(offset, offset + length - at);
      act(piece, at);
      at += piece.length;
    }
  }

  view(guestAddress: number, length: number): DataView {
    const { region, offset } = this.at(guestAddress);
    return new DataView(region.bytes.buffer, region.bytes.byteOffset + offset, length);
  }

  /** @returns the guest address of zeroed bytes, aligned to their size, at most to a page */
  allocate(size: number): number {
    const piece = pieceSize(size);
    const freed = this.#free.get(piece)?.pop();
    if (freed !== undefined) {
      this.bytes(freed, piece).fill(0);
      return freed;
    }
    const alignment = Math.min(piece, 4096);
    const address = Math.ceil(this.#next / alignment) * alignment;
    if (address + piece > this.#end) throw new Error('The guest has no memory left.');
    this.#next = address + piece;
    return address;
  }

  /** Gives back what `allocate` gave, asked for with the same size. */
  release(guestAddress: number, size: number): void {
    const piece = pieceSize(size);
    const list = this.#free.get(piece);
    if (list === undefined) this.#free.set(piece, [guestAddress]);
    else list.push(guestAddress);
  }

  close(): void {
    for (const { fd, memory } of this.#files.values()) {
      native.unmap(memory);
      native.closeFd(fd);
    }
    this.#files.clear();
    this.#regions.length = 0;
  }
}

function openFile(size: number): File {
  const fd = must(native.memfd(size), 'memfd of guest memory');
  const memory = native.map(fd, 0, size);
  if (typeof memory === 'number') {
    native.closeFd(fd);
    throw new Error(`Guest memory cannot be mapped (errno ${-memory}).`);
  }
  return { fd, memory };
}

function pieceSize(size: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(size, SMALLEST)));
}
