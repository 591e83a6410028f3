/**
 * A lookup rule gone through table by table, for those who explain. `InodeTables` makes the same
 * decisions in one go; a property test holds the two together.
 */

import type { TableName } from './events';
import type { HitKind } from './hitKind';
import type { EntryKind, Nodeid } from './identity';
import type { LookupRule } from './lookupRule';

/** What the tables had to say to a lookup. */
export interface Question {
  readonly hasHandle: boolean;
  /** Whom `inodes_by_handle` names; null: nobody. */
  readonly byHandle: Nodeid | null;
  /** Whom `inodes_by_ids` names; null: nobody. */
  readonly byIds: Nodeid | null;
  /** What that entry holds; null: nobody knows any more. */
  readonly idsKind: EntryKind | null;
}

export interface TableAnswer {
  readonly table: TableName;
  /** Whom it named. */
  readonly nodeid: Nodeid | null;
  readonly verdict:
    | 'accepted'
    /** It named an entry that the rule does not believe. */
    | 'refused'
    /** It has no such key. */
    | 'unknown'
    /** There is no handle to ask with. */
    | 'impossible';
}

export interface Decided {
  /** In the order in which the tables were asked. */
  readonly answers: readonly TableAnswer[];
  readonly hit: Exclude<HitKind, 'error'>;
  /** Null: a new entry. */
  readonly nodeid: Nodeid | null;
}

const KINDS: readonly EntryKind[] = ['file', 'handle', 'invalid'];

/** @returns null when it depends on what nobody knows any more */
export function decide(rule: LookupRule, question: Question): Decided | null {
  const { hasHandle, byHandle, byIds, idsKind } = question;
  const handle = handleAnswer(question);
  if (rule.byHandle === 'first' && handle.verdict === 'accepted') {
    return { answers: [handle], hit: 'handle_hit', nodeid: byHandle };
  }
  const verdicts =
    byIds === null ? [] : KINDS.map((kind) => rule.acceptsIds(hasHandle, idsKind ?? kind));
  const accepted = verdicts[0] ?? false;
  if (verdicts.some((verdict) => verdict !== accepted)) return null;
  const ids: TableAnswer = {
    table: 'inodes_by_ids',
    nodeid: byIds,
    verdict: byIds === null ? 'unknown' : accepted ? 'accepted' : 'refused',
  };
  const before = rule.byHandle === 'first' ? [handle] : [];
  if (accepted) {
    const hit = hasHandle ? 'fallback_hit' : 'handleless_hit';
    return { answers: [...before, ids], hit, nodeid: byIds };
  }
  if (rule.byHandle === 'second' && handle.verdict === 'accepted') {
    return { answers: [ids, handle], hit: 'handle_hit', nodeid: byHandle };
  }
  const after = rule.byHandle === 'second' ? [handle] : [];
  const hit = byIds === null ? 'miss' : 'fallback_rejected';
  return { answers: [...before, ids, ...after], hit, nodeid: null };
}

function handleAnswer({ hasHandle, byHandle }: Question): TableAnswer {
  const table = 'inodes_by_handle';
  if (!hasHandle) return { table, nodeid: null, verdict: 'impossible' };
  return { table, nodeid: byHandle, verdict: byHandle === null ? 'unknown' : 'accepted' };
}
