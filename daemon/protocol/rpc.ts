/**
 * JSON-RPC 2.0 over the inspector's WebSocket: the methods, what they take and what they give.
 *
 * | method        | takes            | gives                                                        |
 * | ------------- | ---------------- | ------------------------------------------------------------ |
 * | hello         | helloRequest     | helloResult; must be the first call                          |
 * | snapshot      | {}               | Snapshot; refused above SNAPSHOT_ENTRIES (then use `pages`)  |
 * | pages         | { from, count }  | entries of the tables' rows [from, from+count) and the keys they own |
 * | events.follow | { from? }        | { oldest, next }; then `events` and `gap` notifications      |
 * | events.stop   | {}               | {}                                                           |
 * | map.watch     | mapRequest       | MapWindow; then `map` notifications, newest only             |
 * | map.stop      | {}               | {}                                                           |
 * | lanes.watch   | lanesRequest     | LanesWindow; then `lanes` notifications, newest only         |
 * | lanes.stop    | {}               | {}                                                           |
 * | overview      | overviewRequest  | { rows } and a binary frame with the same request id         |
 * | entry         | { nodeid }       | entryDetail                                                  |
 * | row           | { row }          | { nodeid } of the entry in a row of the overview, or null    |
 * | hazards       | { from?, count } | open hazards, the worst first, and totals                    |
 * | why           | { about }        | whyResult: how something was decided, and what to do         |
 * | judge         | { implementation } | judgeResult: what that one would have got wrong             |
 * | status.watch  | {}               | Status; then `status` notifications                          |
 * | budget.watch  | {}               | BudgetJson; then `budget` notifications, at most one a second |
 * | budget.stop   | {}               | {}                                                           |
 *
 * The debugger's methods are in debug.ts, those of tours in tour.ts, those that
 * probe in probe.ts.
 */

import * as v from 'valibot';
import { budgetJson } from './budget';
import { DEBUG_METHODS, DEBUG_NOTIFICATIONS } from './debug';
import {
  decimal,
  entryJson,
  eventJson,
  handleJson,
  hazardJson,
  idsJson,
  snapshotJson,
  targetJson,
} from './json';
import { lanesRequest, lanesWindow } from './lanes';
import { entryRow, mapRequest, mapWindow, overviewRequest, statusJson } from './map';
import { PROBE_METHODS, PROBE_NOTIFICATIONS } from './probe';
import { judgeRequest, judgeResult, whyRequest, whyResult } from './why';
import { TOUR_METHODS, TOUR_NOTIFICATIONS } from './tour';

/** Above this many entries a snapshot is read in pages. */
export const SNAPSHOT_ENTRIES = 5_000;
/** Rows a `pages` call may ask for. */
export const MAX_PAGE_ROWS = 2_000;

export const helloRequest = v.object({
  protocol: v.object({ min: v.number(), max: v.number() }),
  /** Who asks, for the log. */
  client: v.pipe(v.string(), v.maxLength(100)),
});
export const helloResult = v.object({ protocol: v.number(), target: targetJson });

export const pagesRequest = v.object({
  from: v.pipe(v.number(), v.integer(), v.minValue(0)),
  count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_PAGE_ROWS)),
});
export const pagesResult = v.object({
  seq: decimal,
  /** Rows in all; ask on until `from` reaches it. */
  rows: v.number(),
  entries: v.array(entryJson),
  inodes_by_ids: v.array(v.object({ ids: idsJson, nodeid: decimal })),
  inodes_by_handle: v.array(v.object({ handle: handleJson, nodeid: decimal })),
});

export const entryDetail = v.object({
  row: entryRow,
  /** Events that concern the entry, the newest first, as far back as the daemon keeps them. */
  history: v.array(eventJson),
  hazards: v.array(hazardJson),
});
export type EntryDetail = v.InferOutput<typeof entryDetail>;

const empty = v.object({});

export const METHODS = {
  hello: { request: helloRequest, result: helloResult },
  snapshot: { request: empty, result: snapshotJson },
  pages: { request: pagesRequest, result: pagesResult },
  'events.follow': {
    request: v.object({ from: v.optional(decimal) }),
    /** The oldest event kept and the one that will come next. */
    result: v.object({ oldest: decimal, next: decimal }),
  },
  'events.stop': { request: empty, result: empty },
  'map.watch': { request: mapRequest, result: mapWindow },
  'map.stop': { request: empty, result: empty },
  'lanes.watch': { request: lanesRequest, result: lanesWindow },
  'lanes.stop': { request: empty, result: empty },
  overview: { request: overviewRequest, result: v.object({ rows: v.number() }) },
  entry: { request: v.object({ nodeid: decimal }), result: entryDetail },
  row: {
    request: v.object({ row: v.pipe(v.number(), v.integer(), v.minValue(0)) }),
    result: v.object({ nodeid: v.nullable(decimal) }),
  },
  hazards: {
    request: v.object({
      state: v.literal('open'),
      /** How many of the worst to leave out: those of earlier calls. */
      from: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0),
      count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(500)),
    }),
    result: v.object({
      hazards: v.array(hazardJson),
      /** Open hazards by id, also of those beyond `count`. */
      totals: v.record(v.string(), v.number()),
      /** Hazards that came and went, by id. */
      closed: v.optional(v.record(v.string(), v.number()), {}),
    }),
  },
  why: { request: whyRequest, result: whyResult },
  judge: { request: judgeRequest, result: judgeResult },
  'status.watch': { request: empty, result: statusJson },
  'budget.watch': { request: empty, result: budgetJson },
  'budget.stop': { request: empty, result: empty },
  ...DEBUG_METHODS,
  ...TOUR_METHODS,
  ...PROBE_METHODS,
} as const;

export type MethodName = keyof typeof METHODS;
/** What a caller gives; the daemon gets it with what was left out filled in. */
export type CallOf<M extends MethodName> = v.InferInput<(typeof METHODS)[M]['request']>;
export type RequestOf<M extends MethodName> = v.InferOutput<(typeof METHODS)[M]['request']>;
export type ResultOf<M extends MethodName> = v.InferOutput<(typeof METHODS)[M]['result']>;

export const NOTIFICATIONS = {
  events: v.object({ events: v.array(eventJson) }),
  /** Events that this client was too slow for; it may read a snapshot again. */
  gap: v.object({ from: decimal, to: decimal }),
  map: mapWindow,
  lanes: lanesWindow,
  status: statusJson,
  budget: budgetJson,
  ...DEBUG_NOTIFICATIONS,
  ...TOUR_NOTIFICATIONS,
  ...PROBE_NOTIFICATIONS,
} as const;

export type NotificationName = keyof typeof NOTIFICATIONS;
export type NotificationOf<N extends NotificationName> = v.InferOutput<(typeof NOTIFICATIONS)[N]>;

/** Error codes: JSON-RPC's own and the inspector's. */
export const RPC_ERRORS = {
  parse: -32700,
  invalidRequest: -32600,
  unknownMethod: -32601,
  invalidParams: -32602,
  internal: -32603,
  /** A method before `hello`. */
  helloFirst: -32001,
  /** No protocol version in common. */
  version: -32002,
  /** There is no such entry (any more). */
  unknownEntry: -32003,
  /** The answer would be too large; the message says what to call instead. */
  tooLarge: -32004,
  /** Somebody else debugs this daemon, or nobody may. */
  debuggerBusy: -32005,
  /** A debug method before `debug.attach`, or after the lease has ended. */
  notAttached: -32006,
  /** No such request is held (any more). */
  notHeld: -32007,
  /** Another run of probes is under way, or this target's entries cannot be probed. */
  notProbed: -32008,
} as const;

/** WebSocket close codes with which the daemon ends a connection; the reason is a sentence. */
export const CLOSE_CODES = {
  malformed: 4000,
  version: 4002,
  tooSlow: 4008,
  shutdown: 1001,
} as const;

const requestId = v.union([v.number(), v.string()]);

export const rpcRequest = v.object({
  jsonrpc: v.literal('2.0'),
  id: requestId,
  method: v.string(),
  params: v.optional(v.unknown()),
});

export const rpcMessage = v.union([
  v.object({ jsonrpc: v.literal('2.0'), id: v.nullable(requestId), result: v.unknown() }),
  v.object({
    jsonrpc: v.literal('2.0'),
    id: v.nullable(requestId),
    error: v.object({ code: v.number(), message: v.string() }),
  }),
  v.object({ jsonrpc: v.literal('2.0'), method: v.string(), params: v.unknown() }),
]);
