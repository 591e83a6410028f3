/** READDIR and READDIRPLUS: fuse_dirent and fuse_direntplus of linux/fuse.h. */

import {
  BATCH,
  DIRENTS,
  DIRENTS_SIZE,
  RECORD,
  RECORD_DIRENT,
  RECORD_ERRNO,
  RECORD_FD,
  RECORD_HANDLE,
  RECORD_NAME_LENGTH,
  RECORD_SIZE,
  RECORD_STAT,
  REPLY,
  RESULT_NEXT,
} from '../../native/index';
import { MAX_WRITE } from '../fuse/init';
import {
  ENTRY_OUT,
  OUT_HEADER,
  direntSize,
  readU64,
  writeDirent,
  writeDotsEntry,
} from '../fuse/wire';
import type { Context } from './context';
import { EBADF, EINVAL, ENOENT, ENOMEM } from './errno';
import { failed, settle, writeEntry } from './lookup';
import { BY_NAME, lookUpByStep } from './steps';

const BODY = REPLY + OUT_HEADER;
const DOT = 0x2e;

// linux_dirent64
const D_OFF = 8;
const D_RECLEN = 16;
const D_TYPE = 18;
const D_NAME = 19;

/** The longest dirent of getdents64 is 280 bytes. */
const LEAST = 512;

/** How far a listing has come. Reused, so that listing allocates nothing. */
const listing = {
  row: 0,
  /** Bytes written and the room left. */
  written: 0,
  room: 0,
  /** The dirents in DIRENTS that are still to be written. */
  from: 0,
  end: 0,
  errno: 0,
};

/** A listing waits for other requests. @returns what puts it back */
export function keepListing(): () => void {
  const kept = { ...listing };
  return () => void Object.assign(listing, kept);
}

export function readdir(context: Context): number {
  return list(context, false);
}

export function readdirplus(context: Context): number {
  return list(context, true);
}

function list(context: Context, plus: boolean): number {
  const { memory, bodyAt, openFiles, native } = context;
  const { i32 } = memory;
  const row = openFiles.row(readU64(memory, bodyAt), context.nodeid);
  if (row < 0) return -EBADF;
  const size = memory.u32[(bodyAt + 16) >> 2] ?? 0;
  if (size > MAX_WRITE) return -ENOMEM;

  const low = i32[(bodyAt + 8) >> 2] ?? 0;
  const high = i32[(bodyAt + 12) >> 2] ?? 0;
  let seekAt = openFiles.standsAt(row, low, high) ? -1 : bodyAt + 8;
  begin(row, size);

  for (;;) {
    // A dirent grows about fivefold when its attributes go along: reading more than fits would be
    // read again next time.
    const wanted = plus ? listing.room >> 2 : listing.room;
    // Each read moves the descriptor, also one of which nothing fits into the reply.
    openFiles.displace(row);
    const bytes = native.readEntries(
      openFiles.fdAt(row),
      seekAt,
      Math.min(Math.max(wanted, LEAST), DIRENTS_SIZE),
    );
    seekAt = -1;
    if (bytes < 0) listing.errno = -bytes;
    if (bytes <= 0) break;
    listing.from = DIRENTS;
    listing.end = DIRENTS + bytes;
    const more = plus ? writeEntriesPlus(context) : writeEntries(context);
    if (!more) {
      // Not even the first entry fits, and an empty answer would say that the directory ends here.
      // getdents64(2) answers the same.
      if (listing.written === 0 && listing.errno === 0 && size > 0) listing.errno = EINVAL;
      break;
    }
    remember(context, row);
  }
  return listing.written === 0 && listing.errno !== 0 ? -listing.errno : listing.written;
}

function begin(row: number, room: number): void {
  listing.row = row;
  listing.written = 0;
  listing.room = room;
  listing.errno = 0;
}

/** After a buffer was used up: the descriptor stands where its last dirent says. */
function remember(context: Context, row: number): void {
  const { i32, u8 } = context.memory;
  let at = DIRENTS;
  for (;;) {
    const next = at + recordLength(u8, at);
    if (next >= listing.end) break;
    at = next;
  }
  context.openFiles.place(row, i32[(at + D_OFF) >> 2] ?? 0, i32[(at + D_OFF + 4) >> 2] ?? 0);
}

function recordLength(u8: Uint8Array, at: number): number {
  return (u8[at + D_RECLEN] ?? 0) | ((u8[at + D_RECLEN + 1] ?? 0) << 8);
}

/** Returns whether all of DIRENTS fitted. */
function writeEntries(context: Context): boolean {
  const { memory } = context;
  const { u8 } = memory;
  while (listing.from < listing.end) {
    const at = listing.from;
    const nameLength = u8.indexOf(0, at + D_NAME) - (at + D_NAME);
    if (direntSize(nameLength) > listing.room) return false;
    const bytes = writeDirent(memory, BODY + listing.written, at, nameLength);
    listing.written += bytes;
    listing.room -= bytes;
    listing.from = at + recordLength(u8, at);
  }
  return true;
}

/** Returns whether all of DIRENTS fitted and could be looked up. */
function writeEntriesPlus(context: Context): boolean {
  const { native, memory, openFiles, lookupFlags } = context;
  while (listing.from < listing.end) {
    const fd = openFiles.fdAt(listing.row);
    const { from, end, room } = listing;
    const records = native.lookupEntries(fd, from, end, room, lookupFlags);
    if (records === 0) return false;
    listing.from = memory.i32[RESULT_NEXT >> 2] ?? end;
    for (let i = 0; i < records; i++) {
      if (writeEntryPlus(context, BATCH + i * RECORD_SIZE)) continue;
      for (let rest = i + 1; rest < records; rest++) abandon(context, BATCH + rest * RECORD_SIZE);
      return false;
    }
  }
  return true;
}

/** Returns false when the listing must end before this entry. */
function writeEntryPlus(context: Context, record: number): boolean {
  const { memory, nodeid } = context;
  const { i32, u8 } = memory;
  const direntAt = i32[(record + RECORD_DIRENT) >> 2] ?? 0;
  const nameAt = direntAt + D_NAME;
  const nameLength = i32[(record + RECORD_NAME_LENGTH) >> 2] ?? 0;
  const at = BODY + listing.written;
  if (isDots(u8, nameAt, nameLength)) {
    const d = direntAt >> 2;
    writeDotsEntry(memory, at, i32[d] ?? 0, i32[d + 1] ?? 0, u8[direntAt + D_TYPE] ?? 0);
  } else {
    const found = lookUpEntry(context, nameAt, nameLength, record);
    if (found < 0) {
      // Deleted on the host since the directory was read: the listing goes on without it. Any
      // other error ends it; the next request starts at this entry and then reports the error.
      if (found === -ENOENT) return true;
      listing.errno = -found;
      return false;
    }
    writeEntry(context, at, nodeid, found, record);
  }
  const bytes = ENTRY_OUT + writeDirent(memory, at + ENTRY_OUT, direntAt, nameLength);
  listing.written += bytes;
  listing.room -= bytes;
  return true;
}

/** Turns what the host said about an entry of the directory into a node id, or -errno. */
function lookUpEntry(context: Context, nameAt: number, nameLength: number, record: number): number {
  const { gate, memory, nodeid } = context;
  if (gate.armed) {
    context.pending = OUT_HEADER + listing.written;
    if (gate.stepsByName(nameAt, nameLength)) {
      abandon(context, record);
      const found = lookUpByStep(context, 'READDIRPLUS', nodeid, nameAt, nameLength, BY_NAME);
      memory.u8.copyWithin(record + RECORD_STAT, RECORD + RECORD_STAT, RECORD + RECORD_HANDLE);
      return found;
    }
  }
  const errno = memory.i32[(record + RECORD_ERRNO) >> 2] ?? 0;
  return errno === 0
    ? settle(context, 'READDIRPLUS', nodeid, nameAt, nameLength, record)
    : failed(context, 'READDIRPLUS', nodeid, nameAt, nameLength, record, errno);
}

/** Lets go of a record that will not be used. */
function abandon(context: Context, record: number): void {
  const fd = context.memory.i32[(record + RECORD_FD) >> 2] ?? -1;
  if (fd >= 0) context.native.close(fd);
}

function isDots(u8: Uint8Array, at: number, length: number): boolean {
  return u8[at] === DOT && (length === 1 || (length === 2 && u8[at + 1] === DOT));
}
