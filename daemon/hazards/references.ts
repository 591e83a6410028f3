/** Node ids and lookup counts that do not add up: H28, H29. */

import { ROOT_NODEID } from '../tables/identity';
import type { HazardRule } from './hazard';

export const nodeidReuse: HazardRule = {
  id: 'H28',
  name: 'NODE-ID REUSE',
  onEvent(event, view) {
    if (event.type !== 'insert' || !view.wasForgotten(event.nodeid)) return null;
    return {
      key: String(event.nodeid),
      severity: 'identity',
      nodeids: [event.nodeid],
      evidence: { node: String(event.nodeid), generation: '0' },
      advice:
        `Node ${event.nodeid} was forgotten and its number given to another object, with the same ` +
        'generation. A guest that still knows the old one (an NFS export, a late request) takes the new ' +
        'object for it. Use a daemon that never gives a node id twice.',
    };
  },
};

export const refcountAbuse: HazardRule = {
  id: 'H29',
  name: 'REFCOUNT ABUSE',
  onEvent(event) {
    if (event.type === 'remove' && event.nodeid === ROOT_NODEID) {
      return {
        key: 'root',
        severity: 'error',
        nodeids: [],
        evidence: { node: '1' },
        advice:
          'The guest forgot the root of the share: every path from it fails with EBADF until the share is ' +
          'mounted anew. A guest kernel does not do that; look at what sends these requests.',
      };
    }
    if (event.type !== 'over_forget') return null;
    return {
      key: 'guest',
      severity: 'error',
      nodeids: [],
      evidence: {
        node: String(event.nodeid),
        forgotten: String(event.count),
        lookups: String(event.lookups),
      },
      advice:
        `The guest forgot node ${event.nodeid} ${event.count} times and had looked it up ${event.lookups} ` +
        'times. The count stops at zero, but whoever still uses the node gets EBADF. A guest kernel does ' +
        'not do that; look at what sends these requests.',
    };
  },
};
