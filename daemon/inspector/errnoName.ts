/** errno values by the names that the manual pages use. */

import { constants } from 'node:os';

// Two names share a number on Linux; the one that kernel and virtiofsd use wins.
const PREFERRED = new Set(['EOPNOTSUPP', 'EAGAIN', 'EDEADLK']);

const NAMES = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (!NAMES.has(number) || PREFERRED.has(name)) NAMES.set(number, name);
}
// Known to Linux, not to Node.
NAMES.set(117, 'EUCLEAN');
NAMES.set(61, 'ENODATA');

/** @param errno positive, as in errno.h */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

const NUMBERS = new Map([...NAMES].map(([number, name]) => [name, number]));

/** The number that `errnoName` named; undefined for other words. */
export function errnoNumber(name: string): number | undefined {
  const number = /^errno ([0-9]{1,4})$/.exec(name)?.[1];
  return number === undefined ? NUMBERS.get(name) : Number(number);
}
