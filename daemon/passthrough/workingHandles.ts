/** Whether the shared directory's file handles work: virtiofsd's check_working_file_handles. */

import type { Addon } from '../../native/index';
import type { MountFds } from './mountFds';
import type { HandleMode, Log } from './options';

const O_PATH = 0x200000;

export interface WorkingHandles {
  readonly mode: HandleMode;
  /** The call that failed at the start, when handles were asked for and are not used. */
  readonly refused: {
    readonly call: 'name_to_handle_at' | 'open_by_handle_at';
    readonly errno: number;
  } | null;
}

/**
 * Makes and opens the root's handle.
 *
 * @returns the mode to work in: `never` when `prefer` was asked for and handles do not work, and why
 * @throws Error when `mandatory` cannot be kept, or the root's mount cannot be opened
 */
export function workingHandleMode(
  native: Addon,
  mountFds: MountFds,
  rootFd: number,
  sharedDir: string,
  wanted: HandleMode,
  log: Log,
): WorkingHandles {
  if (wanted === 'never') return { mode: 'never', refused: null };
  const handle = native.nameToHandle(rootFd, '');
  if (typeof handle === 'number') {
    const refused = { call: 'name_to_handle_at', errno: -handle } as const;
    return without(wanted, log, `${sharedDir} makes no file handles (errno ${-handle})`, refused);
  }
  const mountFd = mountFds.acquire(handle.mntId);
  if (mountFd < 0) {
    throw new Error(
      `The mount of ${sharedDir} cannot be opened (errno ${-mountFd}), so no file handle can. ` +
        'Use --inode-file-handles=never.',
    );
  }
  const fd = native.openByHandle(mountFd, handle.type, handle.bytes, O_PATH);
  mountFds.release(handle.mntId);
  if (fd < 0) {
    const cause = -fd === 1 ? 'it needs CAP_DAC_READ_SEARCH, that is root' : `errno ${-fd}`;
    const refused = { call: 'open_by_handle_at', errno: -fd } as const;
    return without(
      wanted,
      log,
      `a file handle of ${sharedDir} cannot be opened: ${cause}`,
      refused,
    );
  }
  native.closeDescriptor(fd);
  return { mode: wanted, refused: null };
}

function without(
  wanted: HandleMode,
  log: Log,
  why: string,
  refused: NonNullable<WorkingHandles['refused']>,
): WorkingHandles {
  if (wanted === 'mandatory') {
    throw new Error(`--inode-file-handles=mandatory cannot be kept: ${why}. Use prefer or never.`);
  }
  log('warn', `No file handles are used: ${why}.`);
  return { mode: 'never', refused };
}
