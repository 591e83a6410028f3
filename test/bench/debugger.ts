/**
 * Target P11: what a debugger costs that is there and stops nothing.
 *
 *     npm run bench -- debugger [rounds]
 *
 * Programs on a mount, without a debugger, with one that has armed nothing, and with one that has
 * armed 100 breakpoints of which none is hit: on node ids, ids, handles, paths, and operations with
 * conditions. One daemon serves all of them in turn, a second or less for each, so that what else
 * happens on the machine happens to all; the program and the serving thread share one pinned
 * processor. Printed are medians, and the median of the ratios that each round had by itself, with the
 * quarter of them that is lower and the quarter that is higher left out. Needs root.
 */

import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { connect, findTarget } from '../../daemon/inspector/connect';
import type { InspectorClient } from '../../daemon/protocol/client';
import type { BreakpointJson } from '../../daemon/protocol/debug';
import { benchRoot, median, quantile, table } from './measure';
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
/** The serving thread is idle when it has not worked for so long. */
const IDLE_MS = 30;

/** A mount, its daemon, and a debugger that comes and goes. */
interface Bench {
  readonly mount: string;
  readonly workload: string;
  readonly client: InspectorClient;
  /** Nanoseconds that the serving thread has worked. */
  readonly time: () => number;
}

/** Lets the kernel forget everything, so that the next names are looked up. */
async function forgetAll({ time }: Bench): Promise<void> {
  fs.writeFileSync('/proc/sys/vm/drop_caches', '2');
  for (let before = -1; before !== time();) {
    before = time();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  }
}

async function debugAs({ client }: Bench, { breakpoints }: Contender): Promise<void> {
  if (breakpoints === null) return;
  await client.call('debug.attach', { timeoutMs: TIMEOUT_MS });
  const answer = await client.call('debug.setBreakpoints', { breakpoints: [...breakpoints] });
  const refused = answer.breakpoints.find(({ armed }) => !armed);
  if (refused !== undefined) throw new Error(refused.message ?? 'refused');
}

/** Nanoseconds an operation: on the clock, and of the serving thread. */
interface Cost {
  readonly wall: number;
  readonly thread: number;
}

function measure({ workload, mount, time }: Bench, work: string): Cost {
  const count = OPERATIONS[work] ?? FILES;
  const before = time();
  const command = ['-c', '0', workload, work, mount, String(count)];
  const wall = Number(execFileSync('taskset', command, { encoding: 'utf8' }));
  return { wall, thread: (time() - before) / count };
}

/** What each contender needed for each work, in one round. */
type Round = ReadonlyMap<string, ReadonlyMap<string, Cost>>;

/** @param first which contender begins: each does as often as the others */
async function oneRound(bench: Bench, first: number): Promise<Round> {
  const round = new Map<string, Map<string, Cost>>();
  for (const work of METADATA) {
    // unlink removes what create made.
    if (work === 'unlink') continue;
    for (let i = 0; i < CONTENDERS.length; i++) {
      const contender = CONTENDERS[(i + first) % CONTENDERS.length];
      if (contender === undefined) continue;
      await forgetAll(bench);
      await debugAs(bench, contender);
      for (const each of work === 'create' ? ['create', 'unlink'] : [work]) {
        const costs = round.get(each) ?? new Map<string, Cost>();
        round.set(each, costs.set(contender.name, measure(bench, each)));
      }
      if (contender.breakpoints !== null) await bench.client.call('debug.detach', {});
    }
  }
  return round;
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 21);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-debugger-'));
  const workload = buildWorkload(folder);
  const share = makeShare(folder, 0);
  const mount = path.join(folder, 'mount');
  fs.mkdirSync(mount);
  const results: Round[] = [];
  try {
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
    const pid = daemon.pid ?? 0;
    const thread = await pinWorker(pid);
    const target = findTarget(String(pid), (sentence) => console.error(sentence));
    const { client, close } = await connect(target, 'benchmark');
    const bench: Bench = { mount, workload, client, time: () => threadTime(pid, thread) };
    // The first round is for the compiler.
    for (let round = 0; round <= rounds; round++) {
      const costs = await oneRound(bench, round);
      if (round > 0) results.push(costs);
      process.stderr.write(`round ${round} of ${rounds}\n`);
    }
    close();
    daemon.kill('SIGTERM');
    await exit(daemon);
  } finally {
    unmount(mount);
    unmount(share);
    fs.rmSync(folder, { recursive: true, force: true });
  }
  print(results);
}

function print(results: readonly Round[]): void {
  const [base = '', ...others] = CONTENDERS.map(({ name }) => name);
  for (const [what, title] of [
    ['wall', 'wall time an operation'],
    ['thread', 'time of the serving thread an operation'],
  ] as const) {
    const of = (round: Round, name: string, work: string) =>
      round.get(work)?.get(name)?.[what] ?? NaN;
    const ratios = (name: string, work: string) => {
      const each = results.map((round) => of(round, name, work) / of(round, base, work));
      const [low, middle, high] = [0.25, 0.5, 0.75].map((part) => quantile(each, part).toFixed(3));
      return `${middle} (${low} to ${high})`;
    };
    table(
      [title, ...CONTENDERS.map(({ name }) => name), ...others.map((name) => `${name} / ${base}`)],
      METADATA.map((work) => [
        work,
        ...CONTENDERS.map(({ name }) => {
          const each = results.map((round) => of(round, name, work));
          return `${(median(each) / 1000).toFixed(1)} µs`;
        }),
        ...others.map((name) => ratios(name, work)),
      ]),
    );
  }
}

void main();
