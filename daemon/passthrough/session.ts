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
import { ENFILE, EPROTO } from './errno';
import { reopen } from './hostView';
import { hasRoom, identify } from './lookup';
import type { Negotiation } from './options';
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
  const { posixAcl = 'never', securityLabel = 'never' } = options;
  const agreement = agree(memory, bodyAt, length, {
    readdirplus: options.readdirplus && context.cache.readdirplus,
    writeback: options.writeback,
    posixAcl: posixAcl !== 'never',
    securityContext: securityLabel !== 'never',
    killpriv: options.killprivV2 === true,
    mmap: options.allowMmap === true,
  });
  // A guest that was reset sends no DESTROY: INIT begins from nothing.
  if (context.initialized) endSession(context);
  context.posixAcl = has(agreement, InitBit.POSIX_ACL);
  context.securityContexts = has(agreement, InitBit.SECURITY_CTX);
  const refused =
    !(context.posixAcl || canGoWithout(context, posixAcl, '--posix-acl')) ||
    !(context.securityContexts || canGoWithout(context, securityLabel, '--security-label'));
  if (refused) return -EPROTO;
  if (options.killprivV2 === true && !has(agreement, InitBit.HANDLE_KILLPRIV_V2)) {
    log('warn', 'The peer does not know --killpriv-v2: it is not used.');
  }
  const result = insertRoot(context, rootFd);
  if (result < 0) return result;
  context.submounts = options.announceSubmounts && has(agreement, InitBit.SUBMOUNTS);
  context.suppGroups = has(agreement, InitBit.CREATE_SUPP_GROUP);
  context.writeback = has(agreement, InitBit.WRITEBACK_CACHE);
  context.initialized = true;
  writeInitOut(memory, BODY, agreement);
  return INIT_OUT;
}

/** Whether a session may begin although the peer does not offer what an option asks for. */
function canGoWithout(context: Context, wanted: Negotiation, option: string): boolean {
  if (wanted === 'always') {
    context.log('error', `The peer does not offer what ${option} needs: the mount fails.`);
  } else if (wanted === 'auto') {
    context.log('warn', `The peer does not offer what ${option} needs: it is not used.`);
  }
  return wanted !== 'always';
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
    if (!hasRoom(context)) return -ENFILE;
    const fd = reopen(native, context.view, rootFd, O_PATH);
    if (fd < 0) return fd;
    i32[(RECORD + RECORD_FD) >> 2] = fd;
  }
  identify(context, RECORD, trace);
  const { candidate } = trace;
  if (candidate.handleLength !== NO_HANDLE) {
    const fd = context.mountFds.acquire(candidate.mntId);
    if (fd < 0) return fd;
  }
  reportVolume(context, candidate.mntId, rootFd, null);
  tables.insertRoot(candidate);
  context.recorder.init(candidate);
  return 0;
}
