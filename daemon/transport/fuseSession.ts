/**
 * Sessions over /dev/fuse: mounting on this host, serving, unmounting.
 *
 * Mounting and unmounting belong to the main thread, serving to a worker, which blocks. A file
 * system must never be touched by the thread that serves it, and an unmount that waits must not
 * keep the serving thread from answering.
 */

import { spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { REPLY, RESULT_REPLY_ERRNO } from '../../native/index';
import type { Addon } from '../../native/index';
import type { RequestHandler } from '../fuse/dataChannel';
import { guardMount } from './mountGuard';
import { mountAt } from './mountTable';
import { MountError, prepareMountpoint } from './mountpoint';
import { serveTurns } from './turns';

const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_RDONLY = 1;
const MNT_DETACH = 2;
const O_RDWR = 2;
const ENODEV = 19;
const ECONNABORTED = 103;
const ECANCELED = 125;
const EINVAL = 22;

const SUBTYPE = 'virtiofsd-inspector';

export interface MountOptions {
  readonly sharedDir: string;
  readonly mountpoint: string;
  /** Lets other users in; always so as root. */
  readonly allowOther: boolean;
  readonly readonly: boolean;
}

export interface FuseMount {
  /** Real path of the mount point. */
  readonly point: string;
  /** /dev/fuse of this session, for `serve`. */
  readonly fuseFd: number;
  /** Signalling it (`signalEvent`) makes `serve` call its `onControl`. */
  readonly controlFd: number;
  /**
   * Unmounts. A mount in use is detached: it disappears from the tree now, and its last user keeps
   * what is open until the daemon ends.
   *
   * @returns a sentence when the mount was busy or somebody else had unmounted it; else nothing
   */
  unmount(): Promise<string | undefined>;
  /** Closes the descriptors; only after `serve` has come back. */
  close(): void;
}

/**
 * Mounts the session.
 *
 * @throws MountError with advice
 */
export function mountFuse(
  native: Addon,
  options: MountOptions,
  log: (text: string) => void,
): FuseMount {
  const sharedDir = realpathSync(options.sharedDir);
  const asRoot = process.geteuid?.() === 0;
  const point = prepareMountpoint(native, options.mountpoint, sharedDir, unmountAsUser, log);
  const fuseFd = asRoot
    ? mountAsRoot(native, point, sharedDir, options)
    : mountAsUser(native, point, sharedDir, options);
  const controlFd = native.createEvent();
  const ready = native.setNonblocking(fuseFd);
  const mounted = mountAt(point);
  if (ready < 0 || controlFd < 0 || mounted === undefined) {
    native.closeDescriptor(fuseFd);
    throw new MountError(`The session on ${point} cannot be set up.`);
  }
  const lazily = asRoot ? ['umount', '-l', point] : ['fusermount3', '-u', '-z', '--', point];
  const guard = guardMount(mounted, lazily, log);
  return {
    point,
    fuseFd,
    controlFd,
    async unmount() {
      const ours = mountAt(point)?.id === mounted.id;
      const ended = ours ? detach(native, point, asRoot) : ALREADY_GONE;
      await guard.dismiss();
      // A detached mount lives on for those who are inside it, and would keep `serve` waiting.
      if (ended.busy) native.stopEvent(controlFd);
      return ended.said;
    },
    close() {
      native.closeDescriptor(fuseFd);
      native.closeDescriptor(controlFd);
    },
  };
}

function mountAsRoot(
  native: Addon,
  point: string,
  sharedDir: string,
  options: MountOptions,
): number {
  const fd = native.openPath('/dev/fuse', O_RDWR);
  if (fd < 0) {
    throw new MountError(`/dev/fuse cannot be opened (errno ${-fd}): load the fuse module.`);
  }
  const data = `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`;
  const flags = MS_NOSUID | MS_NODEV | (options.readonly ? MS_RDONLY : 0);
  const result = native.mount(sharedDir, point, `fuse.${SUBTYPE}`, flags, data);
  if (result < 0) {
    native.closeDescriptor(fd);
    throw new MountError(`Mounting on ${point} was refused (errno ${-result}).`);
  }
  return fd;
}

/** The way of fuse(8) for ordinary users: fusermount3 mounts and sends the descriptor back. */
function mountAsUser(
  native: Addon,
  point: string,
  sharedDir: string,
  options: MountOptions,
): number {
  const sockets = native.socketPair();
  if (typeof sockets === 'number') throw new MountError(`No socket (errno ${-sockets}).`);
  const [ours, theirs] = sockets;
  try {
    const wanted = [
      // Commas and backslashes separate options.
      `fsname=${sharedDir.replace(/[\\,]/g, '\\$&')}`,
      `subtype=${SUBTYPE}`,
      'default_permissions',
      ...(options.allowOther ? ['allow_other'] : []),
      ...(options.readonly ? ['ro'] : []),
    ];
    const done = spawnSync('fusermount3', ['-o', wanted.join(','), '--', point], {
      stdio: ['ignore', 'ignore', 'pipe', theirs],
      env: { ...process.env, _FUSE_COMMFD: '3' },
      encoding: 'utf8',
    });
    if (done.error !== undefined) {
      throw new MountError(
        `fusermount3 cannot be run (${done.error.message}): install fuse3, or run as root.`,
      );
    }
    if (done.status !== 0) {
      const said = done.stderr.trim();
      const advice = said.includes('allow_other')
        ? ' Leave out --allow-other, or enable user_allow_other in /etc/fuse.conf.'
        : '';
      throw new MountError(`fusermount3 refused to mount on ${point}: ${said}.${advice}`);
    }
    const fd = native.receiveDescriptor(ours);
    if (fd < 0) throw new MountError(`fusermount3 sent no descriptor (errno ${-fd}).`);
    return fd;
  } finally {
    native.closeDescriptor(ours);
    native.closeDescriptor(theirs);
  }
}

function unmountAsUser(point: string): void {
  const done = spawnSync('fusermount3', ['-u', '-z', '--', point], { encoding: 'utf8' });
  if (done.status !== 0) {
    throw new MountError(`${point} cannot be unmounted: ${sentenceOf(done)}.`);
  }
}

function sentenceOf(done: SpawnSyncReturns<string>): string {
  return done.error === undefined ? done.stderr.trim() : done.error.message;
}

/** How a mount ended. */
interface Unmounted {
  readonly busy: boolean;
  readonly said: string | undefined;
}

const ALREADY_GONE: Unmounted = { busy: false, said: undefined };

function detach(native: Addon, point: string, asRoot: boolean): Unmounted {
  const busy = {
    busy: true,
    said: `${point} was in use: it is detached, and what is open there fails from now on.`,
  };
  if (asRoot) {
    const result = native.unmount(point, 0);
    if (result === 0 || result === -EINVAL) return ALREADY_GONE;
    const lazy = native.unmount(point, MNT_DETACH);
    if (lazy < 0) return { busy: true, said: `${point} cannot be unmounted (errno ${-lazy}).` };
    return busy;
  }
  if (spawnSync('fusermount3', ['-u', '--', point], { stdio: 'ignore' }).status === 0) {
    return ALREADY_GONE;
  }
  try {
    unmountAsUser(point);
  } catch (error) {
    return { busy: true, said: error instanceof Error ? error.message : String(error) };
  }
  return busy;
}

/** Why `serve` came back. */
export type Ended = 'unmounted' | 'stopped';

/**
 * Answers requests until the mount is gone or `FuseMount.stop` was called. Blocks the calling
 * thread.
 *
 * @param onControl called when the control descriptor was signalled; true goes on serving
 * @throws Error when the device fails in a way that no later request can mend
 */
export function serve(
  native: Addon,
  fuseFd: number,
  controlFd: number,
  handler: RequestHandler,
  log: (text: string) => void,
  onControl: () => boolean = () => false,
): Ended {
  const { i32 } = handler.memory;
  const data = {
    sendFile: (fd: number, offsetAt: number, size: number, uniqueAt: number) =>
      native.sendFile(fuseFd, fd, offsetAt, size, uniqueAt),
    writeFile: (fd: number, dataAt: number, size: number, offsetAt: number, append: boolean) =>
      native.writeFile(fd, dataAt, size, offsetAt, append ? 1 : 0),
  };
  return serveTurns<Ended>(native, handler, data, {
    receive: () => native.receive(fuseFd, controlFd),
    answer: (length) => {
      if (length > 0) native.reply(fuseFd, REPLY, length);
    },
    answerAndReceive: (length) =>
      length > 0
        ? native.replyReceive(fuseFd, controlFd, REPLY, length)
        : native.receive(fuseFd, controlFd),
    received: () => {
      const refused = i32[RESULT_REPLY_ERRNO >> 2] ?? 0;
      if (refused === 0) return;
      i32[RESULT_REPLY_ERRNO >> 2] = 0;
      log(`The kernel refused a reply (errno ${refused}); its caller got an error.`);
    },
    other: (received) => {
      if (received === 0) return onControl() ? null : 'stopped';
      // ECONNABORTED: somebody wrote to the connection's "abort" file in /sys/fs/fuse.
      if (received === -ENODEV || received === -ECONNABORTED) return 'unmounted';
      if (received === -ECANCELED) return 'stopped';
      throw new Error(`Reading /dev/fuse failed (errno ${-received}).`);
    },
  });
}
