/** Owners that are others in the guest than on the host. */

import { ATTR_GID, ATTR_UID } from '../fuse/wire';
import type { Context } from './context';
import { EIO } from './errno';
import { translated } from './idTranslation';

/** Makes the owner in the struct fuse_attr at `attrAt`, as the host has it, the guest's. */
export function translateOwner(context: Context, attrAt: number): void {
  const { translation } = context.options;
  if (translation === undefined) return;
  const { u32 } = context.memory;
  const uid = (attrAt + ATTR_UID) >> 2;
  const gid = (attrAt + ATTR_GID) >> 2;
  u32[uid] = translated(translation.uid.toGuest, u32[uid] ?? 0);
  u32[gid] = translated(translation.gid.toGuest, u32[gid] ?? 0);
}

/**
 * Makes the owner at `uidAt` and `gidAt`, as the guest has it, the host's.
 *
 * @returns 0, or -EIO when one that counts is forbidden
 */
export function translateNewOwner(
  context: Context,
  uidAt: number,
  gidAt: number,
  uidCounts: boolean,
  gidCounts: boolean,
): number {
  const { translation } = context.options;
  if (translation === undefined) return 0;
  const { u32 } = context.memory;
  const uid = translated(translation.uid.toHost, u32[uidAt >> 2] ?? 0);
  const gid = translated(translation.gid.toHost, u32[gidAt >> 2] ?? 0);
  if ((uidCounts && uid < 0) || (gidCounts && gid < 0)) return -EIO;
  u32[uidAt >> 2] = uid;
  u32[gidAt >> 2] = gid;
  return 0;
}
