/**
 * The FUSE wire format (linux/fuse.h) over typed arrays: the same memory seen as bytes and as
 * 32-bit words, with byte offsets into it. x86-64 and arm64 Linux are little-endian, as FUSE's
 * structs are in host order. Nothing here allocates.
 */

/** One memory under three views of the same length. */
export interface WireMemory {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
}

export const IN_HEADER = 40;
export const OUT_HEADER = 16;
export const ENTRY_OUT = 128;
export const ATTR_OUT = 104;
export const OPEN_OUT = 16;
export const DIRENT_HEADER = 24;
/** Where struct fuse_attr stands in them. */
export const ENTRY_ATTR = 40;
export const ATTR_OUT_ATTR = 16;

// struct fuse_attr
export const ATTR_MODE = 60;
export const ATTR_UID = 68;
export const ATTR_GID = 72;

// struct fuse_in_header
export const IN_LENGTH = 0;
export const IN_OPCODE = 4;
export const IN_UNIQUE = 8;
export const IN_NODEID = 16;
export const IN_UID = 24;
export const IN_GID = 28;
export const IN_PID = 32;

const TWO_TO_32 = 4294967296;

/**
 * A u64 as a double: exact below 2^53. Larger ones lose low bits, which for node ids and file
 * handles is harmless: no such id was ever handed out.
 */
export function readU64(memory: WireMemory, at: number): number {
  const { u32 } = memory;
  return (u32[at >> 2] ?? 0) + (u32[(at >> 2) + 1] ?? 0) * TWO_TO_32;
}

/** Writes a non-negative integer below 2^53 as u64. */
export function writeU64(memory: WireMemory, at: number, value: number): void {
  memory.u32[at >> 2] = value >>> 0;
  memory.u32[(at >> 2) + 1] = (value / TWO_TO_32) >>> 0;
}

/**
 * Writes fuse_out_header.
 *
 * @param length of the whole reply, header included
 * @param errno positive, or 0
 */
export function writeOutHeader(
  memory: WireMemory,
  at: number,
  length: number,
  errno: number,
  requestAt: number,
): void {
  const { i32 } = memory;
  const word = at >> 2;
  const request = requestAt >> 2;
  i32[word] = length;
  i32[word + 1] = -errno;
  i32[word + 2] = i32[request + 2] ?? 0;
  i32[word + 3] = i32[request + 3] ?? 0;
}

/**
 * struct statx to struct fuse_attr. Seconds and counts are copied as words, so they stay exact;
 * times before 1970 keep their sign bits.
 */
export function writeAttr(memory: WireMemory, at: number, statAt: number, flags: number): void {
  const { i32 } = memory;
  const a = at >> 2;
  const s = statAt >> 2;
  i32[a] = i32[s + 8] ?? 0; // ino
  i32[a + 1] = i32[s + 9] ?? 0;
  i32[a + 2] = i32[s + 10] ?? 0; // size
  i32[a + 3] = i32[s + 11] ?? 0;
  i32[a + 4] = i32[s + 12] ?? 0; // blocks
  i32[a + 5] = i32[s + 13] ?? 0;
  i32[a + 6] = i32[s + 16] ?? 0; // atime
  i32[a + 7] = i32[s + 17] ?? 0;
  i32[a + 8] = i32[s + 28] ?? 0; // mtime
  i32[a + 9] = i32[s + 29] ?? 0;
  i32[a + 10] = i32[s + 24] ?? 0; // ctime
  i32[a + 11] = i32[s + 25] ?? 0;
  i32[a + 12] = i32[s + 18] ?? 0; // nanoseconds
  i32[a + 13] = i32[s + 30] ?? 0;
  i32[a + 14] = i32[s + 26] ?? 0;
  i32[a + 15] = (i32[s + 7] ?? 0) & 0xffff; // mode
  i32[a + 16] = i32[s + 4] ?? 0; // nlink
  i32[a + 17] = i32[s + 5] ?? 0; // uid
  i32[a + 18] = i32[s + 6] ?? 0; // gid
  i32[a + 19] = encodeDevice(i32[s + 32] ?? 0, i32[s + 33] ?? 0);
  i32[a + 20] = i32[s + 1] ?? 0; // blksize
  i32[a + 21] = flags;
}

/** The kernel's 32-bit encoding of a device number (linux/kdev_t.h, new_encode_dev). */
export function encodeDevice(major: number, minor: number): number {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
}

/** struct fuse_attr_out. `seconds`: how long the attributes may be believed. */
export function writeAttrOut(
  memory: WireMemory,
  at: number,
  statAt: number,
  seconds: number,
): void {
  writeU64(memory, at, seconds);
  memory.i32[(at >> 2) + 2] = 0;
  memory.i32[(at >> 2) + 3] = 0;
  writeAttr(memory, at + 16, statAt, 0);
}

/** struct fuse_entry_out; generation is always 0, because node ids are never used again. */
export function writeEntryOut(
  memory: WireMemory,
  at: number,
  nodeid: number,
  statAt: number,
  seconds: number,
  attrFlags: number,
): void {
  const { i32 } = memory;
  const word = at >> 2;
  writeU64(memory, at, nodeid);
  i32[word + 2] = 0;
  i32[word + 3] = 0;
  writeU64(memory, at + 16, seconds);
  writeU64(memory, at + 24, seconds);
  i32[word + 8] = 0;
  i32[word + 9] = 0;
  writeAttr(memory, at + 40, statAt, attrFlags);
}

/** The entry_out of "." and "..": no node id, only number and type. */
export function writeDotsEntry(
  memory: WireMemory,
  at: number,
  inoLow: number,
  inoHigh: number,
  type: number,
): void {
  const { i32 } = memory;
  const word = at >> 2;
  i32.fill(0, word, word + ENTRY_OUT / 4);
  i32[word + 10] = inoLow;
  i32[word + 11] = inoHigh;
  i32[word + 25] = type << 12;
}

/** struct fuse_open_out. */
export function writeOpenOut(memory: WireMemory, at: number, fh: number, flags: number): void {
  writeU64(memory, at, fh);
  memory.i32[(at >> 2) + 2] = flags;
  memory.i32[(at >> 2) + 3] = 0;
}

/** Bytes of a dirent with a name of this length: padded to 8. */
export function direntSize(nameLength: number): number {
  return (DIRENT_HEADER + nameLength + 7) & ~7;
}

/**
 * struct fuse_dirent from a linux_dirent64 {u64 ino, s64 off, u16 reclen, u8 type, name} in the
 * same memory.
 *
 * @returns bytes written
 */
export function writeDirent(
  memory: WireMemory,
  at: number,
  direntAt: number,
  nameLength: number,
): number {
  const { i32, u8 } = memory;
  const a = at >> 2;
  const d = direntAt >> 2;
  const size = direntSize(nameLength);
  i32[a] = i32[d] ?? 0;
  i32[a + 1] = i32[d + 1] ?? 0;
  i32[a + 2] = i32[d + 2] ?? 0;
  i32[a + 3] = i32[d + 3] ?? 0;
  i32[a + 4] = nameLength;
  i32[a + 5] = u8[direntAt + 18] ?? 0;
  // The padding is zeroed first; the name then overwrites what is its own.
  i32[(at + size - 8) >> 2] = 0;
  i32[(at + size - 4) >> 2] = 0;
  u8.copyWithin(at + DIRENT_HEADER, direntAt + 19, direntAt + 19 + nameLength);
  return size;
}
