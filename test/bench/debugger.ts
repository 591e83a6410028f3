/**
 * Target P11: what a debugger costs that is there and stops nothing.
 *
 *     npm run bench -- debugger [rounds]
 *
 * Programs on the mount, without a debugger, with one that has armed nothing, and with one that has
 * armed 100 breakpoints of which none is hit: on node ids, ids, handles, paths, and operations with
 * conditions. Each measurement has a fresh mount; the order is interleaved, the program and the
 * daemon's serving thread share one pinned processor; the medians are printed, also of the time that
 * the serving thread has worked, which others on the machine disturb less. Needs root.
 */

import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { connect, findTarget } from '../../daemon/inspector/connect';
import type { BreakpointJson } from '../../daemon/protocol/debug';
import { benchRoot, median, table } from './measure';
import {
  FILES,
  METADATA,
  OPERATIONS,
  buildWorkload,
  exit,
  makeShare,
  mounted,
  pinWorker,
  threadTime,
  unmount,
} from './mountedDaemon';

/** Longer than any measurement: this process is busy waiting for the program. */
const TIMEOUT_MS = 600_000;

interface Contender {
  readonly name: string;
  /** Null: no debugger. */
  readonly breakpoints: readonly BreakpointJson[] | null;
}

function hundred(): BreakpointJson[] {
  return Array.from({ length: 100 }, (_, i) => {
    const id = i + 1;
    switch (i % 5) {
      case 0:
        return { id, node: String(5_000_000 + i) };
      case 1:
        return { id, ids: { ino: String(5_000_000 + i) } };
      case 2:
        return { id, handle: { bytes: `0c000000${String(i).padStart(8, '0')}` } };
      case 3:
        return { id, path: `d${i}/**/nothing-${i}.c` };
      default:
        return { id, operation: 'FALLOCATE', condition: `uid == ${i}` };
    }
  });
}

const CONTENDERS: readonly Contender[] = [
  { name: 'no debugger', breakpoints: null },
  { name: 'nothing armed', breakpoints: [] },
  { name: '100 breakpoints', breakpoints: hundred() },
];

const cli = path.join(benchRoot(), 'dist/daemon/cli.js');

interface Started {
  /** Nanoseconds that the serving thread has worked. */
  readonly time: () => number;
  readonly stop: () => Promise<void>;
}

async function start({ breakpoints }: Contender, share: string, mount: string): Promise<Started> {
  // The inspector's threads have the other processor, where a scheduler would put them.
  const daemon = spawn(
    'taskset',
    [
      ...['-c', '1', process.execPath, cli],
      ...['serve', '--shared-dir', share, '--mount', mount, '--cache=always', '--writeback'],
      ...['--inode-file-handles=mandatory', '--log-level=error'],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await mounted(mount, daemon);
  const thread = await pinWorker(daemon.pid ?? 0);
  let close: (() => void) | null = null;
  if (breakpoints !== null) {
    const target = findTarget(String(daemon.pid), (sentence) => console.error(sentence));
    const connection = await connect(target, 'benchmark');
    await connection.client.call('debug.attach', { timeoutMs: TIMEOUT_MS });
    const answer = await connection.client.call('debug.setBreakpoints', {
      breakpoints: [...breakpoints],
    });
    const refused = answer.breakpoints.find(({ armed }) => !armed);
    if (refused !== undefined) throw new Error(refused.message ?? 'refused');
    close = connection.close;
  }
  return {
    time: () => threadTime(daemon.pid ?? 0, thread),
    stop: async () => {
      close?.();
      daemon.kill('SIGTERM');
      await exit(daemon);
    },
  };
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 7);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-debugger-'));
  const workload = buildWorkload(folder);
  const share = makeShare(folder, 0);
  const mount = path.join(folder, 'mount');
  fs.mkdirSync(mount);
  const results = new Map<string, number[]>();
  try {
    for (let round = 0; round < rounds; round++) {
      for (const work of METADATA) {
        // unlink removes what create made, on the same mount.
        if (work === 'unlink') continue;
        for (let i = 0; i < CONTENDERS.length; i++) {
          // Each begins as often as the others.
          const contender = CONTENDERS[(i + round) % CONTENDERS.length];
          if (contender === undefined) continue;
          const { time, stop } = await start(contender, share, mount);
          for (const each of work === 'create' ? ['create', 'unlink'] : [work]) {
            const count = String(OPERATIONS[each] ?? FILES);
            const before = time();
            const said = execFileSync('taskset', ['-c', '0', workload, each, mount, count], {
              encoding: 'utf8',
            });
            const worked = (time() - before) / Number(count);
            for (const [what, value] of [
              ['wall', Number(said)],
              ['thread', worked],
            ] as const) {
              const key = `${what}/${contender.name}/${each}`;
              results.set(key, [...(results.get(key) ?? []), value]);
            }
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
  const [base = '', ...others] = CONTENDERS.map(({ name }) => name);
  for (const [what, title] of [
    ['wall', 'median wall time an operation'],
    ['thread', 'median time of the serving thread an operation'],
  ] as const) {
    const of = (name: string, work: string) => median(results.get(`${what}/${name}/${work}`) ?? []);
    table(
      [title, ...CONTENDERS.map(({ name }) => name), ...others.map((name) => `${name} / ${base}`)],
      METADATA.map((work) => [
        work,
        ...CONTENDERS.map(({ name }) => `${(of(name, work) / 1000).toFixed(1)} µs`),
        ...others.map((name) => (of(name, work) / of(base, work)).toFixed(3)),
      ]),
    );
  }
}

void main();
