/** Chains of descriptors, well made in odd ways, and badly made. */

import * as nodeFs from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Frontend } from './frontend';
import { requests as r } from './fuse';
import { native } from './native';
import { BIG, bigByte, oneDaemonATest, oneDaemonForAll, said, served, works } from './served';
import { Message } from './vhostUser';
import type { RawDescriptor } from './virtqueue';
import { DescriptorFlag, writeDescriptorAt } from './virtqueue';

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
const PAGE = 4096;
const MEBIBYTE = 1 << 20;
const ones = (count: number) => Array.from({ length: count }, () => 1);
const pages = (count: number) => Array.from({ length: count }, () => PAGE);

describe('framing', () => {
  oneDaemonATest();

  it.each([true, false])('takes descriptors of one byte (indirect: %s)', async (indirect) => {
    const { fs } = await served({ ringSize: 1024 });
    const travel = { indirect, readable: ones(60), writable: ones(200) };
    const { nodeid } = await fs.call(r.lookup(1n, 'f3'), travel);
    const { fh } = await fs.call(r.open(nodeid, nodeFs.constants.O_RDWR), travel);
    expect(await fs.call(r.write(nodeid, fh, 1, 'hello'), travel)).toBe(5);
    expect(String(await fs.call(r.read(nodeid, fh, 0, 100), travel))).toBe('fhello');
    const dir = await fs.opendir(1n);
    const entries = await fs.call(r.readdir(1n, dir.fh, 0, 700), travel);
    expect(entries.length).toBeGreaterThan(10);
  });

  it('takes everything in one descriptor each way', async () => {
    const { fs } = await served();
    const travel = { readable: [], writable: [] };
    const { nodeid } = await fs.call(r.lookup(1n, 'f3'), travel);
    const { fh } = await fs.call(r.open(nodeid, nodeFs.constants.O_RDWR), travel);
    expect(await fs.call(r.write(nodeid, fh, 2, 'x'), travel)).toBe(1);
    expect(String(await fs.call(r.read(nodeid, fh, 0, 100), travel))).toBe('f3x');
  });

  it.each([
    { ringSize: 1024, indirect: true },
    { ringSize: 1024, indirect: false },
    { ringSize: 512, indirect: true },
  ])('moves 1 MiB in 260 segments ($ringSize, indirect: $indirect)', async (given) => {
    const { fs } = await served({ ringSize: given.ringSize });
    const { nodeid } = await fs.lookup(1n, 'big');
    const { fh } = await fs.open(nodeid, nodeFs.constants.O_RDWR);
    const read = await fs.call(r.read(nodeid, fh, 4096, MEBIBYTE), {
      indirect: given.indirect,
      writable: [16, ...pages(256)],
    });
    expect(read.length).toBe(MEBIBYTE);
    expect(read.every((byte, i) => byte === bigByte(4096 + i))).toBe(true);
    const data = Uint8Array.from({ length: MEBIBYTE }, (_, i) => (i * 13) & 0xff);
    const travel = { indirect: given.indirect, readable: [40, 40, ...pages(256)] };
    expect(await fs.call(r.write(nodeid, fh, 100, data), travel)).toBe(MEBIBYTE);
    const back = await fs.read(nodeid, fh, 100, MEBIBYTE);
    expect(Buffer.compare(back, data)).toBe(0);
  });

  it('reads to the end of the file, however it is cut', async () => {
    const { fs } = await served();
    const { nodeid } = await fs.lookup(1n, 'big');
    const { fh } = await fs.open(nodeid, 0);
    const read = await fs.call(r.read(nodeid, fh, BIG - 10_000, 20_000), {
      writable: [3, 20, 1, 4000, 4096],
    });
    expect(read.length).toBe(10_000);
    expect(read.every((byte, i) => byte === bigByte(BIG - 10_000 + i))).toBe(true);
  });

  it.each([2, 16, 128, 1024, 32_768])('works with a ring of %i', async (ringSize) => {
    const { fs } = await served({ ringSize });
    const calls = Array.from({ length: 3 * Math.min(ringSize, 1000) }, () => r.lookup(1n, 'f1'));
    const found = await fs.all(calls);
    expect(new Set(found.map(({ nodeid }) => nodeid)).size).toBe(1);
    await works(fs);
  });

  it.each([true, false])('wraps around 65,536 (EVENT_IDX: %s)', async (eventIdx) => {
    const { fs } = await served({ memory: 'one', eventIdx, ringSize: 128 });
    const queue = fs.vmm.queues[1];
    const memory = fs.vmm.memory.regions[0];
    if (queue === undefined || memory === undefined) throw new Error('No queue.');
    // One GETATTR of the root, offered again and again.
    const body = r.getattr(1n).body;
    const requestAt = fs.vmm.memory.allocate(40 + body.length);
    const request = fs.vmm.memory.view(requestAt, 40);
    request.setUint32(0, 40 + body.length, true);
    request.setUint32(4, 3, true);
    request.setBigUint64(16, 1n, true);
    const room = fs.vmm.memory.allocate(120);
    const table = fs.vmm.memory.allocate(32);
    const view = fs.vmm.memory.view(table, 32);
    writeDescriptorAt(view, 0, {
      address: BigInt(requestAt),
      length: 40 + body.length,
      flags: NEXT,
      next: 1,
    });
    writeDescriptorAt(view, 16, { address: BigInt(room), length: 120, flags: WRITE, next: 0 });
    const count = 70_000;
    const plan = new Uint32Array(3 * count);
    for (let i = 0; i < count; i++) plan.set([table, 32, room], 3 * i);
    const done = native.stream(queue.forStream(memory.bytes), plan, 32);
    if (typeof done === 'number') throw new Error(`The stream failed (errno ${-done}).`);
    expect(done.failures).toBe(0);
    queue.setIndices(done.availIdx, done.usedIdx);
    await works(fs);
  });

  it('does not interrupt a driver that polls', async () => {
    const { fs } = await served({ eventIdx: false });
    const queue = fs.vmm.queues[1];
    if (queue === undefined) throw new Error('No queue.');
    queue.setAvailFlags(1);
    // A call descriptor that is new is signalled once; that is past by then.
    await fs.vmm.ask(Message.GET_FEATURES);
    await new Promise((resolve) => setImmediate(resolve));
    const before = queue.interrupts;
    const asked = fs.all(Array.from({ length: 30 }, () => r.lookup(1n, 'f1')));
    await Promise.resolve();
    while (queue.pending > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      queue.collect();
    }
    expect(await asked).toHaveLength(30);
    expect(queue.interrupts).toBe(before);
    queue.setAvailFlags(0);
    await works(fs);
  });
});

/** A chain that is wrong: its descriptors, the first at `at`; `buffer` is 64 KiB of guest memory. */
interface Wrong {
  readonly name: string;
  readonly chain: (at: number, buffer: bigint, fs: Frontend) => readonly RawDescriptor[];
}

const raw = (address: bigint, length: number, flags: number, next = 0): RawDescriptor => ({
  address,
  length,
  flags,
  next,
});

/** Writes a whole LOOKUP of f1 at the buffer. */
function lookupAt(fs: Frontend, buffer: bigint): number {
  const body = r.lookup(1n, 'f1').body;
  const bytes = fs.vmm.memory.bytes(Number(buffer), 40 + body.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, bytes.length, true);
  view.setUint32(4, 1, true);
  view.setBigUint64(8, 77n, true);
  view.setBigUint64(16, 1n, true);
  bytes.set(body, 40);
  return bytes.length;
}

function table(fs: Frontend, at: bigint, entries: readonly RawDescriptor[]): void {
  const view = fs.vmm.memory.view(Number(at), 16 * entries.length);
  entries.forEach((entry, i) => writeDescriptorAt(view, 16 * i, entry));
}

const OUTSIDE = 0x7fff_0000_0000n;
const ROOM = 8192n;
const TABLE = 16_384n;

const WRONG: readonly Wrong[] = [
  { name: 'points at itself', chain: (at, b) => [raw(b, 40, NEXT, at)] },
  {
    name: 'goes round in a circle',
    chain: (at, b) => [raw(b, 40, NEXT, at - 1), raw(b, 40, NEXT, at)],
  },
  { name: 'goes on outside the table', chain: (_at, b) => [raw(b, 40, NEXT, 0xffff)] },
  { name: 'is outside memory', chain: () => [raw(OUTSIDE, 40, 0)] },
  { name: 'begins in memory and ends outside', chain: () => [raw(0x9fff0n, 64, 0)] },
  { name: 'wraps around', chain: () => [raw(0xffff_ffff_ffff_fff0n, 64, 0)] },
  { name: 'is longer than memory', chain: (_at, b) => [raw(b, 0xffff_ffff, 0)] },
  { name: 'is empty', chain: (_at, b) => [raw(b, 0, 0)] },
  { name: 'has nothing to read', chain: (_at, b) => [raw(b, 4096, WRITE)] },
  { name: 'is too short for a header', chain: (_at, b) => [raw(b, 39, 0)] },
  {
    name: 'reads after it writes',
    chain: (at, b, fs) => [raw(b + ROOM, 160, WRITE | NEXT, at - 1), raw(b, lookupAt(fs, b), 0)],
  },
  {
    name: 'has no room for a reply',
    chain: (_at, b, fs) => [raw(b, lookupAt(fs, b), 0)],
  },
  {
    name: 'has room for half a header',
    chain: (at, b, fs) => [raw(b, lookupAt(fs, b), NEXT, at - 1), raw(b + ROOM, 8, WRITE)],
  },
  {
    name: 'has room for a header alone',
    chain: (at, b, fs) => [raw(b, lookupAt(fs, b), NEXT, at - 1), raw(b + ROOM, 16, WRITE)],
  },
  {
    name: 'has room outside memory',
    chain: (at, b, fs) => [raw(b, lookupAt(fs, b), NEXT, at - 1), raw(OUTSIDE, 160, WRITE)],
  },
  { name: 'has an indirect table outside memory', chain: () => [raw(OUTSIDE, 32, INDIRECT)] },
  { name: 'has an empty indirect table', chain: (_at, b) => [raw(b + TABLE, 0, INDIRECT)] },
  { name: 'has half an indirect entry', chain: (_at, b) => [raw(b + TABLE, 24, INDIRECT)] },
  {
    name: 'has an indirect table in an indirect table',
    chain: (_at, b, fs) => {
      table(fs, b + TABLE, [raw(b + TABLE, 16, INDIRECT)]);
      return [raw(b + TABLE, 16, INDIRECT)];
    },
  },
  {
    name: 'has an indirect table that points at itself',
    chain: (_at, b, fs) => {
      table(fs, b + TABLE, [raw(b, 40, NEXT, 1), raw(b, 40, NEXT, 0)]);
      return [raw(b + TABLE, 32, INDIRECT)];
    },
  },
  {
    name: 'has an indirect table that goes on behind its end',
    chain: (_at, b, fs) => {
      table(fs, b + TABLE, [raw(b, 40, NEXT, 7)]);
      return [raw(b + TABLE, 16, INDIRECT)];
    },
  },
  {
    name: 'goes on behind an indirect table',
    chain: (at, b, fs) => {
      table(fs, b + TABLE, [raw(b, lookupAt(fs, b), 0)]);
      return [raw(b + TABLE, 16, INDIRECT | NEXT, at - 1), raw(b + ROOM, 160, WRITE)];
    },
  },
  {
    name: 'has a huge indirect table',
    chain: (_at, b) => [raw(b, 0xffff_fff0, INDIRECT)],
  },
];

describe('a chain that', () => {
  // Descriptors of raw chains are not used again.
  const shared = oneDaemonForAll({ ringSize: 1024 });

  it.each(WRONG)('$name is given back, and the daemon goes on', async ({ chain }) => {
    const { fs } = shared();
    const queue = fs.vmm.queues[1];
    if (queue === undefined) throw new Error('No queue.');
    const buffer = fs.vmm.memory.allocate(65_536);
    for (let i = 0; i < 3; i++) {
      const free = queue.takeDescriptors(2);
      const head = Math.max(...free);
      const descriptors = chain(head, BigInt(buffer), fs);
      // The chains say that the second descriptor is the one below the first.
      descriptors.forEach((each, at) => queue.writeDescriptor(head - at, each));
      const written = await queue.submitRaw(head);
      expect(written === 0 || written === 16).toBe(true);
      if (written === 16)
        expect(fs.vmm.memory.read(buffer + Number(ROOM) + 4, 4)).not.toEqual(
          Uint8Array.of(0, 0, 0, 0),
        );
      await works(fs);
    }
  });
});

describe('a request that', () => {
  const shared = oneDaemonForAll();

  const change =
    (at: number, value: number) =>
    (bytes: Uint8Array): Uint8Array => {
      new DataView(bytes.buffer).setUint32(at, value, true);
      return bytes;
    };

  it.each([
    ['is longer than its chain', 41 + 8],
    ['is shorter than a header', 39],
    ['has no length', 0],
    ['has the greatest length', 0xffff_ffff],
  ])('%s is refused, and the daemon goes on', async (_name, length) => {
    const { fs } = shared();
    const answer = await fs.send(r.lookup(1n, 'f1'), { tamper: change(0, length) });
    expect(answer.written).toBe(16);
    expect(new DataView(answer.room.buffer).getInt32(4, true)).toBeLessThan(0);
    await works(fs);
  });

  it.each([0xffff_ffff, 0x7fff_ffff, MEBIBYTE, 5001])(
    'writes %i bytes that it does not bring is refused',
    async (size) => {
      const { fs } = shared();
      const { nodeid } = await fs.lookup(1n, 'f1');
      const { fh } = await fs.open(nodeid, 2);
      const call = r.write(nodeid, fh, 0, 'x'.repeat(5000), { size });
      expect((await fs.attempt(call)).errno).not.toBe(0);
      expect((await fs.getattr(nodeid)).attr.size).toBe(2n);
      await fs.release(nodeid, fh);
      await works(fs);
    },
  );

  it.each([0xffff_ffff, 0x7fff_ffff, 2 * MEBIBYTE])(
    'reads %i bytes gets what fits, or an error',
    async (size) => {
      const { fs } = shared();
      const { nodeid } = await fs.lookup(1n, 'big');
      const { fh } = await fs.open(nodeid, 0);
      const outcome = await fs.attempt(r.read(nodeid, fh, 0, size), { room: 4096 });
      if (outcome.value !== null) expect(outcome.value.length).toBeLessThanOrEqual(4096);
      await works(fs);
    },
  );
});

describe('a ring that is destroyed', () => {
  oneDaemonATest();

  it('passes over heads that do not exist', async () => {
    const { fs } = await served();
    const queue = fs.vmm.queues[1];
    for (const head of [128, 999, 0xffff]) queue?.pushRaw(head);
    await works(fs);
  });

  it('is not served until it is set up anew, and the others are', async () => {
    const { daemon, fs } = await served({ requestQueues: 2 });
    const queue = fs.vmm.queues[1];
    if (queue === undefined) throw new Error('No queue.');
    queue.publish((queue.availIdx + 300) & 0xffff);
    queue.forceKick();
    for (let i = 0; i < 5; i++) await fs.call(r.getattr(1n), { queue: 2 });
    await said(daemon, /more requests than fit into ring 1/);
    await fs.vmm.reset();
    await fs.vmm.start();
    await fs.init();
    await works(fs);
  });
});
