/**
 * The socket at which a virtual machine monitor finds the daemon. As virtiofsd does it: beside the
 * socket stands a file with the daemon's process id, locked as long as the daemon lives, so that two
 * daemons cannot take one path.
 */

import fs from 'node:fs';
import path from 'node:path';
import type { Addon } from '../../native/index';

const EADDRINUSE = 98;
const EAGAIN = 11;
const ENAMETOOLONG = 36;

const OWNER_ONLY = 0o077;
const OWNER_AND_GROUP = 0o007;

/** Where to listen. */
export type VhostUserListen =
  /** `group`: who may connect beside the owner. */
  | { readonly kind: 'path'; readonly path: string; readonly group?: string }
  /** A listening socket that the daemon inherited. */
  | { readonly kind: 'fd'; readonly fd: number };

export interface VhostListener {
  /** The listening socket; whoever serves it closes it. */
  readonly fd: number;
  /** For people. */
  readonly where: string;
  /** Removes the socket and the process id from the file system. */
  close(): void;
}

/** @throws Error with a sentence and advice */
export function listenForVhostUser(native: Addon, listen: VhostUserListen): VhostListener {
  if (listen.kind === 'fd') return inherited(native, listen.fd);
  const point = path.resolve(listen.path);
  const pidFile = lockPidFile(native, `${point}.pid`);
  try {
    const fd = listenAt(native, point, listen.group);
    const made = fs.lstatSync(point);
    return {
      fd,
      where: point,
      close() {
        // Somebody may have put another socket there meanwhile.
        const now = fs.lstatSync(point, { throwIfNoEntry: false });
        if (now?.ino === made.ino && now.dev === made.dev) fs.rmSync(point, { force: true });
        pidFile.remove();
      },
    };
  } catch (error) {
    pidFile.remove();
    throw error;
  }
}

function inherited(native: Addon, fd: number): VhostListener {
  if (native.isListening(fd) !== 1) {
    throw new Error(`Descriptor ${fd} is no listening Unix socket: --fd wants one.`);
  }
  native.setCloseOnExec(fd);
  return { fd, where: `descriptor ${fd}`, close: () => undefined };
}

function listenAt(native: Addon, point: string, group: string | undefined): number {
  const gid = group === undefined ? -1 : native.groupId(group);
  if (group !== undefined && gid < 0) throw new Error(`There is no group ${group}.`);
  const umask = group === undefined ? OWNER_ONLY : OWNER_AND_GROUP;
  // The lock says that whatever socket is there is nobody's.
  if (fs.lstatSync(point, { throwIfNoEntry: false })?.isSocket() === true) fs.rmSync(point);
  const fd = native.listenAt(point, umask, gid);
  if (fd >= 0) return fd;
  if (fd === -EADDRINUSE) {
    throw new Error(`${point} is there already and is no socket: choose another path.`);
  }
  if (fd === -ENAMETOOLONG) {
    throw new Error(`${point} is too long for a socket: choose a path of at most 107 bytes.`);
  }
  throw new Error(`The socket ${point} cannot be made (errno ${-fd}).`);
}

interface PidFile {
  remove(): void;
}

function lockPidFile(native: Addon, file: string): PidFile {
  for (;;) {
    const fd = openPidFile(file);
    const locked = native.lockFile(fd);
    if (locked === -EAGAIN) {
      fs.closeSync(fd);
      throw new Error(`Another daemon serves this socket path: it has locked ${file}.`);
    }
    if (locked < 0) {
      fs.closeSync(fd);
      throw new Error(`${file} cannot be locked (errno ${-locked}).`);
    }
    // A daemon that was just ending may have removed the file that was locked here.
    const held = fs.fstatSync(fd);
    const named = fs.statSync(file, { throwIfNoEntry: false });
    if (named?.ino !== held.ino || named.dev !== held.dev) {
      fs.closeSync(fd);
      continue;
    }
    fs.ftruncateSync(fd);
    fs.writeSync(fd, `${process.pid}\n`);
    return {
      remove() {
        fs.rmSync(file, { force: true });
        fs.closeSync(fd);
      },
    };
  }
}

function openPidFile(file: string): number {
  // In a folder that others write to, a link could make a daemon of root's empty any file.
  const { O_WRONLY, O_CREAT, O_NOFOLLOW } = fs.constants;
  try {
    return fs.openSync(file, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Error(
      `${file} cannot be made (${code}): choose a socket in a folder that can be written to.`,
    );
  }
}
