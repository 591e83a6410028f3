/** The kept events, judged under another implementation. */

import { hazardToJson } from '../protocol/eventJson';
import type { JudgementJson } from '../protocol/why';
import type { ImplementationName } from '../tables/implementations';
import { IMPLEMENTATIONS } from '../tables/implementations';
import { LOOKUP_RULES } from '../tables/lookupRule';
import { judge } from '../why/judge';
import type { EventHistory } from './eventHistory';
import type { LiveModel } from './liveModel';

/** The newest so many events are judged: some 100 ms of the inspector's thread. */
const MOST_EVENTS = 10_000;

export function judgement(
  model: LiveModel,
  history: EventHistory,
  implementation: ImplementationName,
): JudgementJson {
  const to = model.nextSeq - 1;
  const from = Math.max(history.oldest, to - MOST_EVENTS + 1);
  const events = history.from(from, MOST_EVENTS);
  const rule = LOOKUP_RULES[model.target.lookupRule];
  const { findings, ...counts } = judge(events, IMPLEMENTATIONS[implementation], rule);
  return {
    implementation,
    summary: IMPLEMENTATIONS[implementation].summary,
    from: String(from),
    to: String(to),
    ...counts,
    totals: { ...counts.totals },
    findings: findings.map(hazardToJson),
  };
}
