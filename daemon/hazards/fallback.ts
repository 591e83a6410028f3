/** Lookups that inodes_by_handle did not answer (H3, H4) and handles that failed (H22). */

import type { LookupEvent } from '../tables/events';
import type { HazardRule } from './hazard';
import { idsText } from './hazard';

const EOVERFLOW = 75;
const EOPNOTSUPP = 95;

/** The errnos after which virtiofsd goes on without a handle (its get_file_handle_opt). */
function meansNoHandle(errno: number): boolean {
  return errno === EOPNOTSUPP || errno === EOVERFLOW;
}

export const benignFallback: HazardRule = {
  id: 'H3',
  name: 'FALLBACK HIT',
  onEvent(event) {
    if (event.type !== 'lookup' || event.hit !== 'fallback_hit' || event.nodeid === null)
      return null;
    // A held descriptor with another handle is not benign but an unpinned alias (H11).
    if (event.probe !== 'same') return null;
    return {
      key: String(event.nodeid),
      severity: 'information',
      nodeids: [event.nodeid],
      evidence: { ids: idsText(event.ids), node: String(event.nodeid), probe: event.probe },
      advice:
        'The entry was made when no handle could be had, and its open descriptor pins the number; ' +
        'the lookup by ids found the right file. Nothing to do.',
    };
  },
};

export const handlelessLookup: HazardRule = {
  id: 'H4',
  name: 'HANDLE-LESS LOOKUP',
  // One hazard a mount: on a file system without handles every lookup is one of these.
  onEvent(event, view) {
    if (event.type !== 'lookup' || event.errno !== 0 || event.nodeid === null) return null;
    if (!view.handlesExpected || !meansNoHandle(event.handleErrno) || event.ids === null)
      return null;
    const mixed = view.mountHasHandles(event.ids.mntId);
    const errno = view.errnoName(event.handleErrno);
    return {
      key: `mount ${event.ids.mntId}`,
      severity: mixed ? 'identity' : 'information',
      nodeids: [event.nodeid],
      evidence: {
        mntId: String(event.ids.mntId),
        errno,
        name: view.text(event.name),
        otherEntriesHaveHandles: mixed,
      },
      advice: mixed
        ? `name_to_handle_at failed with ${errno} on a mount where other files have handles: the ` +
          'lookup is answered by ids alone, and one file may get two node ids. Look for what made it fail.'
        : `The file system answers ${errno} to name_to_handle_at: its entries hold descriptors. ` +
          'Mind the descriptor limit; numbers are pinned as long as the descriptors are open.',
    };
  },
};

export const transientHandleFailure: HazardRule = {
  id: 'H22',
  name: 'TRANSIENT HANDLE FAILURE',
  onEvent(event, view) {
    if (event.type !== 'lookup' || event.handleErrno === 0) return null;
    const toGuest = event.errno !== 0 && event.errno === event.handleErrno;
    if (!toGuest && event.handleErrno !== EOVERFLOW) return null;
    const errno = view.errnoName(event.handleErrno);
    return {
      key: nameKey(event),
      severity: toGuest ? 'error' : 'identity',
      nodeids: event.nodeid === null ? [event.parent] : [event.nodeid],
      evidence: {
        name: view.text(event.name),
        parent: String(event.parent),
        errno,
        guestSaw: toGuest ? errno : null,
      },
      advice: toGuest
        ? `name_to_handle_at failed with ${errno} and the guest was told so. If it passes by itself ` +
          '(ENOMEM, EIO), free memory on the host or look at the disk; a retry finds the file.'
        : `name_to_handle_at failed with ${errno}: this lookup went on without a handle and may give ` +
          'one file two node ids.',
    };
  },
  endsWith: (event) => (event.handleErrno === 0 && event.errno === 0 ? nameKey(event) : null),
};

function nameKey(event: LookupEvent): string {
  return `${event.parent}/${Array.from(event.name).join('.')}`;
}
