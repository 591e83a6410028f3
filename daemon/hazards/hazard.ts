/** A hazard, as found: what it is, which entries it concerns, how it is known, what to do. */

import type { LookupEvent, TableEvent } from '../tables/events';
import type { HeldIdentity } from '../tables/held';
import type { Ids, Nodeid } from '../tables/identity';
import type { Entry, InodeTables } from '../tables/inodeTables';
import type { Resources } from './resources';

/**
 * What a hazard can cost: `data` wrong data or wrong file, `error` the guest sees
 * an error, `identity` one file with two node ids or a name that changes its node id, `resource`,
 * `information` nothing to do.
 */
export const SEVERITIES = ['data', 'error', 'identity', 'resource', 'information'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** A finding's values, ready for people: numbers of 64 bits as decimal strings. */
export type Evidence = Readonly<Record<string, string | number | boolean | null>>;

export interface Finding {
  /** Findings with one key are one hazard; a later one may raise its severity. */
  readonly key: string;
  readonly severity: Severity;
  /** The entries it concerns, the one to look at first. */
  readonly nodeids: readonly Nodeid[];
  readonly evidence: Evidence;
  readonly advice: string;
}

/** What the daemon's own reference to an entry answers now. */
export interface Probe {
  readonly nodeid: Nodeid;
  /** 0 when the object is still there. */
  readonly errno: number;
  /** The lookup that made somebody ask. */
  readonly because: LookupEvent | null;
  /** What the reference stands for, where that was looked at. */
  readonly held?: HeldIdentity | null;
  /** Whether the entry's mount still is among the mounts of the daemon, where that was looked at. */
  readonly mounted?: boolean;
}

/** Whether a reference stands for something with other numbers than its entry's key. */
export function hasOtherIds({ ids }: Entry, held: HeldIdentity): boolean {
  const { ino, dev } = held.ids;
  return ino !== ids.ino || dev.major !== ids.dev.major || dev.minor !== ids.dev.minor;
}

/** A probe's answer together with what was probed. */
export interface ProbedEntry extends Probe {
  /** The entry when its probe was asked for; it may be gone by now. */
  readonly before: Entry | null;
  /** Whether the lookup that made somebody ask was for the name that the entry had. */
  readonly sameName: boolean;
}

/** What the check at start found. */
export interface HandlesRefused {
  readonly call: 'name_to_handle_at' | 'open_by_handle_at';
  readonly errno: string;
}

export interface RecycledMount {
  /** STATX_MNT_ID_UNIQUE. */
  readonly before: number;
  readonly now: number;
}

/** A name was looked up again and led elsewhere; both entries live. */
export interface NameChange {
  readonly parent: Nodeid;
  readonly name: Uint8Array;
  readonly from: Nodeid;
  readonly to: Nodeid;
}

/** What a predicate may look at. */
export interface HazardView {
  readonly tables: InodeTables;
  /** False in `never` mode, where every lookup is by ids and none of them is news. */
  readonly handlesExpected: boolean;
  /** Why the handles that were asked for are not used; null when they are, or were not asked for. */
  readonly handlesRefused: HandlesRefused | null;
  /** f_type of a mount, or null while it is unknown. */
  fsTypeOf(mntId: number): number | null;
  /** The unique ids of two mounts that had this id one after the other, while that is news. */
  recycledMount(mntId: number): RecycledMount | null;
  /** The errno with which the guest last met an entry's handle, or 0. */
  guestErrno(nodeid: Nodeid): number;
  /** Whether any entry on this mount has a handle. */
  mountHasHandles(mntId: number): boolean;
  /** Whether the entry was last looked up by this name in this directory, before this event. */
  wasNamed(nodeid: Nodeid, parent: Nodeid, name: Uint8Array): boolean;
  /** The living entry that holds a descriptor for these ids and whose ids key was lost, or null. */
  fileWithoutKey(ids: Ids): Nodeid | null;
  /** Whether this session has forgotten an entry with this node id, as far back as that is kept. */
  wasForgotten(nodeid: Nodeid): boolean;
  /** Operations of this session that failed because a handle was stale. */
  readonly staleReplies: number;
  /** A name, for evidence. */
  text(name: Uint8Array): string;
  errnoName(errno: number): string;
}

/** One hazard of the catalogue: small pure predicates over the tables after an event. */
export interface HazardRule {
  readonly id: string;
  readonly name: string;
  /** Looks at an event that has just been applied. */
  readonly onEvent?: (event: TableEvent, view: HazardView) => Finding | null;
  /** Looks at the answer of a probe. */
  readonly onProbe?: (probe: ProbedEntry, view: HazardView) => Finding | null;
  /** Looks at a name that leads to another node than before. */
  readonly onNameChange?: (change: NameChange, view: HazardView) => Finding | null;
  /**
   * Looks at what the share costs: all that holds now. What is not among it any more is over, and
   * nothing else ends it; so these findings need no entries.
   */
  readonly standing?: (
    resources: Resources,
    view: HazardView,
    isOpen: (key: string) => boolean,
  ) => readonly Finding[];
  /** The key of the finding that a lookup ends, for hazards that no entry's removal ends. */
  readonly endsWith?: (event: LookupEvent) => string | null;
}

export interface Hazard extends Finding {
  readonly id: string;
  readonly name: string;
  readonly state: 'open' | 'closed';
  /** The event that opened it. */
  readonly seq: number;
}

/** `12/7:0/74`, as the maps show ids. */
export function idsText(ids: Ids): string;
export function idsText(ids: Ids | null): string | null;
export function idsText(ids: Ids | null): string | null {
  return ids === null ? null : `${ids.ino}/${ids.dev.major}:${ids.dev.minor}/${ids.mntId}`;
}

/** The worse of two severities. */
export function worse(a: Severity, b: Severity): Severity {
  return SEVERITIES.indexOf(a) <= SEVERITIES.indexOf(b) ? a : b;
}
