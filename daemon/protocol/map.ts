/**
 * The Key Map as the daemon hands it out: a window of rows, never the whole table. The daemon
 * orders, filters and folds; a viewer says which window it looks at and draws what comes.
 *
 * Rows, from the top: entries that need attention, grouped by ids key (the owner of the key first,
 * then the entries it was stolen from); then directories with their healthy entries folded away,
 * or unfolded below the directory's row. With a query there is one flat list of matches.
 */

import * as v from 'valibot';
import { SEVERITIES } from '../hazards/hazard';
import { debuggerStatusJson } from './debug';
import { countersJson, decimal, entryJson, lookupJson } from './json';

/** At most this many rows a window, so that a window stays under 64 KB. */
export const MAX_WINDOW_ROWS = 120;

export const mapRequest = v.object({
  /** The first row wanted. */
  offset: v.pipe(v.number(), v.integer(), v.minValue(0)),
  count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_WINDOW_ROWS)),
  /** A part of a path, `ino 12`, `node 3`, `handle 0c00…`, or a bare number or hex; empty: all. */
  query: v.pipe(v.string(), v.maxLength(300)),
  /** Node ids of the directories that are unfolded. */
  unfolded: v.pipe(v.array(decimal), v.maxLength(200)),
  /** Scroll so that this entry is in the window (its directory is unfolded for it). */
  reveal: v.optional(decimal),
});
export type MapRequest = v.InferOutput<typeof mapRequest>;

/** The state of one key of an entry. */
export const keyState = v.variant('state', [
  /** The key leads to this entry. */
  v.object({ state: v.literal('owned') }),
  /** The key exists and leads to `owner` since `time`; drawn as a dashed ghost. */
  v.object({ state: v.literal('stolen'), owner: decimal, time: v.nullable(v.string()) }),
  /** The key is gone, removed together with node `with`; drawn as an empty socket. */
  v.object({
    state: v.literal('lost'),
    with: v.nullable(decimal),
    time: v.nullable(v.string()),
  }),
  /** The entry never had this key (`why`: an errno's name, or the handle mode). */
  v.object({ state: v.literal('none'), why: v.nullable(v.string()) }),
]);
export type KeyState = v.InferOutput<typeof keyState>;

export const entryRow = v.object({
  row: v.literal('entry'),
  entry: entryJson,
  idsKey: keyState,
  handleKey: keyState,
  /** True for the rows that stand above the folded directories. */
  attention: v.boolean(),
  /** Open hazards that concern this entry, the worst first. */
  hazards: v.array(
    v.object({ id: v.string(), name: v.string(), severity: v.picklist(SEVERITIES) }),
  ),
  /** What the last probe said: ESTALE and the like, or null. */
  probeErrno: v.nullable(v.string()),
  /** Changes since the viewer's last window: true for a moment after insert or claim. */
  fresh: v.boolean(),
});
export type EntryRow = v.InferOutput<typeof entryRow>;

export const directoryRow = v.object({
  row: v.literal('directory'),
  nodeid: decimal,
  path: v.string(),
  /** Healthy entries whose last known parent this is. */
  healthy: v.number(),
  unfolded: v.boolean(),
});

export const mapRow = v.variant('row', [entryRow, directoryRow]);
export type MapRow = v.InferOutput<typeof mapRow>;

export const mapWindow = v.object({
  /** Grows with every window that this connection was sent. */
  version: v.number(),
  seq: decimal,
  offset: v.number(),
  /** All rows of the map under this query and unfolding. */
  total: v.number(),
  /** How many of them stand in the attention part. */
  attention: v.number(),
  entries: v.number(),
  rows: v.array(mapRow),
  /** The newest lookup: the path that it took is lit. */
  lastLookup: v.nullable(lookupJson),
  /** The row where `reveal` stands, when it was asked for and found. */
  revealed: v.nullable(v.number()),
});
export type MapWindow = v.InferOutput<typeof mapWindow>;

/** What a status bar shows; sent at most four times a second, when something changed. */
export const statusJson = v.object({
  seq: decimal,
  counters: countersJson,
  /** Open hazards by severity. */
  open: v.object({
    data: v.number(),
    error: v.number(),
    identity: v.number(),
    resource: v.number(),
    information: v.number(),
  }),
  /** Who debugs the daemon, and what is held, armed and made to fail; null: nobody. */
  debugger: v.optional(v.nullable(debuggerStatusJson)),
});
export type Status = v.InferOutput<typeof statusJson>;

/**
 * One cell of the overview: the worst thing among the entries that it stands for. Larger is worse;
 * a cell takes the maximum, so that one hazard among a million entries is never averaged away.
 */
export const CELL_STATES = [
  'vacant',
  'handle',
  'file',
  'invalid',
  'information',
  'resource',
  'identity',
  'error',
  'data',
] as const;
export type CellState = (typeof CELL_STATES)[number];

/** Cells of `rows [from, to)` of the tables; the answer is a binary frame (binary.ts). */
export const overviewRequest = v.object({
  from: v.pipe(v.number(), v.integer(), v.minValue(0)),
  to: v.pipe(v.number(), v.integer(), v.minValue(1)),
  cells: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_000)),
});
