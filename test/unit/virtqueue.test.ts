import fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Opcode } from '../../daemon/fuse/opcodes';
import {
  REPLY,
  REQUEST,
  RESULT_TROUBLE,
  RESULT_TROUBLE_RING,
  TROUBLE_CHAIN,
  TROUBLE_HEAD,
  TROUBLE_RING,
  TROUBLE_ROOM,
} from '../../native/index';
import type { Descriptor, TestRing } from './guestRings';
import {
  GUEST,
  INDIRECT,
  NEXT,
  TestGuest,
  USER,
  WRITE,
  answer,
  request,
  table,
} from './guestRings';

const EINVAL = 22;
const EIO = 5;
const ENOENT = 2;
const ENXIO = 6;
const ENOSPC = 28;
const EFAULT = 14;

let guest: TestGuest;
beforeEach(() => {
  guest = new TestGuest();
});
afterEach(() => {
  guest.close();
});

/** A readable descriptor with these bytes in it. */
function readable(bytes: Uint8Array): Descriptor {
  return { address: guest.place(bytes), length: bytes.length };
}

/** A writable descriptor. */
function writable(length: number): Descriptor {
  return { address: guest.room(length), length, flags: WRITE };
}

/** The same bytes, or the same room, in several descriptors. */
function cut({ address, length, flags = 0 }: Descriptor, piece: number): Descriptor[] {
  const pieces: Descriptor[] = [];
  for (let at = 0; at < length; at += piece) {
    pieces.push({ address: address + BigInt(at), length: Math.min(piece, length - at), flags });
  }
  return pieces;
}

/** What went wrong since it was last asked: the kind and the ring. */
function trouble(): [number, number] {
  const { i32 } = guest.scratch;
  const found: [number, number] = [
    i32[RESULT_TROUBLE >> 2] ?? 0,
    i32[RESULT_TROUBLE_RING >> 2] ?? 0,
  ];
  i32[RESULT_TROUBLE >> 2] = 0;
  return found;
}

const GETATTR = request(Opcode.GETATTR, 8n, Buffer.alloc(16));

/** A chain with GETATTR and room for a header. */
function getattr(): Descriptor[] {
  return [readable(GETATTR), writable(16)];
}

/** Serves a GETATTR and checks that all went well. */
function expectServed(ring: TestRing): void {
  const before = ring.usedIndex;
  const room = writable(16);
  const head = ring.chain([readable(GETATTR), room]);
  ring.offer(head);
  expect(guest.next()).toEqual(GETATTR);
  expect(guest.next(guest.reply(answer(8n)))).toBeNull();
  expect(ring.usedIndex).toBe((before + 1) & 0xffff);
  expect(ring.used(before)).toEqual({ head, written: 16 });
  expect(guest.read(room.address, 16)).toEqual(answer(8n));
}

describe('a request', () => {
  it('may be cut anywhere, and so may the room for its reply', () => {
    const ring = guest.ring(1);
    const bytes = request(Opcode.LOOKUP, 6n, Buffer.from('a name\0'));
    const reply = answer(6n, Buffer.from('what was found'));
    for (const piece of [1, 3, 7, 39, 40, 41, 100]) {
      const room = writable(64);
      const head = ring.chain([...cut(readable(bytes), piece), ...cut(room, piece)]);
      ring.offer(head);
      const before = ring.usedIndex;
      expect(guest.next()).toEqual(bytes);
      expect(guest.next(guest.reply(reply))).toBeNull();
      expect(ring.used(before)).toEqual({ head, written: reply.length });
      expect(guest.read(room.address, 64)).toEqual(Buffer.concat([reply, Buffer.alloc(34)]));
    }
    expect(trouble()[0]).toBe(0);
  });

  it('may be in an indirect table, alone or after other descriptors', () => {
    const ring = guest.ring(1);
    const pieces = cut(readable(GETATTR), 7);
    for (const lead of [0, 3]) {
      const room = writable(32);
      const entries = table([...pieces.slice(lead), room]);
      const head = ring.chain([
        ...pieces.slice(0, lead),
        { address: guest.place(entries), length: entries.length, flags: INDIRECT },
      ]);
      ring.offer(head);
      expect(guest.next()).toEqual(GETATTR);
      expect(guest.next(guest.reply(answer(8n)))).toBeNull();
      expect(guest.read(room.address, 16)).toEqual(answer(8n));
    }
    expect(trouble()[0]).toBe(0);
  });

  it('may have more pieces than its ring has descriptors when they are in a table', () => {
    const ring = guest.ring(1, { size: 2 });
    const bytes = request(Opcode.SETXATTR, 2n, Buffer.alloc(900, 7));
    const entries = table([...cut(readable(bytes), 1), writable(16)]);
    ring.offer(
      ring.chain([{ address: guest.place(entries), length: entries.length, flags: INDIRECT }]),
    );
    expect(guest.next()).toEqual(bytes);
    expect(guest.next(guest.reply(answer(2n)))).toBeNull();
  });

  it('is given back without an answer when it wants none', () => {
    const ring = guest.ring(0);
    const head = ring.chain([readable(request(Opcode.FORGET, 2n, Buffer.alloc(8)))]);
    ring.offer(head);
    expect(guest.next()).not.toBeNull();
    expect(guest.next(0)).toBeNull();
    expect(ring.used(0)).toEqual({ head, written: 0 });
  });

  it('comes from hiprio first, then from the others in turn', () => {
    const rings = [0, 1, 2, 3].map((index) => guest.ring(index));
    rings.forEach((ring, index) => {
      const forget = (n: number) => readable(request(Opcode.FORGET, BigInt(index * 10 + n)));
      ring.offer(ring.chain([forget(0)]), ring.chain([forget(1)]));
    });
    const order: number[] = [];
    for (let bytes = guest.next(); bytes !== null; bytes = guest.next()) {
      order.push(Number(bytes.readBigUInt64LE(8)));
    }
    expect(order).toEqual([0, 1, 10, 20, 30, 11, 21, 31]);
  });

  it('is found across the end of the 16-bit indexes', () => {
    const ring = guest.ring(1, { size: 4, availableIndex: 65534, usedIndex: 65533 });
    for (let i = 0; i < 6; i++) {
      const before = ring.usedIndex;
      const head = ring.chain([{ ...readable(request(Opcode.FORGET, BigInt(i))) }]);
      ring.offer(head);
      expect(guest.next()).not.toBeNull();
      expect(guest.next()).toBeNull();
      expect(ring.used(before)).toEqual({ head, written: 0 });
      expect(ring.usedIndex).toBe((before + 1) & 0xffff);
    }
    expect(ring.stop()).toBe((65534 + 6) & 0xffff);
  });

  it('leaves time for what else there is, however many follow', () => {
    const ring = guest.ring(1, { size: 256 });
    const head = ring.chain([readable(request(Opcode.FORGET, 2n))]);
    ring.offer(...new Array<number>(256).fill(head));
    guest.native.signalEvent(guest.control);
    let served = 0;
    while (guest.native.ringNext(0) > 0) served++;
    expect(served).toBeLessThan(64);
    while (guest.next() !== null) served++;
    expect(served).toBe(256);
  });
});

describe('a chain that no driver makes', () => {
  /** Offers it; it must come back unread, and the next request must be served. */
  function expectRefused(ring: TestRing, head: number): void {
    const before = ring.usedIndex;
    ring.offer(head);
    expect(guest.next()).toBeNull();
    expect(trouble()).toEqual([TROUBLE_CHAIN, 1]);
    expect(ring.used(before)).toEqual({ head, written: 0 });
    expectServed(ring);
  }

  it('is a loop', () => {
    const ring = guest.ring(1);
    const { address, length } = readable(GETATTR);
    ring.set(100, { address, length, flags: NEXT, next: 101 });
    ring.set(101, { address, length, flags: NEXT, next: 100 });
    expectRefused(ring, 100);
    ring.set(100, { address, length, flags: NEXT, next: 100 });
    expectRefused(ring, 100);
  });

  it('leads out of its table', () => {
    const ring = guest.ring(1);
    ring.set(100, { ...readable(GETATTR), flags: NEXT, next: 128 });
    expectRefused(ring, 100);
    const entries = table([{ ...readable(GETATTR), flags: NEXT, next: 1 }]);
    ring.set(100, { address: guest.place(entries), length: 16, flags: INDIRECT });
    expectRefused(ring, 100);
  });

  it('names memory that the guest does not have', () => {
    const ring = guest.ring(1);
    const end = GUEST + BigInt(16 << 20);
    const places: Descriptor[] = [
      { address: 0n, length: 40 },
      { address: GUEST - 1n, length: 40 },
      { address: end, length: 40 },
      { address: end - 39n, length: 40 },
      { address: GUEST, length: 0xffffffff },
      { address: 0xffff_ffff_ffff_ffffn, length: 40 },
      { address: 0xffff_ffff_ffff_fff0n, length: 0xffffffff },
    ];
    for (const { address, length } of places) {
      ring.set(100, { address, length });
      expectRefused(ring, 100);
      ring.set(100, { ...readable(GETATTR), flags: NEXT, next: 101 });
      ring.set(101, { address, length, flags: WRITE });
      expectRefused(ring, 100);
      ring.set(100, { address, length: (length >>> 4) * 16, flags: INDIRECT });
      expectRefused(ring, 100);
    }
  });

  it('has a readable part behind a writable one', () => {
    const ring = guest.ring(1);
    expectRefused(ring, ring.chain([writable(16), readable(GETATTR)]));
  });

  it('has a table within a table, a table with a successor, or half a table', () => {
    const ring = guest.ring(1);
    const inner = table(getattr());
    const innerAt = guest.place(inner);
    const outer = table([{ address: innerAt, length: inner.length, flags: INDIRECT }]);
    expectRefused(
      ring,
      ring.chain([{ address: guest.place(outer), length: outer.length, flags: INDIRECT }]),
    );
    ring.set(100, { address: innerAt, length: inner.length, flags: INDIRECT | NEXT, next: 101 });
    ring.set(101, writable(16));
    expectRefused(ring, 100);
    for (const length of [0, 8, 15, 17, 31, 16 * 32769]) {
      ring.set(100, { address: innerAt, length, flags: INDIRECT });
      expectRefused(ring, 100);
    }
  });

  it('has a table though none was agreed on', () => {
    const ring = guest.ring(1, { indirect: false });
    const entries = table(getattr());
    ring.set(100, { address: guest.place(entries), length: entries.length, flags: INDIRECT });
    expectRefused(ring, 100);
  });

  it('keeps nobody waiting, however many follow', () => {
    const ring = guest.ring(1, { size: 1024 });
    const empty = { address: GUEST, length: 0 };
    for (let i = 0; i < 1024; i++) ring.set(i, { ...empty, flags: NEXT, next: (i + 1) % 1024 });
    // The device looks at the control event first, once.
    guest.native.signalEvent(guest.control);
    expect(guest.native.ringNext(0)).toBe(0);
    ring.offer(...Array.from({ length: 1024 }, (_, head) => head));
    guest.native.signalEvent(guest.control);
    expect(guest.native.ringNext(0)).toBe(0);
    expect(ring.usedIndex).toBeLessThan(64);
    while (ring.usedIndex < 1024) expect(guest.next()).toBeNull();
    expect(trouble()).toEqual([TROUBLE_CHAIN, 1]);
    expectServed(ring);
  });

  it('is longer than four gibibytes', () => {
    const ring = guest.ring(1, { size: 1024 });
    const piece = { address: GUEST, length: 16 << 20, flags: WRITE };
    expectRefused(ring, ring.chain([readable(GETATTR), ...new Array<Descriptor>(257).fill(piece)]));
  });

  it('is too short for a request, or has no room for the reply that it must have', () => {
    const ring = guest.ring(1);
    expectRefused(ring, ring.chain([readable(GETATTR.subarray(0, 39)), writable(16)]));
    expectRefused(ring, ring.chain([writable(160)]));
    expectRefused(ring, ring.chain([readable(GETATTR)]));
    expectRefused(ring, ring.chain([readable(GETATTR), writable(15)]));
    expectRefused(ring, ring.chain([{ address: 0n, length: 0 }]));
  });
});

describe('a ring', () => {
  it('passes over a head that is no descriptor', () => {
    const ring = guest.ring(1);
    ring.offer(128, 65535);
    expect(guest.next()).toBeNull();
    expect(trouble()).toEqual([TROUBLE_HEAD, 1]);
    expect(ring.usedIndex).toBe(0);
    const head = ring.chain(getattr());
    ring.offer(head);
    expect(guest.next()).toEqual(GETATTR);
  });

  it('is given up when its index cannot be; others go on', () => {
    const broken = guest.ring(1);
    const other = guest.ring(2);
    broken.publish(129);
    expect(guest.next()).toBeNull();
    expect(trouble()).toEqual([TROUBLE_RING, 1]);
    expect(guest.signals(broken.error)).toBe(1);
    broken.publish(1);
    expectServed(other);
    expect(broken.usedIndex).toBe(0);
    expect(trouble()[0]).toBe(0);
  });

  it('does nothing any more once it is stopped, and tells how far it was', () => {
    const ring = guest.ring(1);
    expectServed(ring);
    ring.offer(ring.chain(getattr()));
    expect(ring.stop()).toBe(1);
    expect(guest.next()).toBeNull();
    expect(ring.usedIndex).toBe(1);
  });

  it('must be a power of two, aligned, and in memory', () => {
    const { native } = guest;
    const [kick, call] = [guest.event(), guest.event()];
    const start = (size: number, at: bigint, available = at + 0x4000n, used = at + 0x8000n) =>
      native.startRing(5, size, at, available, used, 0, 0, kick, call, -1);
    for (const size of [0, 3, 127, 65536]) expect(start(size, USER)).toBe(-EINVAL);
    expect(start(128, USER + 8n)).toBe(-EINVAL);
    expect(start(128, USER, USER + 0x4001n)).toBe(-EINVAL);
    expect(start(128, USER, USER + 0x4000n, USER + 0x8002n)).toBe(-EINVAL);
    const end = USER + BigInt(16 << 20);
    expect(start(128, end - 16n * 127n)).toBe(-EFAULT);
    expect(start(128, USER, end - 2n)).toBe(-EFAULT);
    expect(start(128, USER, USER, end - 0x400n)).toBe(-EFAULT);
    expect(start(128, GUEST)).toBe(-EFAULT);
    // The descriptor of the kick must be one that can be watched.
    expect(native.startRing(5, 128, USER, USER, USER, 0, 0, guest.file('k', 1), call, -1)).toBe(-1);
    expect(start(32768, USER, USER + 0x100000n, USER + 0x200000n)).toBe(0);
    expect(native.stopRing(5)).toBe(0);
  });
});

describe('signals', () => {
  /** Serves `count` requests that wait at once, and returns how often the driver was called. */
  function serve(ring: TestRing, count: number): number {
    const head = ring.chain([readable(request(Opcode.FORGET, 2n))]);
    ring.offer(...new Array<number>(count).fill(head));
    while (guest.next() !== null);
    return guest.signals(ring.call);
  }

  it('are sent when the used index passes the wish of the driver', () => {
    const ring = guest.ring(1);
    // The first one always: who was there before may have had other wishes.
    ring.setUsedEvent(1000);
    expect(serve(ring, 1)).toBe(1);
    expect(serve(ring, 1)).toBe(0);
    ring.setUsedEvent(2);
    expect(serve(ring, 1)).toBe(1);
    ring.setUsedEvent(4);
    expect(serve(ring, 1)).toBe(0);
    expect(serve(ring, 3)).toBe(1);
    expect(serve(ring, 3)).toBe(0);
    // A wish of long ago.
    ring.setUsedEvent(65000);
    expect(serve(ring, 3)).toBe(0);
  });

  it('are left out when the driver wants none', () => {
    const ring = guest.ring(1, { eventIdx: false });
    expect(serve(ring, 1)).toBe(1);
    ring.setNoInterrupt(true);
    expect(serve(ring, 5)).toBe(0);
    ring.setNoInterrupt(false);
    expect(serve(ring, 1)).toBe(1);
  });

  it('go to the descriptor that was told last', () => {
    const ring = guest.ring(1, { eventIdx: false });
    const other = guest.event();
    guest.native.setRingSignals(1, other, -1);
    expect(serve(ring, 1)).toBe(0);
    expect(guest.signals(other)).toBe(1);
    guest.native.setRingSignals(1, -1, -1);
    expect(serve(ring, 1)).toBe(0);
    expect(guest.signals(other)).toBe(0);
  });

  it('are shared by requests that follow on each other, but not by many', () => {
    const ring = guest.ring(1, { eventIdx: false, size: 256 });
    const calls = serve(ring, 200);
    expect(calls).toBeGreaterThanOrEqual(Math.floor(200 / 16));
    expect(calls).toBeLessThan(200);
  });

  it('of the driver are asked for before sleeping, and not while busy', () => {
    const events = guest.ring(1);
    const flags = guest.ring(2, { eventIdx: false });
    expect(guest.next()).toBeNull();
    for (const ring of [events, flags]) {
      ring.offer(ring.chain(getattr()), ring.chain(getattr()));
    }
    expect(guest.next()).toEqual(GETATTR);
    expect(events.availableEvent).toBe(0);
    expect(flags.usedFlags).toBe(1);
    for (let i = 0; i < 3; i++) expect(guest.next(guest.reply(answer(8n)))).toEqual(GETATTR);
    expect(guest.next(guest.reply(answer(8n)))).toBeNull();
    expect(events.availableEvent).toBe(2);
    expect(flags.usedFlags).toBe(0);
  });

  it('of the driver wake the device', () => {
    const ring = guest.ring(1);
    expect(guest.next()).toBeNull();
    ring.offer(ring.chain(getattr()));
    guest.native.signalEvent(ring.kick);
    expect(guest.native.ringNext(0)).toBe(GETATTR.length);
  });
});

describe('a reply', () => {
  it('that finds too little room becomes EIO', () => {
    const ring = guest.ring(1);
    const room = writable(20);
    const head = ring.chain([readable(GETATTR), room]);
    ring.offer(head);
    expect(guest.next()).toEqual(GETATTR);
    expect(guest.next(guest.reply(answer(8n, Buffer.alloc(5))))).toBeNull();
    expect(trouble()).toEqual([TROUBLE_ROOM, 1]);
    expect(ring.used(0)).toEqual({ head, written: 16 });
    expect(guest.read(room.address, 20)).toEqual(
      Buffer.concat([answer(8n, undefined, EIO), Buffer.alloc(4)]),
    );
  });
});

describe('file data', () => {
  const SIZE = 1 << 20;
  const OFFSET_AT = REPLY;

  function pattern(size: number): Buffer {
    return Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
  }

  /** Offers a READ with room for `size` bytes in pieces, and answers it from a file. */
  function read(fd: number, offset: bigint, asked: number, pieces: readonly Descriptor[]): number {
    const ring = guest.ring(1, { size: 2048 });
    const bytes = request(Opcode.READ, 44n, Buffer.alloc(40));
    ring.offer(ring.chain([readable(bytes), ...pieces]));
    expect(guest.next()).toEqual(bytes);
    new DataView(guest.scratch.u8.buffer, guest.scratch.u8.byteOffset).setBigInt64(
      OFFSET_AT,
      offset,
      true,
    );
    const result = guest.native.ringSendFile(fd, OFFSET_AT, asked, REQUEST + 8);
    if (result === 0) {
      expect(guest.next()).toBeNull();
      expect(ring.used(0).written).toBe(guest.read(pieces[0]?.address ?? 0n, 4).readUInt32LE());
    }
    return result;
  }

  it('goes straight into guest memory, in more pieces than one call takes', () => {
    const data = pattern(SIZE);
    const fd = guest.file('data', 0);
    fs.writeSync(fd, data);
    const room = writable(16 + SIZE);
    // 16 bytes of the header in two pieces, then 1100 pieces of data.
    const rest = { ...room, address: room.address + 16n, length: SIZE };
    const head = { ...room, length: 16 };
    expect(read(fd, 0n, SIZE, [...cut(head, 9), ...cut(rest, 953)])).toBe(0);
    expect(guest.read(room.address, 16)).toEqual(answer(44n, data).subarray(0, 16));
    expect(guest.read(rest.address, SIZE).equals(data)).toBe(true);
  });

  it('ends where the file ends, and where the room does', () => {
    const data = pattern(5000);
    const fd = guest.file('data', 0);
    fs.writeSync(fd, data);
    const room = writable(16 + 4000);
    expect(read(fd, 3000n, 4000, [room])).toBe(0);
    expect(guest.read(room.address, 2016)).toEqual(answer(44n, data.subarray(3000)));
    guest.native.stopRing(1);
    const small = writable(16 + 100);
    expect(read(fd, 0n, 4096, [small, ...cut(writable(7), 1)])).toBe(0);
    expect(guest.read(small.address, 4).readUInt32LE()).toBe(16 + 107);
    guest.native.stopRing(1);
    const none = writable(16);
    expect(read(fd, 0n, 4096, [none])).toBe(0);
    expect(guest.read(none.address, 16)).toEqual(answer(44n));
  });

  it('that cannot be read is answered by the caller', () => {
    const room = writable(16 + 100);
    const fd = guest.file('w', 0, fs.constants.O_WRONLY | fs.constants.O_CREAT);
    expect(read(fd, 0n, 100, [room])).toBe(-9);
    expect(guest.next(guest.reply(answer(44n, undefined, 9)))).toBeNull();
    expect(guest.read(room.address, 16)).toEqual(answer(44n, undefined, 9));
  });

  /** Offers a WRITE of these bytes in pieces, and writes them to a file. */
  function write(fd: number, offset: bigint, data: Buffer, piece: number, append: boolean): number {
    const ring = guest.ring(1, { size: 2048 });
    const bytes = request(Opcode.WRITE, 46n, Buffer.concat([Buffer.alloc(40), data]));
    const whole = readable(bytes);
    ring.offer(
      ring.chain([
        ...cut({ ...whole, length: 80 }, 33),
        ...cut({ ...whole, address: whole.address + 80n, length: data.length }, piece),
        writable(24),
      ]),
    );
    const seen = guest.next();
    expect(seen?.length).toBe(80 + data.length);
    expect(seen?.subarray(0, 80)).toEqual(bytes.subarray(0, 80));
    new DataView(guest.scratch.u8.buffer, guest.scratch.u8.byteOffset).setBigInt64(
      OFFSET_AT,
      offset,
      true,
    );
    const written = guest.native.ringWriteFile(fd, data.length, OFFSET_AT, append ? 1 : 0);
    expect(guest.next(guest.reply(answer(46n)))).toBeNull();
    guest.native.stopRing(1);
    return written;
  }

  it('comes straight from guest memory, at its offset or at the end', () => {
    const data = pattern(SIZE);
    const fd = guest.file('data', 10);
    expect(write(fd, 3n, data, 953, false)).toBe(SIZE);
    expect(write(fd, 0n, data.subarray(0, 100), 7, true)).toBe(100);
    const written = fs.readFileSync(`${guest.folder}/data`);
    expect(written.subarray(0, 3)).toEqual(Buffer.alloc(3));
    expect(written.subarray(3).equals(Buffer.concat([data, data.subarray(0, 100)]))).toBe(true);
  });

  it('is moved through aligned memory for files past the page cache', (context) => {
    const data = pattern(8192);
    const plain = guest.file('data', 0);
    fs.writeSync(plain, data);
    let direct: number;
    try {
      direct = guest.file('data', 0, fs.constants.O_RDWR | fs.constants.O_DIRECT);
    } catch {
      context.skip('the file system of temporary files knows no O_DIRECT');
      return;
    }
    const room = writable(17 + 8192);
    const odd = { ...room, address: room.address + 1n, length: 16 + 8192 };
    expect(read(direct, 0n, 8192, cut(odd, 1000))).toBe(0);
    expect(guest.read(odd.address, 16 + 8192)).toEqual(answer(44n, data));
    guest.native.stopRing(1);
    const turned = Buffer.from(data).reverse();
    expect(write(direct, 0n, turned, 1001, false)).toBe(8192);
    expect(fs.readFileSync(`${guest.folder}/data`).equals(turned)).toBe(true);
  });
});

describe('guest memory', () => {
  const SECOND = GUEST + BigInt(16 << 20);

  it('may come in regions that touch, from files that do not', () => {
    const size = 0x10000;
    const file = guest.file('more', 3 * size);
    // The second half of the file comes first.
    expect(guest.add({ guest: SECOND, size, fd: file, offset: 2 * size }, USER << 1n)).toBe(0);
    const third = SECOND + BigInt(size);
    expect(guest.add({ guest: third, size, fd: file, offset: 0x1000 }, USER << 2n)).toBe(0);
    const ring = guest.ring(1);
    const bytes = request(Opcode.SETXATTR, 2n, Buffer.alloc(100, 9));
    guest.write(SECOND - 20n, bytes.subarray(0, 20));
    guest.write(SECOND, bytes.subarray(20));
    const room = third - 5n;
    ring.offer(
      ring.chain([
        { address: SECOND - 20n, length: bytes.length },
        { address: room, length: 16, flags: WRITE },
      ]),
    );
    expect(guest.next()).toEqual(bytes);
    expect(guest.next(guest.reply(answer(2n)))).toBeNull();
    expect(Buffer.concat([guest.read(room, 5), guest.read(third, 11)])).toEqual(answer(2n));

    // A table, too, may begin in one region and end in the next.
    const entries = table(getattr());
    guest.write(third - 8n, entries.subarray(0, 8));
    guest.write(third, entries.subarray(8));
    ring.offer(ring.chain([{ address: third - 8n, length: entries.length, flags: INDIRECT }]));
    expect(guest.next()).toEqual(GETATTR);
    expect(guest.next(guest.reply(answer(8n)))).toBeNull();

    // What is taken away is gone, whatever its offset is said to be.
    expect(guest.native.removeMemory(third, BigInt(size), USER << 2n)).toBe(0);
    expect(guest.native.removeMemory(third, BigInt(size), USER << 2n)).toBe(-ENOENT);
    ring.offer(ring.chain([{ address: third - 8n, length: 32, flags: INDIRECT }]));
    expect(guest.next()).toBeNull();
    expect(trouble()).toEqual([TROUBLE_CHAIN, 1]);
  });

  it('is refused when it is nothing, overflows, overlaps or is not there', () => {
    const { native } = guest;
    const fd = guest.file('small', 0x2000);
    const add = (at: bigint, size: bigint, user: bigint, offset: bigint) =>
      native.addMemory(at, size, user, offset, fd);
    const far = USER << 1n;
    const top = 0xffff_ffff_ffff_f000n;
    expect(add(SECOND, 0n, far, 0n)).toBe(-EINVAL);
    expect(add(top, 0x2000n, far, 0n)).toBe(-EINVAL);
    expect(add(SECOND, 0x2000n, top, 0n)).toBe(-EINVAL);
    expect(add(SECOND, 0x2000n, far, top)).toBe(-EINVAL);
    expect(add(SECOND - 1n, 0x1000n, far, 0n)).toBe(-EINVAL);
    expect(add(GUEST - 0xfffn, 0x1000n, far, 0n)).toBe(-EINVAL);
    expect(add(SECOND, 0x1000n, USER, 0n)).toBe(-EINVAL);
    expect(add(SECOND, 0x2001n, far, 0n)).toBe(-ENXIO);
    expect(add(SECOND, 0x2000n, far, 1n)).toBe(-ENXIO);
    expect(native.addMemory(SECOND, 0x1000n, far, 0n, -1)).toBe(-9);
    expect(add(SECOND, 0x1fffn, far, 1n)).toBe(0);
  });

  it('is refused where a device has nothing to map', () => {
    const zero = fs.openSync('/dev/zero', fs.constants.O_RDWR);
    const add = (offset: bigint) =>
      guest.native.addMemory(SECOND, 0x2000n, USER << 1n, offset, zero);
    // Mapped shared it is a file of its own, as long as the mapping.
    expect(add(0x4000n)).toBe(-ENXIO);
    expect(add(0n)).toBe(0);
    fs.closeSync(zero);
  });

  it('has room for 256 regions', () => {
    const fd = guest.file('one', 0x1000);
    const results = Array.from({ length: 256 }, (_, i) =>
      guest.native.addMemory(
        SECOND + BigInt(i) * 0x1000n,
        0x1000n,
        (USER << 1n) + BigInt(i) * 0x1000n,
        0n,
        fd,
      ),
    );
    expect(results).toEqual([...new Array<number>(255).fill(0), -ENOSPC]);
  });
});
