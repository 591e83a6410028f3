/**
 * Lookups, from the host's answer to a node id: virtiofsd's do_lookup and forget_one with every
 * step reported.
 */

import {
  RECORD,
  RECORD_ELAPSED,
  RECORD_FD,
  RECORD_HANDLE,
  RECORD_HANDLE_ERRNO,
  RECORD_HANDLE_MOUNT,
  RECORD_STAT,
  SLOT_FIRST,
} from '../../native/index';
import { ATTR_SUBMOUNT } from '../fuse/opcodes';
import { ENTRY_ATTR, ENTRY_OUT, writeEntryOut } from '../fuse/wire';
import type { Candidate } from '../tables/candidate';
import { NO_FD, NO_HANDLE } from '../tables/candidate';
import type { LookupOp } from '../tables/events';
import type { ForgetAtHand } from '../tables/gate';
import type { Nodeid } from '../tables/identity';
import { NO_NODEID } from '../tables/identity';
import type { Context } from './context';
import { ENFILE, EOPNOTSUPP, EOVERFLOW } from './errno';
import { translateOwner } from './owners';
import { isProbed, probe } from './probing';
import { refer, reported } from './references';
import { BY_NAME, lookUpByStep } from './steps';
import { reportVolume } from './volumes';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const STATX_BTIME = 0x800;
const STATX_MNT_ID = 0x1000;
const STATX_SUBVOL = 0x8000;
const TWO_TO_32 = 4294967296;

/**
 * Looks one name up below `parent`, by way of SLOT_FIRST.
 *
 * @param moreFlags for the native lookup: KEEP_PARENT
 * @returns the node id, whose lookup is counted, or -errno; the attributes are in RECORD
 */
export function lookUpName(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  nameLength: number,
  moreFlags = 0,
): number {
  const { gate } = context;
  if (gate.armed && gate.stepsByName(nameAt, nameLength)) {
    const origin = { ...BY_NAME, flags: moreFlags };
    return lookUpByStep(context, op, parent, nameAt, nameLength, origin);
  }
  const result = refer(context, SLOT_FIRST, parent);
  if (result < 0) return failed(context, op, parent, nameAt, nameLength, RECORD, -result);
  const flags = context.lookupFlags | moreFlags;
  const answer = context.native.lookup(SLOT_FIRST, nameAt, flags, RECORD);
  reported(context, answer, SLOT_FIRST, parent);
  if (answer < 0) return failed(context, op, parent, nameAt, nameLength, RECORD, -answer);
  return settle(context, op, parent, nameAt, nameLength, RECORD, moreFlags);
}

/**
 * Turns what the host said about a name into a node id. The record's descriptor is used up.
 *
 * @param keptFlags with which the native lookup was made: KEEP_PARENT
 * @param openFd the file that the request has just made, or -1
 * @returns the node id, whose lookup is counted, or -errno
 */
export function settle(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  nameLength: number,
  record: number,
  keptFlags = 0,
  openFd = -1,
): number {
  const { gate, trace } = context;
  begin(context, op, parent, nameAt, nameLength, record);
  trace.identified = true;
  identify(context, record, trace);

  const handleErrno = context.memory.i32[(record + RECORD_HANDLE_ERRNO) >> 2] ?? 0;
  trace.handleErrno = handleErrno > 0 ? handleErrno : 0;
  if (gate.armed && gate.stepsByCandidate(trace)) {
    return settleByStep(context, op, parent, nameAt, nameLength, record, keptFlags, openFd);
  }
  const nodeid = decide(context, record, handleErrno > 0 ? withoutHandle(context, handleErrno) : 0);
  if (gate.armed) gate.lookedUp(trace);
  return nodeid;
}

/** Somebody wants to stop at what was found: looks once more, step by step. */
function settleByStep(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  nameLength: number,
  record: number,
  keptFlags: number,
  openFd: number,
): number {
  const { u8, i32 } = context.memory;
  const fd = i32[(record + RECORD_FD) >> 2] ?? NO_FD;
  if (fd !== NO_FD) context.native.close(fd);
  const parentIsOpen = keptFlags !== 0 && context.tables.fdOf(parent) === NO_FD;
  const origin = { flags: keptFlags, parentIsOpen, openFd };
  const result = lookUpByStep(context, op, parent, nameAt, nameLength, origin);
  // The reply is made of the record that the caller knows.
  if (record !== RECORD) {
    u8.copyWithin(record + RECORD_STAT, RECORD + RECORD_STAT, RECORD + RECORD_HANDLE);
  }
  return result;
}

/**
 * Asks the tables for what `trace` has found, inserts it when they do not know it, and reports.
 *
 * @param record in which it was found
 * @param errno why they are not to be asked, or 0
 * @returns the node id, whose lookup is counted, or -errno
 */
export function decide(context: Context, record: number, errno: number): number {
  const { tables, trace } = context;
  const { candidate } = trace;
  let nodeid = NO_NODEID;
  if (errno === 0) {
    trace.asked = true;
    nodeid = tables.claim(candidate);
    if (nodeid === NO_NODEID) {
      errno = makeRoom(context);
      if (errno === 0) {
        nodeid = tables.insert(candidate);
        trace.inserted = true;
      }
    }
    if (errno === 0 && isProbed(context)) probe(context, nodeid, record);
  }
  // The entry that was found holds its own reference; the candidate's is not needed.
  if (!trace.inserted && candidate.fd !== NO_FD) context.native.close(candidate.fd);
  trace.nodeid = nodeid;
  trace.errno = errno;
  context.recorder.lookup(trace);
  return errno === 0 ? nodeid : -errno;
}

/** Reports a lookup that the host refused. Returns -errno. */
export function failed(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  nameLength: number,
  record: number,
  errno: number,
): number {
  const { gate, trace } = context;
  begin(context, op, parent, nameAt, nameLength, record);
  trace.identified = false;
  trace.handleErrno = 0;
  trace.nodeid = NO_NODEID;
  trace.errno = errno;
  context.recorder.lookup(trace);
  if (gate.armed) gate.lookedUp(trace);
  return -errno;
}

/**
 * Counts lookups less and lets go of what a removed entry held.
 *
 * @param op the operation inside which this happens, or FORGET when the guest asked
 */
export function forgetLookups(
  context: Context,
  nodeid: Nodeid,
  count: number,
  op: LookupOp | 'FORGET',
): void {
  const { gate } = context;
  if (gate.armed && gate.stepsForget(nodeid)) {
    forgetByStep(context, nodeid, count, op);
    return;
  }
  forgetNow(context, nodeid, count, op);
}

/** @returns whether there was such an entry; `tables.forgotten` says the rest */
function forgetNow(
  context: Context,
  nodeid: Nodeid,
  count: number,
  op: LookupOp | 'FORGET',
): boolean {
  const { tables } = context;
  const mntId = context.handles === 'never' ? 0 : tables.mntIdOf(nodeid);
  if (!tables.forget(nodeid, count)) {
    if (op === 'FORGET') context.recorder.overForget(nodeid, count, 0);
    return false;
  }
  const { removed, fd, excess } = tables.forgotten;
  context.recorder.forget(nodeid, count, op);
  if (excess > 0) context.recorder.overForget(nodeid, count, count - excess);
  if (!removed) return true;
  if (fd !== NO_FD) context.native.close(fd);
  else context.mountFds.release(mntId);
  return true;
}

/** With a debugger's points: before the count, and after entry and keys have gone in one step. */
function forgetByStep(
  context: Context,
  nodeid: Nodeid,
  count: number,
  op: LookupOp | 'FORGET',
): void {
  const { gate, tables } = context;
  const before = (): ForgetAtHand | null => {
    const entry = tables.entry(nodeid);
    if (entry === undefined) return null;
    const left = Math.max(0, entry.lookups - count);
    return { nodeid, count, left, idsLostBy: NO_NODEID, handleLostBy: NO_NODEID };
  };
  let planned = before();
  // Others may count lookups of the same entry while this is held.
  while (planned !== null && gate.forget('counted', planned)) {
    const now = before();
    if (now?.left === planned.left) break;
    planned = now;
  }
  if (!forgetNow(context, nodeid, count, op) || !tables.forgotten.removed) return;
  const { idsLostBy, handleLostBy } = tables.forgotten;
  const done = { nodeid, count, left: 0, idsLostBy, handleLostBy };
  gate.forget('removed', done);
  gate.forget('keys_removed', done);
}

/**
 * The short lookup that virtiofsd makes of a name that an operation is about to take away
 * (before_invalidating_path): one count more, then one less. Its failure does not matter to the
 * operation, which will meet the same error.
 */
export function lookUpInPassing(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  nameLength: number,
  moreFlags = 0,
): void {
  const nodeid = lookUpName(context, op, parent, nameAt, nameLength, moreFlags);
  if (nodeid > 0) forgetLookups(context, nodeid as Nodeid, 1, op);
}

/** Writes the entry that the last lookup led to. Returns bytes. */
export function writeEntry(
  context: Context,
  at: number,
  parent: Nodeid,
  nodeid: number,
  record: number,
): number {
  const flags = isSubmount(context, parent, nodeid as Nodeid) ? ATTR_SUBMOUNT : 0;
  const { timeout } = context.cache;
  writeEntryOut(context.memory, at, nodeid, record + RECORD_STAT, timeout, flags);
  translateOwner(context, at + ENTRY_ATTR);
  return ENTRY_OUT;
}

/** A directory on another device or mount than its parent; bind mounts count. */
function isSubmount(context: Context, parent: Nodeid, nodeid: Nodeid): boolean {
  if (!context.submounts) return false;
  const { candidate } = context.trace;
  if ((candidate.mode & S_IFMT) !== S_IFDIR) return false;
  return context.tables.volumeOf(nodeid) !== context.tables.volumeOf(parent);
}

export function begin(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  nameLength: number,
  record: number,
): void {
  const { trace } = context;
  trace.op = op;
  trace.unique = context.unique;
  trace.parent = parent;
  trace.nameAt = nameAt;
  trace.nameLength = nameLength;
  trace.asked = false;
  trace.inserted = false;
  trace.probe = 'not-probed';
  trace.held.differences = 0;
  trace.held.errno = 0;
  trace.durationNs = context.memory.i32[(record + RECORD_ELAPSED) >> 2] ?? 0;
}

/** A record's statx and handle are read into one of these. */
interface Identified {
  readonly candidate: Candidate;
  nlink: number;
  btimeSeconds: number;
  btimeNanoseconds: number;
  subvol: number;
}

export function identify(context: Context, record: number, into: Identified): void {
  const { candidate } = into;
  const { i32, u32 } = context.memory;
  const s = (record + RECORD_STAT) >> 2;
  const mask = u32[s] ?? 0;
  candidate.inoLow = i32[s + 8] ?? 0;
  candidate.inoHigh = i32[s + 9] ?? 0;
  candidate.devMajor = u32[s + 34] ?? 0;
  candidate.devMinor = u32[s + 35] ?? 0;
  candidate.mode = (i32[s + 7] ?? 0) & 0xffff;
  candidate.fd = i32[(record + RECORD_FD) >> 2] ?? NO_FD;
  into.nlink = u32[s + 4] ?? 0;
  if ((mask & STATX_BTIME) !== 0) {
    into.btimeSeconds = (u32[s + 20] ?? 0) + (i32[s + 21] ?? 0) * TWO_TO_32;
    into.btimeNanoseconds = i32[s + 22] ?? 0;
  } else {
    into.btimeSeconds = -1;
    into.btimeNanoseconds = 0;
  }
  into.subvol =
    (mask & STATX_SUBVOL) !== 0 ? (u32[s + 40] ?? 0) + (u32[s + 41] ?? 0) * TWO_TO_32 : -1;

  const hasHandle = i32[(record + RECORD_HANDLE_ERRNO) >> 2] === 0;
  if ((mask & STATX_MNT_ID) !== 0) {
    candidate.mntId = (u32[s + 36] ?? 0) + (u32[s + 37] ?? 0) * TWO_TO_32;
  } else {
    // Before Linux 5.8: the handle call tells the mount, too; without it 0, as virtiofsd does.
    candidate.mntId = hasHandle ? (i32[(record + RECORD_HANDLE_MOUNT) >> 2] ?? 0) : 0;
  }
  if (!hasHandle) {
    candidate.handleLength = NO_HANDLE;
    return;
  }
  const h = (record + RECORD_HANDLE) >> 2;
  const length = i32[h] ?? 0;
  const words = (length + 3) >> 2;
  const { handleWords } = candidate;
  for (let i = 0; i < words; i++) handleWords[i] = i32[h + 2 + i] ?? 0;
  const rest = length & 3;
  if (rest !== 0) {
    handleWords[words - 1] = (handleWords[words - 1] ?? 0) & ((1 << (rest * 8)) - 1);
  }
  handleWords.fill(0, words);
  candidate.handleType = i32[h + 1] ?? 0;
  candidate.handleLength = length;
}

/** No handle could be made: goes on without one (0), or the errno for the guest (4.3's table). */
export function withoutHandle(context: Context, errno: number): number {
  if (errno !== EOPNOTSUPP && errno !== EOVERFLOW) return errno;
  const { mntId } = context.trace.candidate;
  const mandatory = context.handles === 'mandatory';
  if (!context.toldHandleless.has(mntId)) {
    context.toldHandleless.add(mntId);
    context.log(
      mandatory ? 'error' : 'warn',
      `Mount ${mntId} makes no file handles (errno ${errno}): ` +
        (mandatory
          ? 'lookups there fail. Use --inode-file-handles=prefer.'
          : 'its inodes are held by open descriptors instead.'),
    );
  }
  return mandatory ? EOPNOTSUPP : 0;
}

/** What a new entry needs besides its row: a mount descriptor, or a descriptor of its own. */
function makeRoom(context: Context): number {
  const { candidate, parent } = context.trace;
  if (candidate.handleLength !== NO_HANDLE) {
    const fd = context.mountFds.acquire(candidate.mntId);
    if (fd < 0) return -fd;
    reportVolume(context, candidate.mntId, fd, parent);
    return 0;
  }
  if (!hasRoom(context)) return ENFILE;
  reportVolume(context, candidate.mntId, candidate.fd, parent);
  return 0;
}

/** Whether the guest may make the daemon hold one more descriptor. Says it when not, once. */
export function hasRoom(context: Context): boolean {
  if (usedFds(context) < context.fdLimit) return true;
  context.refusals++;
  if (!context.toldFull) {
    context.toldFull = true;
    context.log(
      'error',
      `The guest holds all ${context.fdLimit} descriptors that it may have and gets ENFILE: ` +
        'raise --rlimit-nofile.',
    );
  }
  return false;
}

/** Descriptors that the guest makes the daemon hold. */
export function usedFds(context: Context): number {
  return context.tables.entriesOfKind('file') + context.openFiles.count;
}
