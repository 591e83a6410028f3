/**
 * What the file system asks of a debugger while it works. `daemon/debug` has the gate that answers;
 * without a debugger `armed` is false, and nothing else is looked at.
 *
 * A gate may hold a request inside any of these calls. Others are answered meanwhile, so that
 * everything that was read from the tables before the call may have changed after it.
 */

import type { Nodeid } from './identity';
import type { LookupTrace } from './recorder';
import type { FaultCall, PauseReason, ResumeReason, StopPoint } from './stops';

export interface Gate {
  armed: boolean;
  /** Tells where requests come from; before the first of them. */
  attach(source: RequestSource): void;
  /** Lets everything go on that is held, until nothing is. */
  letGo(): void;
  /** A request has been received and checked; `end` follows. */
  request(opcode: number, unique: number, nodeid: Nodeid): void;
  /**
   * Its answer is ready.
   *
   * @param errno what the guest is told instead, or 0
   */
  reply(errno: number): void;
  end(): void;

  /**
   * Whether a lookup must be made step by step, with its points in between, because somebody may
   * want to stop there or a call is to fail. Asked before anything is known but the name.
   */
  stepsByName(nameAt: number, nameLength: number): boolean;
  /** The same when ids and handle are known and the tables have not been asked. */
  stepsByCandidate(trace: LookupTrace): boolean;
  /** A stepwise lookup begins; `trace` tells what is known of it at each point. */
  lookup(trace: LookupTrace): void;
  /** Its decisions are made again, because the tables have changed while it was held. */
  again(): void;
  /** A lookup was made in one go, or refused: `trace` and `tables.asked` have what the reply is of. */
  lookedUp(trace: LookupTrace): void;
  /**
   * A point of a lookup.
   *
   * @param accepted of `fallback`: whether the entry found by its ids is believed
   * @returns whether the request was held
   */
  at(point: StopPoint, accepted?: boolean): boolean;

  /** Whether a forget of this node must be made step by step. */
  stepsForget(nodeid: Nodeid): boolean;
  /** A point of a forget. @returns whether the request was held */
  forget(point: StopPoint, forget: ForgetAtHand): boolean;

  /** The errno with which this call is to fail for the name of the lookup at hand, or 0. */
  fault(call: FaultCall): number;
  /** The same for a call that concerns an entry. */
  faultOf(call: FaultCall, nodeid: Nodeid): number;
}

export interface ForgetAtHand {
  readonly nodeid: Nodeid;
  readonly count: number;
  /** Lookups left. */
  readonly left: number;
  readonly idsLostBy: Nodeid;
  readonly handleLostBy: Nodeid;
}

/** What a gate asks of the file system, about the request at hand. */
export interface RequestSource {
  /** Where names stand. */
  readonly bytes: Uint8Array;
  /** Finds the name in the request: its length in bytes, or -1; it stands at `nameAt`. */
  nameLength(): number;
  readonly nameAt: number;
  facts(): RequestFacts;
  /** The path of an entry, relative to the shared directory; null when nobody knows it. */
  pathOf(nodeid: Nodeid): Uint8Array | null;
  /** Holds the request, and answers others, until `until` says so or the session is over. */
  park(until: () => boolean): void;
}

/** What a request says of itself. */
export interface RequestFacts {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Of operations on names: the name's bytes, and where it is. */
  readonly parent: Nodeid | null;
  readonly name: Uint8Array | null;
  readonly newParent: Nodeid | null;
  readonly newName: Uint8Array | null;
  /** Of READ and WRITE. */
  readonly size: number | null;
  readonly offset: number | null;
  readonly fds: { readonly used: number; readonly limit: number };
}

/** A file or directory that the guest has open. */
export interface OpenFile {
  /** The guest's name for it. */
  readonly fh: number;
  readonly nodeid: Nodeid;
  readonly isDirectory: boolean;
  /** Of open(2), as the guest gave them. */
  readonly flags: number;
}

export interface OpenFilesPage {
  /** How many are open. */
  readonly total: number;
  readonly files: readonly OpenFile[];
}

/** Who notes what a debugger does, in its place among the other events. */
export interface DebugRecorder {
  paused(op: string, unique: number, point: StopPoint, reason: PauseReason): void;
  resumed(op: string, unique: number, reason: ResumeReason): void;
  injected(op: string, unique: number, call: FaultCall, errno: number, fault: number): void;
}

/** The gate of a daemon that cannot be debugged. */
export const NO_GATE: Gate = {
  armed: false,
  attach: () => undefined,
  letGo: () => undefined,
  request: () => undefined,
  reply: () => undefined,
  end: () => undefined,
  stepsByName: () => false,
  stepsByCandidate: () => false,
  lookup: () => undefined,
  again: () => undefined,
  lookedUp: () => undefined,
  at: () => false,
  stepsForget: () => false,
  forget: () => false,
  fault: () => 0,
  faultOf: () => 0,
};
