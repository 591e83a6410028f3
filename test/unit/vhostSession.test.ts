import fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Opcode } from '../../daemon/fuse/opcodes';
import { VhostSession } from '../../daemon/transport/vhostSession';
import type { TestRing } from './guestRings';
import { GUEST, TestGuest, USER, request } from './guestRings';

const GET_FEATURES = 1;
const SET_FEATURES = 2;
const SET_OWNER = 3;
const SET_MEM_TABLE = 5;
const SET_VRING_NUM = 8;
const SET_VRING_ADDR = 9;
const SET_VRING_BASE = 10;
const GET_VRING_BASE = 11;
const SET_VRING_KICK = 12;
const SET_VRING_CALL = 13;
const GET_PROTOCOL_FEATURES = 15;
const SET_PROTOCOL_FEATURES = 16;
const GET_QUEUE_NUM = 17;
const SET_VRING_ENABLE = 18;
const SET_BACKEND_REQ_FD = 21;
const GET_CONFIG = 24;
const SET_CONFIG = 25;
const RESET_DEVICE = 34;
const GET_MAX_MEM_SLOTS = 36;
const ADD_MEM_REG = 37;
const REM_MEM_REG = 38;

const ALL_FEATURES = 0x1_7000_0000n;
const WITHOUT_PROTOCOL = 0x1_3000_0000n;
const MQ_REPLY_ACK_SLOTS = 0x8009n;
const RINGS = 64;
const SIZE = 16 << 20;

let guest: TestGuest;
let session: VhostSession;
let said: string[];
let resets: number;

beforeEach(() => {
  guest = new TestGuest();
  said = [];
  resets = 0;
  session = newSession(null);
});
afterEach(() => {
  session.close();
  guest.close();
});

function newSession(tag: string | null): VhostSession {
  return new VhostSession(
    guest.native,
    RINGS,
    tag,
    () => resets++,
    (level, text) => {
      if (level !== 'debug') said.push(text);
    },
  );
}

function words(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

function wide(...values: bigint[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(values).buffer);
}

interface Reply {
  readonly request: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** Sends a message; descriptors are copies, as they are after their way through a socket. */
function send(
  request: number,
  payload: Uint8Array = new Uint8Array(),
  { fds = [], asked = false }: { fds?: readonly number[]; asked?: boolean } = {},
): Reply | null {
  const flags = asked ? 9 : 1;
  const bytes = session.answer({ request, flags, payload, fds: fds.map(copy) });
  if (bytes === null) return null;
  const buffer = Buffer.from(bytes);
  expect(buffer.readUInt32LE(8)).toBe(buffer.length - 12);
  return {
    request: buffer.readUInt32LE(0),
    flags: buffer.readUInt32LE(4),
    body: buffer.subarray(12),
  };
}

function copy(fd: number): number {
  return fs.openSync(`/proc/self/fd/${fd}`, 'r+');
}

/** An eventfd cannot be opened anew: it is handed over as it is, and is the session's then. */
function sendEvent(request: number, index: number, fd = guest.native.createEvent()): number {
  const bytes = session.answer({ request, flags: 1, payload: wide(BigInt(index)), fds: [fd] });
  expect(bytes).toBeNull();
  return fd;
}

function u64(reply: Reply | null): bigint {
  if (reply === null) throw new Error('There was no reply.');
  expect(reply.flags).toBe(5);
  expect(reply.body.length).toBe(8);
  return reply.body.readBigUInt64LE();
}

function isOpen(fd: number): boolean {
  try {
    fs.fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

function negotiate(features = ALL_FEATURES): void {
  send(SET_PROTOCOL_FEATURES, wide(MQ_REPLY_ACK_SLOTS));
  send(SET_FEATURES, wide(features));
}

type Step = 'size' | 'base' | 'addresses' | 'kick' | 'call' | 'enable';
const QEMU: readonly Step[] = ['call', 'size', 'base', 'addresses', 'kick', 'enable'];

/** Sets a ring up, step by step in the order that is given. */
function setUp(ring: TestRing, index: number, steps: readonly Step[] = QEMU, base = 0): void {
  const { descriptors, used, available } = ring.addresses;
  const addresses = Buffer.concat([words(index, 0), wide(descriptors, used, available, 0n)]);
  for (const step of steps) {
    if (step === 'size') send(SET_VRING_NUM, words(index, ring.size));
    if (step === 'base') send(SET_VRING_BASE, words(index, base));
    if (step === 'addresses') send(SET_VRING_ADDR, addresses);
    if (step === 'kick') sendEvent(SET_VRING_KICK, index);
    if (step === 'call') sendEvent(SET_VRING_CALL, index);
    if (step === 'enable') send(SET_VRING_ENABLE, words(index, 1));
  }
}

/** Lets a forget wait in the ring. */
function offer(ring: TestRing): void {
  const bytes = request(Opcode.FORGET, 2n, Buffer.alloc(8));
  ring.offer(ring.chain([{ address: guest.place(bytes), length: bytes.length }]));
}

/** How many requests are served now. */
function served(): number {
  let count = 0;
  while (guest.next() !== null) count++;
  return count;
}

describe('what is offered', () => {
  it('is what the device does, and no more', () => {
    expect(u64(send(GET_FEATURES))).toBe(ALL_FEATURES);
    expect(u64(send(GET_PROTOCOL_FEATURES))).toBe(0xa029n);
    expect(u64(send(GET_QUEUE_NUM))).toBe(BigInt(RINGS));
    expect(u64(send(GET_MAX_MEM_SLOTS))).toBe(256n);
  });

  it('has a configuration space where there is a tag', () => {
    session = newSession('a tag');
    expect(u64(send(GET_PROTOCOL_FEATURES))).toBe(0xa229n);
    const asked = Buffer.concat([words(0, 40, 1), Buffer.alloc(40)]);
    const space = Buffer.concat([Buffer.from('a tag'.padEnd(36, '\0')), words(1)]);
    expect(send(GET_CONFIG, asked)?.body).toEqual(Buffer.concat([words(0, 40, 1), space]));
    negotiate();
    expect(u64(send(SET_CONFIG, asked, { asked: true }))).toBe(1n);
  });

  it('cannot be exceeded', () => {
    expect(() => send(SET_FEATURES, wide(ALL_FEATURES | (1n << 34n)))).toThrow('not offered');
    negotiate();
    const packed = wide(ALL_FEATURES | (1n << 34n));
    expect(u64(send(SET_FEATURES, packed, { asked: true }))).toBe(1n);
  });
});

describe('an answer that is asked for', () => {
  it('comes only when that was agreed on', () => {
    expect(send(SET_OWNER, undefined, { asked: true })).toBeNull();
    negotiate();
    expect(send(SET_OWNER)).toBeNull();
    expect(u64(send(SET_OWNER, undefined, { asked: true }))).toBe(0n);
    // A message with an answer of its own has that one only.
    expect(u64(send(GET_FEATURES, undefined, { asked: true }))).toBe(ALL_FEATURES);
  });

  it('says what failed; without it the session ends', () => {
    expect(() => send(SET_VRING_NUM, words(1, 100))).toThrow(
      "The virtual machine monitor's SET_VRING_NUM is refused: a ring of 100 descriptors is none.",
    );
    negotiate();
    for (const [message, payload] of [
      [SET_VRING_NUM, words(1, 100)],
      [SET_VRING_NUM, words(1, 0)],
      [SET_VRING_NUM, words(1, 65536)],
      [SET_VRING_NUM, words(RINGS, 128)],
      [SET_VRING_NUM, words(1)],
      [SET_VRING_ENABLE, words(RINGS, 1)],
      [SET_VRING_BASE, words(0xffffffff, 1)],
      [REM_MEM_REG, wide(0n, 1n, 2n, 3n, 0n)],
    ] as const) {
      expect(u64(send(message, payload, { asked: true }))).toBe(1n);
    }
    expect(said).toHaveLength(8);
  });

  it('to a message that nobody knows is a failure; unasked it is passed over', () => {
    expect(send(99, words(1, 2))).toBeNull();
    expect(said).toEqual(['The virtual machine monitor sent message 99, which is not offered.']);
    negotiate();
    expect(u64(send(99, words(1, 2), { asked: true }))).toBe(1n);
  });
});

describe('descriptors', () => {
  it('that are not kept are closed, whatever happens', () => {
    negotiate();
    const plain = guest.file('plain', 4096);
    const taken = (message: number, payload: Uint8Array, count: number) => {
      const fds = Array.from({ length: count }, () => copy(plain));
      session.answer({ request: message, flags: 9, payload, fds });
      return fds.map(isOpen);
    };
    expect(taken(99, words(1), 2)).toEqual([false, false]);
    expect(taken(SET_OWNER, new Uint8Array(), 1)).toEqual([false]);
    expect(taken(SET_VRING_KICK, wide(1n), 1)).toEqual([false]);
    expect(taken(SET_VRING_CALL, wide(1n), 3)).toEqual([false, false, false]);
    expect(taken(REM_MEM_REG, wide(0n, GUEST, BigInt(SIZE), USER, 0n), 1)).toEqual([false]);
    expect(taken(ADD_MEM_REG, wide(0n, GUEST, 4096n, USER, 0n), 1)).toEqual([false]);
    expect(taken(SET_BACKEND_REQ_FD, new Uint8Array(), 1)).toEqual([true]);
    session.close();
  });

  it('that are kept are closed when others take their place, and at the end', () => {
    negotiate();
    // Made before any is closed, so that no number comes twice.
    const events = Array.from({ length: 6 }, () => guest.native.createEvent());
    const [call = 0, kick = 0, nextCall = 0, nextKick = 0, ...last] = events;
    sendEvent(SET_VRING_CALL, 1, call);
    sendEvent(SET_VRING_KICK, 1, kick);
    sendEvent(SET_VRING_CALL, 1, nextCall);
    sendEvent(SET_VRING_KICK, 1, nextKick);
    sendEvent(SET_VRING_CALL, 2, last[0]);
    sendEvent(SET_VRING_KICK, 2, last[1]);
    expect(events.map(isOpen)).toEqual([false, false, true, true, true, true]);
    send(GET_VRING_BASE, words(1, 0));
    expect(events.map(isOpen)).toEqual([false, false, false, false, true, true]);
    session.close();
    expect(events.some(isOpen)).toBe(false);
  });

  it('that could block whoever signals them are refused', () => {
    negotiate();
    const plain = guest.file('plain', 4096);
    for (const message of [SET_VRING_KICK, SET_VRING_CALL]) {
      expect(u64(send(message, wide(1n), { fds: [plain], asked: true }))).toBe(1n);
    }
    expect(u64(send(SET_VRING_KICK, wide(0x101n), { asked: true }))).toBe(1n);
    expect(send(SET_VRING_CALL, wide(0x101n))).toBeNull();
  });
});

describe('a ring', () => {
  it('is served once all is said, in whatever order, and nothing before is lost', () => {
    negotiate();
    const orders: readonly (readonly Step[])[] = [
      QEMU,
      ['size', 'addresses', 'base', 'call', 'kick', 'enable'],
      ['enable', 'size', 'addresses', 'base', 'kick', 'call'],
      ['kick', 'enable', 'base', 'size', 'addresses'],
    ];
    orders.forEach((order, index) => {
      const ring = guest.ring(index, { started: false });
      offer(ring);
      const missing = new Set<Step>(['size', 'addresses', 'kick', 'enable']);
      for (const step of order) {
        expect(served(), `${order.join()} before ${step}`).toBe(0);
        setUp(ring, index, [step]);
        missing.delete(step);
        if (missing.size === 0) break;
      }
      expect(served(), order.join()).toBe(1);
      expect(ring.usedIndex).toBe(1);
    });
  });

  it('keeps its requests while it is disabled', () => {
    negotiate();
    const ring = guest.ring(1, { started: false });
    setUp(ring, 1);
    offer(ring);
    expect(served()).toBe(1);
    send(SET_VRING_ENABLE, words(1, 0));
    offer(ring);
    offer(ring);
    expect(served()).toBe(0);
    send(SET_VRING_ENABLE, words(1, 1));
    expect(served()).toBe(2);
  });

  it('goes on where it was stopped, with requests waiting', () => {
    negotiate();
    const ring = guest.ring(1, { started: false });
    setUp(ring, 1);
    for (let i = 0; i < 3; i++) offer(ring);
    expect(served()).toBe(3);
    offer(ring);
    const base = send(GET_VRING_BASE, words(1, 0));
    expect(base?.body).toEqual(Buffer.from(words(1, 3)));
    expect(served()).toBe(0);
    setUp(ring, 1, QEMU, 3);
    expect(served()).toBe(1);
    expect(ring.usedIndex).toBe(4);
  });

  it('is enabled at once by a front-end without protocol features', () => {
    send(SET_FEATURES, wide(WITHOUT_PROTOCOL));
    const ring = guest.ring(1, { started: false });
    setUp(ring, 1, ['size', 'addresses', 'base', 'call', 'kick']);
    offer(ring);
    expect(served()).toBe(1);
  });

  it('calls a new descriptor at once, because the last call may be lost', () => {
    negotiate();
    const ring = guest.ring(1, { started: false });
    const early = sendEvent(SET_VRING_CALL, 1);
    expect(guest.signals(early)).toBe(0);
    setUp(ring, 1, ['size', 'base', 'addresses', 'kick', 'enable']);
    expect(guest.signals(sendEvent(SET_VRING_CALL, 1))).toBe(1);
  });

  it('changes over to other features while it is served', () => {
    negotiate();
    const ring = guest.ring(1, { started: false, eventIdx: false });
    setUp(ring, 1);
    offer(ring);
    expect(served()).toBe(1);
    expect(ring.usedFlags).toBe(0);
    send(SET_FEATURES, wide(ALL_FEATURES & ~(1n << 29n)));
    offer(ring);
    expect(guest.next()).not.toBeNull();
    expect(ring.usedFlags).toBe(1);
    expect(served()).toBe(0);
  });

  it('that the guest broke is served again when it is set up anew', () => {
    negotiate();
    const ring = guest.ring(1, { started: false });
    setUp(ring, 1);
    ring.publish(500);
    expect(served()).toBe(0);
    session.rings.giveUp(1);
    ring.publish(0);
    offer(ring);
    send(SET_VRING_ENABLE, words(1, 0));
    send(SET_VRING_ENABLE, words(1, 1));
    expect(served()).toBe(0);
    send(GET_VRING_BASE, words(1, 0));
    setUp(ring, 1);
    expect(served()).toBe(1);
  });

  it('is not served while its memory is away', () => {
    negotiate();
    const ring = guest.ring(1, { started: false });
    setUp(ring, 1);
    const memory = fs.openSync(`${guest.folder}/memory`, 'r+');
    const region = wide(0n, GUEST, BigInt(SIZE), USER, 0n);
    // Its offset says nothing when it goes.
    send(REM_MEM_REG, wide(0n, GUEST, BigInt(SIZE), USER, 0x1000n));
    offer(ring);
    expect(served()).toBe(0);
    send(ADD_MEM_REG, region, { fds: [memory] });
    expect(served()).toBe(1);
    send(SET_MEM_TABLE, words(0, 0));
    offer(ring);
    expect(served()).toBe(0);
    const table = Buffer.concat([words(1, 0), wide(GUEST, BigInt(SIZE), USER, 0n)]);
    send(SET_MEM_TABLE, table, { fds: [memory] });
    expect(served()).toBe(1);
    fs.closeSync(memory);
  });

  it('that is in no memory at all is refused', () => {
    negotiate();
    const ring = guest.ring(1, { started: false });
    send(SET_MEM_TABLE, words(0, 0));
    setUp(ring, 1, ['size', 'base', 'addresses', 'kick']);
    expect(u64(send(SET_VRING_ENABLE, words(1, 1), { asked: true }))).toBe(1n);
    expect(said.at(-1)).toContain("ring 1 is not in the guest's memory");
  });
});

describe('a reset of the device', () => {
  it('drops what the guest had and disables its rings; memory and agreements stay', () => {
    negotiate();
    const ring = guest.ring(1, { started: false });
    setUp(ring, 1);
    expect(u64(send(RESET_DEVICE, undefined, { asked: true }))).toBe(0n);
    expect(resets).toBe(1);
    offer(ring);
    expect(served()).toBe(0);
    send(SET_FEATURES, wide(ALL_FEATURES));
    send(SET_VRING_ENABLE, words(1, 1));
    expect(served()).toBe(1);
  });
});
