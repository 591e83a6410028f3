/** Keys that change hands or vanish: H7, H8. */

import type { HazardRule } from './hazard';

export const keyStolen: HazardRule = {
  id: 'H7',
  name: 'BY_IDS KEY STOLEN',
  onEvent(event, { tables }) {
    if (event.type !== 'key_stolen' || event.table !== 'inodes_by_ids') return null;
    const file = tables.entry(event.from)?.kind === 'file';
    return {
      key: String(event.from),
      // The ids key of a handle entry answers no lookup, so that losing it changes nothing.
      severity: file ? 'identity' : 'information',
      nodeids: [event.from, event.by],
      evidence: { from: String(event.from), by: String(event.by), victimHoldsDescriptor: file },
      advice: file
        ? `Node ${event.by} took the ids key of node ${event.from}, which still holds its file open: ` +
          'the next lookup without a handle is answered with the wrong one of two node ids.'
        : `Node ${event.by} took the ids key of node ${event.from}, which is found by its handle. Nothing to do.`,
    };
  },
};

export const keyLost: HazardRule = {
  id: 'H8',
  name: 'BY_IDS KEY LOST',
  onEvent(event, { tables }) {
    if (event.type !== 'key_lost' || event.table !== 'inodes_by_ids') return null;
    const file = tables.entry(event.nodeid)?.kind === 'file';
    return {
      key: String(event.nodeid),
      severity: file ? 'identity' : 'information',
      nodeids: [event.nodeid],
      evidence: {
        node: String(event.nodeid),
        lostWith: String(event.with),
        victimHoldsDescriptor: file,
      },
      advice: file
        ? `Forgetting node ${event.with} removed the ids key of node ${event.nodeid}: the next lookup of ` +
          'its file makes a second node id for it.'
        : `Forgetting node ${event.with} removed the ids key of node ${event.nodeid}, which is found by its ` +
          'handle. Nothing to do.',
    };
  },
};
