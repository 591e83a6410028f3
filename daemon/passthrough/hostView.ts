/**
 * How this process sees the host. A sandbox takes paths out of sight and changes what others mean;
 * what is needed of /proc is kept open then.
 */

import { readFileSync, readSync } from 'node:fs';
import type { Addon, SandboxDescriptors } from '../../native/index';

export interface HostView {
  /** The shared directory, as this process has to name it. */
  readonly root: string;
  /** Null: /proc is in sight. */
  readonly proc: SandboxDescriptors | null;
  /** What mountinfo puts before each path that is in sight; empty: nothing. */
  readonly prefix: string;
}

export function unconfinedView(sharedDir: string): HostView {
  return { root: sharedDir, proc: null, prefix: '' };
}

/** Opens what a descriptor stands for once more: a new descriptor, or -errno. */
export function reopen(native: Addon, { proc }: HostView, fd: number, flags: number): number {
  return proc === null
    ? native.openPath(`/proc/self/fd/${fd}`, flags)
    : native.openPath(String(fd), flags, proc.procSelfFd);
}

/**
 * Where a mount is, for this process: field 5 of the mountinfo line whose field 1 is the id
 * (proc(5)), as bytes, the octal escapes decoded. Undefined: there is no such mount.
 */
export function mountPointOf(view: HostView, mntId: number): Buffer | undefined {
  const { prefix } = view;
  const start = `${mntId} `;
  for (const line of readMountInfo(view).split('\n')) {
    if (!line.startsWith(start)) continue;
    const escaped = line.split(' ')[4];
    if (escaped === undefined) continue;
    const before = Buffer.from(prefix).toString('latin1');
    return Buffer.from(inSight(decodeOctal(escaped), before), 'latin1');
  }
  return undefined;
}

/** The ids of all mounts that this process has. */
export function mountIds(view: HostView): ReadonlySet<number> {
  const lines = readMountInfo(view).split('\n');
  return new Set(lines.filter((line) => line !== '').map((line) => parseInt(line, 10)));
}

/** mountinfo as it is now; latin1 keeps every byte of a path as one character. */
export function readMountInfo({ proc }: HostView): string {
  return proc === null
    ? readFileSync('/proc/self/mountinfo', 'latin1')
    : readFromStart(proc.mountInfoFd);
}

/** The kernel writes space, tab, newline and backslash as \ooo. */
export function decodeOctal(escaped: string): string {
  return escaped.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}

/** A mount that begins above the root is seen as the root. */
function inSight(point: string, prefix: string): string {
  if (prefix === '') return point;
  return point.startsWith(`${prefix}/`) ? point.slice(prefix.length) : '/';
}

/** The file as it is now: mountinfo changes behind its descriptor. Two threads may read at once. */
function readFromStart(fd: number): string {
  const parts: Buffer[] = [];
  for (let position = 0; ;) {
    const part = Buffer.allocUnsafe(16_384);
    const length = readSync(fd, part, 0, part.length, position);
    if (length === 0) return Buffer.concat(parts).toString('latin1');
    parts.push(part.subarray(0, length));
    position += length;
  }
}
