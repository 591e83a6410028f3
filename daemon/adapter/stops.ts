/** What a client is told of a stop: its reason, its headline, its place in the Key Map. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import type { StoppedJson } from '../protocol/debug';
import type { StopPlace } from '../protocol/hostMessages';
import type { KeptBreakpoint, Kind } from './breakpointBook';
import { threadOf } from './threads';
import { stopSentence } from './words';

/**
 * @param hit the breakpoints that were hit
 * @param entering the pause of `stopOnEntry` is still to come
 */
export function stoppedBody(
  stop: StoppedJson,
  hit: readonly KeptBreakpoint[],
  entering: boolean,
): DebugProtocol.StoppedEvent['body'] {
  const filter = hit.find((one) => one.filter !== undefined)?.filter;
  const headline = filter?.headline ?? kindHeadline(hit[0]?.kind);
  return {
    reason: reasonOf(stop, hit[0]?.kind, filter?.isError === true, entering),
    ...(headline === undefined ? {} : { description: `Paused on ${headline}` }),
    text: stopSentence(stop),
    threadId: threadOf(stop.request),
    allThreadsStopped: false,
    hitBreakpointIds: hit.map(({ id }) => id),
  };
}

function reasonOf(
  stop: StoppedJson,
  kind: Kind | undefined,
  isError: boolean,
  entering: boolean,
): string {
  if (entering && stop.reason === 'pause') return 'entry';
  if (stop.reason === 'step' || stop.reason === 'pause') return stop.reason;
  switch (kind) {
    case 'function':
      return 'function breakpoint';
    case 'data':
      return 'data breakpoint';
    case 'exception':
      // VS Code says “Exception has occurred” of these, which would be wrong of the others.
      return isError ? 'exception' : 'hazard';
    case undefined:
    default:
      return 'breakpoint';
  }
}

function kindHeadline(kind: Kind | undefined): string | undefined {
  if (kind === undefined) return undefined;
  return kind === 'function' || kind === 'data' ? `${kind} breakpoint` : 'breakpoint';
}

/** @param hit the breakpoints that were hit */
export function exceptionOf(
  stop: StoppedJson,
  hit: readonly KeptBreakpoint[],
): DebugProtocol.ExceptionInfoResponse['body'] {
  const filter = hit.find((one) => one.filter !== undefined)?.filter;
  const [hazard] = stop.hazards;
  return {
    exceptionId: hazard?.id ?? stop.facts.errno ?? filter?.label ?? stop.reason,
    description: [
      stopSentence(stop),
      ...stop.hazards.map(({ id, name, advice }) => `${id} ${name}. ${advice}`),
    ].join('\n'),
    breakMode: 'always',
  };
}

/** The entry that a stop is about, and the edge that its step has looked at. */
export function placeOf(stop: StoppedJson): StopPlace {
  const { facts, point } = stop;
  const sentence = stopSentence(stop);
  switch (point) {
    case 'by_handle': {
      const nodeid = facts.byHandle?.node ?? null;
      const table = nodeid === null ? null : 'inodes_by_handle';
      return { nodeid, table, accepted: true, sentence };
    }
    case 'by_ids':
    case 'fallback': {
      const nodeid = facts.byIds?.node ?? null;
      const table = nodeid === null ? null : 'inodes_by_ids';
      return { nodeid, table, accepted: facts.accepted ?? true, sentence };
    }
    case 'claimed': {
      const table = facts.hit === 'handle_hit' ? 'inodes_by_handle' : 'inodes_by_ids';
      return { nodeid: facts.answer, table, accepted: true, sentence };
    }
    case 'inserted':
    case 'reply':
      return { nodeid: facts.answer, table: null, accepted: null, sentence };
    case 'counted':
      return { nodeid: facts.forgets?.node ?? null, table: null, accepted: null, sentence };
    case 'request':
    case 'parent':
    case 'opened':
    case 'identified':
    case 'handle':
    case 'removed':
    case 'keys_removed':
      return { nodeid: null, table: null, accepted: null, sentence };
  }
}
