/** SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR. */

import { REPLY, SLOT_FIRST } from '../../native/index';
import { MAX_WRITE } from '../fuse/init';
import { stringLength } from '../fuse/names';
import { SETXATTR_ACL_KILL_SGID } from '../fuse/opcodes';
import { OUT_HEADER } from '../fuse/wire';
import type { Context } from './context';
import { EINVAL, ENODATA, ENOMEM, ENOSYS, EOPNOTSUPP, EPERM, EROFS } from './errno';
import { dropCapabilities } from './fileCapabilities';
import { isOpenable, refer, reported } from './references';
import { hiddenPrefix, hostName } from './xattrNames';

const BODY = REPLY + OUT_HEADER;

const ACL_ACCESS = new TextEncoder().encode('system.posix_acl_access');
const ACL_DEFAULT = new TextEncoder().encode('system.posix_acl_default');

/** fuse_setxattr_in without and with FUSE_SETXATTR_EXT. */
const SETXATTR_IN = 8;
const SETXATTR_IN_EXT = 16;

function beginsWith(acl: Uint8Array, u8: Uint8Array, at: number, length: number): boolean {
  if (length > acl.length) return false;
  for (let i = 0; i < length; i++) if (u8[at + i] !== acl[i]) return false;
  return true;
}

/**
 * Whether an attribute is kept from the guest: ACLs that were not agreed on, for the peer would not
 * apply them. virtiofsd asks whether an ACL's name begins with the given name, so "system." alone is
 * refused, too.
 */
function isBlocked(context: Context, at: number, length: number): boolean {
  if (context.posixAcl) return false;
  const { u8 } = context.memory;
  return beginsWith(ACL_ACCESS, u8, at, length) || beginsWith(ACL_DEFAULT, u8, at, length);
}

/**
 * What the host calls an attribute of the guest.
 *
 * @param at where the guest's name stands, with a NUL behind it
 * @returns where the host's name stands, or -errno
 */
export function hostAttribute(context: Context, at: number, length: number): number {
  if (isBlocked(context, at, length)) return -EOPNOTSUPP;
  const { xattrmap } = context.options;
  return xattrmap === undefined ? at : hostName(xattrmap, context.memory, at, length);
}

/** The same for the name that stands in the request. The kernel judges empty and long names. */
function requestedAttribute(context: Context, at: number): number {
  const length = stringLength(context.memory, at, context.end);
  return length < 0 ? -EINVAL : hostAttribute(context, at, length);
}

export function setxattr(context: Context): number {
  if (context.options.readonly) return -EROFS;
  if (!context.options.xattr) return -ENOSYS;
  const { nodeid, bodyAt, memory, end, native } = context;
  const size = memory.u32[bodyAt >> 2] ?? 0;
  const nameAt = bodyAt + (context.posixAcl ? SETXATTR_IN_EXT : SETXATTR_IN);
  const length = stringLength(memory, nameAt, end);
  const valueAt = nameAt + length + 1;
  if (length < 0 || size > end - valueAt) return -EINVAL;
  const hostAt = hostAttribute(context, nameAt, length);
  if (hostAt < 0) return hostAt;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const dropped = dropCapabilities(context, SLOT_FIRST, nodeid);
  if (dropped < 0) return reported(context, dropped, SLOT_FIRST, nodeid);
  if (takesSgid(context, hostAt)) {
    const cleared = native.clearSgid(SLOT_FIRST);
    if (cleared < 0) return reported(context, cleared, SLOT_FIRST, nodeid);
  }
  const flags = memory.i32[(bodyAt + 4) >> 2] ?? 0;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = native.setXattr(SLOT_FIRST, regular, hostAt, valueAt, size, flags);
  return reported(context, answer, SLOT_FIRST, nodeid);
}

/**
 * Whether the ACL that is set takes the set-group-id bit away: the guest's kernel knows that its
 * caller is not in the file's group; the host's would see the daemon.
 */
function takesSgid(context: Context, hostAt: number): boolean {
  const { bodyAt, memory, posixAcl } = context;
  if (!posixAcl || ((memory.u32[(bodyAt + 8) >> 2] ?? 0) & SETXATTR_ACL_KILL_SGID) === 0) {
    return false;
  }
  // With its NUL: all of the name.
  const { u8 } = memory;
  return u8[hostAt + ACL_ACCESS.length] === 0 && ACL_ACCESS.every((b, i) => u8[hostAt + i] === b);
}

/** Size 0 asks how long the answer would be. */
function answered(context: Context, size: number, length: number): number {
  if (length < 0 || size > 0) return length;
  context.memory.u32[BODY >> 2] = length;
  context.memory.u32[(BODY + 4) >> 2] = 0;
  return 8;
}

export function getxattr(context: Context): number {
  const { nodeid, bodyAt, memory } = context;
  const size = memory.u32[bodyAt >> 2] ?? 0;
  if (size > MAX_WRITE) return -ENOMEM;
  if (!context.options.xattr) return -ENOSYS;
  const hostAt = requestedAttribute(context, bodyAt + 8);
  // A name that a rule calls bad does not exist for who only looks.
  if (hostAt < 0) return hostAt === -EPERM ? -ENODATA : hostAt;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = context.native.getXattr(SLOT_FIRST, regular, hostAt, BODY, size);
  return answered(context, size, reported(context, answer, SLOT_FIRST, nodeid));
}

export function listxattr(context: Context): number {
  const { nodeid, bodyAt, memory } = context;
  const size = memory.u32[bodyAt >> 2] ?? 0;
  if (size > MAX_WRITE) return -ENOMEM;
  if (!context.options.xattr) return -ENOSYS;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = context.native.listXattr(SLOT_FIRST, regular, BODY, size);
  reported(context, answer, SLOT_FIRST, nodeid);
  // How long the list would be is said of the host's, as virtiofsd does: long enough.
  return answered(context, size, size > 0 && answer > 0 ? guestNames(context, answer) : answer);
}

/** Makes the host's names in the reply the guest's. Returns their new length. */
function guestNames(context: Context, length: number): number {
  const { u8 } = context.memory;
  const { xattrmap } = context.options;
  let kept = BODY;
  for (let at = BODY; at < BODY + length;) {
    const nul = u8.indexOf(0, at);
    const hidden = xattrmap === undefined ? 0 : hiddenPrefix(xattrmap, u8, at, nul - at);
    const from = at + hidden;
    at = nul + 1;
    // A name that is nothing but the prefix has no name in the guest.
    if (hidden < 0 || from === nul || isBlocked(context, from, nul - from)) continue;
    u8.copyWithin(kept, from, at);
    kept += at - from;
  }
  return kept - BODY;
}

export function removexattr(context: Context): number {
  if (context.options.readonly) return -EROFS;
  if (!context.options.xattr) return -ENOSYS;
  const { nodeid, bodyAt } = context;
  const hostAt = requestedAttribute(context, bodyAt);
  if (hostAt < 0) return hostAt;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = context.native.removeXattr(SLOT_FIRST, regular, hostAt);
  return reported(context, answer, SLOT_FIRST, nodeid);
}
