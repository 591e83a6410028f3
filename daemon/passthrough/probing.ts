/**
 * Probes: whether what an entry holds still is the file that a lookup has just found under its key.
 * An open descriptor does not pin every number (hazards H11 and H12 of the catalogue), and then the
 * tables look perfectly healthy.
 */

import { COMPARE_INODES, PROBE_RECORD, RESULT_FAILED_SLOT, SLOT_THIRD } from '../../native/index';
import { NO_HANDLE } from '../tables/candidate';
import type { HeldIdentity } from '../tables/held';
import { DECIDING_FIELDS, HeldTrace } from '../tables/held';
import type { Nodeid } from '../tables/identity';
import type { Context } from './context';
import { ENOENT, ESTALE } from './errno';
import { identify } from './lookup';
import { describe } from './references';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** Whether the entry that the lookup at hand has led to is to be probed. */
export function isProbed({ options, tables, trace }: Context): boolean {
  const { probe = 'hits' } = options;
  if (probe === 'never') return false;
  // A new entry that holds a descriptor holds the very file that was found.
  if (trace.inserted) return probe === 'always' && trace.candidate.handleLength !== NO_HANDLE;
  const { hit } = tables.asked;
  return hit === 'fallback_hit' || hit === 'handleless_hit' || probe === 'always';
}

/** One native call; nothing more is looked at when nothing differs. */
export function probe(context: Context, nodeid: Nodeid, record: number): void {
  const { native, trace } = context;
  if (describe(context, SLOT_THIRD, nodeid) < 0) return;
  const found = native.compare(SLOT_THIRD, record, flagsOf(context), PROBE_RECORD);
  if (found === 0) {
    trace.probe = 'same';
    return;
  }
  const { held } = trace;
  if (found < 0) {
    held.errno = -found;
    // What is gone is another file than the one that was found; other errnos tell nothing.
    if (-found === ESTALE || -found === ENOENT) trace.probe = 'different';
    return;
  }
  trace.probe = (found & DECIDING_FIELDS) === 0 ? 'same' : 'different';
  held.differences = found;
  identify(context, PROBE_RECORD, held);
}

/** What an entry's own reference says when somebody asks: the file, or the errno. */
export interface ProbeAnswer {
  readonly nodeid: Nodeid;
  readonly errno: number;
  readonly held: HeldIdentity | null;
}

/** @returns null when there is no such entry, or it holds nothing */
export function tryEntry(context: Context, nodeid: Nodeid): ProbeAnswer | null {
  const { memory, native } = context;
  if (describe(context, SLOT_THIRD, nodeid) < 0) return null;
  const errno = -native.probe(SLOT_THIRD, 0, PROBE_RECORD);
  if (errno > 0) {
    // Not the failure of a request.
    memory.i32[RESULT_FAILED_SLOT >> 2] = -1;
    return { nodeid, errno, held: null };
  }
  const found = new HeldTrace();
  identify(context, PROBE_RECORD, found);
  return { nodeid, errno: 0, held: heldIdentity(found) };
}

function heldIdentity(found: HeldTrace): HeldIdentity {
  const { candidate, nlink, btimeSeconds, btimeNanoseconds, subvol } = found;
  const { inoLow, inoHigh, devMajor, devMinor, mntId, mode } = candidate;
  const ino = (BigInt(inoHigh >>> 0) << 32n) | BigInt(inoLow >>> 0);
  return {
    ids: { ino, dev: { major: devMajor, minor: devMinor }, mntId },
    mode,
    handle: null,
    nlink,
    btime: btimeSeconds === -1 ? null : { seconds: btimeSeconds, nanoseconds: btimeNanoseconds },
    subvol: subvol === -1 ? null : subvol,
  };
}

/** Where statx cannot tell two files apart: an overlay's hard links. */
function flagsOf({ overlays, trace }: Context): number {
  const { candidate, nlink } = trace;
  if (overlays.size === 0 || nlink < 2 || (candidate.mode & S_IFMT) === S_IFDIR) return 0;
  return overlays.has(candidate.mntId) ? COMPARE_INODES : 0;
}
