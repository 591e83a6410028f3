/** Entries that turn out to be another kind of object, or two objects in one: H30, H31. */

import { fileTypeText, S_IFMT } from '../tables/fileType';
import type { Nodeid } from '../tables/identity';
import type { HazardRule } from './hazard';
import { hasOtherIds, idsText } from './hazard';

function typeText(mode: number): string {
  return fileTypeText(mode) ?? `type 0${(mode & S_IFMT).toString(8)}`;
}

export const typeChange: HazardRule = {
  id: 'H30',
  name: 'TYPE CHANGE',
  onEvent(event, view) {
    if (event.type !== 'lookup' || event.nodeid === null) return null;
    const entry = view.tables.entry(event.nodeid);
    // A recording may not say what was found.
    if (entry === undefined || event.mode === 0) return null;
    if (((entry.mode ^ event.mode) & S_IFMT) === 0) return null;
    const was = typeText(entry.mode);
    const is = typeText(event.mode);
    return {
      key: String(event.nodeid),
      severity: 'error',
      nodeids: [event.nodeid],
      evidence: {
        name: view.text(event.name),
        node: String(event.nodeid),
        ids: idsText(event.ids),
        was,
        is,
      },
      advice:
        `Node ${event.nodeid} was a ${was} and is now looked up as a ${is}. The guest's kernel notices ` +
        'this one difference (fuse_stale_inode) and answers EIO; the entry is not the file that was ' +
        'asked for. Let the guest drop its caches, and look for H11 on the same node.',
    };
  },
};

function adviceOfTwo(nodeid: Nodeid): string {
  return (
    `The ids and the handle of node ${nodeid} belong to two files: something replaced the file ` +
    'between the two calls. A daemon must make both from one descriptor, and this one does; ' +
    'please report it with this evidence.'
  );
}

export const handleStatMismatch: HazardRule = {
  id: 'H31',
  name: 'HANDLE/STAT TOCTTOU',
  onProbe({ nodeid, held }, view) {
    const entry = view.tables.entry(nodeid);
    if (held == null || entry?.kind !== 'handle' || !hasOtherIds(entry, held)) return null;
    return {
      key: String(nodeid),
      severity: 'identity',
      nodeids: [nodeid],
      evidence: { node: String(nodeid), asked: idsText(entry.ids), held: idsText(held.ids) },
      advice: adviceOfTwo(nodeid),
    };
  },
  // The handle's own file has other numbers than the lookup found beside the handle.
  onEvent(event, view) {
    if (event.type !== 'lookup' || event.nodeid === null || event.handle === null) return null;
    const { hit, probed } = event;
    // Answered by its handle, or new. What ids answered is compared with another file's descriptor.
    if (hit === 'fallback_hit' || hit === 'handleless_hit') return null;
    if (probed === undefined || probed.held === null) return null;
    if (!probed.fields.some((field) => field === 'ino' || field === 'dev')) return null;
    return {
      key: String(event.nodeid),
      severity: hit === 'handle_hit' ? 'data' : 'identity',
      nodeids: [event.nodeid],
      evidence: {
        name: view.text(event.name),
        node: String(event.nodeid),
        asked: idsText(event.ids),
        held: idsText(probed.held.ids),
        differs: probed.fields.join(', '),
      },
      advice: adviceOfTwo(event.nodeid),
    };
  },
};
