/**
 * Everything that happens to the tables, as values. A source makes them, in order and without
 * gaps; folding them with `applyEvent` gives the source's own tables again.
 */

import { Candidate, NO_FD, NO_HANDLE } from './candidate';
import type { BirthTime, ProbeFinding } from './held';
import type { HitKind, ProbeResult } from './hitKind';
import type { EntryKind, FileHandle, Ids, Nodeid } from './identity';
import type { InodeTables } from './inodeTables';
import type { FaultCall, PauseReason, ResumeReason, StopPoint } from './stops';

/** The requests that look a name up, by themselves or on the way (virtiofsd's do_lookup and its callers). */
export const LOOKUP_OPS = [
  'LOOKUP',
  'READDIRPLUS',
  'CREATE',
  'MKNOD',
  'MKDIR',
  'LINK',
  'SYMLINK',
  'UNLINK',
  'RMDIR',
  'RENAME',
] as const;
export type LookupOp = (typeof LOOKUP_OPS)[number];

export type TableName = 'inodes_by_ids' | 'inodes_by_handle';

interface Stamp {
  /** Position in the stream, from 1, without gaps. */
  readonly seq: number;
  /** Milliseconds since the epoch, with a fraction. */
  readonly time: number;
}

/** The spare identity of a looked-up file: what tells old from new where the key does not. */
export interface SpareIdentity {
  readonly btime: BirthTime | null;
  readonly subvol: number | null;
  readonly nlink: number;
  readonly mntIdUnique: number | null;
  readonly fsType: number | null;
}

export interface LookupEvent extends Stamp {
  readonly type: 'lookup';
  readonly op: LookupOp;
  readonly unique: number;
  readonly parent: Nodeid;
  /** The bytes of the name. */
  readonly name: Uint8Array;
  readonly ids: Ids | null;
  readonly handle: FileHandle | null;
  /** Why there is no handle; 0 when one was made or none was asked for. */
  readonly handleErrno: number;
  readonly byHandle: Nodeid | null;
  readonly byIds: Nodeid | null;
  readonly hit: HitKind;
  readonly nodeid: Nodeid | null;
  readonly errno: number;
  readonly durationNs: number;
  readonly mode: number;
  readonly probe: ProbeResult;
  /** Left out when nothing differs, or nothing was probed. */
  readonly probed?: ProbeFinding;
  readonly spare: SpareIdentity | null;
}

export interface InsertEvent extends Stamp {
  readonly type: 'insert';
  readonly nodeid: Nodeid;
  readonly kind: EntryKind;
  readonly lookups: number;
  readonly mode: number;
  readonly ids: Ids;
  readonly handle: FileHandle | null;
  readonly fd: number | null;
}

/** A key now leads to another entry than before, and the former owner still lives. */
export interface KeyStolenEvent extends Stamp {
  readonly type: 'key_stolen';
  readonly table: TableName;
  readonly from: Nodeid;
  readonly by: Nodeid;
}

/** A key was removed together with another entry than the one that owned it. */
export interface KeyLostEvent extends Stamp {
  readonly type: 'key_lost';
  readonly table: TableName;
  readonly nodeid: Nodeid;
  /** The entry whose removal took the key along. */
  readonly with: Nodeid;
}

export interface ForgetEvent extends Stamp {
  readonly type: 'forget';
  readonly op: LookupOp | 'FORGET';
  readonly nodeid: Nodeid;
  readonly count: number;
  /** Lookups left. */
  readonly lookups: number;
}

/**
 * The guest forgot more lookups than it was given. The entry, if there was one, went with the
 * `forget` before.
 */
export interface OverForgetEvent extends Stamp {
  readonly type: 'over_forget';
  readonly nodeid: Nodeid;
  /** How many it wanted to forget. */
  readonly count: number;
  /** How many there were; 0 when there was no such entry. */
  readonly lookups: number;
}

export interface RemoveEvent extends Stamp {
  readonly type: 'remove';
  readonly nodeid: Nodeid;
}

export interface OpenByHandleEvent extends Stamp {
  readonly type: 'open_by_handle';
  readonly nodeid: Nodeid;
  readonly errno: number;
}

export interface InitEvent extends Stamp {
  readonly type: 'init';
}

export interface DestroyEvent extends Stamp {
  readonly type: 'destroy';
}

/** A debugger holds a request. */
export interface PausedEvent extends Stamp {
  readonly type: 'paused';
  readonly op: string;
  readonly unique: number;
  readonly point: StopPoint;
  readonly reason: PauseReason;
}

export interface ResumedEvent extends Stamp {
  readonly type: 'resumed';
  readonly op: string;
  readonly unique: number;
  readonly reason: ResumeReason;
}

/** A system call was made to fail; it was not made. */
export interface InjectedEvent extends Stamp {
  readonly type: 'injected';
  readonly op: string;
  readonly unique: number;
  readonly call: FaultCall;
  readonly errno: number;
  /** The fault's number, as its debugger chose it. */
  readonly fault: number;
}

/** What a debugger did. It changes no table. */
export type DebugEvent = PausedEvent | ResumedEvent | InjectedEvent;

/** What a source reports about its tables. */
export type TableEvent =
  | LookupEvent
  | InsertEvent
  | KeyStolenEvent
  | KeyLostEvent
  | ForgetEvent
  | OverForgetEvent
  | RemoveEvent
  | OpenByHandleEvent
  | InitEvent
  | DestroyEvent
  | DebugEvent;

/** Thrown when an event does not fit the tables it is applied to: the stream has a gap. */
export class DriftError extends Error {
  override readonly name = 'DriftError';
}

const CLAIMED: ReadonlySet<HitKind> = new Set(['handle_hit', 'fallback_hit', 'handleless_hit']);

/**
 * Changes the tables as the event says. `key_stolen`, `key_lost` and `remove` follow from the
 * event before them and are checked, not applied.
 *
 * @throws DriftError when the tables are not those that the event speaks of
 */
export function applyEvent(tables: InodeTables, event: TableEvent): void {
  switch (event.type) {
    case 'init':
    case 'destroy':
      tables.clear();
      return;
    case 'lookup':
      if (event.nodeid !== null && CLAIMED.has(event.hit) && !tables.count(event.nodeid)) {
        throw new DriftError(
          `lookup ${event.seq} found node ${event.nodeid}, which is unknown here`,
        );
      }
      return;
    case 'insert':
      if (tables.has(event.nodeid)) {
        throw new DriftError(`insert ${event.seq} of node ${event.nodeid}, which is already here`);
      }
      tables.insertAs(event.nodeid, event.lookups, candidateOf(event));
      return;
    case 'forget':
      if (!tables.forget(event.nodeid, event.count)) {
        throw new DriftError(`forget ${event.seq} of node ${event.nodeid}, which is unknown here`);
      }
      return;
    case 'remove':
      if (tables.has(event.nodeid)) {
        throw new DriftError(`node ${event.nodeid} was removed by ${event.seq} but is still here`);
      }
      return;
    case 'key_stolen': {
      const owner =
        event.table === 'inodes_by_ids'
          ? tables.ownerOfIdsKey(event.from)
          : tables.ownerOfHandleKey(event.from);
      if (owner !== event.by) {
        throw new DriftError(
          `${event.table} key of node ${event.from} should lead to ${event.by}, leads to ${owner}`,
        );
      }
      return;
    }
    case 'key_lost':
    case 'over_forget':
    case 'open_by_handle':
    case 'paused':
    case 'resumed':
    case 'injected':
      return;
  }
}

function candidateOf(event: InsertEvent): Candidate {
  const candidate = new Candidate();
  candidate.inoLow = Number(event.ids.ino & 0xffffffffn) | 0;
  candidate.inoHigh = Number(event.ids.ino >> 32n) | 0;
  candidate.devMajor = event.ids.dev.major;
  candidate.devMinor = event.ids.dev.minor;
  candidate.mntId = event.ids.mntId;
  candidate.mode = event.mode;
  candidate.fd = event.fd ?? NO_FD;
  candidate.handleLength = NO_HANDLE;
  if (event.handle !== null) {
    candidate.handleType = event.handle.type;
    candidate.handleLength = event.handle.bytes.length;
    new Uint8Array(candidate.handleWords.buffer).set(event.handle.bytes);
  }
  return candidate;
}
