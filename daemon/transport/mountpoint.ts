/** Whether a directory can be mounted on. */

import { realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Addon } from '../../native/index';
import { mountAt } from './mountTable';

/** What cannot be mounted, and what to do. */
export class MountError extends Error {
  override readonly name = 'MountError';
}

const MNT_DETACH = 2;

/**
 * Checks a mount point and cleans a dead mount off it.
 *
 * @param sharedDir real path of the shared directory
 * @param unmountAsUser lazily unmounts through fusermount3
 * @returns the mount point's real path
 * @throws MountError with advice
 */
export function prepareMountpoint(
  native: Addon,
  wanted: string,
  sharedDir: string,
  unmountAsUser: (point: string) => void,
  log: (text: string) => void,
): string {
  const absolute = path.resolve(wanted);
  try {
    statSync(absolute);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOTCONN') clean(native, absolute, unmountAsUser, log);
    else if (code === 'ENOENT') {
      throw new MountError(`The mount point ${wanted} does not exist: create it (mkdir).`);
    } else throw new MountError(`The mount point ${wanted} cannot be used: ${code}.`);
  }
  const point = realpathSync(absolute);
  if (!statSync(point).isDirectory()) {
    throw new MountError(`The mount point ${wanted} is not a directory.`);
  }
  if (isInside(point, sharedDir)) {
    throw new MountError(
      `The mount point ${wanted} is inside the shared directory ${sharedDir}: the daemon would ` +
        'wait for itself. Mount somewhere else, for example on a new directory in /tmp.',
    );
  }
  if (isInside(sharedDir, point)) {
    throw new MountError(
      `The mount point ${wanted} covers the shared directory ${sharedDir}: the daemon would wait ` +
        'for itself. Mount somewhere else, for example on a new directory in /tmp.',
    );
  }
  return point;
}

function clean(
  native: Addon,
  point: string,
  unmountAsUser: (point: string) => void,
  log: (text: string) => void,
): void {
  const dead = mountAt(point);
  if (dead === undefined || !dead.type.startsWith('fuse')) {
    throw new MountError(
      `${point} answers "not connected" and is no FUSE mount: unmount it first.`,
    );
  }
  log(`A dead mount of ${dead.source} was found on ${point} and is removed.`);
  if (process.geteuid?.() === 0) {
    const result = native.unmount(point, MNT_DETACH);
    if (result < 0) throw new MountError(`It could not be removed (errno ${-result}).`);
  } else {
    unmountAsUser(point);
  }
}

/** Whether `inner` is `outer` or lies below it; both are real paths. */
export function isInside(inner: string, outer: string): boolean {
  if (inner === outer) return true;
  return inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
