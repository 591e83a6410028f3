/** SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR. */

import { REPLY, SLOT_FIRST } from '../../native/index';
import { MAX_WRITE } from '../fuse/init';
import { OUT_HEADER } from '../fuse/wire';
import type { Context } from './context';
import { EINVAL, ENOMEM, ENOSYS, EOPNOTSUPP, EROFS } from './errno';
import { isOpenable, refer, reported } from './references';
import { textLength } from './requestNames';

const BODY = REPLY + OUT_HEADER;

const ACL_NAMES: readonly Uint8Array[] = [
  new TextEncoder().encode('system.posix_acl_access'),
  new TextEncoder().encode('system.posix_acl_default'),
];

/**
 * Without POSIX ACLs negotiated they are refused: the peer would not apply them. virtiofsd asks
 * whether an ACL's name begins with the given name, so "system." alone is refused, too.
 */
function isAcl(u8: Uint8Array, at: number, length: number): boolean {
  return ACL_NAMES.some((acl) => {
    if (length > acl.length) return false;
    for (let i = 0; i < length; i++) if (u8[at + i] !== acl[i]) return false;
    return true;
  });
}

function refused(context: Context, nameAt: number, length: number): number {
  return isAcl(context.memory.u8, nameAt, length) ? -EOPNOTSUPP : 0;
}

export function setxattr(context: Context): number {
  if (!context.options.xattr) return -ENOSYS;
  const { nodeid, bodyAt, memory, end } = context;
  const size = memory.u32[bodyAt >> 2] ?? 0;
  const nameAt = bodyAt + 8;
  const length = textLength(context, nameAt);
  if (length < 0) return length;
  const valueAt = nameAt + length + 1;
  if (size > end - valueAt) return -EINVAL;
  if (context.options.readonly) return -EROFS;
  const result = refused(context, nameAt, length) || refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const flags = memory.i32[(bodyAt + 4) >> 2] ?? 0;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = context.native.setXattr(SLOT_FIRST, regular, nameAt, valueAt, size, flags);
  return reported(context, answer, SLOT_FIRST, nodeid);
}

/** Size 0 asks how long the answer would be. */
function answered(context: Context, size: number, length: number): number {
  if (length < 0 || size > 0) return length;
  context.memory.u32[BODY >> 2] = length;
  context.memory.u32[(BODY + 4) >> 2] = 0;
  return 8;
}

export function getxattr(context: Context): number {
  if (!context.options.xattr) return -ENOSYS;
  const { nodeid, bodyAt, memory } = context;
  const size = memory.u32[bodyAt >> 2] ?? 0;
  const nameAt = bodyAt + 8;
  const length = textLength(context, nameAt);
  if (length < 0) return length;
  if (size > MAX_WRITE) return -ENOMEM;
  const result = refused(context, nameAt, length) || refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = context.native.getXattr(SLOT_FIRST, regular, nameAt, BODY, size);
  return answered(context, size, reported(context, answer, SLOT_FIRST, nodeid));
}

export function listxattr(context: Context): number {
  if (!context.options.xattr) return -ENOSYS;
  const { nodeid, bodyAt, memory } = context;
  const size = memory.u32[bodyAt >> 2] ?? 0;
  if (size > MAX_WRITE) return -ENOMEM;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = context.native.listXattr(SLOT_FIRST, regular, BODY, size);
  reported(context, answer, SLOT_FIRST, nodeid);
  return answered(context, size, size > 0 && answer > 0 ? withoutAcls(context, answer) : answer);
}

/** Removes the ACLs' names from the list in the reply. Returns its new length. */
function withoutAcls(context: Context, length: number): number {
  const { u8 } = context.memory;
  let kept = BODY;
  for (let at = BODY; at < BODY + length;) {
    const nul = u8.indexOf(0, at);
    const next = nul + 1;
    if (!isAcl(u8, at, nul - at)) {
      u8.copyWithin(kept, at, next);
      kept += next - at;
    }
    at = next;
  }
  return kept - BODY;
}

export function removexattr(context: Context): number {
  if (!context.options.xattr) return -ENOSYS;
  const { nodeid, bodyAt } = context;
  const length = textLength(context, bodyAt);
  if (length < 0) return length;
  if (context.options.readonly) return -EROFS;
  const result = refused(context, bodyAt, length) || refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  const regular = isOpenable(context, nodeid) ? 1 : 0;
  const answer = context.native.removeXattr(SLOT_FIRST, regular, bodyAt);
  return reported(context, answer, SLOT_FIRST, nodeid);
}
