/** A guest's memory: one file, shared with the device in regions. */

import type { Addon } from '../../../native/index';
import type { Surroundings } from '../kind';

/** Where a region is in the file, for the guest, and for the front-end. */
export interface Region {
  readonly offset: number;
  readonly size: number;
  readonly guest: bigint;
  readonly user: bigint;
}

export const BYTES = 0x100000;
const TWO_TO_32 = 0x100000000n;

/**
 * LOW and MIDDLE follow each other for the guest and nowhere else. Each of the three parts of a
 * ring ends where its region ends.
 */
export const LOW: Region = { offset: 0, size: 0x40000, guest: 0n, user: 0x7000_0000_0000n };
export const MIDDLE: Region = {
  offset: 0x50000,
  size: 0x40000,
  guest: 0x40000n,
  user: 0x7100_0000_0000n,
};
export const DESCRIPTORS: Region = {
  offset: 0xa0000,
  size: 0x10000,
  guest: 0x1_0000_0000n,
  user: 0x7200_0000_0000n,
};
export const AVAILABLE: Region = {
  offset: 0xc0000,
  size: 0x1000,
  guest: 0x2_0000_0000n,
  user: 0x7300_0000_0000n,
};
export const USED: Region = {
  offset: 0xd0000,
  size: 0x2000,
  guest: 0xffff_ffff_ffff_0000n,
  user: 0x7400_0000_0000n,
};
/** A ring in good order, and its requests. */
export const SENTINELS: Region = {
  offset: 0xe0000,
  size: 0x1000,
  guest: 0x3_0000_0000n,
  user: 0x7500_0000_0000n,
};
export const REGIONS: readonly Region[] = [LOW, MIDDLE, DESCRIPTORS, AVAILABLE, USED, SENTINELS];

export class GuestMemory {
  readonly fd: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;

  constructor({ fuzzing }: Surroundings) {
    this.fd = fuzzing.memoryFile(BYTES);
    const memory = fuzzing.mapFile(this.fd, BYTES);
    if (typeof memory === 'number') throw new Error(`No guest memory can be had (${memory}).`);
    this.u8 = new Uint8Array(memory);
    this.u16 = new Uint16Array(memory);
    this.u32 = new Uint32Array(memory);
  }

  /** Tells the device about a region. */
  share(native: Addon, region: Region): number {
    const { guest, size, user, offset } = region;
    return native.addMemory(guest, BigInt(size), user, BigInt(offset), this.fd);
  }
}

/** The guest's address of a place in a region. */
export function guestAddress(region: Region, inside: number): bigint {
  return region.guest + BigInt(inside);
}

/** Low and high word of an address. */
export function lowWord(address: bigint): number {
  return Number(address % TWO_TO_32);
}

export function highWord(address: bigint): number {
  return Number(address / TWO_TO_32);
}

/** Where a guest's address in LOW or MIDDLE stands in the file. */
export function fileOffset(guest: number): number {
  return guest < LOW.size ? LOW.offset + guest : MIDDLE.offset + guest - LOW.size;
}

/** How much of the guest's memory LOW and MIDDLE are, from address 0 on. */
export const DATA_BYTES = LOW.size + MIDDLE.size;
