/** What the live model and the kept events tell an explanation (daemon/why). */

import type { InspectorEvent } from '../protocol/eventJson';
import { nameBytes } from '../protocol/text';
import type { LookupEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import { ROOT_NODEID } from '../tables/identity';
import type { Creation, Past } from '../why/past';
import { errnoName } from './errnoName';
import type { EventHistory } from './eventHistory';
import type { LiveModel } from './liveModel';

/** Events that one search makes and looks at: some 50 ms of the inspector's thread. */
const MOST_EVENTS = 20_000;

/** For one explanation: it remembers what it has looked for. */
export function pastOf(model: LiveModel, history: EventHistory): Past {
  const creations = new Map<Nodeid, Creation | null>();
  const around = new Map<Nodeid, readonly InspectorEvent[]>();
  const { tables, hazards } = model;
  return {
    target: model.target,
    tables,
    descriptors: model.budget.descriptors,
    oldest: history.oldest,
    event: (seq) => history.at(seq),
    newest: (before, passes) => history.newest(before, MOST_EVENTS, passes),
    newestOf(nodeid, passes) {
      let events = around.get(nodeid);
      if (events === undefined) {
        events = history.around(nodeid, MOST_EVENTS);
        around.set(nodeid, events);
      }
      return events.find(passes) ?? null;
    },
    creation(nodeid) {
      const known = creations.get(nodeid);
      if (known !== undefined) return known;
      const found = history.creationOf(nodeid);
      creations.set(nodeid, found);
      return found;
    },
    path: (nodeid) => model.path(nodeid),
    entriesAt: (path) => entriesAt(model, path),
    newestAt(path) {
      const parts = path.split('/');
      const name = nameBytes(parts.pop() ?? '');
      const folders = new Set(entriesAt(model, parts.join('/')));
      const found = history.newest(
        Infinity,
        MOST_EVENTS,
        (event) =>
          event.type === 'lookup' && folders.has(event.parent) && sameBytes(event.name, name),
      );
      return found as LookupEvent | null;
    },
    hazardsOf: (nodeid) => hazards.of(nodeid),
    openHazard: (id) => hazards.newestOf(id),
    probeErrno: (nodeid) => model.probeErrno(nodeid),
    errnoName,
  };
}

/** Goes down the path by the newest names; a name may be that of several entries. */
function entriesAt({ paths, tables }: LiveModel, path: string): Nodeid[] {
  let found: Nodeid[] = tables.has(ROOT_NODEID) ? [ROOT_NODEID] : [];
  if (path === '' || path === '.') return found;
  for (const part of path.split('/')) {
    const name = nameBytes(part);
    const next: Nodeid[] = [];
    for (let row = 0; row < tables.rowLimit && found.length > 0; row++) {
      const nodeid = tables.nodeidAt(row);
      if (nodeid === 0) continue;
      if (found.some((parent) => paths.is(row, parent, name))) next.push(nodeid);
    }
    found = next;
  }
  return found;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
