/** What mounts do to entries: H18, H19, H20. */

import type { HazardRule } from './hazard';
import type { MountResource } from './resources';

export const bindMountTwins: HazardRule = {
  id: 'H18',
  name: 'BIND-MOUNT TWINS',
  standing({ twins, mounts }) {
    const pointOf = (mntId: number) => mounts.find((mount) => mount.mntId === mntId)?.point ?? null;
    return twins.map(({ low, high, pairs, example }) => ({
      key: `mounts ${low}/${high}`,
      severity: 'information',
      nodeids: [],
      evidence: {
        mounts: `${low}, ${high}`,
        points: `${pointOf(low) ?? '?'}, ${pointOf(high) ?? '?'}`,
        pairs,
        example: example.join(', '),
      },
      advice:
        'One file system is mounted twice below the share: a file reached by both ways has two node ' +
        'ids, one a mount, so that a read-only mount stays read-only. That is meant so; the guest ' +
        'caches and locks the two apart. Nothing to do.',
    }));
  },
};

function held({ files, handles }: MountResource): string {
  const parts = [
    ...(files > 0 ? [`${files} open descriptors`] : []),
    ...(handles > 0 ? [`the descriptor for ${handles} handles`] : []),
  ];
  return parts.join(' and ');
}

export const pinnedMount: HazardRule = {
  id: 'H19',
  name: 'PINNED MOUNT',
  standing: ({ mounts }) =>
    mounts
      .filter(({ mounted, files, handles }) => mounted === false && files + handles > 0)
      .map((mount) => ({
        key: `mount ${mount.mntId}`,
        severity: 'resource',
        nodeids: [],
        evidence: {
          mntId: String(mount.mntId),
          point: mount.point,
          files: mount.files,
          handles: mount.handles,
        },
        advice:
          `Mount ${mount.mntId} (${mount.point ?? 'place unknown'}) is no longer mounted anywhere in sight, ` +
          `but ${held(mount)} keep it alive: its file system stays busy, and the guest still reads the old ` +
          'files through the node ids that it has. It ends when the guest forgets them: unmount or leave ' +
          'the directory in the guest, or `echo 2 > /proc/sys/vm/drop_caches` there.',
      })),
};

export const mountFdUnresolvable: HazardRule = {
  id: 'H20',
  name: 'MOUNT FD UNRESOLVABLE',
  standing: ({ mounts }, view) =>
    mounts.flatMap(({ mntId, point, mounted, refused }) => {
      if (refused === null) return [];
      const errno = view.errnoName(refused.errno);
      return {
        key: `mount ${mntId}`,
        severity: 'error',
        nodeids: [],
        evidence: {
          mntId: String(mntId),
          point,
          inMountinfo: mounted,
          errno,
          parent: String(refused.parent),
          name: refused.name,
        },
        advice:
          `“${refused.name}” was found and has a handle, but mount ${mntId} cannot be opened by its ` +
          `mount point, so that the guest got ${errno}. Another mount covers the mount point or a directory ` +
          'above it, or its root is neither a directory nor a regular file. Unmount what covers it, share ' +
          'a directory above it, or use `--inode-file-handles=never`.',
      };
    }),
};
