/** Operations on names: CREATE, MKNOD, MKDIR, SYMLINK, LINK, UNLINK, RMDIR, RENAME. */

import { constants } from 'node:fs';
import {
  KEEP_PARENT,
  RECORD,
  REPLY,
  RESULT_OPEN_FD,
  SLOT_FIRST,
  SLOT_SECOND,
} from '../../native/index';
import { OPEN_KILL_SUIDGID } from '../fuse/opcodes';
import { ENTRY_OUT, OPEN_OUT, OUT_HEADER, readU64, writeOpenOut } from '../fuse/wire';
import type { LookupOp } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { Context } from './context';
import { NO_UMASK, actAsCaller } from './credentials';
import { EBADF, EEXIST, ENFILE, ENOENT, EROFS } from './errno';
import { hostFlags, openNode } from './files';
import { forgetLookups, hasRoom, lookUpInPassing, lookUpName, settle, writeEntry } from './lookup';
import { refer, reported, reportedOfTwo } from './references';
import { nameLength, textLength } from './requestNames';

const BODY = REPLY + OUT_HEADER;
const { O_EXCL } = constants;
const AT_REMOVEDIR = 0x200;
/** RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. */
const RENAME_FLAGS = 7;

/**
 * Ends an operation that made a name: the native call has made it and looked it up.
 *
 * @param answer the native call's result
 */
function made(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  length: number,
  answer: number,
): number {
  if (answer < 0) return answer;
  const found = settle(context, op, parent, nameAt, length, RECORD);
  return found < 0 ? found : writeEntry(context, BODY, parent, found, RECORD);
}

export function mknod(context: Context): number {
  if (context.options.readonly) return -EROFS;
  const { nodeid, bodyAt, memory, lookupFlags } = context;
  const nameAt = bodyAt + 16;
  const length = nameLength(context, nameAt);
  if (length < 0) return length;
  const umask = memory.i32[(bodyAt + 8) >> 2] ?? 0;
  const result =
    actAsCaller(context, nameAt + length + 1, umask) || refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const mode = memory.i32[bodyAt >> 2] ?? 0;
  const rdev = memory.i32[(bodyAt + 4) >> 2] ?? 0;
  const answer = context.native.makeNode(SLOT_FIRST, nameAt, mode, rdev, lookupFlags, RECORD);
  reported(context, answer, SLOT_FIRST, nodeid);
  return made(context, 'MKNOD', nodeid, nameAt, length, answer);
}

export function mkdir(context: Context): number {
  if (context.options.readonly) return -EROFS;
  const { nodeid, bodyAt, memory, lookupFlags } = context;
  const nameAt = bodyAt + 8;
  const length = nameLength(context, nameAt);
  if (length < 0) return length;
  const umask = memory.i32[(bodyAt + 4) >> 2] ?? 0;
  const result =
    actAsCaller(context, nameAt + length + 1, umask) || refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const mode = memory.i32[bodyAt >> 2] ?? 0;
  const answer = context.native.makeDirectory(SLOT_FIRST, nameAt, mode, lookupFlags, RECORD);
  reported(context, answer, SLOT_FIRST, nodeid);
  return made(context, 'MKDIR', nodeid, nameAt, length, answer);
}

export function symlink(context: Context): number {
  if (context.options.readonly) return -EROFS;
  const { nodeid, bodyAt, lookupFlags } = context;
  const length = nameLength(context, bodyAt);
  if (length < 0) return length;
  const targetAt = bodyAt + length + 1;
  const targetLength = textLength(context, targetAt);
  if (targetLength < 0) return targetLength;
  const result =
    actAsCaller(context, targetAt + targetLength + 1, NO_UMASK) ||
    refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const answer = context.native.makeSymlink(SLOT_FIRST, bodyAt, targetAt, lookupFlags, RECORD);
  reported(context, answer, SLOT_FIRST, nodeid);
  return made(context, 'SYMLINK', nodeid, bodyAt, length, answer);
}

export function link(context: Context): number {
  if (context.options.readonly) return -EROFS;
  const { nodeid, bodyAt, memory, lookupFlags } = context;
  const nameAt = bodyAt + 8;
  const length = nameLength(context, nameAt);
  if (length < 0) return length;
  const inode = readU64(memory, bodyAt) as Nodeid;
  const result = refer(context, SLOT_FIRST, inode) || refer(context, SLOT_SECOND, nodeid);
  if (result < 0) return result;
  const answer = context.native.makeLink(SLOT_FIRST, SLOT_SECOND, nameAt, lookupFlags, RECORD);
  reportedOfTwo(context, answer, SLOT_FIRST, inode, SLOT_SECOND, nodeid);
  return made(context, 'LINK', nodeid, nameAt, length, answer);
}

function remove(context: Context, op: 'UNLINK' | 'RMDIR', flags: number): number {
  if (context.options.readonly) return -EROFS;
  const { nodeid, bodyAt } = context;
  const length = nameLength(context, bodyAt);
  if (length < 0) return length;
  const { i32 } = context.memory;
  if (!context.tables.has(nodeid)) return -EBADF;
  // The lookup opens the parent by its handle and leaves it open for the removal.
  const held = context.tables.fdOf(nodeid);
  lookUpInPassing(context, op, nodeid, bodyAt, length, KEEP_PARENT);
  const closeParent = held < 0 && (i32[SLOT_FIRST >> 2] ?? -1) >= 0 ? 1 : 0;
  if (context.gate.armed && closeParent === 0) {
    // The lookup may have been held, and the parent forgotten meanwhile.
    const still = refer(context, SLOT_FIRST, nodeid);
    if (still < 0) return still;
  }
  const answer = context.native.removeName(SLOT_FIRST, bodyAt, flags, closeParent);
  return reported(context, answer, SLOT_FIRST, nodeid);
}

export function unlink(context: Context): number {
  return remove(context, 'UNLINK', 0);
}

export function rmdir(context: Context): number {
  return remove(context, 'RMDIR', AT_REMOVEDIR);
}

function move(context: Context, namesAt: number, flags: number): number {
  if (context.options.readonly) return -EROFS;
  const { nodeid, bodyAt, memory } = context;
  const length = nameLength(context, namesAt);
  if (length < 0) return length;
  const newAt = namesAt + length + 1;
  const newLength = nameLength(context, newAt);
  if (newLength < 0) return newLength;
  const newParent = readU64(memory, bodyAt) as Nodeid;
  // Both paths stop meaning what they meant: the source goes away, the target is replaced.
  lookUpInPassing(context, 'RENAME', nodeid, namesAt, length);
  lookUpInPassing(context, 'RENAME', newParent, newAt, newLength);
  const result = refer(context, SLOT_FIRST, nodeid) || refer(context, SLOT_SECOND, newParent);
  if (result < 0) return result;
  const answer = context.native.renameName(SLOT_FIRST, namesAt, SLOT_SECOND, newAt, flags);
  return reportedOfTwo(context, answer, SLOT_FIRST, nodeid, SLOT_SECOND, newParent);
}

export function rename(context: Context): number {
  return move(context, context.bodyAt + 8, 0);
}

export function rename2(context: Context): number {
  const flags = (context.memory.i32[(context.bodyAt + 8) >> 2] ?? 0) & RENAME_FLAGS;
  return move(context, context.bodyAt + 16, flags);
}

export function create(context: Context): number {
  const { nodeid, bodyAt, memory, native, lookupFlags } = context;
  const nameAt = bodyAt + 16;
  const length = nameLength(context, nameAt);
  if (length < 0) return length;
  const flags = memory.i32[bodyAt >> 2] ?? 0;
  if (context.options.readonly) return createReadonly(context, nameAt, length, flags);
  const umask = memory.i32[(bodyAt + 8) >> 2] ?? 0;
  const result =
    actAsCaller(context, nameAt + length + 1, umask) || refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  if (!hasRoom(context)) return -ENFILE;
  const mode = memory.i32[(bodyAt + 4) >> 2] ?? 0;
  const answer = native.create(
    SLOT_FIRST,
    nameAt,
    hostFlags(context, flags),
    mode,
    lookupFlags,
    RECORD,
  );
  if (answer === -EEXIST && (flags & O_EXCL) === 0) {
    return openExisting(context, nameAt, length, flags);
  }
  if (answer < 0) return reported(context, answer, SLOT_FIRST, nodeid);
  const fd = memory.i32[RESULT_OPEN_FD >> 2] ?? -1;
  const found = settle(context, 'CREATE', nodeid, nameAt, length, RECORD, 0, fd);
  if (found < 0) {
    native.close(fd);
    return found;
  }
  return writeCreated(context, found, context.openFiles.add(fd, found, flags));
}

function openExisting(context: Context, nameAt: number, length: number, flags: number): number {
  const { nodeid } = context;
  const found = lookUpName(context, 'CREATE', nodeid, nameAt, length);
  if (found < 0) return found;
  const kill = (context.memory.u32[(context.bodyAt + 12) >> 2] ?? 0) & OPEN_KILL_SUIDGID;
  const fh = openNode(context, found as Nodeid, flags, kill !== 0);
  if (fh < 0) {
    // The guest never learns of the entry, so it will not forget it: virtiofsd leaks this count.
    forgetLookups(context, found as Nodeid, 1, 'CREATE');
    return fh;
  }
  return writeCreated(context, found, fh);
}

/** --readonly: an existing file is opened, a new one refused. */
function createReadonly(context: Context, nameAt: number, length: number, flags: number): number {
  const existing = openExisting(context, nameAt, length, flags);
  return existing === -ENOENT ? -EROFS : existing;
}

function writeCreated(context: Context, nodeid: number, fh: number): number {
  writeEntry(context, BODY, context.nodeid, nodeid, RECORD);
  writeOpenOut(context.memory, BODY + ENTRY_OUT, fh, context.cache.fileFlags);
  return ENTRY_OUT + OPEN_OUT;
}
