/**
 * What the file system reports while it works. The daemon hands a `Recorder` to its operations;
 * one that writes to the event ring is in `daemon/trace`.
 *
 * Reports come after the tables have changed and before the reply is sent, and they read what
 * changed from `InodeTables.asked`, `inserted` and `forgotten`.
 */

import { Candidate } from './candidate';
import type { LookupOp } from './events';
import { HeldTrace } from './held';
import type { ProbeResult } from './hitKind';
import type { Nodeid } from './identity';
import { NO_NODEID } from './identity';

/**
 * One lookup, explained. The daemon fills one such object over and over; the recorder copies what
 * it keeps before it returns.
 */
export class LookupTrace {
  op: LookupOp = 'LOOKUP';
  /** FUSE `unique` of the request that made the lookup. */
  unique = 0;
  parent: Nodeid = NO_NODEID;
  /** The name's bytes, without NUL, inside a buffer that is used again. */
  nameBuffer: Uint8Array = new Uint8Array(0);
  nameAt = 0;
  nameLength = 0;
  /** False when the lookup failed before statx answered; the candidate means nothing then. */
  identified = false;
  candidate = new Candidate();
  /** The errno of name_to_handle_at, or 0 when it was not called or made a handle. */
  handleErrno = 0;
  /** True when the tables were asked; `InodeTables.asked` says what they answered. */
  asked = false;
  /** True when the candidate became a new entry; `InodeTables.inserted` says the rest. */
  inserted = false;
  /** The node id that the lookup led to, or 0. */
  nodeid: Nodeid = NO_NODEID;
  /** What the guest is told instead of a node id, or 0. */
  errno = 0;
  nlink = 0;
  /** stx_btime, seconds; -1 when the file system keeps none. */
  btimeSeconds = -1;
  btimeNanoseconds = 0;
  /** STATX_SUBVOL, or -1. */
  subvol = -1;
  probe: ProbeResult = 'not-probed';
  /** What the probe found. */
  held = new HeldTrace();
  /** From the receipt of the request to this report. */
  durationNs = 0;
}

export interface Recorder {
  /** INIT was answered and the root's entry stands. */
  init(root: Candidate): void;
  /** The session ended: every entry is gone. */
  destroy(): void;
  lookup(trace: LookupTrace): void;
  /** A forget of a known entry, asked for by the guest (`FORGET`) or made inside another operation. */
  forget(nodeid: Nodeid, count: number, op: LookupOp | 'FORGET'): void;
  /**
   * The guest asked to forget more lookups than the entry had (`lookups`), or an entry that is not
   * there (0). What the tables did about it was reported before.
   */
  overForget(nodeid: Nodeid, count: number, lookups: number): void;
  /** open_by_handle_at failed for an entry while an operation needed it. */
  openByHandleFailed(nodeid: Nodeid, errno: number): void;
  /** A mount was met for the first time. */
  volume(facts: VolumeFacts): void;
}

/** What is known of a mount beyond its id. */
export interface VolumeFacts {
  readonly mntId: number;
  /** STATX_MNT_ID_UNIQUE, which is never used again until reboot; null before Linux 6.8. */
  readonly mntIdUnique: number | null;
  /** f_type of statfs(2). */
  readonly fsType: number;
}
