/** virtio-fs daemons to talk to: the one of this tree, and virtiofsd in C and in Rust. */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { CacheMode, HandleMode } from '../../daemon/passthrough/options';
import { Frontend } from './frontend';
import { native, root } from './native';
import { Message } from './vhostUser';
import type { VmmOptions } from './vmm';
import { Vmm } from './vmm';

export type DaemonKind = 'ours' | 'c' | 'rust';

/** What all three can be told. */
export interface DaemonOptions {
  /** 'never' when left out; the C daemon knows nothing else. */
  readonly handles?: HandleMode;
  /** 'auto' when left out; 'never' is called none by the C daemon. */
  readonly cache?: CacheMode;
  readonly xattr?: boolean;
  readonly readonly?: boolean;
  readonly writeback?: boolean;
  readonly posixAcl?: boolean;
  readonly killpriv?: boolean;
  readonly readdirplus?: boolean;
  readonly xattrmap?: string;
  /** Whether our daemon has its inspector. */
  readonly inspector?: boolean;
  /** Further options, in the daemon's own words. */
  readonly more?: readonly string[];
  /** A program before the daemon's, such as taskset. */
  readonly under?: readonly string[];
  /** Where our daemon's program is, when it is not the one in dist. */
  readonly program?: string;
  /** Hand over a listening socket instead of a path. */
  readonly byFd?: boolean;
  readonly sandbox?: 'none' | 'chroot' | 'namespace';
  /** 'none' when left out; the C daemon always has its filter. */
  readonly seccomp?: 'none' | 'kill';
  /** Listen there instead of in a folder of its own. */
  readonly socketPath?: string;
  /** Run as this user and group, without any rights. */
  readonly user?: number;
}

/** scripts/peers.mjs installs them. */
const C_DAEMON = '/usr/lib/qemu/virtiofsd';
const RUST_DAEMON = path.join(root, '.cache/virtiofsd/bin/virtiofsd');

/** A daemon that waits for its VMM or serves it. */
export interface Daemon {
  readonly kind: DaemonKind;
  readonly shared: string;
  readonly socketPath: string;
  readonly pid: number;
  /** What it has said so far. */
  log(): string;
  /** Connects as soon as the daemon listens. The rings are not started. */
  vmm(options?: VmmOptions): Promise<Vmm>;
  /** Connects and starts the rings; INIT is not sent. */
  connect(options?: VmmOptions): Promise<Frontend>;
  /** Open descriptors. */
  descriptors(): string[];
  /** Waits for its end. @returns the exit status, or the signal's name */
  ended(): Promise<number | string>;
  /** SIGTERM, and waits. */
  stop(): Promise<number | string>;
}

const running = new Set<Daemon>();
const children = new Map<ChildProcess, string>();

process.once('exit', () => {
  for (const [child, folder] of children) {
    child.kill('SIGKILL');
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

/** Ends what was left running: for afterEach. */
export async function stopDaemons(): Promise<void> {
  await Promise.all([...running].map((daemon) => daemon.stop()));
}

function flag(on: boolean | undefined, ...words: string[]): string[] {
  return on === true ? words : [];
}

function oursOrRust(options: DaemonOptions, shared: string): string[] {
  return [
    ...['--shared-dir', shared, `--sandbox=${options.sandbox ?? 'none'}`],
    `--seccomp=${options.seccomp ?? 'none'}`,
    `--inode-file-handles=${options.handles ?? 'never'}`,
    `--cache=${options.cache ?? 'auto'}`,
    ...flag(options.xattr, '--xattr'),
    ...flag(options.readonly, '--readonly'),
    ...flag(options.writeback, '--writeback'),
    ...flag(options.posixAcl, '--posix-acl'),
    ...flag(options.killpriv, '--killpriv-v2'),
    ...flag(options.readdirplus === false, '--no-readdirplus'),
    ...(options.xattrmap === undefined ? [] : [`--xattrmap=${options.xattrmap}`]),
    ...(options.more ?? []),
  ];
}

function commandOf(kind: DaemonKind, shared: string, options: DaemonOptions): string[] {
  switch (kind) {
    case 'ours':
      return [
        process.execPath,
        options.program ?? path.join(root, 'dist/daemon/cli.js'),
        ...['serve', '--log-level=warn', ...flag(options.inspector !== true, '--no-inspect')],
        ...oursOrRust(options, shared),
      ];
    case 'rust':
      return [RUST_DAEMON, ...oursOrRust(options, shared)];
    case 'c': {
      const cache = options.cache ?? 'auto';
      const words = [
        `source=${shared},sandbox=chroot,cache=${cache === 'never' ? 'none' : cache}`,
        options.xattr === true ? 'xattr' : 'no_xattr',
        options.writeback === true ? 'writeback' : 'no_writeback',
        options.posixAcl === true ? 'posix_acl' : 'no_posix_acl',
        options.killpriv === true ? 'killpriv_v2' : 'no_killpriv_v2',
        options.readdirplus === false ? 'no_readdirplus' : 'readdirplus',
        ...flag(options.xattrmap !== undefined, `xattrmap=${options.xattrmap ?? ''}`),
        'announce_submounts',
      ];
      // --thread-pool-size=0 serves in the ring's thread, as the other two do.
      return [
        C_DAEMON,
        '-o',
        words.join(','),
        '--thread-pool-size=0',
        '-f',
        ...(options.more ?? []),
      ];
    }
  }
}

/** Starts a daemon on a directory. */
export function startDaemon(kind: DaemonKind, shared: string, options: DaemonOptions = {}): Daemon {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'frontend-'));
  const socketPath = options.socketPath ?? path.join(folder, 'sock');
  const logPath = path.join(folder, 'log');
  if (options.user !== undefined) fs.chownSync(folder, options.user, options.user);
  // A file, not a pipe: nobody has to read while a test waits for something else.
  const log = fs.openSync(logPath, 'w');
  const listener = options.byFd === true ? native.listenUnix(socketPath) : null;
  const command = [
    ...(options.under ?? []),
    ...commandOf(kind, shared, options),
    listener === null ? `--socket-path=${socketPath}` : '--fd=3',
  ];
  const child = spawn(command[0] ?? '', command.slice(1), {
    stdio: ['ignore', log, log, ...(listener === null ? [] : [listener])],
    ...(options.user === undefined ? {} : { uid: options.user, gid: options.user }),
  });
  fs.closeSync(log);
  if (listener !== null) native.closeFd(listener);
  const end = endOf(child);
  const readLog = () => fs.readFileSync(logPath, 'utf8');
  const pid = child.pid ?? 0;

  const daemon: Daemon = {
    kind,
    shared,
    socketPath,
    pid,
    log: readLog,
    async vmm(given) {
      const limit = Date.now() + 20_000;
      for (;;) {
        try {
          return await Vmm.connect(socketPath, given);
        } catch (error) {
          const early = error instanceof Error && /ENOENT|ECONNREFUSED/.test(error.message);
          if (!early) throw error;
          if (child.exitCode !== null || child.signalCode !== null || Date.now() > limit) {
            throw new Error(`The ${kind} daemon does not listen: ${readLog()}`, { cause: error });
          }
        }
        // There is nothing to wait on before a daemon listens.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    async connect(given) {
      const guest = await Frontend.start(await daemon.vmm(given));
      // The Rust virtiofsd drops a kick that comes between SET_VRING_KICK and SET_VRING_ENABLE
      // (fixed in vhost-user-backend 0.22); once it answers this, it has read both.
      if (kind === 'rust') await guest.vmm.ask(Message.GET_FEATURES);
      return guest;
    },
    descriptors: () =>
      fs.readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try {
          return `${fd} ${fs.readlinkSync(`/proc/${pid}/fd/${fd}`)}`;
        } catch {
          return `${fd} closed meanwhile`;
        }
      }),
    ended: () => end,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      return end;
    },
  };
  running.add(daemon);
  void end.then(() => {
    running.delete(daemon);
  });
  children.set(child, folder);
  return daemon;
}

async function endOf(child: ChildProcess): Promise<number | string> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return code ?? signal ?? 'unknown';
}
