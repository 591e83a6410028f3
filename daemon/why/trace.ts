/** A lookup, decision by decision, with the values it had. */

import { idsText } from '../hazards/hazard';
import { isoTime } from '../protocol/eventJson';
import type { TraceJson } from '../protocol/why';
import type { TableAnswer } from '../tables/decisions';
import type { LookupEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { LookupRule } from '../tables/lookupRule';
import { LOOKUP_RULES } from '../tables/lookupRule';
import type { Past } from './past';
import type { Moment } from './rules';
import { decided, kindOf, momentOf, ruleAnswers } from './rules';
import { handleText, HOLDS, lookupTitle } from './words';

export function traceOf(past: Past, lookup: LookupEvent): TraceJson {
  const moment = momentOf(past, lookup);
  const nodeid = lookup.nodeid === null ? null : String(lookup.nodeid);
  const errno = nodeid === null && lookup.errno !== 0 ? past.errnoName(lookup.errno) : null;
  return {
    seq: String(lookup.seq),
    time: isoTime(lookup.time),
    title: `${lookupTitle(lookup)} → ${nodeid === null ? (errno ?? 'nothing') : `node ${nodeid}`}`,
    steps: [
      found(past, lookup),
      ...(moment === null ? [] : tableSteps(past, moment)),
      outcome(past, lookup),
    ],
    nodeid,
    errno,
    rules: moment === null ? [] : ruleAnswers(past, moment),
    unknown: moment === null ? null : forgotten(moment),
  };
}

function found(past: Past, lookup: LookupEvent): string {
  const { ids, handle, handleErrno } = lookup;
  const title = lookupTitle(lookup);
  if (ids === null) return `${title} found no file on the host.`;
  const head = `${title} found ids ${idsText(ids)}`;
  if (handle !== null) return `${head} and made handle ${handleText(handle)}.`;
  if (handleErrno === 0) return `${head}; no handle was asked for.`;
  const errno = past.errnoName(handleErrno);
  return injectedInto(past, lookup) === 'name_to_handle_at'
    ? `${head}, but no handle: a debugger made name_to_handle_at fail with ${errno}.`
    : `${head}, but no handle: name_to_handle_at failed with ${errno}.`;
}

/** The call of the lookup's request that a debugger made fail, or null. */
export function injectedInto(past: Past, { seq, unique }: LookupEvent): string | null {
  const event = past.newest(
    seq,
    (candidate) => candidate.type === 'lookup' || candidate.type === 'injected',
  );
  return event?.type === 'injected' && event.unique === unique ? event.call : null;
}

function tableSteps(past: Past, moment: Moment): string[] {
  const rule = LOOKUP_RULES[past.target.lookupRule];
  const answers = decided(rule, moment)?.answers ?? answersOf(moment.lookup, rule);
  return answers.map((answer) =>
    answer.table === 'inodes_by_handle' ? handleStep(answer) : idsStep(answer, moment, rule),
  );
}

/** What the event itself tells, when nobody knows any more what its entries held. */
function answersOf({ byIds, handle, hit }: LookupEvent, rule: LookupRule): TableAnswer[] {
  const accepted = hit === 'fallback_hit' || hit === 'handleless_hit';
  const answers: TableAnswer[] = [
    { table: 'inodes_by_ids', nodeid: byIds, verdict: accepted ? 'accepted' : 'refused' },
  ];
  if (rule.byHandle !== 'first') return answers;
  const verdict = handle === null ? 'impossible' : 'unknown';
  return [{ table: 'inodes_by_handle', nodeid: null, verdict }, ...answers];
}

function handleStep({ nodeid, verdict }: TableAnswer): string {
  switch (verdict) {
    case 'accepted':
      return `inodes_by_handle leads to node ${nodeid}: the same handle, so the same file.`;
    case 'unknown':
    case 'refused':
      return 'inodes_by_handle has no such key.';
    case 'impossible':
      return 'inodes_by_handle cannot be asked without a handle.';
  }
}

function idsStep({ nodeid, verdict }: TableAnswer, moment: Moment, rule: LookupRule): string {
  if (verdict === 'unknown' || nodeid === null) return 'inodes_by_ids has no such key.';
  const kind = kindOf(moment.byIds);
  const leads = `inodes_by_ids leads to node ${nodeid}${kind === null ? '' : `, which ${HOLDS[kind]}`}`;
  if (verdict === 'accepted') {
    if (kind === 'file')
      return `${leads}: accepted, for it keeps the number in use${probed(moment)}.`;
    return kind === null
      ? `${leads}: accepted under the rule ${rule.name}${probed(moment)}.`
      : `${leads}: accepted by the rule ${rule.name}, though the number may have been reused.`;
  }
  const why = {
    handle: 'its number may have been reused',
    invalid: 'there is nothing to know its file by',
    file: `the rule ${rule.name} believes only the handle`,
  };
  return `${leads}: rejected${kind === null ? ` under the rule ${rule.name}` : `, ${why[kind]}`}.`;
}

function probed({ lookup: { probe } }: Moment): string {
  switch (probe) {
    case 'same':
      return ' (looked at: it is the same file)';
    case 'different':
      return ' (looked at: it is ANOTHER file)';
    case 'not-probed':
      return '';
  }
}

function outcome(past: Past, { nodeid, errno, hit, seq }: LookupEvent): string {
  if (nodeid === null) return `The guest got ${errno === 0 ? 'nothing' : past.errnoName(errno)}.`;
  if (hit !== 'miss' && hit !== 'fallback_rejected') return `Node ${nodeid} answered.`;
  const robbed = robbedBy(past, nodeid, seq);
  const stolen = robbed === null ? '' : `, and took the ids key of node ${robbed}`;
  return `Node ${nodeid} was inserted${stolen}.`;
}

function robbedBy(past: Past, nodeid: Nodeid, seq: number): Nodeid | null {
  const event = past.newestOf(
    nodeid,
    (candidate) =>
      candidate.type === 'key_stolen' &&
      candidate.by === nodeid &&
      candidate.table === 'inodes_by_ids' &&
      candidate.seq > seq,
  );
  return event?.type === 'key_stolen' ? event.from : null;
}

function forgotten({ byIds, byHandle }: Moment): string | null {
  if (byIds !== null && typeof byIds !== 'object') {
    return `Node ${byIds} has been forgotten and its events are no longer kept: what it held then is not known any more.`;
  }
  return byHandle === 'unknown'
    ? "This daemon's rule does not ask inodes_by_handle, and the events from which one could tell what it would have said are no longer kept."
    : null;
}
