/**
 * Targets P1, P2, P3: programs on the mount, beside a C++ pass-through daemon in the same run.
 *
 *     npm run bench -- mount [PASSTHROUGH_HP] [rounds]
 *
 * PASSTHROUGH_HP is the program built from libfuse's example/passthrough_hp.cc; without it only our
 * own variants are measured. Each measurement has a fresh mount, so that lookups are cold; the
 * order is interleaved, the program and the daemon's serving thread share one pinned processor; the
 * medians are printed. On both sides the kernel may keep attributes, entries and writes, as
 * passthrough_hp asks for by itself. Needs root.
 */

import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { benchRoot, median, table } from './measure';

/** passthrough_hp holds a descriptor for each, and containers often allow 20,000. */
const FILES = 15_000;
const DATA = 256 * 1024 * 1024;
const METADATA = ['stat', 'find', 'create', 'unlink', 'open'] as const;
const DATA_WORK = [
  'read1m',
  'read4k',
  'read4k-random',
  'write1m',
  'write4k',
  'write4k-random',
] as const;
const OPERATIONS: Readonly<Record<string, number>> = { create: 5_000, unlink: 5_000 };

interface Contender {
  readonly name: string;
  readonly start: (share: string, mount: string) => Promise<() => Promise<void>>;
}

const cli = path.join(benchRoot(), 'dist/daemon/cli.js');

function ours(name: string, extra: readonly string[], followed = false): Contender {
  return {
    name,
    start: async (share, mount) => {
      // The inspector's threads have the other processor, where a scheduler would put them.
      const daemon = spawn(
        'taskset',
        [
          ...['-c', '1', process.execPath, cli],
          ...['serve', '--shared-dir', share, '--mount', mount, '--cache=always', '--writeback'],
          ...['--inode-file-handles=mandatory', '--log-level=error', ...extra],
        ],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      await mounted(mount, daemon);
      await pinWorker(daemon.pid ?? 0);
      const follower = followed
        ? spawn(
            'taskset',
            ['-c', '1', process.execPath, cli, 'events', String(daemon.pid), '--json'],
            {
              stdio: ['ignore', 'ignore', 'ignore'],
            },
          )
        : null;
      if (follower !== null) await connected(daemon.pid ?? 0);
      return async () => {
        follower?.kill('SIGKILL');
        daemon.kill('SIGTERM');
        await exit(daemon);
      };
    },
  };
}

function peer(program: string): Contender {
  return {
    name: 'passthrough_hp',
    start: async (share, mount) => {
      const daemon = spawn('taskset', ['-c', '0', program, '--foreground', share, mount], {
        stdio: ['ignore', 'ignore', 'ignore'],
      });
      await mounted(mount, daemon);
      return async () => {
        execFileSync('umount', ['-l', mount]);
        daemon.kill('SIGKILL');
        await exit(daemon);
      };
    },
  };
}

/** Waits until something is mounted; looks as often as the mount table can be read. */
async function mounted(mount: string, daemon: ChildProcess): Promise<void> {
  while (!fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${mount} `)) {
    if (daemon.exitCode !== null) throw new Error(`The daemon ended with ${daemon.exitCode}.`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  fs.statSync(mount);
}

/** Waits until the daemon has a connection beside its listening socket. */
async function connected(pid: number): Promise<void> {
  const sockets = () =>
    fs.readdirSync(`/proc/${pid}/fd`).filter((fd) => {
      try {
        return fs.readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
      } catch {
        return false;
      }
    }).length;
  const before = sockets();
  while (sockets() <= Math.max(before, 1)) await new Promise((resolve) => setTimeout(resolve, 5));
}

function exit(child: ChildProcess): Promise<void> {
  return child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', () => resolve()));
}

/** Numbers of poll(2) on x86-64 and arm64: only the serving thread waits so, Node waits in epoll. */
const POLL = new Set(['7', '73']);

async function pinWorker(pid: number): Promise<void> {
  for (;;) {
    const waiting = fs.readdirSync(`/proc/${pid}/task`).find((thread) => {
      const call = fs.readFileSync(`/proc/${pid}/task/${thread}/syscall`, 'utf8').split(' ')[0];
      return POLL.has(call ?? '');
    });
    if (waiting !== undefined) {
      execFileSync('taskset', ['-p', '-c', '0', waiting], { stdio: 'ignore' });
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function makeShare(folder: string): string {
  const image = path.join(folder, 'ext4.img');
  const share = path.join(folder, 'share');
  fs.mkdirSync(share);
  execFileSync('truncate', ['-s', '2G', image]);
  execFileSync('mkfs.ext4', ['-q', image]);
  execFileSync('mount', ['-o', 'loop', image, share]);
  for (let i = 0; i < FILES; i++) {
    const directory = path.join(share, `d${String(Math.floor(i / 100)).padStart(3, '0')}`);
    if (i % 100 === 0) fs.mkdirSync(directory);
    fs.writeFileSync(path.join(directory, `f${String(i).padStart(5, '0')}`), 'x');
  }
  fs.writeFileSync(path.join(share, 'data'), Buffer.alloc(DATA, 'd'));
  fs.readFileSync(path.join(share, 'data'));
  return share;
}

async function main(): Promise<void> {
  const [program, given] = process.argv.slice(2);
  const rounds = Number(given ?? 5);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-mount-'));
  const workload = path.join(folder, 'workload');
  execFileSync('g++', [
    ...['-O2', '-std=c++17', '-o', workload],
    path.join(benchRoot(), 'test/bench/peers/workload.cc'),
  ]);
  const share = makeShare(folder);
  const mount = path.join(folder, 'mount');
  fs.mkdirSync(mount);
  const contenders: Contender[] = [
    ...(program === undefined ? [] : [peer(program)]),
    ours('ours', []),
    ours('ours, one follower', [], true),
    ours('ours, --no-inspect', ['--no-inspect']),
  ];
  const works = [...METADATA, ...DATA_WORK];
  const results = new Map<string, number[]>();
  try {
    for (let round = 0; round < rounds; round++) {
      for (const contender of contenders) {
        for (const work of works) {
          // unlink removes what create made, on the same mount.
          if (work === 'unlink') continue;
          const stop = await contender.start(share, mount);
          for (const each of work === 'create' ? ['create', 'unlink'] : [work]) {
            const count = String(OPERATIONS[each] ?? FILES);
            const said = execFileSync('taskset', ['-c', '0', workload, each, mount, count], {
              encoding: 'utf8',
            });
            const key = `${contender.name}/${each}`;
            results.set(key, [...(results.get(key) ?? []), Number(said)]);
          }
          await stop();
        }
      }
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    }
  } finally {
    spawnUmount(mount);
    spawnUmount(share);
    fs.rmSync(folder, { recursive: true, force: true });
  }

  const of = (name: string, work: string) => median(results.get(`${name}/${work}`) ?? []);
  const base = contenders[0]?.name ?? '';
  table(
    [
      'median wall time an operation',
      ...contenders.map(({ name }) => name),
      ...contenders.slice(1).map(({ name }) => `${name} / ${base}`),
    ],
    works.map((work) => [
      work,
      ...contenders.map(({ name }) => `${(of(name, work) / 1000).toFixed(1)} µs`),
      ...contenders.slice(1).map(({ name }) => (of(name, work) / of(base, work)).toFixed(2)),
    ]),
  );
}

function spawnUmount(target: string): void {
  try {
    execFileSync('umount', ['-l', target], { stdio: 'ignore' });
  } catch {
    // It was not mounted.
  }
}

void main();
