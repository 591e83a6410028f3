/**
 * A daemon in two processes. The launcher is what was started: it stays outside, has made the
 * sockets and files that the world sees, and takes them away at the end. Its child serves, confined.
 *
 * They share one socket and say nothing over it: its end is the message. When the launcher closes
 * its side the child stops serving; when the child's side closes it has ended.
 */

import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Addon } from '../../native/index';
import type { Confinement } from '../options/confinementOptions';
import type { Inherited } from './confinedProgram';
import { confinedProgram } from './confinedProgram';
import { confinementError } from './failure';
import { mapIds } from './idMaps';

// linux/sched.h
const CLONE_NEWNS = 0x00020000;
const CLONE_NEWUSER = 0x10000000;
const CLONE_NEWPID = 0x20000000;
const CLONE_NEWNET = 0x40000000;

export interface Child {
  /** Its exit status, or a sentence about how it came to another end. */
  readonly ended: Promise<{ readonly status: number } | { readonly failure: string }>;
  /** Asks it to stop serving; asked again, ends it. */
  readonly stop: () => void;
}

/**
 * Starts a child with the share as its root.
 *
 * @param capabilities what it may have, a mask
 * @param told its descriptors become the child's, which has `link` as well; the caller closes its own
 * @throws Error that says why that is not possible here, and what to do
 */
export function startChild<Start>(
  native: Addon,
  confinement: Confinement,
  sharedDir: string,
  capabilities: bigint,
  told: Inherited<Start>,
): Child {
  const root = process.geteuid?.() === 0;
  const pair = native.socketPair();
  if (typeof pair === 'number') throw new Error(`No sockets can be made (errno ${-pair}).`);
  const [link, childLink] = pair;
  const chroot = confinement.sandbox === 'chroot';
  const program = confinedProgram(
    native,
    { start: told.start, descriptors: { ...told.descriptors, link: childLink } },
    {
      namespaces: chroot
        ? 0
        : CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | (root ? 0 : CLONE_NEWUSER),
      root: chroot ? 'chroot' : 'pivot',
      sharedDir,
      capabilities,
    },
  );
  const started = native.startConfined(program);
  if (typeof started === 'number') {
    throw confinementError({ step: 'clone', errno: -started }, root);
  }
  const { pid, socket } = started;
  if (!root) mapOwnIds(native, pid, socket, confinement);
  const failure = native.releaseConfined(socket);
  if (failure !== null) {
    native.waitForChild(pid);
    throw confinementError(failure, root);
  }
  native.closeDescriptor(childLink);
  const [file] = program.descriptors;
  if (file !== undefined) native.closeDescriptor(file);
  return watch(native, pid, link, confinement);
}

function mapOwnIds(native: Addon, pid: number, socket: number, confinement: Confinement): void {
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  try {
    mapIds(pid, confinement.uidMap, confinement.gidMap, own);
  } catch (error) {
    // The child waits for a word: without one it ends.
    native.closeDescriptor(socket);
    native.waitForChild(pid);
    throw error;
  }
}

function watch(native: Addon, pid: number, link: number, confinement: Confinement): Child {
  const socket = new Socket({ fd: link, readable: true, writable: true });
  let asked = false;
  const ended = new Promise<{ status: number } | { failure: string }>((resolve) => {
    // A child that is killed may leave a reset behind instead of an end.
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(endOf(native, pid, confinement)));
    socket.resume();
  });
  return {
    ended,
    stop: () => {
      if (asked) process.kill(pid, 'SIGKILL');
      else socket.end();
      asked = true;
    },
  };
}

function endOf(
  native: Addon,
  pid: number,
  { seccomp }: Confinement,
): { status: number } | { failure: string } {
  const end = native.waitForChild(pid);
  if (typeof end === 'number') return { failure: `The daemon's child is lost (errno ${-end}).` };
  if (end.code !== undefined) return { status: end.code };
  const name =
    Object.entries(constants.signals).find(([, number]) => number === end.signal)?.[0] ??
    `signal ${end.signal ?? 0}`;
  const advice =
    name === 'SIGSYS' && seccomp === 'kill'
      ? ' It made a system call that --seccomp=kill refuses: --seccomp=log serves on and lets the ' +
        "kernel's log tell which, --seccomp=none does without the filter. Please report it."
      : '';
  return { failure: `The process that serves was killed by ${name}.${advice}` };
}

/** In the child: calls `stop` when the launcher wants it to end, or is gone. */
export function stopWithLauncher(link: number, stop: () => void): void {
  const socket = new Socket({ fd: link, readable: true, writable: true, allowHalfOpen: true });
  socket.on('error', () => undefined);
  socket.once('end', stop);
  socket.resume();
  // Serving ends by itself, too, and then nobody waits for the launcher.
  socket.unref();
}
