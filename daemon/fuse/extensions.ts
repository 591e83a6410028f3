/** Request extensions that follow the last name of CREATE, MKDIR, MKNOD and SYMLINK. */

import type { WireMemory } from './wire';

const EXT_GROUPS = 32;

/** Offset in fuse_in_header of the extensions' length in units of 8 bytes. */
const IN_EXTENSIONS = 36;

/**
 * Finds the supplementary groups (FUSE_CREATE_SUPP_GROUP) and copies them. Extensions end the
 * request and follow its last name without padding, so they stand at any address.
 *
 * @param requestAt where the request begins
 * @param at where the last name ends
 * @param end of the request
 * @param out receives the group ids from word `outAt` on
 * @returns the number of groups, -1 when none were sent, -2 when the extensions are malformed
 */
export function readGroups(
  memory: WireMemory,
  requestAt: number,
  at: number,
  end: number,
  out: Uint32Array,
  outAt: number,
  most: number,
): number {
  const { u8 } = memory;
  const lengthAt = requestAt + IN_EXTENSIONS;
  let next = end - 8 * ((u8[lengthAt] ?? 0) | ((u8[lengthAt + 1] ?? 0) << 8));
  if (next < at) return -2;
  while (next + 8 <= end) {
    const size = word(u8, next);
    if (size < 8 || size % 8 !== 0 || next + size > end) return -2;
    if (word(u8, next + 4) === EXT_GROUPS) {
      if (size < 16) return -2;
      const count = word(u8, next + 8);
      if (count > most || 12 + count * 4 > size) return -2;
      for (let i = 0; i < count; i++) out[outAt + i] = word(u8, next + 12 + i * 4);
      return count;
    }
    next += size;
  }
  return -1;
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
