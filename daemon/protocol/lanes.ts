/**
 * The Number Lanes as the daemon hands them out: a window of lanes, never all of them. A lane is one
 * key of `inodes_by_ids` that had more than one entry; its bars are those entries, over time. Times
 * are milliseconds since the epoch.
 */

import * as v from 'valibot';
import { decimal, idsJson } from './json';

/** At most this many lanes a window. */
export const MAX_WINDOW_LANES = 60;
/** Bins of the strip that shows all of the time at once. */
export const STRIP_BINS = 160;

/**
 * What a lane shows, the worst first: `wrong` an entry answered for another file; `held` two files
 * have the number now, for the guest holds an old one; `was_held` they had it at one time; `twice`
 * two entries for one file; `sequential` one file after the other, which is harmless.
 */
export const LANE_CLASSES = ['wrong', 'held', 'was_held', 'twice', 'sequential'] as const;
export const laneClass = v.picklist(LANE_CLASSES);
export type LaneClass = v.InferOutput<typeof laneClass>;

export const LANE_ORDERS = ['overlap', 'newest'] as const;

const time = v.pipe(v.number(), v.finite());

export const lanesRequest = v.object({
  offset: v.pipe(v.number(), v.integer(), v.minValue(0)),
  count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_WINDOW_LANES)),
  /** A part of a path, `ino 12`, `node 3`, `mount 74`, `gen 7`, or a bare number; empty: all. */
  query: v.pipe(v.string(), v.maxLength(300)),
  /** Empty: all of them. */
  classes: v.array(laneClass),
  /** `overlap`: by class, then the longest overlap, then the newest; `newest`: the newest first. */
  order: v.picklist(LANE_ORDERS),
  /** Lanes and bars of this time only. */
  from: v.nullable(time),
  to: v.nullable(time),
  /** Scroll so that the lane of this entry is in the window. */
  reveal: v.optional(decimal),
});
export type LanesRequest = v.InferOutput<typeof lanesRequest>;

export const laneBarJson = v.object({
  nodeid: decimal,
  kind: v.picklist(['file', 'handle', 'invalid']),
  /** By its newest name; null when unknown. */
  path: v.nullable(v.string()),
  /** When the entry was inserted; null: before the daemon was watched. */
  from: v.nullable(time),
  /** When it was removed; null: it lives. */
  to: v.nullable(time),
  /** When another entry took the key; null: none did. */
  taken: v.nullable(time),
  /** Since when its handle is known not to open any more. */
  stale: v.nullable(v.object({ time, errno: v.string() })),
  generation: v.nullable(decimal),
  /** Bars of one file have one number; null: not known which file it was. */
  owner: v.nullable(v.number()),
  /** Lookups of another file that this entry answered: the newest, and how many in all. */
  wrong: v.array(v.object({ time, hazard: v.string(), asked: v.nullable(v.string()) })),
  wrongAnswers: v.number(),
});
export type LaneBarJson = v.InferOutput<typeof laneBarJson>;

export const laneJson = v.object({
  ids: idsJson,
  class: laneClass,
  /** Files that are told apart. */
  owners: v.number(),
  wrongAnswers: v.number(),
  /** How long files overlapped, in milliseconds, without the overlap that goes on since … */
  overlap: v.number(),
  overlapSince: v.nullable(time),
  bars: v.array(laneBarJson),
  /** Older bars that are no longer kept. */
  barsDropped: v.number(),
});
export type LaneJson = v.InferOutput<typeof laneJson>;

export const lanesWindow = v.object({
  /** Grows with every window that this connection was sent. */
  version: v.number(),
  seq: decimal,
  /** The daemon's clock. */
  now: time,
  offset: v.number(),
  /** Lanes under this query, these classes and this time. */
  total: v.number(),
  lanes: v.array(laneJson),
  /** All lanes of a class, under the query. */
  counts: v.record(laneClass, v.number()),
  /** All of the time in bins: overlaps that began, wrong answers, harmless changes of owner. */
  strip: v.object({
    from: time,
    to: time,
    overlaps: v.array(v.number()),
    wrong: v.array(v.number()),
    harmless: v.array(v.number()),
  }),
  /** What made room for newer things, and is counted only. */
  dropped: v.object({ lanes: v.number(), bars: v.number(), former: v.number() }),
  /** The lane where `reveal` stands, when it was asked for and found. */
  revealed: v.nullable(v.number()),
});
export type LanesWindow = v.InferOutput<typeof lanesWindow>;
