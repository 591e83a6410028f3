/**
 * What a share costs its host: the mounts that its entries are on, descriptors against the limit
 * that the guest really has, deleted files that entries keep on the disk, where the entries are, and
 * how all of that grew. Every list is bounded; the `more` beside it says how many were left out.
 */

import * as v from 'valibot';
import { decimal } from './json';

export const MAX_MOUNTS = 64;
/** Directories in each of the lists of the largest. */
export const MAX_DIRECTORIES = 20;
/** Samples of each series. */
export const GROWTH_SAMPLES = 60;

/** What is known of the handles on a mount. */
export const HANDLE_SUPPORT = [
  /** Entries there have handles. */
  'yes',
  /** name_to_handle_at refuses, so that entries there hold descriptors. */
  'no',
  /** There are handles, but the file system (FUSE) forgets them under memory pressure. */
  'volatile',
  /** There are handles, but no descriptor to open them by can be had. */
  'not_openable',
  /** Handles are not in use here: --inode-file-handles=never. */
  'off',
  /** No entry there yet, or none any more. */
  'unknown',
] as const;

export const mountJson = v.object({
  mntId: decimal,
  /** STATX_MNT_ID_UNIQUE; null before Linux 6.8. */
  mntIdUnique: v.nullable(decimal),
  /** Such as `ext4`; null when unknown. */
  fsType: v.nullable(v.string()),
  /** Where it is mounted, as this daemon sees it; the last known place when it is gone. */
  point: v.nullable(v.string()),
  /** False: no longer in mountinfo, and kept by what follows; null: not known. */
  mounted: v.nullable(v.boolean()),
  handles: v.picklist(HANDLE_SUPPORT),
  /** The errno with which lookups there are refused, because its handles cannot be opened. */
  refused: v.nullable(v.string()),
  entries: v.object({ file: v.number(), handle: v.number(), invalid: v.number() }),
  /** Descriptors that keep the mount: one an entry of kind file, and one for all handles. */
  descriptors: v.number(),
  /** Pairs of entries for one file, one here and one on another mount, by that mount. */
  twins: v.array(v.object({ mntId: decimal, pairs: v.number() })),
});
export type MountJson = v.InferOutput<typeof mountJson>;

export const directoryCostJson = v.object({
  nodeid: decimal,
  path: v.nullable(v.string()),
  entries: v.number(),
  /** Of these, how many hold a descriptor. */
  descriptors: v.number(),
});
export type DirectoryCostJson = v.InferOutput<typeof directoryCostJson>;

export const zombieDirectoryJson = v.object({
  /** The directory of the names by which the files were known; null when that is not known. */
  nodeid: v.nullable(decimal),
  path: v.nullable(v.string()),
  count: v.number(),
  bytes: decimal,
});
export type ZombieDirectoryJson = v.InferOutput<typeof zombieDirectoryJson>;

export const growthSampleJson = v.object({
  time: v.string(),
  entries: v.number(),
  /** Held for the guest. */
  descriptors: v.number(),
  /** FORGETs of the guest so far. */
  forgets: v.number(),
});
export type GrowthSampleJson = v.InferOutput<typeof growthSampleJson>;

export const budgetJson = v.object({
  seq: decimal,
  time: v.string(),
  mounts: v.array(mountJson),
  moreMounts: v.number(),
  descriptors: v.object({
    /** Held for the guest: `entries` and `openFiles` together. */
    used: v.number(),
    /** How many the guest may make the daemon hold: the process's limit less `reserved`. */
    limit: v.number(),
    reserved: v.number(),
    entries: v.number(),
    openFiles: v.number(),
    /** One a mount with handles; these are the daemon's own and come out of `reserved`. */
    mounts: v.number(),
    /** Requests that got ENFILE because the limit was reached, and the newest of them. */
    refused: v.number(),
    lastRefused: v.nullable(v.string()),
  }),
  /** Entries of kind file whose file has no name any more: the disk keeps it until FORGET. */
  zombies: v.object({
    count: v.number(),
    bytes: decimal,
    /** The costliest first. */
    directories: v.array(zombieDirectoryJson),
    moreDirectories: v.number(),
    /** When every entry of kind file had been looked at once more; null before the first time. */
    sweptAt: v.nullable(v.string()),
  }),
  directories: v.object({
    byEntries: v.array(directoryCostJson),
    byDescriptors: v.array(directoryCostJson),
    total: v.number(),
  }),
  /** The oldest first: a sample a second, and a sample a minute. */
  growth: v.object({ minute: v.array(growthSampleJson), hour: v.array(growthSampleJson) }),
});
export type BudgetJson = v.InferOutput<typeof budgetJson>;
