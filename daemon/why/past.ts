/** What an explanation may look at: the tables as they are, and the events that are still kept. */

import type { Hazard } from '../hazards/hazard';
import type { KnownFile } from '../hazards/sameness';
import type { InspectorEvent } from '../protocol/eventJson';
import type { Target } from '../protocol/json';
import type { InsertEvent, LookupEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { InodeTables } from '../tables/inodeTables';

export interface Past {
  readonly target: Target;
  readonly tables: InodeTables;
  /** Of descriptors that the guest's files take. */
  readonly descriptors: { readonly used: number; readonly limit: number };
  /** The oldest event that is kept. */
  readonly oldest: number;
  /** Null when it is not kept. */
  event(seq: number): InspectorEvent | null;
  /** The newest event that passes, looking back from `before`, over at most so many as one may. */
  newest(before: number, passes: (event: InspectorEvent) => boolean): InspectorEvent | null;
  /** The same among the events that concern one entry. */
  newestOf(nodeid: Nodeid, passes: (event: InspectorEvent) => boolean): InspectorEvent | null;
  /** How an entry came to be; null when that is not kept. */
  creation(nodeid: Nodeid): Creation | null;
  path(nodeid: Nodeid): string | null;
  /** Living entries whose newest name this is, relative to the shared directory. */
  entriesAt(path: string): readonly Nodeid[];
  /** The newest lookup of that name, or null. */
  newestAt(path: string): LookupEvent | null;
  hazardsOf(nodeid: Nodeid): readonly Hazard[];
  /** The newest open hazard of a number. */
  openHazard(id: string): Hazard | null;
  /** The errno that the last probe of an entry met, or null. */
  probeErrno(nodeid: Nodeid): string | null;
  errnoName(errno: number): string;
}

export interface Creation {
  /** Null for the root. */
  readonly lookup: LookupEvent | null;
  readonly insert: InsertEvent;
}

/** @returns null when the entry has gone and nobody remembers it */
export function factsOf(past: Past, nodeid: Nodeid): KnownFile | null {
  const creation = past.creation(nodeid);
  const known = past.tables.entry(nodeid) ?? creation?.insert;
  if (known === undefined) return null;
  const { kind, ids, handle } = known;
  return { nodeid, kind, ids, handle, spare: creation?.lookup?.spare ?? null };
}
