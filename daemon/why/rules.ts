/** What each lookup rule would have answered to a lookup, with the tables as they were then. */

import { generationOf } from '../hazards/generation';
import type { RuleAnswerJson, Verdict } from '../protocol/why';
import type { Decided, Question } from '../tables/decisions';
import { decide } from '../tables/decisions';
import type { LookupEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { LookupRule } from '../tables/lookupRule';
import { LOOKUP_RULE_NAMES, LOOKUP_RULES } from '../tables/lookupRule';
import type { KnownFile } from '../hazards/sameness';
import type { Past } from './past';
import { factsOf } from './past';
import type { Sameness } from '../hazards/sameness';
import { sameFile, sameHandle } from '../hazards/sameness';

/** A lookup, and what is known of the tables that it was put to. */
export interface Moment {
  readonly lookup: LookupEvent;
  readonly hasHandle: boolean;
  readonly byIds: KnownFile | Nodeid | null;
  /** `unknown` where the daemon's own rule does not ask `inodes_by_handle`. */
  readonly byHandle: Nodeid | null | 'unknown';
}

/** @returns null when the tables were not asked */
export function momentOf(past: Past, lookup: LookupEvent): Moment | null {
  if (lookup.hit === 'error') return null;
  const { handle, byHandle, byIds } = lookup;
  return {
    lookup,
    hasHandle: handle !== null,
    byIds: byIds === null ? null : (factsOf(past, byIds) ?? byIds),
    byHandle: byHandle ?? ownerOfHandle(past, lookup),
  };
}

/** The owner of the lookup's handle, where the daemon's rule did not ask for it. */
function ownerOfHandle(past: Past, { handle, seq }: LookupEvent): Moment['byHandle'] {
  if (handle === null || LOOKUP_RULES[past.target.lookupRule].byHandle !== 'never') return null;
  const begun = past.newest(seq, (event) => {
    if (event.type === 'init' || event.type === 'resync') return true;
    return event.type === 'insert' && event.handle !== null && sameHandle(event.handle, handle);
  });
  if (begun?.type === 'init') return null;
  if (begun?.type !== 'insert') return 'unknown';
  const { nodeid } = begun;
  const gone = past.newest(seq, (event) => event.type === 'remove' && event.nodeid === nodeid);
  return gone === null ? nodeid : null;
}

/** What a rule decides; null when nobody knows any more. */
export function decided(rule: LookupRule, moment: Moment): Decided | null {
  const { hasHandle, byHandle, byIds } = moment;
  if (byHandle === 'unknown' && rule.byHandle !== 'never') return null;
  const question: Question = {
    hasHandle,
    byHandle: byHandle === 'unknown' ? null : byHandle,
    byIds: nodeidOf(byIds),
    idsKind: kindOf(byIds),
  };
  return decide(rule, question);
}

/** What the entry found by its ids holds; null when there is none or nobody knows. */
export function kindOf(byIds: Moment['byIds']): KnownFile['kind'] | null {
  return byIds !== null && typeof byIds === 'object' ? byIds.kind : null;
}

function nodeidOf(byIds: Moment['byIds']): Nodeid | null {
  return byIds !== null && typeof byIds === 'object' ? byIds.nodeid : byIds;
}

export function ruleAnswers(past: Past, moment: Moment): RuleAnswerJson[] {
  return LOOKUP_RULE_NAMES.map((name) => {
    const rule = LOOKUP_RULES[name];
    const current = name === past.target.lookupRule;
    const head = { rule: name, summary: rule.summary, current };
    const answer = decided(rule, moment);
    if (answer === null) {
      const says = 'not known any more: the entry that the tables named is forgotten';
      return { ...head, hit: null, nodeid: null, verdict: 'unknown', says };
    }
    const { verdict, says } = judged(answer, moment);
    const nodeid = answer.nodeid === null ? null : String(answer.nodeid);
    return { ...head, hit: answer.hit, nodeid, verdict, says };
  });
}

function judged({ hit, nodeid }: Decided, moment: Moment): { verdict: Verdict; says: string } {
  if (nodeid === null) return newNode(moment);
  if (hit === 'handle_hit') return { verdict: 'right', says: `node ${nodeid}, by its handle` };
  const how = `node ${nodeid}, by its ids`;
  const entry = typeof moment.byIds === 'object' ? moment.byIds : null;
  switch (entry === null ? 'unknown' : sameFile(moment.lookup, entry)) {
    case 'same':
      return { verdict: 'right', says: how };
    case 'different':
      return { verdict: 'wrong_file', says: `${how}: another file${difference(moment, entry)}` };
    case 'unknown':
      return { verdict: 'unknown', says: `${how}, with nothing to tell a reused number by` };
  }
}

/** Whether a new node would be the second for its file. */
function newNode(moment: Moment): { verdict: Verdict; says: string } {
  const { byHandle, byIds, lookup } = moment;
  const beside = (other: Nodeid): { verdict: Verdict; says: string } => ({
    verdict: 'second_node',
    says: `a new node, the second for this file beside node ${other}`,
  });
  if (byHandle !== null && byHandle !== 'unknown') return beside(byHandle);
  if (byIds === null) return { verdict: 'new_node', says: 'a new node' };
  const same: Sameness = typeof byIds === 'object' ? sameFile(lookup, byIds) : 'unknown';
  const other = typeof byIds === 'object' ? byIds.nodeid : byIds;
  switch (same) {
    case 'same':
      return beside(other);
    case 'different':
      return { verdict: 'new_node', says: 'a new node, for a new file' };
    case 'unknown':
      return {
        verdict: 'unknown',
        says: `a new node; whether node ${other} is the same file is not known`,
      };
  }
}

/** ` (generation 1 instead of 2)`, where that is what tells them apart. */
function difference({ lookup }: Moment, entry: KnownFile | null): string {
  const was = entry?.handle == null ? null : generationOf(entry.handle);
  const is = lookup.handle === null ? null : generationOf(lookup.handle);
  return was === null || is === null ? '' : ` (generation ${was}, asked for ${is})`;
}
