/** Number reuse, as seen from the new file (H1) and from the old entry (H2). */

import type { HazardRule } from './hazard';
import { FUSE_SUPER_MAGIC, isVolatile } from './handles';
import { idsText } from './hazard';
import { generationOf } from './generation';

const ESTALE = 116;

export const inodeNumberReuse: HazardRule = {
  id: 'H1',
  name: 'INODE-NUMBER REUSE',
  // REJECTED and a handle was made and the entry that had the number is gone.
  onProbe(probe) {
    const { nodeid: old, errno, because, before } = probe;
    if (isVolatile(probe)) return null;
    if (errno !== ESTALE || because?.hit !== 'fallback_rejected') return null;
    if (because.handle === null || because.nodeid === null || because.byIds !== old) return null;
    const was = before?.handle == null ? null : generationOf(before.handle);
    const is = generationOf(because.handle);
    const generations = was === null || is === null ? '' : ` (generation ${was} → ${is})`;
    const ino = because.ids?.ino ?? 0n;
    return {
      key: `${old}/${because.nodeid}`,
      severity: 'information',
      nodeids: [because.nodeid, old],
      evidence: {
        ids: idsText(because.ids),
        oldNode: String(old),
        newNode: String(because.nodeid),
        oldGeneration: was === null ? null : String(was),
        newGeneration: is === null ? null : String(is),
        probe: 'ESTALE',
      },
      advice:
        `Number ${ino} now belongs to a different file${generations}. The handle told them apart. ` +
        `Node ${old} will answer ESTALE until the guest forgets it. Nothing to do.`,
    };
  },
};

const ADVICE_STALE =
  'The guest still counts a file that the host removed or replaced. Use `--cache=auto` or `never`, ' +
  'or do the deletion inside the guest.';

const ADVICE_STALE_FUSE =
  'The handle does not open any more. On a FUSE share that needs no change of the file: handles that ' +
  'are not persistent are lost under memory pressure (H14). Use `--inode-file-handles=never` there.';

export const staleHandleEntry: HazardRule = {
  id: 'H2',
  name: 'STALE-HANDLE ENTRY',
  // The guest met it: an operation on the entry failed with ESTALE.
  onEvent(event, view) {
    if (event.type !== 'open_by_handle' || event.errno !== ESTALE) return null;
    const entry = view.tables.entry(event.nodeid);
    if (entry === undefined) return null;
    const onFuse = view.fsTypeOf(entry.ids.mntId) === FUSE_SUPER_MAGIC;
    return {
      key: String(event.nodeid),
      severity: 'error',
      nodeids: [event.nodeid],
      evidence: { node: String(event.nodeid), guestSaw: 'ESTALE' },
      advice: onFuse ? ADVICE_STALE_FUSE : ADVICE_STALE,
    };
  },
  // Nobody has met it yet: after a branch switch there are hundreds, and none of them matters.
  onProbe(probe, { tables }) {
    const { nodeid, errno } = probe;
    if (isVolatile(probe)) return null;
    if (errno !== ESTALE || tables.entry(nodeid)?.kind !== 'handle') return null;
    return {
      key: String(nodeid),
      severity: 'information',
      nodeids: [nodeid],
      evidence: { node: String(nodeid), probe: 'ESTALE', guestSaw: null },
      advice: ADVICE_STALE,
    };
  },
};
