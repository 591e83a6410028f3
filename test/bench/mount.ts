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

import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { benchRoot, median, table } from './measure';
import {
  DATA,
  FILES,
  METADATA,
  OPERATIONS,
  buildWorkload,
  exit,
  makeShare,
  mounted,
  pinWorker,
  unmount,
} from './mountedDaemon';

const DATA_WORK = [
  'read1m',
  'read4k',
  'read4k-random',
  'write1m',
  'write4k',
  'write4k-random',
] as const;
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

async function main(): Promise<void> {
  const [program, given] = process.argv.slice(2);
  const rounds = Number(given ?? 5);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-mount-'));
  const workload = buildWorkload(folder);
  const share = makeShare(folder, DATA);
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
    unmount(mount);
    unmount(share);
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

void main();
