/**
 * The methods that try what entries hold, on demand:
 *
 * | method      | takes                                  | gives                                       |
 * | ----------- | -------------------------------------- | ------------------------------------------- |
 * | probe.start | { nodeid } \| { directory } \| { all } | { of }; then `probe` notifications          |
 * | probe.stop  | {}                                     | {}; the last notification says `cancelled`  |
 *
 * One run at a time. It is slow on purpose: the file system's thread does it between two requests.
 */

import * as v from 'valibot';
import { decimal } from './json';

/** What is tried: one entry, the entries of a directory by their newest names, or all. */
export const probeRequest = v.union([
  v.strictObject({ nodeid: decimal }),
  v.strictObject({ directory: decimal }),
  v.strictObject({ all: v.literal(true) }),
]);
export type ProbeRequest = v.InferOutput<typeof probeRequest>;

export const PROBE_METHODS = {
  'probe.start': {
    request: probeRequest,
    /** How many entries there are to try; others may come and go meanwhile. */
    result: v.object({ of: v.number() }),
  },
  'probe.stop': { request: v.object({}), result: v.object({}) },
} as const;

export const probeProgress = v.object({
  state: v.picklist(['running', 'done', 'cancelled']),
  /** Entries tried so far. */
  done: v.number(),
  of: v.number(),
  /** Of these: whose file cannot be reached, or has other numbers than the entry's key. */
  failed: v.number(),
  different: v.number(),
});
export type ProbeProgress = v.InferOutput<typeof probeProgress>;

export const PROBE_NOTIFICATIONS = { probe: probeProgress } as const;
