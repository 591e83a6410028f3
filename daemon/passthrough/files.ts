/** Open files: OPEN, READ, WRITE, RELEASE, FLUSH, FSYNC, FALLOCATE, LSEEK, COPY_FILE_RANGE, SYNCFS. */

import { constants } from 'node:fs';
import { REPLY, REQUEST, RESULT_WIDE, SLOT_FIRST } from '../../native/index';
import { MAX_WRITE } from '../fuse/init';
import { OPEN_KILL_SUIDGID, WRITE_CACHE, WRITE_KILL_SUIDGID } from '../fuse/opcodes';
import { IN_UNIQUE, OPEN_OUT, OUT_HEADER, readU64, writeOpenOut } from '../fuse/wire';
import type { Nodeid } from '../tables/identity';
import type { Context } from './context';
import { NO_REPLY } from './context';
import { EBADF, EINVAL, ENFILE, ENOMEM, EROFS } from './errno';
import { dropCapabilitiesOf } from './fileCapabilities';
import { hasRoom } from './lookup';
import { isOpenable, refer, reported } from './references';

const BODY = REPLY + OUT_HEADER;
const { O_ACCMODE, O_APPEND, O_DIRECT, O_DIRECTORY, O_DSYNC, O_EXCL, O_NOATIME } = {
  ...constants,
  O_ACCMODE: 3,
};
const { O_NONBLOCK, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants;

/** Open flags that reach the host; creating and path flags of a guest do not. */
const PASSED = O_ACCMODE | O_TRUNC | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_NOATIME;

/**
 * The flags with which the host's file is opened (virtiofsd's open_inode). O_APPEND never stays: appends
 * are made per write, and a descriptor with O_APPEND would ignore the offsets of cached writes.
 */
export function hostFlags(context: Context, flags: number): number {
  const { allowDirectIo, preserveNoatime } = context.options;
  let host = flags & PASSED;
  if (!allowDirectIo) host &= ~O_DIRECT;
  if (!preserveNoatime) host &= ~O_NOATIME;
  // The peer's page cache reads before it writes parts of pages.
  if (context.writeback && (host & O_ACCMODE) === O_WRONLY) host = (host & ~O_ACCMODE) | O_RDWR;
  return host;
}

/** 0, or what --readonly answers to these open flags. */
function refusedReadonly(context: Context, flags: number): number {
  if (!context.options.readonly) return 0;
  if ((flags & O_ACCMODE) !== O_RDONLY || (flags & O_EXCL) !== 0) return -EROFS;
  return (flags & O_TRUNC) !== 0 ? -EINVAL : 0;
}

/**
 * Opens an inode on the host and keeps it for the guest.
 *
 * @param kill whether truncating takes set-user-id and set-group-id bits off
 * @returns fh, or -errno
 */
export function openNode(context: Context, nodeid: Nodeid, flags: number, kill: boolean): number {
  const refused = refusedReadonly(context, flags);
  if (refused < 0) return refused;
  const result = refer(context, SLOT_FIRST, nodeid);
  if (result < 0) return result;
  if (!isOpenable(context, nodeid)) return -EBADF;
  if (!hasRoom(context)) return -ENFILE;
  const { native } = context;
  const givenUp = kill && context.options.killprivV2 === true ? native.giveUpFsetid() : 0;
  if (givenUp < 0) return givenUp;
  const fd = native.open(SLOT_FIRST, hostFlags(context, flags) | (flags & O_DIRECTORY));
  if (givenUp > 0) native.takeBackFsetid();
  if (fd < 0) return reported(context, fd, SLOT_FIRST, nodeid);
  if ((flags & O_TRUNC) !== 0) {
    const dropped = dropCapabilitiesOf(context, fd, nodeid);
    if (dropped < 0) {
      native.close(fd);
      return dropped;
    }
  }
  return context.openFiles.add(fd, nodeid, flags);
}

export function open(context: Context): number {
  const { i32 } = context.memory;
  const flags = i32[context.bodyAt >> 2] ?? 0;
  const kill = ((i32[(context.bodyAt + 4) >> 2] ?? 0) & OPEN_KILL_SUIDGID) !== 0;
  const fh = openNode(context, context.nodeid, flags, kill);
  if (fh < 0) return fh;
  const { fileFlags, dirFlags } = context.cache;
  writeOpenOut(context.memory, BODY, fh, (flags & O_DIRECTORY) === 0 ? fileFlags : dirFlags);
  return OPEN_OUT;
}

export function opendir(context: Context): number {
  const flags = context.memory.i32[context.bodyAt >> 2] ?? 0;
  const fh = openNode(context, context.nodeid, flags | O_DIRECTORY, false);
  if (fh < 0) return fh;
  writeOpenOut(context.memory, BODY, fh, context.cache.dirFlags);
  return OPEN_OUT;
}

/** The descriptor of the open file named at the body's start, or -EBADF. */
function fdOfRequest(context: Context): number {
  const fd = context.openFiles.fd(readU64(context.memory, context.bodyAt), context.nodeid);
  return fd < 0 ? -EBADF : fd;
}

export function read(context: Context): number {
  // The data goes its own way, so that this is the last moment before the answer.
  if (context.gate.armed) context.gate.reply(0);
  const fd = fdOfRequest(context);
  if (fd < 0) return fd;
  const { bodyAt } = context;
  const size = context.memory.u32[(bodyAt + 16) >> 2] ?? 0;
  if (size > MAX_WRITE) return -ENOMEM;
  const answer = context.channel.sendFile(fd, bodyAt + 8, size, REQUEST + IN_UNIQUE);
  return answer < 0 ? answer : NO_REPLY;
}

export function write(context: Context): number {
  if (context.options.readonly) return -EROFS;
  const fd = fdOfRequest(context);
  if (fd < 0) return fd;
  const { bodyAt, memory } = context;
  const { u32 } = memory;
  const size = u32[(bodyAt + 16) >> 2] ?? 0;
  if (size > context.end - (bodyAt + 40)) return -EINVAL;
  const writeFlags = u32[(bodyAt + 20) >> 2] ?? 0;
  const openFlags = u32[(bodyAt + 32) >> 2] ?? 0;
  const append = (openFlags & O_APPEND) !== 0 && (writeFlags & WRITE_CACHE) === 0;
  const dropped = dropCapabilitiesOf(context, fd, context.nodeid);
  if (dropped < 0) return dropped;
  const kill = (writeFlags & WRITE_KILL_SUIDGID) !== 0 && context.options.killprivV2 === true;
  const written = kill
    ? writePlainly(context, fd, size, append)
    : context.channel.writeFile(fd, bodyAt + 40, size, bodyAt + 8, append);
  if (written < 0) return written;
  u32[BODY >> 2] = written;
  u32[(BODY + 4) >> 2] = 0;
  return 8;
}

/** Writes without the right to keep set-user-id and set-group-id bits. */
function writePlainly(context: Context, fd: number, size: number, append: boolean): number {
  const { bodyAt, native } = context;
  const givenUp = native.giveUpFsetid();
  if (givenUp < 0) return givenUp;
  try {
    return context.channel.writeFile(fd, bodyAt + 40, size, bodyAt + 8, append);
  } finally {
    if (givenUp > 0) native.takeBackFsetid();
  }
}

export function release(context: Context): number {
  const fh = readU64(context.memory, context.bodyAt);
  return context.openFiles.release(fh, context.nodeid) ? 0 : -EBADF;
}

export function flush(context: Context): number {
  const fd = fdOfRequest(context);
  return fd < 0 ? fd : context.native.flush(fd);
}

export function fsync(context: Context): number {
  const fd = fdOfRequest(context);
  if (fd < 0) return fd;
  return context.native.fsync(fd, (context.memory.u32[(context.bodyAt + 8) >> 2] ?? 0) & 1);
}

export function fallocate(context: Context): number {
  if (context.options.readonly) return -EROFS;
  const fd = fdOfRequest(context);
  if (fd < 0) return fd;
  const { bodyAt } = context;
  const mode = context.memory.i32[(bodyAt + 24) >> 2] ?? 0;
  return context.native.fallocate(fd, mode, bodyAt + 8, bodyAt + 16);
}

export function lseek(context: Context): number {
  const fd = fdOfRequest(context);
  if (fd < 0) return fd;
  const { bodyAt, memory } = context;
  const whence = memory.i32[(bodyAt + 16) >> 2] ?? 0;
  const answer = context.native.lseek(fd, bodyAt + 8, whence);
  if (answer < 0) return answer;
  memory.i32[BODY >> 2] = memory.i32[RESULT_WIDE >> 2] ?? 0;
  memory.i32[(BODY + 4) >> 2] = memory.i32[(RESULT_WIDE + 4) >> 2] ?? 0;
  return 8;
}

export function copyFileRange(context: Context): number {
  if (context.options.readonly) return -EROFS;
  const from = fdOfRequest(context);
  if (from < 0) return from;
  const { bodyAt, memory } = context;
  const node = readU64(memory, bodyAt + 16) as Nodeid;
  const to = context.openFiles.fd(readU64(memory, bodyAt + 24), node);
  if (to < 0) return -EBADF;
  const flags = memory.i32[(bodyAt + 48) >> 2] ?? 0;
  const copied = context.native.copyFileRange(
    from,
    bodyAt + 8,
    to,
    bodyAt + 32,
    bodyAt + 40,
    flags,
  );
  if (copied < 0) return copied;
  memory.i32[BODY >> 2] = copied;
  memory.i32[(BODY + 4) >> 2] = 0;
  return 8;
}

export function syncfs(context: Context): number {
  const result = refer(context, SLOT_FIRST, context.nodeid);
  if (result < 0) return result;
  if (!isOpenable(context, context.nodeid)) return -EBADF;
  const answer = context.native.syncfs(SLOT_FIRST);
  return reported(context, answer, SLOT_FIRST, context.nodeid);
}
