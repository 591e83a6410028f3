/**
 * What only other implementations get wrong: H13, H17, H27. They are found when a stream of events
 * is judged under another implementation's rule (daemon/why/judge.ts); H13 also on this daemon when
 * it was told to follow such a rule.
 */

import type { LookupEvent } from '../tables/events';
import type { EntryKind, Nodeid } from '../tables/identity';
import { generationOf } from './generation';
import type { Finding, HazardRule } from './hazard';
import { idsText } from './hazard';
import type { KnownFile, Sameness } from './sameness';
import { sameHandle } from './sameness';

/** An entry of another implementation's tables, and what file it stands for. */
export interface JudgedEntry extends KnownFile {
  /** The mount by which the file was looked up when the entry was made. */
  readonly mount: number;
}

/** A lookup as another implementation would have answered it. */
export interface JudgedLookup {
  readonly lookup: LookupEvent;
  /** The mount by which the file was looked up. */
  readonly mount: number;
  /** The entry that answers, or null: a new one is made. */
  readonly answer: JudgedEntry | null;
  /** Whether that entry was found by its ids. */
  readonly byIds: boolean;
  /** Whether it stands for the file that was asked for. */
  readonly same: Sameness;
  /** The new entry's node id, or that of the answer. */
  readonly nodeid: Nodeid;
  /** Beside a new entry: one that stood for the same file already. */
  readonly beside: JudgedEntry | null;
  /** That one was made after this lookup had begun. */
  readonly overlapping: boolean;
  /** When it was received, in milliseconds since the epoch. */
  readonly began: number;
  readonly text: (name: Uint8Array) => string;
}

export interface JudgedRule {
  readonly id: string;
  readonly name: string;
  readonly onLookup: (judged: JudgedLookup) => Finding | null;
}

const STALE_FALLBACK = { id: 'H13', name: 'STALE FALLBACK' } as const;

function staleAdvice(nodeid: Nodeid, certain: boolean): string {
  return (
    `Node ${nodeid} holds only a handle, which keeps no number from being given away, and was ` +
    `believed by its ids alone: the guest ${certain ? 'works' : 'may work'} with the wrong file. ` +
    'Update the VMM, or let the daemon follow the rule handle-then-fd.'
  );
}

/** An entry that pins nothing was believed by its ids (v2 of the series; fuse-backend-rs). */
const judgedStaleFallback: JudgedRule = {
  ...STALE_FALLBACK,
  onLookup({ lookup, answer, byIds, same, text }) {
    if (answer === null || !byIds || answer.kind !== 'handle' || same === 'same') return null;
    const was = answer.handle === null ? null : generationOf(answer.handle);
    const is = lookup.handle === null ? null : generationOf(lookup.handle);
    return {
      key: `${answer.nodeid}/${lookup.seq}`,
      severity: 'data',
      nodeids: [answer.nodeid],
      evidence: {
        name: text(lookup.name),
        ids: idsText(lookup.ids),
        node: String(answer.nodeid),
        oldGeneration: was === null ? null : String(was),
        newGeneration: is === null ? null : String(is),
        sameFile: same === 'different' ? 'no' : 'unknown',
      },
      advice: staleAdvice(answer.nodeid, same === 'different'),
    };
  },
};

/** The same on a daemon that follows such a rule. */
export const staleFallback: HazardRule = {
  ...STALE_FALLBACK,
  onEvent(event, view) {
    const { tables } = view;
    if (event.type !== 'lookup' || event.nodeid === null || !BY_IDS.has(event.hit)) return null;
    const entry = tables.entry(event.nodeid);
    if (entry === undefined || !pinsNothing(entry.kind)) return null;
    const { handle } = event;
    if (handle !== null && entry.handle !== null && sameHandle(handle, entry.handle)) return null;
    const was = entry.handle === null ? null : generationOf(entry.handle);
    const is = handle === null ? null : generationOf(handle);
    return {
      key: String(event.nodeid),
      severity: 'data',
      nodeids: [event.nodeid],
      evidence: {
        name: view.text(event.name),
        ids: idsText(event.ids),
        oldGeneration: was === null ? null : String(was),
        newGeneration: is === null ? null : String(is),
        sameFile: handle === null ? 'unknown' : 'no',
      },
      advice: staleAdvice(event.nodeid, handle !== null),
    };
  },
};

const BY_IDS: ReadonlySet<string> = new Set(['fallback_hit', 'handleless_hit']);

function pinsNothing(kind: EntryKind): boolean {
  return kind !== 'file';
}

/** The key has no mount id: one node for a file that is reached by two mounts (crosvm; Linux before 5.8). */
const mountIdAlias: JudgedRule = {
  id: 'H17',
  name: 'MOUNT-ID ALIAS',
  onLookup({ lookup, answer, byIds, mount, text }) {
    if (answer === null || !byIds || answer.mount === mount) return null;
    return {
      key: `${answer.nodeid}/${mount}`,
      severity: 'data',
      nodeids: [answer.nodeid],
      evidence: {
        name: text(lookup.name),
        ids: idsText(lookup.ids),
        node: String(answer.nodeid),
        madeOnMount: String(answer.mount),
        askedOnMount: String(mount),
      },
      advice:
        `Node ${answer.nodeid} was made on mount ${answer.mount} and answers for mount ${mount} as well: what is ` +
        'allowed on one is allowed on the other, so that a read-only mount can be written through. ' +
        'Use a daemon whose key has the mount id, on Linux 5.8 or later.',
    };
  },
};

/** Two lookups of one file overlap, and each makes a node (C virtiofsd with a thread pool, libkrun). */
const lookupRace: JudgedRule = {
  id: 'H27',
  name: 'LOOKUP/INSERT RACE',
  onLookup({ lookup, beside, overlapping, began, nodeid, text }) {
    if (beside === null || !overlapping) return null;
    return {
      key: `${beside.nodeid}/${nodeid}`,
      severity: 'identity',
      nodeids: [nodeid, beside.nodeid],
      evidence: {
        name: text(lookup.name),
        ids: idsText(lookup.ids),
        nodes: `${beside.nodeid}, ${nodeid}`,
        underWayMs: Math.round((lookup.time - began) * 1000) / 1000,
      },
      advice:
        `Two lookups of one file overlapped, and both found nothing before either had inserted: nodes ` +
        `${beside.nodeid} and ${nodeid} are one file. When the guest forgets the first, the key of the ` +
        'second goes with it. Use one thread (`--thread-pool-size=0`), or a daemon that asks and ' +
        'inserts under one lock.',
    };
  },
};

/** One file under two nodes, for any other reason. */
const judgedDuplicate: JudgedRule = {
  id: 'H5',
  name: 'DUPLICATE INODE',
  onLookup({ lookup, beside, overlapping, nodeid, text }) {
    if (beside === null || overlapping) return null;
    return {
      key: `${beside.nodeid}/${nodeid}`,
      severity: 'identity',
      nodeids: [nodeid, beside.nodeid],
      evidence: {
        name: text(lookup.name),
        ids: idsText(lookup.ids),
        nodes: `${beside.nodeid}, ${nodeid}`,
      },
      advice: `Nodes ${beside.nodeid} and ${nodeid} are one file: separate page caches, locks and inotify watches in the guest until one is forgotten.`,
    };
  },
};

/** In the order of their numbers. */
export const JUDGED_RULES: readonly JudgedRule[] = [
  judgedDuplicate,
  judgedStaleFallback,
  mountIdAlias,
  lookupRace,
];
