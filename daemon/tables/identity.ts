/**
 * The identities that the tables are about, as values.
 *
 * Node ids, ids and handles come from different worlds (FUSE, stat, exportfs) and are all numbers
 * or bytes; branding keeps them from being mixed up.
 */

declare const nodeidBrand: unique symbol;

/**
 * A FUSE node id. virtiofsd hands them out from a counter that only grows, so they stay far below
 * 2^53 and a double holds them exactly; ids beyond that never name an entry.
 */
export type Nodeid = number & { readonly [nodeidBrand]: true };

/** FUSE_ROOT_ID of linux/fuse.h. */
export const ROOT_NODEID = 1 as Nodeid;

/** Where a node id is expected and there is none: FUSE itself uses 0 so. */
export const NO_NODEID = 0 as Nodeid;

/** Names a number from outside as a node id; `undefined` when it cannot be one. */
export function asNodeid(value: number): Nodeid | undefined {
  return Number.isSafeInteger(value) && value > 0 ? (value as Nodeid) : undefined;
}

/** st_dev as statx reports it. */
export interface Device {
  readonly major: number;
  readonly minor: number;
}

/** The key of `inodes_by_ids`: (st_ino, st_dev, mount id). */
export interface Ids {
  readonly ino: bigint;
  readonly dev: Device;
  /** STATX_MNT_ID, or the 64-bit unique id where a source reads that one; exact as a double. */
  readonly mntId: number;
}

/** The key of `inodes_by_handle`: what name_to_handle_at(2) returns. */
export interface FileHandle {
  readonly mntId: number;
  readonly type: number;
  /** f_handle, 1..128 bytes (MAX_HANDLE_SZ). */
  readonly bytes: Uint8Array;
}

/** MAX_HANDLE_SZ of linux/exportfs.h. */
export const MAX_HANDLE_BYTES = 128;

/**
 * What an entry holds: an O_PATH descriptor, only a handle, or nothing (an entry that a failed
 * migration left behind).
 */
export type EntryKind = 'file' | 'handle' | 'invalid';
