/** How operations reach inodes: filling the slots that native calls take. */

import { RESULT_FAILED_SLOT } from '../../native/index';
import type { Nodeid } from '../tables/identity';
import type { Context } from './context';
import { EBADF } from './errno';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

/**
 * Describes an entry to the native side.
 *
 * @returns 0, or -EBADF when the guest names a node id that is not in the tables (virtiofsd's
 *   answer, too), or what a debugger wants to happen when its handle is opened
 */
export function refer(context: Context, slot: number, nodeid: Nodeid): number {
  const result = describe(context, slot, nodeid);
  const { gate, memory } = context;
  if (!gate.armed || result < 0 || (memory.i32[slot >> 2] ?? -1) >= 0) return result;
  const errno = gate.faultOf('open_by_handle_at', nodeid);
  if (errno === 0) return 0;
  context.recorder.openByHandleFailed(nodeid, errno);
  return -errno;
}

/** The same, without a debugger's faults. */
export function describe(context: Context, slot: number, nodeid: Nodeid): number {
  const { tables } = context;
  const { i32 } = context.memory;
  const word = slot >> 2;
  const fd = tables.fdOf(nodeid);
  i32[word] = fd;
  if (fd >= 0) return 0;
  if (!tables.copyHandle(nodeid, i32, word + 2)) return -EBADF;
  i32[word + 1] = context.mountFds.fd(tables.mntIdOf(nodeid));
  return 0;
}

/**
 * Passes on the result of a native call that used a slot, and reports when the slot's handle could
 * not be opened.
 */
export function reported(context: Context, result: number, slot: number, nodeid: Nodeid): number {
  if (result < 0) {
    const { i32 } = context.memory;
    if (i32[RESULT_FAILED_SLOT >> 2] === slot) {
      i32[RESULT_FAILED_SLOT >> 2] = -1;
      context.recorder.openByHandleFailed(nodeid, -result);
    }
  }
  return result;
}

/** The same for a call with two slots. */
export function reportedOfTwo(
  context: Context,
  result: number,
  slotA: number,
  nodeA: Nodeid,
  slotB: number,
  nodeB: Nodeid,
): number {
  return reported(context, reported(context, result, slotA, nodeA), slotB, nodeB);
}

export function isRegular(context: Context, nodeid: Nodeid): boolean {
  return (context.tables.modeOf(nodeid) & S_IFMT) === S_IFREG;
}

/** Whether an entry may be opened on the host: opening a FIFO blocks, opening a device acts. */
export function isOpenable(context: Context, nodeid: Nodeid): boolean {
  const type = context.tables.modeOf(nodeid) & S_IFMT;
  return type === S_IFREG || type === S_IFDIR;
}
