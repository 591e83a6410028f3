/**
 * A lookup in plain words: which table was asked first, what it said, what the rule made of it.
 * The order and the reasons are those of daemon/tables/lookupRule.ts.
 */

import type { LookupJson } from '../daemon/protocol/json';
import type { LookupRule, LookupRuleName } from '../daemon/tables/lookupRule';
import { LOOKUP_RULES } from '../daemon/tables/lookupRule';
import type { EntryKindName } from './words';
import { errnoText, idsShort } from './words';

export interface Step {
  readonly table: 'inodes_by_handle' | 'inodes_by_ids';
  /** Whom the table named. */
  readonly nodeid: string | null;
  readonly verdict: 'accepted' | 'refused' | 'unknown' | 'impossible';
  /** A clause of the sentence. */
  readonly clause: string;
  /** What stands beside a refused edge; empty for the other verdicts. */
  readonly label: string;
}

export interface Explanation {
  /** `LOOKUP “f” in node 1 → node 3`. */
  readonly what: string;
  /** `handle unknown; ids 12/7:0/74 belong to node 2, …; new entry.` */
  readonly why: string;
  /** In the order in which the tables were asked. */
  readonly steps: readonly Step[];
}

/**
 * @param kindOf the kind of an entry that is in view; undefined when it is not
 */
export function explain(
  lookup: LookupJson,
  ruleName: LookupRuleName,
  kindOf: (nodeid: string) => EntryKindName | undefined,
): Explanation {
  const rule = LOOKUP_RULES[ruleName];
  const result =
    lookup.errno !== null ? lookup.errno : lookup.nodeid !== null ? `node ${lookup.nodeid}` : '?';
  const steps = lookup.hit === 'error' ? [] : stepsOf(lookup, rule, kindOf);
  return {
    what: `${lookup.op} “${lookup.name}” in node ${lookup.parent} → ${result}`,
    why: `${[...steps.map((step) => step.clause), ...ending(lookup)].join('; ')}.`,
    steps,
  };
}

function stepsOf(
  lookup: LookupJson,
  rule: LookupRule,
  kindOf: (nodeid: string) => EntryKindName | undefined,
): Step[] {
  const handleAccepted = lookup.hit === 'handle_hit';
  const byHandle = handleStep(lookup, handleAccepted);
  const byIds = (): Step => idsStep(lookup, rule, kindOf);
  switch (rule.byHandle) {
    case 'first':
      return handleAccepted ? [byHandle] : [byHandle, byIds()];
    case 'second':
      return handleAccepted || lookup.hit === 'miss' ? [byIds(), byHandle] : [byIds()];
    case 'never':
      return [byIds()];
  }
}

function handleStep(lookup: LookupJson, accepted: boolean): Step {
  const table = 'inodes_by_handle';
  if (accepted) {
    return {
      table,
      nodeid: lookup.byHandle,
      verdict: 'accepted',
      clause: `the handle belongs to node ${lookup.byHandle ?? lookup.nodeid ?? '?'}`,
      label: '',
    };
  }
  if (lookup.handle !== undefined && lookup.handle !== null) {
    return { table, nodeid: null, verdict: 'unknown', clause: 'handle unknown', label: '' };
  }
  return {
    table,
    nodeid: null,
    verdict: 'impossible',
    clause:
      lookup.handleErrno === undefined
        ? 'no handle was asked for'
        : `no handle (${lookup.handleErrno})`,
    label: '',
  };
}

function idsStep(
  lookup: LookupJson,
  rule: LookupRule,
  kindOf: (nodeid: string) => EntryKindName | undefined,
): Step {
  const table = 'inodes_by_ids';
  const ids = lookup.ids === null ? 'ids' : `ids ${idsShort(lookup.ids)}`;
  const nodeid = lookup.byIds;
  if (nodeid === null) {
    return { table, nodeid, verdict: 'unknown', clause: `${ids} unknown`, label: '' };
  }
  const belong = `${ids} belong to node ${nodeid}`;
  const kind = kindOf(nodeid);
  if (lookup.hit === 'fallback_hit' || lookup.hit === 'handleless_hit') {
    // A rule that asks for a descriptor says so even where the entry itself is out of view.
    const holdsDescriptor =
      kind === 'file' || (kind === undefined && !rule.acceptsIds(true, 'handle'));
    const reason = holdsDescriptor
      ? 'which holds a descriptor, so it is taken'
      : `which this daemon's rule takes without a descriptor`;
    const probe =
      lookup.probe === 'different'
        ? ', but that descriptor is another file'
        : lookup.probe === 'same'
          ? ' (checked: the same file)'
          : '';
    return {
      table,
      nodeid,
      verdict: 'accepted',
      clause: `${belong}, ${reason}${probe}`,
      label: '',
    };
  }
  if (lookup.hit === 'fallback_rejected') {
    const [reason, label] = refusal(kind);
    return {
      table,
      nodeid,
      verdict: 'refused',
      clause: `${belong}, ${reason}, so it is refused`,
      label: `by ids: node ${nodeid} ${label}, refused`,
    };
  }
  return { table, nodeid, verdict: 'unknown', clause: belong, label: '' };
}

function refusal(kind: EntryKindName | undefined): readonly [reason: string, label: string] {
  switch (kind) {
    case 'handle':
      return ['which holds only a handle', 'holds no descriptor'];
    case 'invalid':
      return ['which holds nothing', 'holds nothing'];
    case 'file':
      return ['but this rule believes only the handle', 'has another handle'];
    case undefined:
      return ['which holds no descriptor', 'holds no descriptor'];
  }
}

function ending(lookup: LookupJson): string[] {
  switch (lookup.hit) {
    case 'miss':
    case 'fallback_rejected':
      return lookup.errno === null ? ['new entry'] : [`the guest gets ${errnoText(lookup.errno)}`];
    case 'error':
      return [
        lookup.errno === null
          ? 'the guest gets an error'
          : `the guest gets ${errnoText(lookup.errno)}`,
      ];
    case 'handle_hit':
      return lookup.byIds !== null && lookup.byIds !== lookup.byHandle
        ? [`the ids lead to node ${lookup.byIds}: the tables disagree`]
        : [];
    case 'fallback_hit':
    case 'handleless_hit':
      return [];
  }
}
