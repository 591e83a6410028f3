/** What an entry's own reference gave when it was probed, beside what a lookup has found. */

import { Candidate } from './candidate';
import type { FileHandle, Ids } from './identity';

/**
 * The fields that a probe compares, in the order of the bits of the native `compare`. A link count
 * changes all the time and an inode may be impossible to compare: these two decide nothing.
 */
export const PROBE_FIELDS = [
  'ino',
  'dev',
  'type',
  'btime',
  'subvol',
  'handle',
  'inode',
  'nlink',
  'inode-unknown',
] as const;
export type ProbeField = (typeof PROBE_FIELDS)[number];

/** The bits of the fields that make two files of what was compared. */
export const DECIDING_FIELDS = 0x7f;

/** Filled over and over, so that a probe allocates nothing. */
export class HeldTrace {
  /** Bits by `PROBE_FIELDS`; 0: nothing differs, and the rest means nothing. */
  differences = 0;
  /** Why the entry's reference could not be asked, or 0. */
  errno = 0;
  candidate = new Candidate();
  nlink = 0;
  /** Seconds; -1 when the file system keeps none. */
  btimeSeconds = -1;
  btimeNanoseconds = 0;
  /** STATX_SUBVOL, or -1. */
  subvol = -1;
}

export interface BirthTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Seconds and nine digits, as stat(1) prints it. */
export function birthTimeText({ seconds, nanoseconds }: BirthTime): string {
  return `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
}

/** The same as a value, for those who look at it. */
export interface HeldIdentity {
  readonly ids: Ids;
  readonly mode: number;
  readonly handle: FileHandle | null;
  readonly nlink: number;
  readonly btime: BirthTime | null;
  readonly subvol: number | null;
}

/** What a probe found that is worth telling: fields that differ, or an errno. */
export type ProbeFinding =
  | { readonly errno: number; readonly fields: readonly []; readonly held: null }
  | { readonly errno: 0; readonly fields: readonly ProbeField[]; readonly held: HeldIdentity };

export function fieldsOf(differences: number): ProbeField[] {
  return PROBE_FIELDS.filter((_, bit) => (differences & (1 << bit)) !== 0);
}
