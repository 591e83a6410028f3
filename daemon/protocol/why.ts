/**
 * The answer to «why?»: how a lookup was decided, what other rules would have answered, what an
 * errno means, what to do, and how to see it oneself. docs/why.md explains the words.
 */

import * as v from 'valibot';
import { HIT_KINDS } from '../tables/hitKind';
import { LOOKUP_RULE_NAMES } from '../tables/lookupRule';
import { IMPLEMENTATION_NAMES } from '../tables/implementations';
import { decimal, hazardJson } from './json';

/** What is asked about; exactly one. */
export const whyRequest = v.object({
  about: v.union([
    v.strictObject({ nodeid: decimal }),
    /** A lookup, a failed open by handle, a hazard, or anything else in the stream. */
    v.strictObject({ seq: decimal }),
    /** Below the shared directory, as paths are shown; of an entry, or of a lookup that failed. */
    v.strictObject({ path: v.pipe(v.string(), v.minLength(1), v.maxLength(4_096)) }),
    /** The newest event with this errno; and when there is none, what else the guest may have met. */
    v.strictObject({ errno: v.pipe(v.string(), v.regex(/^E[A-Z0-9]{1,20}$/)) }),
    /** The newest open hazard of this number. */
    v.strictObject({ hazard: v.pipe(v.string(), v.regex(/^H[1-9][0-9]?$/)) }),
  ]),
});
export type WhySubject = v.InferOutput<typeof whyRequest>['about'];

/** What an answer is worth: the right node, a new node where one is due, or a mistake. */
export const VERDICTS = ['right', 'new_node', 'second_node', 'wrong_file', 'unknown'] as const;
export type Verdict = (typeof VERDICTS)[number];

const ruleAnswer = v.object({
  rule: v.picklist(LOOKUP_RULE_NAMES),
  summary: v.string(),
  /** The rule that the daemon follows. */
  current: v.boolean(),
  hit: v.nullable(v.picklist(HIT_KINDS)),
  /** Null: a new node, or unknown. */
  nodeid: v.nullable(decimal),
  verdict: v.picklist(VERDICTS),
  says: v.string(),
});
export type RuleAnswerJson = v.InferOutput<typeof ruleAnswer>;

/** Steps at most; a lookup asks two tables. */
export const MAX_STEPS = 5;

const traceJson = v.object({
  /** The lookup's place in the stream. */
  seq: decimal,
  time: v.string(),
  title: v.string(),
  steps: v.pipe(v.array(v.string()), v.maxLength(MAX_STEPS)),
  /** What the last step says; null where there is none. */
  nodeid: v.nullable(decimal),
  errno: v.nullable(v.string()),
  /** One for each lookup rule; empty when the tables were not asked. */
  rules: v.array(ruleAnswer),
  /** What is not known of that moment any more, or null. */
  unknown: v.nullable(v.string()),
});
export type TraceJson = v.InferOutput<typeof traceJson>;

export const CAUSES = [
  'injected',
  'deleted',
  'replaced',
  'volatile',
  'not_openable',
  'mount_gone',
  'mount_unresolvable',
  'guest_made',
  'not_there',
  'host_error',
  'no_memory',
  'no_handles',
  'too_many_files',
  'host_refused',
] as const;
export type CauseKind = (typeof CAUSES)[number];

const causeJson = v.object({
  errno: v.string(),
  kind: v.picklist(CAUSES),
  sentence: v.string(),
  /** What it is known from. */
  evidence: v.array(v.string()),
});
export type CauseJson = v.InferOutput<typeof causeJson>;

export const whyResult = v.object({
  /** What was found under what was asked about. */
  title: v.string(),
  nodeid: v.nullable(decimal),
  /** Of an entry: the lookup that made it, then the newest that led to it. */
  traces: v.pipe(v.array(traceJson), v.maxLength(2)),
  /** The entry as it stands now, or null. */
  now: v.nullable(v.string()),
  cause: v.nullable(causeJson),
  advice: v.array(v.string()),
  /** Shell commands that show the same. */
  reproduce: v.string(),
});
export type WhyJson = v.InferOutput<typeof whyResult>;

export const judgeRequest = v.object({ implementation: v.picklist(IMPLEMENTATION_NAMES) });
/** What another implementation would have got wrong in the lookups that are kept. */
export const judgeResult = v.object({
  implementation: v.picklist(IMPLEMENTATION_NAMES),
  summary: v.string(),
  /** The events that were judged. */
  from: decimal,
  to: decimal,
  lookups: v.number(),
  /** Lookups that could not have happened there: an open descriptor would have kept the number. */
  prevented: v.number(),
  totals: v.record(v.string(), v.number()),
  /** The first hundred; node ids are those that the implementation would have given. */
  findings: v.array(hazardJson),
});
export type JudgementJson = v.InferOutput<typeof judgeResult>;
