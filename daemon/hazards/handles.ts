/** Handles that cannot be opened, or should not open any more: H14, H21, H33. */

import type { HazardRule, ProbedEntry } from './hazard';
import { idsText } from './hazard';

/** FUSE_SUPER_MAGIC of linux/magic.h. */
export const FUSE_SUPER_MAGIC = 0x65735546;

const EPERM = 1;
const EACCES = 13;
const ESTALE = 116;

/**
 * Looks like number reuse, and is none: a FUSE file system without persistent handles forgets them
 * with its inodes, under memory pressure. The file is untouched and still has its name.
 */
export function isVolatile({ errno, because, sameName }: ProbedEntry): boolean {
  return (
    errno === ESTALE &&
    sameName &&
    because?.hit === 'fallback_rejected' &&
    because.handle !== null &&
    because.spare?.fsType === FUSE_SUPER_MAGIC
  );
}

export const volatileHandle: HazardRule = {
  id: 'H14',
  name: 'VOLATILE HANDLE',
  onProbe(probe, view) {
    const { nodeid: old, because } = probe;
    if (!isVolatile(probe) || because?.nodeid == null) return null;
    const met = view.guestErrno(old) === ESTALE;
    return {
      key: String(old),
      severity: met ? 'error' : 'identity',
      nodeids: [old],
      evidence: {
        name: view.text(because.name),
        ids: idsText(because.ids),
        oldNode: String(old),
        newNode: String(because.nodeid),
        fsType: 'fuse',
        probe: 'ESTALE',
        guestSaw: met ? 'ESTALE' : null,
      },
      advice:
        `The handle of node ${old} is lost, and “${view.text(because.name)}” has its old number under node ` +
        `${because.nodeid}: this share is FUSE without persistent handles, which are forgotten under ` +
        'memory pressure. What the guest has open fails with ESTALE. Use `--inode-file-handles=never`.',
    };
  },
};

function isRefused(errno: number): boolean {
  return errno === EPERM || errno === EACCES;
}

const ADVICE_CAPABILITY =
  'open_by_handle_at(2) wants CAP_DAC_READ_SEARCH: run the daemon as root or keep the capability ' +
  '(`--modcaps`), or use `--inode-file-handles=never`.';

export const handleNotOpenable: HazardRule = {
  id: 'H21',
  name: 'HANDLE NOT OPENABLE',
  onEvent(event, view) {
    if (event.type === 'open_by_handle' && isRefused(event.errno)) {
      if (!view.tables.has(event.nodeid)) return null;
      const errno = view.errnoName(event.errno);
      return {
        key: String(event.nodeid),
        severity: 'error',
        nodeids: [event.nodeid],
        evidence: { node: String(event.nodeid), guestSaw: errno },
        advice: `The handle was made but may not be opened: ${ADVICE_CAPABILITY}`,
      };
    }
    // The daemon found out at the start, and holds descriptors instead.
    if (event.type !== 'insert' || event.nodeid !== 1) return null;
    const { handlesRefused } = view;
    if (handlesRefused?.call !== 'open_by_handle_at') return null;
    return {
      key: 'start',
      severity: 'information',
      nodeids: [event.nodeid],
      evidence: { requested: 'prefer', effective: 'never', errno: handlesRefused.errno },
      advice:
        'File handles were asked for, and the daemon works without: every entry holds a descriptor. ' +
        ADVICE_CAPABILITY,
    };
  },
  onProbe({ nodeid, errno }, view) {
    if (!isRefused(errno) || view.tables.entry(nodeid)?.kind !== 'handle') return null;
    return {
      key: String(nodeid),
      severity: 'error',
      nodeids: [nodeid],
      evidence: { node: String(nodeid), probe: view.errnoName(errno) },
      advice: `The handle was made but may not be opened: ${ADVICE_CAPABILITY}`,
    };
  },
};

export const handleOutlivesMount: HazardRule = {
  id: 'H33',
  name: 'HANDLE OUTLIVES ITS SUBTREE',
  onProbe({ nodeid, errno, mounted }, view) {
    if (errno !== 0 || mounted !== false) return null;
    const entry = view.tables.entry(nodeid);
    if (entry?.kind !== 'handle') return null;
    return {
      key: String(nodeid),
      severity: 'resource',
      nodeids: [nodeid],
      evidence: {
        node: String(nodeid),
        ids: idsText(entry.ids),
        mntId: String(entry.ids.mntId),
        probe: 'opens',
      },
      advice:
        `Mount ${entry.ids.mntId} is no longer in the share, but the guest still reaches node ${nodeid} ` +
        'there by its handle: unmounting took away the path, not the access. End it by letting the ' +
        'guest drop its caches, or by stopping the daemon.',
    };
  },
};
