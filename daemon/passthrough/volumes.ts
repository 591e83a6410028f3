import type { Nodeid } from '../tables/identity';
import type { Context } from './context';

const OVERLAYFS_SUPER_MAGIC = 0x794c7630;

/**
 * Reports a mount when its first entry is made; `fd` is any descriptor on it. An entry whose parent
 * is on another mount is where a mount begins: its id may have been another mount's before.
 *
 * @param parent the directory that the entry was looked up in; null for the root
 */
export function reportVolume(
  context: Context,
  mntId: number,
  fd: number,
  parent: Nodeid | null,
): void {
  const { knownVolumes, overlays, tables } = context;
  const known = knownVolumes.has(mntId);
  if (known && parent !== null && tables.mntIdOf(parent) === mntId) return;
  knownVolumes.add(mntId);
  const identity = context.native.identify(fd, '');
  const fsType = context.native.fileSystemType(fd);
  if (typeof identity === 'number' || fsType < 0) {
    const errno = typeof identity === 'number' ? -identity : -fsType;
    context.log(
      'warn',
      `Mount ${mntId} cannot be examined (errno ${errno}); it is shown without type.`,
    );
    return;
  }
  if (fsType === OVERLAYFS_SUPER_MAGIC) overlays.add(mntId);
  else overlays.delete(mntId);
  context.recorder.volume({
    mntId,
    mntIdUnique: identity.mntIdUnique === null ? null : Number(identity.mntIdUnique),
    fsType,
  });
}
