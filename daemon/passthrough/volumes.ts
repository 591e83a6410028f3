import type { Context } from './context';

/** Reports a mount when its first entry is made; `fd` is any descriptor on it. */
export function reportVolume(context: Context, mntId: number, fd: number): void {
  if (context.knownVolumes.has(mntId)) return;
  context.knownVolumes.add(mntId);
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
  context.recorder.volume({
    mntId,
    mntIdUnique: identity.mntIdUnique === null ? null : Number(identity.mntIdUnique),
    fsType,
  });
}
