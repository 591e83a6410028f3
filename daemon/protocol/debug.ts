/**
 * The debugger's part of the inspector protocol: how to hold requests, step through their
 * decisions, and make system calls fail. docs/debugging.md explains what the words mean.
 *
 * | method               | takes                         | gives                                       |
 * | -------------------- | ----------------------------- | ------------------------------------------- |
 * | debug.attach         | { timeoutMs?, lease? }        | the lease, and what is held and armed       |
 * | debug.heartbeat      | {}                            | {}                                          |
 * | debug.detach         | {}                            | {}                                          |
 * | debug.setBreakpoints | { breakpoints }               | for each whether it is armed, and why not   |
 * | debug.setFaults      | { faults }                    | the same                                    |
 * | debug.pause          | {}                            | {}; the next decision of any request stops  |
 * | debug.continue       | { request? }                  | which requests still wait for others        |
 * | debug.step           | { request, how }              | the same                                    |
 * | debug.inspect        | {}                            | what is held and armed                      |
 * | debug.openFiles      | { from?, count ≤ 500 }        | what the guest has open                     |
 * | debug.evaluate       | { request, expression }       | the value                                   |
 */

import * as v from 'valibot';
import { SEVERITIES } from '../hazards/hazard';
import { HIT_KINDS } from '../tables/hitKind';
import {
  DECISIONS,
  FAULT_CALLS,
  PAUSE_REASONS,
  RESUME_REASONS,
  STOP_POINTS,
} from '../tables/stops';
import { decimal, handleJson, hazardJson, idsJson } from './json';

export const MAX_BREAKPOINTS = 1_000;
export const MAX_FAULTS = 100;
/** How many requests can be held at a time; further ones are not stopped. */
export const MAX_HELD = 64;

/** A number that the debugger chooses, and by which it is told what was hit. */
const chosenId = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0x7fffffff));
const errnoNameText = v.pipe(v.string(), v.regex(/^E[A-Z0-9]{1,30}$/));
const glob = v.pipe(v.string(), v.minLength(1), v.maxLength(4096));
const expression = v.pipe(v.string(), v.minLength(1), v.maxLength(500));

/** A key of a table: `ids` of inodes_by_ids, or `handle` of inodes_by_handle. */
export const tableKeyJson = v.variant('table', [
  v.object({ table: v.literal('inodes_by_ids'), ids: idsJson }),
  v.object({ table: v.literal('inodes_by_handle'), handle: handleJson }),
]);

/**
 * All criteria of a breakpoint must hold, and it has at least one. It stops at `decision`, and
 * without one at the first point where everything that it asks for is known.
 */
export const breakpointJson = v.object({
  id: chosenId,
  /** A FUSE operation, such as LOOKUP; RENAME includes RENAME2. */
  operation: v.optional(v.pipe(v.string(), v.regex(/^[A-Z_]{1,30}$/))),
  decision: v.optional(v.picklist(DECISIONS)),
  /** The node id that the request names; of operations on names, the parent. */
  node: v.optional(decimal),
  /** The ids that a lookup finds; what is left out is not compared. */
  ids: v.optional(
    v.object({
      ino: decimal,
      dev: v.optional(v.pipe(v.string(), v.regex(/^[0-9]{1,10}:[0-9]{1,10}$/))),
      mntId: v.optional(decimal),
    }),
  ),
  /** The handle that a lookup makes. */
  handle: v.optional(
    v.object({
      bytes: v.pipe(v.string(), v.regex(/^([0-9a-f]{2}){1,128}$/)),
      type: v.optional(v.pipe(v.number(), v.integer())),
      mntId: v.optional(decimal),
    }),
  ),
  /**
   * A glob over the path below the shared directory: `*`, `?`, `[…]` within a component, `**` for
   * any number of components; without a slash it is compared with the last component alone.
   */
  path: v.optional(glob),
  hit: v.optional(v.picklist(HIT_KINDS)),
  /** A hazard's id (`H7`), a severity, or `*`: a hazard that this request opens. */
  hazard: v.optional(
    v.union([v.pipe(v.string(), v.regex(/^(H[0-9]{1,3}|\*)$/)), v.picklist(SEVERITIES)]),
  ),
  /** What the guest is answered: an errno's name, or `*` for any error. */
  errno: v.optional(v.union([errnoNameText, v.literal('*')])),
  /** Descriptors held for the guest, in per cent of what it may have; once each time it is passed. */
  fdsAbove: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(100))),
  /** The key gets, changes or loses its owner. */
  key: v.optional(tableKeyJson),
  /** The entry of this node id changes: counted, its key stolen or lost, removed. */
  entry: v.optional(decimal),
  condition: v.optional(expression),
  /** Of the hits that satisfy everything else: exactly the n-th, from the n-th on, every n-th. */
  hits: v.optional(
    v.object({
      when: v.picklist(['nth', 'from', 'every']),
      count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1e9)),
    }),
  ),
  /** Says this instead of stopping; `{expression}` inside is replaced by its value. */
  log: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(1_000))),
});
export type BreakpointJson = v.InferOutput<typeof breakpointJson>;

export const faultJson = v.object({
  id: chosenId,
  call: v.picklist(FAULT_CALLS),
  errno: errnoNameText,
  /** As a breakpoint's; left out: whatever the path. */
  path: v.optional(glob),
  when: v.variant('kind', [
    /** Once, and then it is used up. */
    v.object({ kind: v.literal('next') }),
    v.object({ kind: v.literal('every') }),
    /** The n-th from now on, once. */
    v.object({
      kind: v.literal('nth'),
      n: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1e9)),
    }),
  ]),
});
export type FaultJson = v.InferOutput<typeof faultJson>;

export const faultStateJson = v.object({
  ...faultJson.entries,
  /** How often it has struck. */
  struck: v.number(),
  usedUp: v.boolean(),
});
export type FaultStateJson = v.InferOutput<typeof faultStateJson>;

/** Whether something was armed; if not, why. */
const armedJson = v.object({ id: v.number(), armed: v.boolean(), message: v.nullable(v.string()) });

/** What is known of a held request at its point. Null: not known (yet), or there is none. */
export const factsJson = v.object({
  /** The node id in the request's header. */
  node: v.nullable(decimal),
  uid: v.nullable(v.number()),
  gid: v.nullable(v.number()),
  pid: v.nullable(v.number()),
  /** The name at hand: the lookup's, or the request's. */
  parent: v.nullable(decimal),
  name: v.nullable(v.string()),
  /** Relative to the shared directory, as the host's kernel tells it. */
  path: v.nullable(v.string()),
  /** The second name of RENAME. */
  newParent: v.nullable(decimal),
  newName: v.nullable(v.string()),
  /** READ, WRITE: bytes, and where. */
  size: v.nullable(decimal),
  offset: v.nullable(decimal),
  /** What the lookup at hand found on the host. */
  candidate: v.nullable(
    v.object({
      ids: idsJson,
      handle: v.nullable(handleJson),
      /** Why there is no handle; null as well when none was asked for. */
      handleErrno: v.nullable(v.string()),
      mode: v.number(),
      nlink: v.number(),
      btime: v.nullable(v.string()),
      subvol: v.nullable(decimal),
    }),
  ),
  /** What the tables said; null: not asked (yet). */
  byHandle: v.nullable(v.object({ node: v.nullable(decimal) })),
  byIds: v.nullable(v.object({ node: v.nullable(decimal) })),
  /** At `fallback`: whether the entry found by its ids is believed. */
  accepted: v.nullable(v.boolean()),
  hit: v.nullable(v.picklist(HIT_KINDS)),
  /** The node id that the lookup leads to. */
  answer: v.nullable(decimal),
  /** The living entries whose keys the insert took over. */
  idsStolenFrom: v.nullable(decimal),
  handleStolenFrom: v.nullable(decimal),
  /** A forget: of whom, how many, how many are left, and whose keys went along. */
  forgets: v.nullable(
    v.object({
      node: decimal,
      count: decimal,
      left: decimal,
      idsLostBy: v.nullable(decimal),
      handleLostBy: v.nullable(decimal),
    }),
  ),
  /** At `reply`: what the guest is told instead of an answer. */
  errno: v.nullable(v.string()),
  /** Descriptors held for the guest. */
  fds: v.object({ used: v.number(), limit: v.number() }),
});
export type FactsJson = v.InferOutput<typeof factsJson>;

/** A held request. */
export const stoppedJson = v.object({
  /** Names the request in debug.step and debug.continue; never used twice. */
  request: v.number(),
  unique: decimal,
  op: v.string(),
  point: v.picklist(STOP_POINTS),
  reason: v.picklist(PAUSE_REASONS),
  /** Ids of the breakpoints that were hit. */
  breakpoints: v.array(v.number()),
  /** The newest event before the stop; the tables are those after it. */
  seq: decimal,
  time: v.string(),
  /** Which lookup of the request it is, from 1; 0 before the first. */
  lookup: v.number(),
  /**
   * True when the tables have changed while the request was held, so that they now answer
   * differently, and its decisions are walked again.
   */
  again: v.boolean(),
  facts: factsJson,
  /** For the reason `hazard`: what the request opened. */
  hazards: v.array(hazardJson),
  /** Faults that have struck this request, by id. */
  faults: v.array(v.number()),
});
export type StoppedJson = v.InferOutput<typeof stoppedJson>;

export const MAX_OPEN_FILES = 500;

/** A file or directory that the guest has open. */
export const openFileJson = v.object({
  /** The guest's name for it. */
  fh: decimal,
  nodeid: decimal,
  /** The entry's, relative to the shared directory. */
  path: v.nullable(v.string()),
  isDirectory: v.boolean(),
  /** Of open(2), as the guest gave them. */
  flags: v.number(),
});
export type OpenFileJson = v.InferOutput<typeof openFileJson>;

const stateOfDebugger = {
  /** Held requests, in the order in which they were stopped; each resumes after those behind it. */
  held: v.array(stoppedJson),
  breakpoints: v.array(breakpointJson),
  faults: v.array(faultStateJson),
};

const empty = v.object({});
/** Requests that were told to go on and cannot until those stopped after them have. */
const waits = v.object({ waiting: v.array(v.number()) });

export const DEBUG_METHODS = {
  'debug.attach': {
    request: v.object({
      /** How long the daemon waits for a sign of life. */
      timeoutMs: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(1_000), v.maxValue(600_000)),
        30_000,
      ),
      /** Joins the debugger that has this lease; it ends with the connection that began it. */
      lease: v.optional(v.pipe(v.string(), v.maxLength(100))),
    }),
    result: v.object({
      lease: v.string(),
      timeoutMs: v.number(),
      maxHeld: v.number(),
      ...stateOfDebugger,
    }),
  },
  'debug.heartbeat': { request: empty, result: empty },
  'debug.detach': { request: empty, result: empty },
  'debug.setBreakpoints': {
    request: v.object({
      breakpoints: v.pipe(v.array(breakpointJson), v.maxLength(MAX_BREAKPOINTS)),
    }),
    result: v.object({ breakpoints: v.array(armedJson) }),
  },
  'debug.setFaults': {
    request: v.object({ faults: v.pipe(v.array(faultJson), v.maxLength(MAX_FAULTS)) }),
    result: v.object({ faults: v.array(armedJson) }),
  },
  'debug.pause': { request: empty, result: empty },
  'debug.continue': {
    /** Left out: all. */
    request: v.object({ request: v.optional(v.number()) }),
    result: waits,
  },
  'debug.step': {
    request: v.object({
      request: v.number(),
      /** `over`: its next decision; `into`: the next of any request; `out`: its reply. */
      how: v.picklist(['over', 'into', 'out']),
    }),
    result: waits,
  },
  'debug.inspect': { request: empty, result: v.object(stateOfDebugger) },
  'debug.openFiles': {
    request: v.object({
      /** How many to leave out, the oldest first. */
      from: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0),
      count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_OPEN_FILES)),
    }),
    result: v.object({ total: v.number(), files: v.array(openFileJson) }),
  },
  'debug.evaluate': {
    request: v.object({ request: v.number(), expression }),
    result: v.object({
      value: v.string(),
      type: v.picklist(['number', 'string', 'boolean', 'null']),
    }),
  },
} as const;

export const DEBUG_NOTIFICATIONS = {
  'debug.stopped': stoppedJson,
  'debug.resumed': v.object({
    request: v.number(),
    unique: decimal,
    reason: v.picklist(RESUME_REASONS),
    seq: decimal,
  }),
  /** `log`: of a log point; `note`: what the debugger's user should know. */
  'debug.output': v.object({
    category: v.picklist(['log', 'note']),
    text: v.string(),
    breakpoint: v.nullable(v.number()),
  }),
  /** A fault has struck or is used up. */
  'debug.faults': v.object({ faults: v.array(faultStateJson) }),
  /** The lease is over; nothing is held or armed any more. */
  'debug.ended': v.object({ reason: v.picklist(RESUME_REASONS), message: v.string() }),
} as const;

/** The debugger as every observer sees it (`status`). */
export const debuggerStatusJson = v.object({
  /** The debugger's client name. */
  client: v.string(),
  since: v.string(),
  held: v.number(),
  breakpoints: v.number(),
  faults: v.array(faultStateJson),
});
export type DebuggerStatus = v.InferOutput<typeof debuggerStatusJson>;
