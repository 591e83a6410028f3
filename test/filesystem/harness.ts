/** The daemon of this tree on a fresh file system, for real programs to work on. */

import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { HandleMode } from '../../daemon/passthrough/options';
import { bundleDaemon } from '../../scripts/build.mjs';
import { makeFileSystem, newFolder, run } from '../scenarios/share';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

let program: Promise<string> | null = null;

/** The daemon of this tree, built once a process. */
export function daemonProgram(): Promise<string> {
  const outdir = path.join(root, 'out', `filesystem-${process.pid}`);
  if (program === null) process.once('exit', () => fs.rmSync(outdir, { recursive: true }));
  program ??= bundleDaemon(outdir);
  return program;
}

/** A program's end. */
export interface Done {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

// bash -e looks over a failing "! command", so refusals have their own word.
const PRELUDE = `
refused() { if "$@"; then echo "not refused: $*" >&2; exit 1; fi; }
`;

/**
 * Runs a shell script in the mount, to its first failing command. $S is the shared directory, $M
 * the mount point; "refused COMMAND" wants the command to fail.
 */
export function shell(share: Pick<Share, 'shared' | 'mount'>, script: string): Done {
  const done = spawnSync('bash', ['-e', '-u', '-o', 'pipefail', '-c', PRELUDE + script], {
    cwd: share.mount,
    env: { ...process.env, S: share.shared, M: share.mount, LC_ALL: 'C.UTF-8', HOME: '/root' },
    encoding: 'utf8',
    timeout: 110_000,
  });
  return { status: done.status, stdout: done.stdout, stderr: done.stderr };
}

/** Runs a script that must succeed; returns what it printed. */
export function must(share: Pick<Share, 'shared' | 'mount'>, script: string): string {
  const done = shell(share, script);
  if (done.status !== 0) {
    throw new Error(`Exit status ${String(done.status)}: ${done.stderr}${done.stdout}`);
  }
  return done.stdout.trim();
}

export interface ShareOptions {
  readonly handles: HandleMode;
  /** Further options of `serve`. */
  readonly more?: readonly string[];
  /** Share this directory instead of a new one. */
  readonly shared?: string;
  /** Mount here instead of on a new directory. */
  readonly mount?: string;
}

/** A directory served on a mount point. */
export interface Share {
  readonly shared: string;
  readonly mount: string;
  readonly pid: number;
  /** The daemon's stderr so far. */
  readonly log: readonly string[];
  /** SIGTERM; resolves to the exit status. */
  stop(): Promise<number | null>;
  /** Waits until the daemon has ended by itself. @returns the exit status */
  ended(): Promise<number | null>;
  /** kill -9. */
  kill(): Promise<void>;
  /** Stops reading the daemon's stderr, as a terminal does that is closed. */
  deafen(): void;
  /** Open descriptors of the daemon. */
  descriptors(): number;
}

let counter = 0;
let fileSystem: Promise<string> | null = null;

/** One roomy ext4 for all shares of a test file: file handles work there wherever tests run. */
export function ext4(): Promise<string> {
  fileSystem ??= makeFileSystem('tmpfs').then((tmpfs) => {
    const point = path.join(path.dirname(tmpfs), 'roomy');
    fs.mkdirSync(point);
    fs.writeFileSync(`${point}.img`, '');
    fs.truncateSync(`${point}.img`, 2 ** 30);
    run('mkfs.ext4', ['-q', '-N', '65536', `${point}.img`]);
    run('mount', ['-o', 'loop', `${point}.img`, point]);
    return point;
  });
  return fileSystem;
}

const running = new Set<Share>();

/** Ends what tests left running. */
export async function stopAll(): Promise<void> {
  for (const share of [...running]) await share.kill();
}

/** @throws Error with the daemon's own words when it does not start */
export async function serve(options: ShareOptions): Promise<Share> {
  const host = await ext4();
  const shared = options.shared ?? newFolder(host);
  const mount = options.mount ?? path.join(path.dirname(host), `guest-${counter++}`);
  if (options.mount === undefined) fs.mkdirSync(mount);
  const child = spawn(
    process.execPath,
    [
      await daemonProgram(),
      'serve',
      ...['--shared-dir', shared, '--mount', mount],
      ...['--inode-file-handles', options.handles],
      ...(options.more ?? []),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const log: string[] = [];
  await started(child, log);
  const share = makeShare(child, shared, mount, log);
  running.add(share);
  return share;
}

async function started(child: ChildProcess, log: string[]): Promise<void> {
  if (child.stderr === null) throw new Error('The daemon has no stderr.');
  const lines = createInterface({ input: child.stderr });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      log.push(line);
      if (line.includes('Serving ')) resolve();
    });
    child.once('error', reject);
    lines.once('close', () => {
      reject(new Error(`The daemon did not start: ${log.join('\n')}`));
    });
  });
}

function makeShare(child: ChildProcess, shared: string, mount: string, log: string[]): Share {
  const exited = once(child, 'exit');
  const pid = child.pid ?? 0;
  const share: Share = {
    shared,
    mount,
    pid,
    log,
    async stop() {
      child.kill('SIGTERM');
      return share.ended();
    },
    async ended() {
      running.delete(share);
      await exited;
      return child.exitCode;
    },
    async kill() {
      running.delete(share);
      child.kill('SIGKILL');
      await exited;
    },
    deafen: () => child.stderr?.destroy(),
    descriptors: () => fs.readdirSync(`/proc/${pid}/fd`).length,
  };
  return share;
}
