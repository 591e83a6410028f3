/**
 * The generation inside a file handle, for the handle types whose layout the kernel documents in
 * include/linux/exportfs.h. Elsewhere the bytes are the file system's own business.
 */

import type { FileHandle } from '../tables/identity';

const FILEID_INO32_GEN = 1;
const FILEID_INO32_GEN_PARENT = 2;
/** xfs with 64-bit inode numbers: ino u64, gen u32 (fs/xfs/xfs_export.h); erofs and FUSE alike. */
const XFS_FILEID_TYPE_64FLAG = 0x80;
/** tmpfs: generation u32, then ino u64 (mm/shmem.c). */
const FILEID_INO64_GEN_SHMEM = 1;
/** btrfs: objectid u64, root u64, generation u32 (fs/btrfs/export.h). */
const FILEID_BTRFS_WITHOUT_PARENT = 0x4d;
const FILEID_BTRFS_WITH_PARENT = 0x4e;

/** @returns null when the layout is unknown */
export function generationOf(handle: FileHandle): bigint | null {
  const { type, bytes } = handle;
  switch (type) {
    case FILEID_INO32_GEN:
      // tmpfs uses the same type number for twelve bytes that begin with the generation.
      if (bytes.length === 12) return u32(bytes, 0);
      return u32(bytes, 4);
    case FILEID_INO32_GEN_PARENT:
      return u32(bytes, 4);
    case XFS_FILEID_TYPE_64FLAG | FILEID_INO64_GEN_SHMEM:
    case XFS_FILEID_TYPE_64FLAG | FILEID_INO32_GEN_PARENT:
      return u32(bytes, 8);
    case FILEID_BTRFS_WITHOUT_PARENT:
    case FILEID_BTRFS_WITH_PARENT:
      return u32(bytes, 16);
    default:
      return null;
  }
}

/**
 * Whether the generation in a handle is 0, read from its padded words; false when the layout is
 * unknown.
 */
export function isZeroGeneration(type: number, length: number, words: Int32Array): boolean {
  if (length < 8) return false;
  switch (type) {
    case FILEID_INO32_GEN:
      return words[length === 12 ? 0 : 1] === 0;
    case FILEID_INO32_GEN_PARENT:
      return words[1] === 0;
    case XFS_FILEID_TYPE_64FLAG | FILEID_INO64_GEN_SHMEM:
    case XFS_FILEID_TYPE_64FLAG | FILEID_INO32_GEN_PARENT:
      return length >= 12 && words[2] === 0;
    default:
      return false;
  }
}

function u32(bytes: Uint8Array, at: number): bigint | null {
  if (bytes.length < at + 4) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return BigInt(view.getUint32(at, true));
}
