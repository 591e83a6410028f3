import {
  CREDS,
  KEEP_DAC_OVERRIDE,
  MAKING_CONTEXT,
  MAKING_UMASK,
  MAX_GROUPS,
  REQUEST,
} from '../../native/index';
import type { Extensions } from '../fuse/extensions';
import { readExtensions } from '../fuse/extensions';
import { IN_GID, IN_UID } from '../fuse/wire';
import type { Context } from './context';
import { EINVAL, EIO } from './errno';
import type { OwnerTranslation } from './idTranslation';
import { translated } from './idTranslation';
import { hostAttribute } from './xattr';

const said: Extensions = { groups: -1, nameAt: 0, nameLength: 0, valueAt: 0, valueSize: 0 };

/** The umask of SYMLINK: links have no mode to apply it to. */
export const NO_UMASK = 0;

/**
 * Tells the native side as whom and how the next object is made (virtiofsd, passthrough/mod.rs:
 * unix_credentials_guard, do_create).
 *
 * @param after where the request's last name ends, and its extensions may begin
 * @param umask of the caller; a peer that applies it by itself sends it, too
 * @returns 0; -EINVAL when the extensions are malformed; another -errno when the caller's ids must
 *   not be used, or the security context's attribute
 */
export function actAsCaller(context: Context, after: number, umask: number): number {
  const { memory } = context;
  const { i32, u32 } = memory;
  const words = CREDS >> 2;
  u32[words] = u32[(REQUEST + IN_UID) >> 2] ?? 0;
  u32[words + 1] = u32[(REQUEST + IN_GID) >> 2] ?? 0;
  u32[words + 2] = 0;
  // Without the groups the peer has checked access through them by itself.
  u32[words + 3] = context.suppGroups ? 0 : KEEP_DAC_OVERRIDE;
  u32[MAKING_UMASK >> 2] = context.posixAcl ? umask & 0o777 : 0;
  i32[MAKING_CONTEXT >> 2] = 0;
  const readable = readExtensions(
    memory,
    after,
    context.end,
    context.suppGroups,
    context.securityContexts,
    u32,
    words + 4,
    MAX_GROUPS,
    said,
  );
  if (!readable) return -EINVAL;
  if (said.groups >= 0) u32[words + 2] = said.groups + 1;
  if (said.nameAt !== 0) {
    const nameAt = hostAttribute(context, said.nameAt, said.nameLength);
    if (nameAt < 0) return nameAt;
    i32[MAKING_CONTEXT >> 2] = nameAt;
    i32[(MAKING_CONTEXT >> 2) + 1] = said.valueAt;
    i32[(MAKING_CONTEXT >> 2) + 2] = said.valueSize;
  }
  const { translation } = context.options;
  return translation === undefined ? 0 : translateCaller(u32, translation);
}

/** Makes the ids at CREDS the host's. Returns 0, or -EIO when one of them is forbidden. */
function translateCaller(u32: Uint32Array, { uid, gid }: OwnerTranslation): number {
  const words = CREDS >> 2;
  const user = translated(uid.toHost, u32[words] ?? 0);
  const group = translated(gid.toHost, u32[words + 1] ?? 0);
  if (user < 0 || group < 0) return -EIO;
  u32[words] = user;
  u32[words + 1] = group;
  const groups = u32[words + 2] ?? 0;
  for (let i = 0; i < groups - 1; i++) {
    const id = translated(gid.toHost, u32[words + 4 + i] ?? 0);
    if (id < 0) return -EIO;
    u32[words + 4 + i] = id;
  }
  return 0;
}
