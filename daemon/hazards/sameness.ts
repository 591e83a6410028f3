/** Whether a lookup and an entry are about one file. */

import type { LookupEvent, SpareIdentity } from '../tables/events';
import type { EntryKind, FileHandle, Ids, Nodeid } from '../tables/identity';

export type Sameness = 'same' | 'different' | 'unknown';

/** What is known of an entry's file. */
export interface KnownFile {
  readonly nodeid: Nodeid;
  readonly kind: EntryKind;
  readonly ids: Ids;
  readonly handle: FileHandle | null;
  readonly spare: SpareIdentity | null;
}

export function sameFile(
  lookup: Pick<LookupEvent, 'ids' | 'handle' | 'spare' | 'nodeid' | 'probe'>,
  entry: KnownFile,
): Sameness {
  if (lookup.nodeid === entry.nodeid && lookup.probe !== 'not-probed') return lookup.probe;
  if (lookup.handle !== null && entry.handle !== null) {
    return sameHandle(lookup.handle, entry.handle) ? 'same' : 'different';
  }
  if (lookup.ids === null || !sameIds(lookup.ids, entry.ids)) return 'unknown';
  const born = sameBirth(lookup.spare, entry.spare);
  // An open descriptor keeps the number from being given away; where that is not so (H11) the time
  // of birth differs.
  return born === 'unknown' && entry.kind === 'file' ? 'same' : born;
}

/**
 * The time of birth, where the file system keeps one, is the poor man's generation: it changes when
 * a number is used again, and survives ln, mv and chmod.
 */
export function sameBirth(a: SpareIdentity | null, b: SpareIdentity | null): Sameness {
  if (a === null || b === null) return 'unknown';
  if (a.subvol !== null && b.subvol !== null && a.subvol !== b.subvol) return 'different';
  if (a.btime === null || b.btime === null) return 'unknown';
  return a.btime.seconds === b.btime.seconds && a.btime.nanoseconds === b.btime.nanoseconds
    ? 'same'
    : 'different';
}

export function sameIds(a: Ids, b: Ids): boolean {
  return (
    a.ino === b.ino &&
    a.dev.major === b.dev.major &&
    a.dev.minor === b.dev.minor &&
    a.mntId === b.mntId
  );
}

export function sameHandle(a: FileHandle, b: FileHandle): boolean {
  return (
    a.mntId === b.mntId &&
    a.type === b.type &&
    a.bytes.length === b.bytes.length &&
    a.bytes.every((byte, at) => byte === b.bytes[at])
  );
}
