/** Request extensions that follow the last name of CREATE, MKDIR, MKNOD and SYMLINK. */

import type { WireMemory } from './wire';

const EXT_GROUPS = 32;

/**
 * Finds the supplementary groups (FUSE_CREATE_SUPP_GROUP) and copies them.
 *
 * @param at where the extensions begin
 * @param end of the request
 * @param out receives the group ids from `outAt` (a word index) on
 * @returns the number of groups, -1 when none were sent, -2 when the extensions are malformed
 */
export function readGroups(
  memory: WireMemory,
  at: number,
  end: number,
  out: Uint32Array,
  outAt: number,
  most: number,
): number {
  const { u32 } = memory;
  let next = (at + 7) & ~7;
  while (next + 8 <= end) {
    const size = u32[next >> 2] ?? 0;
    const type = u32[(next >> 2) + 1] ?? 0;
    if (size < 8 || size % 8 !== 0 || next + size > end) return -2;
    if (type === EXT_GROUPS) {
      if (size < 16) return -2;
      const count = u32[(next >> 2) + 2] ?? 0;
      if (count > most || 12 + count * 4 > size) return -2;
      for (let i = 0; i < count; i++) out[outAt + i] = u32[(next >> 2) + 3 + i] ?? 0;
      return count;
    }
    next += size;
  }
  return -1;
}
