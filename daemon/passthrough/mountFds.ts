/**
 * Descriptors on the mounts whose handles are in use: open_by_handle_at(2) wants one. A mount's
 * descriptor is made from /proc/self/mountinfo when its first handle entry is made, and closed with
 * the last one. Unlike virtiofsd, the mount point's octal escapes are decoded (proc(5)).
 */

import type { Addon } from '../../native/index';
import { EINVAL, EIO } from './errno';
import type { HostView } from './hostView';
import { mountPointOf, reopen } from './hostView';
import type { Log } from './options';

interface MountFd {
  readonly fd: number;
  /** Handle entries on this mount. */
  users: number;
}

const O_PATH = 0x200000;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

export class MountFds {
  readonly #native: Addon;
  readonly #log: Log;
  readonly #view: HostView;
  readonly #mounts = new Map<number, MountFd>();
  readonly #complained = new Set<number>();

  constructor(native: Addon, log: Log, view: HostView) {
    this.#native = native;
    this.#log = log;
    this.#view = view;
  }

  /**
   * Counts one more handle entry on a mount and makes its descriptor when it is the first.
   *
   * @returns the descriptor, or -errno
   */
  acquire(mntId: number): number {
    const known = this.#mounts.get(mntId);
    if (known !== undefined) {
      known.users++;
      return known.fd;
    }
    const fd = this.#open(mntId);
    if (fd >= 0) this.#mounts.set(mntId, { fd, users: 1 });
    return fd;
  }

  /** One handle entry less. */
  release(mntId: number): void {
    const mount = this.#mounts.get(mntId);
    if (mount === undefined) return;
    mount.users--;
    if (mount.users > 0) return;
    this.#mounts.delete(mntId);
    this.#native.closeDescriptor(mount.fd);
  }

  /** The descriptor of a mount that has handle entries; -1 for others. */
  fd(mntId: number): number {
    return this.#mounts.get(mntId)?.fd ?? -1;
  }

  closeAll(): void {
    for (const mount of this.#mounts.values()) this.#native.closeDescriptor(mount.fd);
    this.#mounts.clear();
  }

  #open(mntId: number): number {
    const point = mountPointOf(this.#view, mntId);
    if (point === undefined) {
      return this.#failed(mntId, EINVAL, 'it is not in /proc/self/mountinfo (unmounted?)');
    }
    const shown = point.toString();
    const path = this.#native.openPath(point, O_PATH);
    if (path < 0) return this.#failed(mntId, -path, `its mount point ${shown} cannot be opened`);
    try {
      const identity = this.#native.identify(path, '');
      if (typeof identity === 'number') {
        return this.#failed(mntId, -identity, `its mount point ${shown} cannot be examined`);
      }
      if (identity.mntId !== mntId) {
        return this.#failed(mntId, EIO, `another mount now covers ${shown}`);
      }
      const type = identity.mode & S_IFMT;
      if (type !== S_IFDIR && type !== S_IFREG) {
        return this.#failed(mntId, EIO, `${shown} is neither a directory nor a regular file`);
      }
      const fd = reopen(this.#native, this.#view, path, 0);
      return fd < 0 ? this.#failed(mntId, -fd, `${shown} cannot be opened for reading`) : fd;
    } finally {
      this.#native.closeDescriptor(path);
    }
  }

  /** Says it once per mount: every lookup there will fail. */
  #failed(mntId: number, errno: number, why: string): number {
    if (!this.#complained.has(mntId)) {
      this.#complained.add(mntId);
      this.#log(
        'warn',
        `File handles on mount ${mntId} cannot be opened: ${why} (errno ${errno}). ` +
          'Lookups there fail; share a directory above it or use --inode-file-handles=never.',
      );
    }
    return -errno;
  }
}
