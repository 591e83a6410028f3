/**
 * Target P4: requests over vhost-user, beside the C and the Rust virtiofsd in the same run.
 *
 *     npm run bench -- frontend [rounds]
 *
 * A user-space guest (test/frontend) sends prepared requests through one queue, one at a time and 32
 * at a time; a loop in native code waits for the answers, so what is measured is the daemon. The
 * daemon has one processor, the guest the other. Each contender starts afresh in each round, the
 * rounds are interleaved, and the medians are printed. Ours has its inspector, which nobody looks
 * at. The C virtiofsd has O_PATH descriptors only; the others are measured with them and with file
 * handles. All of them filter system calls. Needs root.
 *
 * A second table has the processor time of each daemon, all its threads and processes together:
 * it says more than the first one where other programs want the processors, too.
 */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { HandleMode } from '../../daemon/passthrough/options';
import type { DaemonKind } from '../frontend/daemons';
import { startDaemon, stopDaemons } from '../frontend/daemons';
import type { Frontend } from '../frontend/frontend';
import { errnoText, opcodeName } from '../frontend/frontend';
import type { Call } from '../frontend/fuse';
import { requests as r } from '../frontend/fuse';
import { native } from '../frontend/native';
import { DescriptorFlag, writeDescriptorAt } from '../frontend/virtqueue';
import { benchRoot, median, table } from './measure';

const DIRECTORIES = 50;
const FILES_EACH = 100;
const FILES = DIRECTORIES * FILES_EACH;
const CREATED = 2000;
const LISTINGS = 4;
const SMALL = 4096;
const LARGE = 1 << 20;
const SMALL_COUNT = 5000;
const LARGE_COUNT = 200;
const DATA = 64 << 20;
const DEPTHS = [1, 32] as const;
const PAGE = 4096;
const IN_HEADER = 40;
const OUT_HEADER = 16;
/** As QEMU 10's. */
const RING = 1024;
const MEMORY = 128 << 20;
/** Below it are the rings. */
const BUFFERS_FROM = 4 << 20;

const DAEMON_CPU = '0';
const GUEST_CPU = '1';

interface Contender {
  readonly name: string;
  readonly kind: DaemonKind;
  readonly handles: HandleMode;
}

const CONTENDERS: readonly Contender[] = [
  { name: 'C', kind: 'c', handles: 'never' },
  { name: 'Rust', kind: 'rust', handles: 'never' },
  { name: 'ours', kind: 'ours', handles: 'never' },
  { name: 'Rust, handles', kind: 'rust', handles: 'mandatory' },
  { name: 'ours, handles', kind: 'ours', handles: 'mandatory' },
];

const RATIOS: readonly (readonly [string, string])[] = [
  ['ours', 'C'],
  ['ours', 'Rust'],
  ['ours, handles', 'Rust, handles'],
];

/** Nanoseconds of one operation. */
interface Cost {
  readonly wall: number;
  /** Of the daemon's processor. */
  readonly processor: number;
}

/** What an operation took in each round, by its name. */
type Costs = Map<string, Cost[]>;

/** A process and all that descend from it. */
function family(pid: number): number[] {
  const children = (parent: number): number[] =>
    fs
      .readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8')
      .split(' ')
      .filter((child) => child !== '')
      .flatMap((child) => [Number(child), ...children(Number(child))]);
  return [pid, ...children(pid)];
}

/** Nanoseconds that the threads of these processes have run (Documentation/scheduler/sched-stats). */
function processorTime(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
      const [ran] = fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
      sum += Number(ran);
    }
  }
  return sum;
}

/** Sends requests as a stream. */
class Stream {
  readonly #guest: Frontend;
  readonly #pids: readonly number[];
  readonly #depth: number;

  /** @param pids of the daemon */
  constructor(guest: Frontend, pids: readonly number[], depth: number) {
    this.#guest = guest;
    this.#pids = pids;
    this.#depth = depth;
  }

  /**
   * Sends all of them, at most `depth` at a time.
   *
   * @returns what all of them took, and each answer's decoded body
   */
  run<T>(calls: readonly Call<T>[], decode = true): { cost: Cost; answers: T[] } {
    const { memory, queues } = this.#guest.vmm;
    const queue = queues[1];
    const region = memory.regions[0];
    if (queue === undefined || region === undefined) throw new Error('The guest is not set up.');
    memory.allocateFrom(region, BUFFERS_FROM);
    const { plan, rooms } = this.#prepare(calls);
    const before = processorTime(this.#pids);
    const done = native.stream(queue.forStream(region.bytes), plan, this.#depth);
    if (typeof done === 'number') throw new Error(`The daemon does not answer (errno ${-done}).`);
    queue.setIndices(done.availIdx, done.usedIdx);
    if (done.failures > 0) throw new Error(this.#refused(calls, rooms, done.failures));
    const answers = decode
      ? calls.map((call, i) => {
          const length = memory.view(rooms[i] ?? 0, 4).getUint32(0, true);
          return call.decode(memory.read((rooms[i] ?? 0) + OUT_HEADER, length - OUT_HEADER));
        })
      : [];
    const processor = processorTime(this.#pids) - before;
    return { cost: { wall: done.nanoseconds, processor }, answers };
  }

  #refused(calls: readonly Call<unknown>[], rooms: readonly number[], count: number): string {
    const { memory } = this.#guest.vmm;
    const errnos = rooms.map((room) => -memory.view(room, OUT_HEADER).getInt32(4, true));
    const first = errnos.findIndex((errno) => errno !== 0);
    const what = opcodeName(calls[first]?.opcode ?? 0);
    return `${count} requests were refused, first ${what}: ${errnoText(errnos[first] ?? 0)}.`;
  }

  /** Lays requests out as Linux does: header, arguments and each page in a descriptor of its own. */
  #prepare(calls: readonly Call<unknown>[]): { plan: Uint32Array; rooms: number[] } {
    const { memory } = this.#guest.vmm;
    const plan = new Uint32Array(3 * calls.length);
    const rooms: number[] = [];
    // The data of what is on its way at the same time is apart; more would only cost memory.
    const data = Array.from({ length: this.#depth }, () => -1);
    calls.forEach((call, i) => {
      const isWrite = call.body.length > PAGE;
      const argument = isWrite ? IN_HEADER : call.body.length;
      const payload = call.body.length - argument;
      const room = call.room ?? 0;
      const large = Math.max(payload, room >= PAGE ? room : 0);
      if (large > 0 && data[i % this.#depth] === -1) {
        data[i % this.#depth] = memory.allocate(large);
      }
      const dataAt = data[i % this.#depth] ?? 0;

      const requestAt = memory.allocate(IN_HEADER + argument);
      // Another request was here before.
      memory.bytes(requestAt, IN_HEADER).fill(0);
      const header = memory.view(requestAt, IN_HEADER);
      header.setUint32(0, IN_HEADER + call.body.length, true);
      header.setUint32(4, call.opcode, true);
      header.setBigUint64(8, BigInt(2 * i + 2), true);
      header.setBigUint64(16, call.nodeid, true);
      memory.write(requestAt + IN_HEADER, call.body.subarray(0, argument));
      const small = room >= PAGE ? 0 : room;
      const roomAt = memory.allocate(OUT_HEADER + small);
      // Forgets are not answered, and what was there before is no error of theirs.
      memory.view(roomAt, OUT_HEADER).setInt32(4, 0, true);
      rooms.push(roomAt);

      const segments: (readonly [number, number, boolean])[] = [[requestAt, IN_HEADER, false]];
      if (argument > 0) segments.push([requestAt + IN_HEADER, argument, false]);
      for (let at = 0; at < payload; at += PAGE) {
        segments.push([dataAt + at, Math.min(PAGE, payload - at), false]);
      }
      if (call.room !== null) segments.push([roomAt, OUT_HEADER, true]);
      if (small > 0) segments.push([roomAt + OUT_HEADER, small, true]);
      for (let at = 0; at < room - small; at += PAGE) segments.push([dataAt + at, PAGE, true]);

      const bytes = 16 * segments.length;
      const tableAt = memory.allocate(bytes);
      const view = memory.view(tableAt, bytes);
      segments.forEach(([address, length, write], entry) => {
        const last = entry === segments.length - 1;
        writeDescriptorAt(view, 16 * entry, {
          address: BigInt(address),
          length,
          flags: (last ? 0 : DescriptorFlag.NEXT) | (write ? DescriptorFlag.WRITE : 0),
          next: last ? 0 : entry + 1,
        });
      });
      plan.set([tableAt, bytes, roomAt], 3 * i);
    });
    return { plan, rooms };
  }
}

const forgets = (nodes: readonly bigint[], count = 1) =>
  nodes.map((nodeid) => r.forget(nodeid, count));

/** One pass over everything; adds what each operation took to `costs`. */
async function work(
  guest: Frontend,
  pids: readonly number[],
  depth: number,
  costs: Costs,
): Promise<void> {
  const stream = new Stream(guest, pids, depth);
  const record = (name: string, parts: readonly Cost[], count: number) => {
    const key = `${name}, depth ${depth}`;
    const sum = (of: keyof Cost) => parts.reduce((total, part) => total + part[of], 0) / count;
    costs.set(key, [...(costs.get(key) ?? []), { wall: sum('wall'), processor: sum('processor') }]);
  };

  const directories: bigint[] = [];
  for (let i = 0; i < DIRECTORIES; i++) {
    directories.push((await guest.lookup(1n, `d${i}`)).nodeid);
  }
  const found = stream.run(
    Array.from({ length: FILES }, (_, i) =>
      r.lookup(directories[Math.floor(i / FILES_EACH)] ?? 0n, `f${i % FILES_EACH}`),
    ),
  );
  record('LOOKUP', [found.cost], FILES);
  const nodes = found.answers.map(({ nodeid }) => nodeid);

  record('GETATTR', [stream.run(nodes.map((nodeid) => r.getattr(nodeid))).cost], FILES);

  const opened = stream.run(nodes.map((nodeid) => r.open(nodeid, fs.constants.O_RDONLY)));
  const released = stream.run(
    nodes.map((nodeid, i) => r.release(nodeid, opened.answers[i]?.fh ?? 0n)),
  );
  record('OPEN + RELEASE', [opened.cost, released.cost], FILES);
  stream.run(forgets(nodes), false);

  const names = Array.from({ length: CREATED }, (_, i) => `new${i}`);
  const flags = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_RDWR;
  const created = stream.run(names.map((name) => r.create(1n, name, flags, 0o644)));
  stream.run(created.answers.map(({ entry, open }) => r.release(entry.nodeid, open.fh)));
  const unlinked = stream.run(names.map((name) => r.unlink(1n, name)));
  record('CREATE + UNLINK', [created.cost, unlinked.cost], CREATED);
  stream.run(forgets(created.answers.map(({ entry }) => entry.nodeid)), false);

  const listings: { readonly nodeid: bigint; readonly fh: bigint }[] = [];
  for (const nodeid of directories) {
    listings.push({ nodeid, fh: (await guest.opendir(nodeid)).fh });
  }
  const listed = stream.run(
    Array.from({ length: LISTINGS * DIRECTORIES }, (_, i) => {
      const { nodeid, fh } = listings[i % DIRECTORIES] ?? { nodeid: 0n, fh: 0n };
      return r.readdirplus(nodeid, fh, 0, 32_768);
    }),
    false,
  );
  record('READDIRPLUS of 102', [listed.cost], LISTINGS * DIRECTORIES);
  for (const { nodeid, fh } of listings) await guest.releasedir(nodeid, fh);
  // INIT drops what the listings counted.
  await guest.init();

  const data = await guest.lookup(1n, 'data');
  const { fh } = await guest.open(data.nodeid, fs.constants.O_RDWR);
  const at = (i: number, size: number) => ((i * 7919) % (DATA / size)) * size;
  const bytes = Buffer.alloc(LARGE, 'w');
  for (const [size, count, words] of [
    [SMALL, SMALL_COUNT, '4 KiB'],
    [LARGE, LARGE_COUNT, '1 MiB'],
  ] as const) {
    const reads = Array.from({ length: count }, (_, i) =>
      r.read(data.nodeid, fh, at(i, size), size),
    );
    record(`READ ${words}`, [stream.run(reads, false).cost], count);
    const payload = bytes.subarray(0, size);
    const writes = Array.from({ length: count }, (_, i) =>
      r.write(data.nodeid, fh, at(i, size), payload),
    );
    record(`WRITE ${words}`, [stream.run(writes, false).cost], count);
  }
  await guest.release(data.nodeid, fh);
  await guest.init();
}

function makeShare(folder: string): string {
  const image = path.join(folder, 'ext4.img');
  const share = path.join(folder, 'share');
  fs.mkdirSync(share);
  execFileSync('truncate', ['-s', '1G', image]);
  execFileSync('mkfs.ext4', ['-q', image]);
  execFileSync('mount', ['-o', 'loop', image, share]);
  for (let d = 0; d < DIRECTORIES; d++) {
    fs.mkdirSync(path.join(share, `d${d}`));
    for (let f = 0; f < FILES_EACH; f++) fs.writeFileSync(path.join(share, `d${d}`, `f${f}`), 'x');
  }
  fs.writeFileSync(path.join(share, 'data'), Buffer.alloc(DATA, 'd'));
  return share;
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 5);
  execFileSync(process.execPath, [path.join(benchRoot(), 'scripts/peers.mjs')], {
    stdio: 'inherit',
  });
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-frontend-'));
  const share = makeShare(folder);
  execFileSync('taskset', ['-a', '-p', '-c', GUEST_CPU, String(process.pid)], { stdio: 'ignore' });
  const results = new Map<string, Costs>(CONTENDERS.map(({ name }) => [name, new Map()]));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { name, kind, handles } of CONTENDERS) {
        const daemon = startDaemon(kind, share, {
          handles,
          seccomp: 'kill',
          inspector: true,
          under: ['taskset', '-c', DAEMON_CPU],
        });
        const guest = await daemon.connect({
          memory: [{ guestAddress: 0, size: MEMORY, file: 0, offset: 0 }],
          ringSize: RING,
        });
        await guest.init();
        const pids = family(daemon.pid);
        const costs = results.get(name) ?? new Map<string, Cost[]>();
        for (const depth of DEPTHS) await work(guest, pids, depth, costs);
        await guest.close();
        await daemon.ended();
      }
      process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    }
  } finally {
    await stopDaemons();
    execFileSync('umount', ['-l', share]);
    fs.rmSync(folder, { recursive: true, force: true });
  }
  print('median of an operation', results, 'wall');
  process.stdout.write('\n');
  print("the daemon's processor", results, 'processor');
}

function print(title: string, results: ReadonlyMap<string, Costs>, which: keyof Cost): void {
  const of = (name: string, key: string) =>
    median((results.get(name)?.get(key) ?? []).map((cost) => cost[which])) / 1000;
  const keys = [...(results.get('C')?.keys() ?? [])];
  table(
    [
      title,
      ...CONTENDERS.map(({ name }) => name),
      ...RATIOS.map(([ours, theirs]) => `${ours} / ${theirs}`),
    ],
    keys.map((key) => [
      key,
      ...CONTENDERS.map(({ name }) => `${of(name, key).toFixed(1)} µs`),
      ...RATIOS.map(([ours, theirs]) => (of(ours, key) / of(theirs, key)).toFixed(2)),
    ]),
  );
}

void main();
