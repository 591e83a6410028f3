/** What a share costs its host at one moment: looked at from time to time, not event by event. */

import type { Nodeid } from '../tables/identity';

export interface MountResource {
  readonly mntId: number;
  /** Where it is, or was last; null when unknown. */
  readonly point: string | null;
  /** False: it was in mountinfo and is no longer; null: it has not been seen there. */
  readonly mounted: boolean | null;
  /** Entries that hold a descriptor, and entries that hold a handle. */
  readonly files: number;
  readonly handles: number;
  /** Why its handles cannot be opened, from the newest lookup there that failed for it. */
  readonly refused: Refusal | null;
}

/** A lookup that failed although the file was found and has a handle. */
export interface Refusal {
  readonly errno: number;
  readonly parent: Nodeid;
  readonly name: string;
}

/** Entries of one file on two mounts. */
export interface Twins {
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
  readonly example: readonly [Nodeid, Nodeid];
}

export interface DescriptorUse {
  readonly used: number;
  /** What the guest may make the daemon hold. */
  readonly limit: number;
  /** Requests that got ENFILE, and when the newest was noticed. */
  readonly refused: number;
  readonly lastRefused: number | null;
}

/** Deleted files that entries keep on the disk, by the directory that they were in. */
export interface Zombies {
  /** NO_NODEID when the directory is not known. */
  readonly directory: Nodeid;
  readonly path: string | null;
  readonly count: number;
  readonly bytes: number;
  /** When the oldest of them was found. */
  readonly since: number;
}

export interface GrowthSample {
  readonly time: number;
  readonly entries: number;
  readonly descriptors: number;
  readonly forgets: number;
}

export interface Resources {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly mounts: readonly MountResource[];
  readonly twins: readonly Twins[];
  readonly descriptors: DescriptorUse;
  readonly zombies: readonly Zombies[];
  /** A sample a minute, the oldest first. */
  readonly growth: readonly GrowthSample[];
}
