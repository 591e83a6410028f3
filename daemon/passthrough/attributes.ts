/** LOOKUP, FORGET, GETATTR, SETATTR, READLINK, STATFS, ACCESS. */

import { RECORD, RECORD_STAT, REPLY, REQUEST, SLOT_FIRST } from '../../native/index';
import {
  SETATTR_FH,
  SETATTR_GID,
  SETATTR_KILL_SUIDGID,
  SETATTR_SIZE,
  SETATTR_UID,
} from '../fuse/opcodes';
import {
  ATTR_GID,
  ATTR_MODE,
  ATTR_OUT,
  ATTR_OUT_ATTR,
  ATTR_UID,
  IN_GID,
  IN_UID,
  OUT_HEADER,
  readU64,
  writeAttrOut,
} from '../fuse/wire';
import type { Nodeid } from '../tables/identity';
import type { Context } from './context';
import { NO_REPLY } from './context';
import { EACCES, EBADF, EROFS } from './errno';
import { dropCapabilities, dropCapabilitiesOf } from './fileCapabilities';
import { forgetLookups, lookUpName, writeEntry } from './lookup';
import { translateNewOwner, translateOwner } from './owners';
import { isOpenable, refer, reported } from './references';
import { nameLength } from './requestNames';

const BODY = REPLY + OUT_HEADER;
const PATH_MAX = 4096;
const STATFS_OUT = 80;

export function lookup(context: Context): number {
  const { nodeid, bodyAt } = context;
  const length = nameLength(context, bodyAt);
  if (length < 0) return length;
  const found = lookUpName(context, 'LOOKUP', nodeid, bodyAt, length);
  return found < 0 ? found : writeEntry(context, BODY, nodeid, found, RECORD);
}

export function forget(context: Context): number {
  forgetLookups(context, context.nodeid, readU64(context.memory, context.bodyAt), 'FORGET');
  return NO_REPLY;
}

export function batchForget(context: Context): number {
  const { memory, bodyAt, end } = context;
  const count = memory.u32[bodyAt >> 2] ?? 0;
  let at = bodyAt + 8;
  for (let i = 0; i < count && at + 16 <= end; i++, at += 16) {
    forgetLookups(context, readU64(memory, at) as Nodeid, readU64(memory, at + 8), 'FORGET');
  }
  return NO_REPLY;
}

export function getattr(context: Context): number {
  const { nodeid } = context;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const refusal = context.gate.armed ? context.gate.faultOf('statx', nodeid) : 0;
  if (refusal !== 0) return -refusal;
  const answer = context.native.getattr(SLOT_FIRST, RECORD);
  if (answer < 0) return reported(context, answer, SLOT_FIRST, nodeid);
  return writeAttributes(context);
}

/** Writes what RECORD says. Returns bytes. */
function writeAttributes(context: Context): number {
  writeAttrOut(context.memory, BODY, RECORD + RECORD_STAT, context.cache.timeout);
  translateOwner(context, BODY + ATTR_OUT_ATTR);
  return ATTR_OUT;
}

export function setattr(context: Context): number {
  const { nodeid, bodyAt, memory } = context;
  if (context.options.readonly) return -EROFS;
  const valid = memory.u32[bodyAt >> 2] ?? 0;
  let fd = -1;
  if ((valid & SETATTR_FH) !== 0) {
    fd = context.openFiles.fd(readU64(memory, bodyAt + 8), nodeid);
    if (fd < 0) return -EBADF;
  }
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  // Truncating without an open file opens the inode.
  if ((valid & SETATTR_SIZE) !== 0 && fd < 0 && !isOpenable(context, nodeid)) return -EBADF;
  const prepared = prepareSetattr(context, valid, fd);
  if (prepared < 0) return prepared;
  const answer = context.native.setattr(SLOT_FIRST, fd, bodyAt, RECORD);
  if (answer < 0) return reported(context, answer, SLOT_FIRST, nodeid);
  return writeAttributes(context);
}

/** The body's offsets of a new owner. */
const SETATTR_BODY_UID = 76;
const SETATTR_BODY_GID = 80;

/** What SETATTR does besides: other ids, and no bits that the guest wants to be gone. */
function prepareSetattr(context: Context, valid: number, fd: number): number {
  const { bodyAt, memory, nodeid } = context;
  if (context.options.killprivV2 !== true) {
    memory.u32[bodyAt >> 2] = valid & ~SETATTR_KILL_SUIDGID;
  }
  const uid = (valid & SETATTR_UID) !== 0;
  const gid = (valid & SETATTR_GID) !== 0;
  const uidAt = bodyAt + SETATTR_BODY_UID;
  const gidAt = bodyAt + SETATTR_BODY_GID;
  const owner = translateNewOwner(context, uidAt, gidAt, uid, gid);
  if (owner < 0) return owner;
  if (!uid && !gid && (valid & SETATTR_SIZE) === 0) return 0;
  return fd >= 0
    ? dropCapabilitiesOf(context, fd, nodeid)
    : dropCapabilities(context, SLOT_FIRST, nodeid);
}

export function readlink(context: Context): number {
  const { nodeid } = context;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const answer = context.native.readlink(SLOT_FIRST, BODY, PATH_MAX);
  return reported(context, answer, SLOT_FIRST, nodeid);
}

export function statfs(context: Context): number {
  const { nodeid } = context;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const answer = context.native.statfs(SLOT_FIRST, BODY);
  return answer < 0 ? reported(context, answer, SLOT_FIRST, nodeid) : STATFS_OUT;
}

/**
 * Mode bits only, and granted when one of the caller's classes grants it, as in virtiofsd; kernels
 * that mount with default_permissions never ask.
 */
export function access(context: Context): number {
  const { nodeid, memory, bodyAt } = context;
  const { u32 } = memory;
  const wanted = (u32[bodyAt >> 2] ?? 0) & 7;
  if (context.options.readonly && (wanted & 2) !== 0) return -EROFS;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const answer = context.native.getattr(SLOT_FIRST, RECORD);
  if (answer < 0) return reported(context, answer, SLOT_FIRST, nodeid);
  writeAttributes(context);
  const uid = u32[(REQUEST + IN_UID) >> 2] ?? 0;
  const gid = u32[(REQUEST + IN_GID) >> 2] ?? 0;
  const owner = (BODY + ATTR_OUT_ATTR) >> 2;
  const mode = (u32[owner + (ATTR_MODE >> 2)] ?? 0) & 0o777;
  if (uid === 0) {
    // Root reads and writes anything, and executes what somebody may execute.
    return (wanted & 1) === 0 || (mode & 0o111) !== 0 ? 0 : -EACCES;
  }
  let granted = mode;
  if (u32[owner + (ATTR_UID >> 2)] === uid) granted |= mode >> 6;
  if (u32[owner + (ATTR_GID >> 2)] === gid) granted |= mode >> 3;
  return (granted & wanted) === wanted ? 0 : -EACCES;
}
