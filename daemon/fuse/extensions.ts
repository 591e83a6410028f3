/**
 * Request extensions that follow the last name of CREATE, MKDIR, MKNOD and SYMLINK (linux/fuse.h,
 * struct fuse_ext_header). They follow it without padding, so they stand at any address.
 */

import type { WireMemory } from './wire';

/** A record's type: up to here it is the number of security contexts in it. */
const MOST_CONTEXTS = 31;
const EXT_GROUPS = 32;

/** What the extensions of a request said. Filled over and over. */
export interface Extensions {
  /** How many supplementary groups; -1: none were sent. */
  groups: number;
  /** Where the name and the value of the security context stand; `nameAt` 0: none was sent. */
  nameAt: number;
  nameLength: number;
  valueAt: number;
  valueSize: number;
}

/**
 * Reads the extensions.
 *
 * @param at where the last name ends
 * @param end of the request
 * @param groups whether FUSE_CREATE_SUPP_GROUP was agreed on
 * @param context whether FUSE_SECURITY_CTX was: then a record is always sent
 * @param out receives the group ids from word `outAt` on, at most `most`
 * @returns false when they are malformed or nothing of the kind was agreed on
 */
export function readExtensions(
  memory: WireMemory,
  at: number,
  end: number,
  groups: boolean,
  context: boolean,
  out: Uint32Array,
  outAt: number,
  most: number,
  said: Extensions,
): boolean {
  const { u8 } = memory;
  said.groups = -1;
  said.nameAt = 0;
  if (!groups && !context) return true;
  let contextSeen = false;
  let next = at;
  while (next < end) {
    const size = next + 8 <= end ? word(u8, next) : 0;
    if (size < 8 || size > end - next) return false;
    const type = word(u8, next + 4);
    if (type === EXT_GROUPS) {
      if (!groups || said.groups >= 0) return false;
      if (!readGroups(u8, next + 8, next + size, out, outAt, most, said)) return false;
    } else {
      if (!context || contextSeen || type > MOST_CONTEXTS) return false;
      contextSeen = true;
      if (!readContext(u8, next + 8, next + size, type, said)) return false;
    }
    next += size;
  }
  return !context || contextSeen;
}

/** struct fuse_supp_groups: a number and so many ids, padded to 8 bytes. */
function readGroups(
  u8: Uint8Array,
  at: number,
  end: number,
  out: Uint32Array,
  outAt: number,
  most: number,
  said: Extensions,
): boolean {
  if (end - at < 4) return false;
  const count = word(u8, at);
  if (count > most || at + 4 + count * 4 > end) return false;
  for (let i = 0; i < count; i++) out[outAt + i] = word(u8, at + 4 + i * 4);
  said.groups = count;
  return true;
}

/** struct fuse_secctx: {u32 size, padding}, a name with its NUL, a value. Kernels send 0 or 1. */
function readContext(
  u8: Uint8Array,
  at: number,
  end: number,
  count: number,
  said: Extensions,
): boolean {
  if (count === 0) return true;
  if (count > 1 || end - at < 8) return false;
  const nameAt = at + 8;
  const size = word(u8, at);
  let nul = nameAt;
  while (nul < end && u8[nul] !== 0) nul++;
  if (size === 0 || size > end - nul - 1) return false;
  said.nameAt = nameAt;
  said.nameLength = nul - nameAt;
  said.valueAt = nul + 1;
  said.valueSize = size;
  return true;
}

function word(u8: Uint8Array, at: number): number {
  return (
    ((u8[at] ?? 0) |
      ((u8[at + 1] ?? 0) << 8) |
      ((u8[at + 2] ?? 0) << 16) |
      ((u8[at + 3] ?? 0) << 24)) >>>
    0
  );
}
