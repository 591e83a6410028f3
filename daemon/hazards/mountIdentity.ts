/** Identities that mean another file once a mount has been replaced: H15, H16. */

import type { HazardRule } from './hazard';
import { generationOf } from './generation';
import { FUSE_SUPER_MAGIC } from './handles';
import { idsText } from './hazard';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** The key of a mount's finding. */
export function mountKey(mntId: number): string {
  return `mount ${mntId}`;
}

export const zeroGenerationHandle: HazardRule = {
  id: 'H15',
  name: 'ZERO-GENERATION HANDLE',
  // Once a mount. Directories do not count: the root and lost+found of every ext4 have generation 0.
  onEvent(event) {
    if (event.type !== 'lookup' || event.nodeid === null || event.handle === null) return null;
    if (event.hit !== 'miss' && event.hit !== 'fallback_rejected') return null;
    if ((event.mode & S_IFMT) === S_IFDIR || event.mode === 0) return null;
    // What a FUSE server puts there is its own business (H14).
    if (event.spare?.fsType === FUSE_SUPER_MAGIC || generationOf(event.handle) !== 0n) return null;
    return {
      key: mountKey(event.handle.mntId),
      severity: 'information',
      nodeids: [event.parent],
      evidence: {
        mntId: String(event.handle.mntId),
        node: String(event.nodeid),
        ids: idsText(event.ids),
        handleType: event.handle.type,
        handle: Array.from(event.handle.bytes, (byte) => byte.toString(16).padStart(2, '0')).join(
          '',
        ),
        generation: '0',
      },
      advice:
        'The handles of this file system say which number, but not which file: after another image is ' +
        'mounted in its place, an old handle opens the new image’s file. While the daemon has entries ' +
        'on the mount it holds it, and nothing can go wrong; do not carry handles beyond that ' +
        '(recordings, migration).',
    };
  },
};

export const recycledMountId: HazardRule = {
  id: 'H16',
  name: 'DEVICE/MOUNT-ID RECYCLED',
  onEvent(event, view) {
    if (event.type !== 'lookup' || event.nodeid === null || event.ids === null) return null;
    const mounts = view.recycledMount(event.ids.mntId);
    if (mounts === null) return null;
    return {
      key: mountKey(event.ids.mntId),
      severity: 'information',
      nodeids: [event.nodeid],
      evidence: {
        ids: idsText(event.ids),
        mntId: String(event.ids.mntId),
        uniqueBefore: String(mounts.before),
        uniqueNow: String(mounts.now),
        name: view.text(event.name),
      },
      advice:
        `Mount id ${event.ids.mntId} belongs to another mount than before: ids of recordings and snapshots ` +
        'made before now may name other files. The guest had forgotten everything there, so that no ' +
        'entry is concerned. Compare recordings by the unique mount id.',
    };
  },
};
