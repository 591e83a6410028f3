/**
 * What a debugger asks of the gate and what it is told, as plain data: it travels between the main
 * thread, which speaks with the debugger, and the thread that serves the guest.
 */

import type { RequestFacts } from '../tables/gate';
import type { HitKind } from '../tables/hitKind';
import type { FileHandle, Ids, Nodeid } from '../tables/identity';
import type { Decision, FaultCall, PauseReason, ResumeReason, StopPoint } from '../tables/stops';

/** How many requests can be held at a time: each keeps its place on the thread's stack. */
export const MAX_HELD = 64;

/** Ids of which some parts may be left open. */
export interface WantedIds {
  readonly ino: bigint;
  readonly dev: { readonly major: number; readonly minor: number } | null;
  readonly mntId: number | null;
}

export interface WantedHandle {
  readonly bytes: Uint8Array;
  readonly type: number | null;
  readonly mntId: number | null;
}

export type TableKey =
  | { readonly table: 'inodes_by_ids'; readonly ids: WantedIds }
  | { readonly table: 'inodes_by_handle'; readonly handle: WantedHandle };

/** `errno` of a breakpoint that wants any error. */
export const ANY_ERRNO = -1;

/** All that is not null must hold. */
export interface Breakpoint {
  readonly id: number;
  readonly opcodes: readonly number[] | null;
  readonly decision: Decision | null;
  readonly node: Nodeid | null;
  readonly ids: WantedIds | null;
  readonly handle: WantedHandle | null;
  readonly path: string | null;
  readonly hit: HitKind | null;
  /** True: the main thread says whether a hazard was opened that is wanted. */
  readonly hazard: boolean;
  readonly errno: number | null;
  readonly fdsAbove: number | null;
  readonly key: TableKey | null;
  readonly entry: Nodeid | null;
  readonly condition: string | null;
  readonly hits: { readonly when: 'nth' | 'from' | 'every'; readonly count: number } | null;
  readonly log: string | null;
}

export interface Fault {
  readonly id: number;
  readonly call: FaultCall;
  readonly errno: number;
  readonly path: string | null;
  readonly when:
    | { readonly kind: 'next' }
    | { readonly kind: 'every' }
    | { readonly kind: 'nth'; readonly n: number };
}

export type StepHow = 'over' | 'into' | 'out';

/** From the main thread. */
export type DebugCommand =
  | { readonly type: 'breakpoints'; readonly breakpoints: readonly Breakpoint[] }
  | { readonly type: 'faults'; readonly faults: readonly Fault[] }
  | { readonly type: 'pause' }
  /** Null: all that are held. */
  | { readonly type: 'continue'; readonly request: number | null }
  | { readonly type: 'step'; readonly request: number; readonly how: StepHow }
  /** The answer to `judge`: the breakpoints whose hazards were opened. */
  | { readonly type: 'verdict'; readonly request: number; readonly breakpoints: readonly number[] }
  /** Nothing is armed any more and everything resumes. */
  | { readonly type: 'release'; readonly reason: ResumeReason };

/** To the main thread. What came into the event ring before it belongs to it. */
export type DebugReport =
  | { readonly type: 'stopped'; readonly stop: Stop }
  | {
      readonly type: 'resumed';
      readonly request: number;
      readonly unique: number;
      readonly reason: ResumeReason;
    }
  /** A request waits until it is known whether it opened a hazard that these breakpoints want. */
  | { readonly type: 'judge'; readonly request: number; readonly breakpoints: readonly number[] }
  | {
      readonly type: 'output';
      readonly category: 'log' | 'note';
      readonly text: string;
      readonly breakpoint: number | null;
    }
  | { readonly type: 'struck'; readonly fault: number; readonly usedUp: boolean }
  /** `release` has been obeyed: nothing is held. */
  | { readonly type: 'released' };

export interface Stop {
  /** Never used twice. */
  readonly request: number;
  readonly point: StopPoint;
  readonly reason: PauseReason;
  readonly breakpoints: readonly number[];
  readonly again: boolean;
  /** Faults that have struck the request. */
  readonly faults: readonly number[];
  readonly facts: Facts;
}

/** What is known of a request at a point. Null: not known (yet), or there is none. */
export interface Facts extends RequestFacts {
  readonly op: string;
  readonly unique: number;
  readonly point: StopPoint;
  /** Which lookup of the request it is, from 1; 0 before the first. */
  readonly lookup: number;
  /** The node id in the request's header; null when it is 0. */
  readonly node: Nodeid | null;
  /** Relative to the shared directory. */
  readonly path: Uint8Array | null;
  readonly candidate: FoundCandidate | null;
  readonly byHandle: { readonly node: Nodeid | null } | null;
  readonly byIds: { readonly node: Nodeid | null } | null;
  readonly accepted: boolean | null;
  readonly hit: HitKind | null;
  readonly answer: Nodeid | null;
  readonly idsStolenFrom: Nodeid | null;
  readonly handleStolenFrom: Nodeid | null;
  readonly forgets: ForgetFacts | null;
  /** Positive; 0: none. */
  readonly errno: number | null;
}

export interface FoundCandidate {
  readonly ids: Ids;
  readonly handle: FileHandle | null;
  /** 0: a handle was made, or none was asked for. */
  readonly handleErrno: number;
  readonly mode: number;
  readonly nlink: number;
  readonly btime: { readonly seconds: number; readonly nanoseconds: number } | null;
  readonly subvol: number | null;
}

export interface ForgetFacts {
  readonly node: Nodeid;
  readonly count: number;
  readonly left: number;
  readonly idsLostBy: Nodeid | null;
  readonly handleLostBy: Nodeid | null;
}

/** What numbers mean; the room knows neither FUSE nor the host. */
export interface Naming {
  /** ESTALE for 116. */
  errno(errno: number): string;
  /** LOOKUP for 1. */
  operation(opcode: number): string;
  /** Whether what the request is about has a name or a path before its lookups begin. */
  hasPath(opcode: number): boolean;
}
