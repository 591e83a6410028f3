/** Each kind of a client's breakpoints as wishes, which the book arms. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import * as v from 'valibot';
import type { Wanted } from '../protocol/breakpointText';
import { parseBreakpoint } from '../protocol/breakpointText';
import { tableKeyJson } from '../protocol/debug';
import { decimal } from '../protocol/json';
import type { Wish } from './breakpointBook';
import { wish } from './breakpointBook';
import { EXCEPTION_FILTERS, refined } from './breakpoints';
import type { RuleSource } from './stack';

export function functionWish(one: DebugProtocol.FunctionBreakpoint): Wish {
  return { wanted: wish(() => [refined(parseBreakpoint(one.name), one)]) };
}

export function exceptionWish({ filterId, condition }: DebugProtocol.ExceptionFilterOptions): Wish {
  const filter = EXCEPTION_FILTERS.find((known) => known.filter === filterId);
  if (filter === undefined) return { wanted: { refused: `There is no filter ${filterId}.` } };
  const more = condition === undefined ? {} : { condition };
  return { wanted: filter.wanted.map((wanted) => refined(wanted, more)), filter };
}

/** @param source of the rule that the daemon follows, and @param refused why not in this document */
export function lineWish(
  one: DebugProtocol.SourceBreakpoint,
  source: RuleSource,
  refused: string | null,
): Wish {
  const stop = source.stopAt(one.line);
  if (refused !== null || stop === undefined) {
    return { wanted: { refused: refused ?? 'No request can be stopped here.' }, line: one.line };
  }
  return {
    wanted: wish(() => [refined({ decision: stop.decision }, one)]),
    line: source.toClient(stop.line),
    source: source.source,
  };
}

/** What a data breakpoint waits for; a client keeps it as text and gives it back. */
const dataId = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ key: v.optional(tableKeyJson), entry: v.optional(decimal) }),
);

export function dataIdOf(wanted: Pick<Wanted, 'key' | 'entry'>): string {
  return JSON.stringify(wanted);
}

export function dataWish(one: DebugProtocol.DataBreakpoint): Wish {
  return {
    wanted: wish(() => {
      const { key, entry } = v.parse(dataId, one.dataId);
      return [refined({ ...(key && { key }), ...(entry && { entry }) }, one)];
    }),
  };
}
