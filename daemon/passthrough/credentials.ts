import { CREDS, KEEP_DAC_OVERRIDE, MAX_GROUPS, REQUEST } from '../../native/index';
import { readGroups } from '../fuse/extensions';
import { IN_GID, IN_UID } from '../fuse/wire';
import type { Context } from './context';
import { EINVAL } from './errno';

/**
 * Tells the native side as whom the next object is made (virtio-fs.md 4.6).
 *
 * @param after where the request's last name ends, and its extensions may begin
 * @returns 0, or -EINVAL when the extensions are malformed
 */
export function actAsCaller(context: Context, after: number): number {
  const { memory } = context;
  const { u32 } = memory;
  const words = CREDS >> 2;
  u32[words] = u32[(REQUEST + IN_UID) >> 2] ?? 0;
  u32[words + 1] = u32[(REQUEST + IN_GID) >> 2] ?? 0;
  u32[words + 2] = 0;
  u32[words + 3] = 0;
  if (!context.suppGroups) {
    // Such a kernel has checked access through supplementary groups by itself.
    u32[words + 3] = KEEP_DAC_OVERRIDE;
    return 0;
  }
  const groups = readGroups(memory, REQUEST, after, context.end, u32, words + 4, MAX_GROUPS);
  if (groups === -2) return -EINVAL;
  if (groups >= 0) u32[words + 2] = groups + 1;
  return 0;
}
