/** Names and strings in request bodies, which come from a peer that need not be a kernel. */

import type { WireMemory } from './wire';

/** NAME_MAX of linux/limits.h. */
export const NAME_MAX = 255;

const EINVAL = 22;
const ENAMETOOLONG = 36;
const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * Bytes of the string at `at`, without its NUL.
 *
 * @param end of the request
 * @returns the length, or -1 when no NUL stands before `end`
 */
export function stringLength(memory: WireMemory, at: number, end: number): number {
  const { u8 } = memory;
  for (let i = at; i < end; i++) if (u8[i] === 0) return i - at;
  return -1;
}

/**
 * Checks a string as the name of a directory entry. "." and ".." are refused: no kernel asks for
 * them, and "..", taken to the host, would leave the shared directory.
 *
 * @param length as `stringLength` returned it
 * @returns 0, or the errno to answer
 */
export function checkName(memory: WireMemory, at: number, length: number): number {
  if (length <= 0) return EINVAL;
  if (length > NAME_MAX) return ENAMETOOLONG;
  const { u8 } = memory;
  if (u8[at] === DOT && (length === 1 || (length === 2 && u8[at + 1] === DOT))) return EINVAL;
  for (let i = at; i < at + length; i++) if (u8[i] === SLASH) return EINVAL;
  return 0;
}
