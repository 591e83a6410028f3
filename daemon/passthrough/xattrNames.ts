/** --xattrmap: what attributes are called on the host and in the guest. */

import type { Scratch } from '../../native/index';
import { NAME } from '../../native/index';
import { EOPNOTSUPP, EPERM, ERANGE } from './errno';

/**
 * One rule. Towards the host it is for names that begin with `key`, towards the guest for names
 * that begin with `prepend`; the first rule that fits decides.
 */
export interface XattrRule {
  /** prefix: `prepend` goes before the host's names. The others leave, forbid or deny names. */
  readonly type: 'prefix' | 'ok' | 'bad' | 'unsupported';
  readonly client: boolean;
  readonly server: boolean;
  readonly key: Uint8Array;
  readonly prepend: Uint8Array;
}

export type XattrMap = readonly XattrRule[];

/** XATTR_NAME_MAX of linux/limits.h: the kernel answers ERANGE to longer names. */
const LONGEST = 255;

function startsWith(u8: Uint8Array, at: number, length: number, start: Uint8Array): boolean {
  if (start.length > length) return false;
  for (let i = 0; i < start.length; i++) if (u8[at + i] !== start[i]) return false;
  return true;
}

function ruleFor(
  map: XattrMap,
  side: 'client' | 'server',
  u8: Uint8Array,
  at: number,
  length: number,
): XattrRule | undefined {
  for (const rule of map) {
    if (!rule[side]) continue;
    if (startsWith(u8, at, length, side === 'client' ? rule.key : rule.prepend)) return rule;
  }
  return undefined;
}

/**
 * What the host calls an attribute of the guest.
 *
 * @param at where the name stands, with a NUL behind it
 * @returns where the host's name stands (NAME when it is another), or -errno
 */
export function hostName(map: XattrMap, memory: Scratch, at: number, length: number): number {
  const { u8 } = memory;
  const rule = ruleFor(map, 'client', u8, at, length);
  switch (rule?.type) {
    case 'ok':
      return at;
    case 'unsupported':
      return -EOPNOTSUPP;
    case 'prefix': {
      const { prepend } = rule;
      if (prepend.length + length > LONGEST) return -ERANGE;
      u8.set(prepend, NAME);
      u8.copyWithin(NAME + prepend.length, at, at + length);
      u8[NAME + prepend.length + length] = 0;
      return NAME;
    }
    case 'bad':
    case undefined:
      return -EPERM;
  }
}

/**
 * How many bytes of a host's name are taken off its front for the guest.
 *
 * @returns -1 when the guest is not to see it
 */
export function hiddenPrefix(map: XattrMap, u8: Uint8Array, at: number, length: number): number {
  const rule = ruleFor(map, 'server', u8, at, length);
  switch (rule?.type) {
    case 'ok':
      return 0;
    case 'prefix':
      return rule.prepend.length;
    case 'bad':
    case 'unsupported':
    case undefined:
      return -1;
  }
}

/**
 * The host's name of an attribute when the map gives it another one, NUL-terminated; null when it
 * keeps its name or may not be used.
 */
export function otherHostName(map: XattrMap, name: string): Uint8Array | null {
  const bytes = new TextEncoder().encode(name);
  const rule = ruleFor(map, 'client', bytes, 0, bytes.length);
  if (rule?.type !== 'prefix' || rule.prepend.length === 0) return null;
  return Uint8Array.from([...rule.prepend, ...bytes, 0]);
}
