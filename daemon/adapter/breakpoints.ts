/** Breakpoints as clients of the Debug Adapter Protocol write them, in the daemon's words. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import { HAZARD_RULES } from '../hazards/hazardBook';
import type { Wanted } from '../protocol/breakpointText';
import type { BreakpointJson } from '../protocol/debug';

export interface ExceptionFilter {
  readonly filter: string;
  readonly label: string;
  readonly description: string;
  /** In the stop's headline, behind “Paused on”. */
  readonly headline: string;
  /** Something went wrong for the guest: shown as an exception. */
  readonly isError: boolean;
  readonly wanted: readonly Wanted[];
}

/** Those of these hazards that the daemon judges. */
function catalogued(...ids: readonly string[]): Wanted[] {
  return HAZARD_RULES.filter(({ id }) => ids.includes(id)).map(({ id }) => ({ hazard: id }));
}

export const EXCEPTION_FILTERS: readonly ExceptionFilter[] = [
  {
    filter: 'fallback',
    label: 'Fallback Lookups',
    description: 'A lookup was answered by inodes_by_ids, or would have been and was not believed.',
    headline: 'fallback lookup',
    isError: false,
    wanted: [{ hit: 'fallback_hit' }, { hit: 'handleless_hit' }, { decision: 'fallback_rejected' }],
  },
  {
    filter: 'stale',
    label: 'Stale-ID Hazards',
    description:
      'A number was given away again (H1), a handle went stale (H2), or an entry that pins nothing was believed by its number (H13).',
    headline: 'stale-ID hazard',
    isError: false,
    wanted: catalogued('H1', 'H2', 'H13'),
  },
  {
    filter: 'data',
    label: 'Wrong-Data Hazards',
    description: 'A hazard that can make the guest read or write another file than it meant.',
    headline: 'wrong-data hazard',
    isError: true,
    wanted: [{ hazard: 'data' }],
  },
  {
    filter: 'errors',
    label: 'Errors to the Guest',
    description:
      'The guest is answered an errno. ENOENT is part of daily life: refine it by a condition such as errno != "ENOENT".',
    headline: 'error to the guest',
    isError: true,
    wanted: [{ errno: '*' }],
  },
];

/**
 * Adds what a client can say of every kind of breakpoint.
 *
 * @throws Error when the hit condition is none of the known forms
 */
export function refined(
  wanted: Wanted,
  {
    condition,
    hitCondition,
    logMessage,
  }: Pick<DebugProtocol.SourceBreakpoint, 'condition' | 'hitCondition' | 'logMessage'>,
): Wanted {
  const given = (text: string | undefined): text is string => text !== undefined && text !== '';
  return {
    ...wanted,
    ...(given(condition) ? { condition } : {}),
    ...(given(hitCondition) ? { hits: hitsOf(hitCondition) } : {}),
    ...(given(logMessage) ? { log: logMessage } : {}),
  };
}

/** `5` or `== 5`: the fifth; `>= 5`, `> 4`: from the fifth on; `% 5`: every fifth. */
function hitsOf(text: string): NonNullable<BreakpointJson['hits']> {
  const parts = /^\s*(==|=|>=|>|%)?\s*([1-9][0-9]{0,8})\s*$/.exec(text);
  if (parts === null) {
    throw new Error(
      `The hit count “${text}” is none: give 5, >= 5 (from the fifth) or % 5 (every).`,
    );
  }
  const count = Number(parts[2]);
  switch (parts[1]) {
    case '>=':
      return { when: 'from', count };
    case '>':
      return { when: 'from', count: count + 1 };
    case '%':
      return { when: 'every', count };
    case undefined:
    default:
      return { when: 'nth', count };
  }
}
