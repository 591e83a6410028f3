/** One file under two node ids, and names that change theirs: H5, H6, H10. */

import type { InsertEvent, LookupEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { Finding, HazardRule, HazardView } from './hazard';
import { idsText } from './hazard';

/**
 * The other living entry that a lookup met under the same ids or the same handle, or null. Whether
 * it is the same file, only its handle's probe or its descriptor can tell.
 */
function otherEntry(event: LookupEvent): Nodeid | null {
  if (event.nodeid === null) return null;
  if (event.byIds !== null && event.byIds !== event.nodeid) return event.byIds;
  if (event.byHandle !== null && event.byHandle !== event.nodeid) return event.byHandle;
  return null;
}

function duplicate(event: LookupEvent, other: Nodeid, view: HazardView): Finding | null {
  if (event.nodeid === null) return null;
  const cause =
    event.handleErrno === 0
      ? ''
      : ` Cause: name_to_handle_at failed with ${view.errnoName(event.handleErrno)} (event ${event.seq}).`;
  const [low, high] = event.nodeid < other ? [event.nodeid, other] : [other, event.nodeid];
  return {
    key: `${low}/${high}`,
    severity: 'identity',
    nodeids: [high, low],
    evidence: {
      ids: idsText(event.ids),
      nodes: `${low}, ${high}`,
      handleErrno: event.handleErrno === 0 ? null : view.errnoName(event.handleErrno),
      name: view.text(event.name),
    },
    advice:
      'Two node ids for one file: separate page caches, locks and inotify watches in the guest until ' +
      `one is forgotten.${cause}`,
  };
}

/** A living file entry pins its number, so that equal ids mean the same file. */
function pinned(other: Nodeid, view: HazardView): boolean {
  return view.tables.entry(other)?.kind === 'file';
}

/** A file entry that lost its ids key cannot be found: its file gets another node (scenario S4). */
function afterKeyLoss(event: InsertEvent, view: HazardView): Finding | null {
  const other = view.fileWithoutKey(event.ids);
  if (other === null || other === event.nodeid) return null;
  return {
    key: `${other}/${event.nodeid}`,
    severity: 'identity',
    nodeids: [event.nodeid, other],
    evidence: {
      ids: idsText(event.ids),
      nodes: `${other}, ${event.nodeid}`,
      handleErrno: null,
      name: null,
    },
    advice:
      `Two node ids for one file: node ${other} lost its ids key, so that the lookup could not find ` +
      'it. Separate page caches, locks and inotify watches in the guest until one is forgotten.',
  };
}

export const duplicateInode: HazardRule = {
  id: 'H5',
  name: 'DUPLICATE INODE',
  onEvent(event, view) {
    if (event.type === 'insert') return afterKeyLoss(event, view);
    if (event.type !== 'lookup') return null;
    const other = otherEntry(event);
    return other !== null && pinned(other, view) ? duplicate(event, other, view) : null;
  },
  onProbe({ nodeid, errno, because }, view) {
    if (errno !== 0 || because === null || otherEntry(because) !== nodeid) return null;
    return duplicate(because, nodeid, view);
  },
};

function flip(event: LookupEvent, other: Nodeid, view: HazardView): Finding | null {
  if (event.nodeid === null || !view.wasNamed(other, event.parent, event.name)) return null;
  return {
    key: `${other}/${event.nodeid}`,
    severity: 'identity',
    nodeids: [event.nodeid, other],
    evidence: {
      name: view.text(event.name),
      parent: String(event.parent),
      before: String(other),
      now: String(event.nodeid),
    },
    advice:
      `The name “${view.text(event.name)}” led to node ${other} and now leads to node ${event.nodeid}, ` +
      'for the same file. The guest drops its dentry and looks again; below an overlayfs in the guest ' +
      'it becomes a lasting ESTALE.',
  };
}

export const nodeidFlip: HazardRule = {
  id: 'H6',
  name: 'NODEID FLIP',
  onEvent(event, view) {
    if (event.type !== 'lookup') return null;
    const other = otherEntry(event);
    return other !== null && pinned(other, view) ? flip(event, other, view) : null;
  },
  onProbe({ nodeid, errno, because }, view) {
    if (errno !== 0 || because === null || otherEntry(because) !== nodeid) return null;
    return flip(because, nodeid, view);
  },
};

export const tablesDisagree: HazardRule = {
  id: 'H10',
  name: 'TABLES DISAGREE',
  onEvent(event) {
    if (event.type !== 'lookup' || event.byHandle === null || event.byIds === null) return null;
    if (event.byHandle === event.byIds) return null;
    return {
      key: `${event.byHandle}/${event.byIds}`,
      severity: 'identity',
      nodeids: [event.byHandle, event.byIds],
      evidence: {
        ids: idsText(event.ids),
        byHandle: String(event.byHandle),
        byIds: String(event.byIds),
      },
      advice:
        `inodes_by_handle says node ${event.byHandle}, inodes_by_ids says node ${event.byIds}, for one ` +
        'file. The handle wins; a lookup without a handle would get the other node.',
    };
  },
};
