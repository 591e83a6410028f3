/** FUSE_INIT: version and capabilities. */

import type { WireMemory } from './wire';

export const FUSE_MAJOR = 7;
/** The protocol version that the daemon speaks, as virtiofsd 1.13 does. */
export const FUSE_MINOR = 38;
/** Rust virtiofsd refuses older peers. */
export const FUSE_MINOR_MIN = 27;

export const INIT_OUT = 64;
export const MAX_WRITE = 1 << 20;

/** Bits of the 64-bit capability set: 0..31 in `flags`, 32..63 in `flags2`. */
export const InitBit = {
  ASYNC_READ: 0,
  ATOMIC_O_TRUNC: 3,
  BIG_WRITES: 5,
  DONT_MASK: 6,
  HAS_IOCTL_DIR: 11,
  AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13,
  READDIRPLUS_AUTO: 14,
  ASYNC_DIO: 15,
  WRITEBACK_CACHE: 16,
  PARALLEL_DIROPS: 18,
  POSIX_ACL: 20,
  MAX_PAGES: 22,
  SUBMOUNTS: 27,
  HANDLE_KILLPRIV_V2: 28,
  SETXATTR_EXT: 29,
  INIT_EXT: 30,
  SECURITY_CTX: 32,
  CREATE_SUPP_GROUP: 34,
  DIRECT_IO_ALLOW_MMAP: 36,
  ALLOW_IDMAP: 40,
} as const;

/** What virtiofsd accepts whenever it is offered. */
const ALWAYS: readonly number[] = [
  InitBit.ASYNC_READ,
  InitBit.ATOMIC_O_TRUNC,
  InitBit.BIG_WRITES,
  InitBit.HAS_IOCTL_DIR,
  InitBit.AUTO_INVAL_DATA,
  InitBit.ASYNC_DIO,
  InitBit.PARALLEL_DIROPS,
  InitBit.MAX_PAGES,
  InitBit.SUBMOUNTS,
  InitBit.INIT_EXT,
  InitBit.CREATE_SUPP_GROUP,
  // The ids in requests that make something are those of the mount then; nothing else looks at them.
  InitBit.ALLOW_IDMAP,
];

/** Useless one without the others: the peer applies neither ACLs nor the umask. */
const ACL_BITS = [InitBit.DONT_MASK, InitBit.POSIX_ACL, InitBit.SETXATTR_EXT];

export interface InitWishes {
  readonly readdirplus: boolean;
  readonly writeback: boolean;
  readonly posixAcl: boolean;
  readonly securityContext: boolean;
  readonly killpriv: boolean;
  readonly mmap: boolean;
}

/** What both sides agreed on. */
export interface InitAgreement {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxReadahead: number;
}

export function has(agreement: InitAgreement, bit: number): boolean {
  const word = bit < 32 ? agreement.flags : agreement.flags2;
  return ((word >>> (bit & 31)) & 1) === 1;
}

/**
 * Reads fuse_init_in (16 or 64 bytes) and grants what is offered and wanted.
 *
 * @param bodyAt where the body stands
 * @param length of the body
 */
export function agree(
  memory: WireMemory,
  bodyAt: number,
  length: number,
  wishes: InitWishes,
): InitAgreement {
  const { u32 } = memory;
  const word = bodyAt >> 2;
  const offered = u32[word + 3] ?? 0;
  const extended = ((offered >>> InitBit.INIT_EXT) & 1) === 1 && length >= 20;
  const offered2 = extended ? (u32[word + 4] ?? 0) : 0;
  const wanted = [...ALWAYS];
  if (wishes.readdirplus) wanted.push(InitBit.DO_READDIRPLUS, InitBit.READDIRPLUS_AUTO);
  if (wishes.writeback) wanted.push(InitBit.WRITEBACK_CACHE);
  if (wishes.posixAcl && ACL_BITS.every((bit) => ((offered >>> bit) & 1) === 1)) {
    wanted.push(...ACL_BITS);
  }
  if (wishes.securityContext) wanted.push(InitBit.SECURITY_CTX);
  if (wishes.killpriv) wanted.push(InitBit.HANDLE_KILLPRIV_V2);
  if (wishes.mmap) wanted.push(InitBit.DIRECT_IO_ALLOW_MMAP);
  let flags = 0;
  let flags2 = 0;
  for (const bit of wanted) {
    if (bit < 32) flags |= 1 << bit;
    else flags2 |= 1 << (bit - 32);
  }
  return {
    minor: u32[word + 1] ?? 0,
    flags: (flags & offered) >>> 0,
    flags2: (flags2 & offered2) >>> 0,
    maxReadahead: u32[word + 2] ?? 0,
  };
}

/** Writes fuse_init_out (64 bytes). */
export function writeInitOut(memory: WireMemory, at: number, agreement: InitAgreement): void {
  const { u32 } = memory;
  const word = at >> 2;
  u32.fill(0, word, word + INIT_OUT / 4);
  u32[word] = FUSE_MAJOR;
  u32[word + 1] = FUSE_MINOR;
  u32[word + 2] = agreement.maxReadahead;
  u32[word + 3] = agreement.flags;
  u32[word + 4] = 65535 | (49149 << 16); // max_background, congestion_threshold
  u32[word + 5] = MAX_WRITE;
  u32[word + 6] = 1; // time_gran: nanoseconds
  u32[word + 7] = MAX_WRITE / 4096; // max_pages; map_alignment belongs to DAX and stays 0
  u32[word + 8] = agreement.flags2;
}

/** The answer to a newer major version: only {major, minor}; the peer then asks again. */
export function writeInitOtherMajor(memory: WireMemory, at: number): void {
  const { u32 } = memory;
  const word = at >> 2;
  u32.fill(0, word, word + INIT_OUT / 4);
  u32[word] = FUSE_MAJOR;
  u32[word + 1] = FUSE_MINOR;
}
