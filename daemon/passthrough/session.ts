/** INIT and DESTROY: where a session begins and ends. */

import {
  RECORD,
  RECORD_FD,
  RECORD_HANDLE_ERRNO,
  REPLY,
  REQUEST,
  SLOT_THIRD,
} from '../../native/index';
import {
  FUSE_MAJOR,
  FUSE_MINOR_MIN,
  INIT_OUT,
  InitBit,
  agree,
  has,
  writeInitOtherMajor,
  writeInitOut,
} from '../fuse/init';
import { IN_LENGTH, OUT_HEADER } from '../fuse/wire';
import { NO_HANDLE } from '../tables/candidate';
import type { Context } from './context';
import { NO_REPLY } from './context';
import { EPROTO } from './errno';
import { identify } from './lookup';
import { reportVolume } from './volumes';

const BODY = REPLY + OUT_HEADER;
const O_PATH = 0x200000;

export function init(context: Context, rootFd: number): number {
  const { memory, bodyAt, options, log } = context;
  const { u32 } = memory;
  const major = u32[bodyAt >> 2] ?? 0;
  const minor = u32[(bodyAt + 4) >> 2] ?? 0;
  if (major > FUSE_MAJOR) {
    writeInitOtherMajor(memory, BODY);
    return INIT_OUT;
  }
  if (major < FUSE_MAJOR || minor < FUSE_MINOR_MIN) {
    log(
      'error',
      `The peer speaks FUSE ${major}.${minor}; ${FUSE_MAJOR}.${FUSE_MINOR_MIN} or later is needed ` +
        '(Linux 5.0): the mount fails.',
    );
    return -EPROTO;
  }
  const length = (u32[(REQUEST + IN_LENGTH) >> 2] ?? 0) - 40;
  const agreement = agree(memory, bodyAt, length, {
    readdirplus: options.readdirplus && context.cache.readdirplus,
    writeback: options.writeback,
    submounts: options.announceSubmounts,
  });
  // A guest that was reset sends no DESTROY: INIT begins from nothing (virtio-fs.md 8, 11).
  if (context.initialized) endSession(context);
  const result = insertRoot(context, rootFd);
  if (result < 0) return result;
  context.submounts = has(agreement, InitBit.SUBMOUNTS);
  context.suppGroups = has(agreement, InitBit.CREATE_SUPP_GROUP);
  context.initialized = true;
  writeInitOut(memory, BODY, agreement);
  return INIT_OUT;
}

export function destroy(context: Context): number {
  endSession(context);
  return NO_REPLY;
}

/** Drops everything that the guest had: open files, entries, mount descriptors. */
export function endSession(context: Context): void {
  if (!context.initialized) return;
  context.initialized = false;
  context.openFiles.closeAll();
  for (const entry of context.tables.entries()) {
    if (entry.fd !== null) context.native.close(entry.fd);
  }
  context.tables.clear();
  context.mountFds.closeAll();
  context.recorder.destroy();
}

function insertRoot(context: Context, rootFd: number): number {
  const { native, memory, tables, trace } = context;
  const { i32 } = memory;
  i32[SLOT_THIRD >> 2] = rootFd;
  const result = native.probe(SLOT_THIRD, context.lookupFlags, RECORD);
  if (result < 0) return result;
  if (i32[(RECORD + RECORD_HANDLE_ERRNO) >> 2] !== 0) {
    const fd = native.openPath(`/proc/self/fd/${rootFd}`, O_PATH);
    if (fd < 0) return fd;
    i32[(RECORD + RECORD_FD) >> 2] = fd;
  }
  identify(context, RECORD);
  const { candidate } = trace;
  if (candidate.handleLength !== NO_HANDLE) {
    const fd = context.mountFds.acquire(candidate.mntId);
    if (fd < 0) return fd;
  }
  reportVolume(context, candidate.mntId, rootFd);
  tables.insertRoot(candidate);
  context.recorder.init(candidate);
  return 0;
}
