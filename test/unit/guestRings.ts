/**
 * A guest's memory and its side of split rings, for tests of the device's side: plain files stand for
 * the memory, which the device maps, and which is read and written here as files are. So nothing of
 * what is tested has a part in what is expected.
 */

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Addon, Scratch } from '../../native/index';
import {
  REPLY,
  REQUEST,
  RING_EVENT_IDX,
  RING_INDIRECT,
  createScratch,
  loadAddon,
} from '../../native/index';

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

/** Where the guest's first region is, for the guest and for the front-end. */
export const GUEST = 0x4000_0000n;
export const USER = 0x7e00_0000_0000n;

const REGION = 16 << 20;
const RINGS_AT = 0x1000;
const RING_BYTES = 0x100000;
const BUFFERS_AT = 0x800000;

export interface Descriptor {
  readonly address: bigint;
  readonly length: number;
  readonly flags?: number;
  readonly next?: number;
}

/** An open region. */
interface Region {
  readonly guest: bigint;
  readonly size: number;
  readonly fd: number;
  readonly offset: number;
}

/** One thread's device with a guest in front of it. */
export class TestGuest {
  readonly native: Addon = loadAddon();
  readonly scratch: Scratch = createScratch(this.native);
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rings-'));
  readonly control = this.native.createEvent();
  readonly #regions: Region[] = [];
  readonly #fds: number[] = [this.control];
  #free = BUFFERS_AT;

  constructor() {
    this.native.openDevice(this.control);
    const file = this.file('memory', REGION);
    if (this.add({ guest: GUEST, size: REGION, fd: file, offset: 0 }, USER) !== 0) {
      throw new Error('The first region is refused.');
    }
  }

  /** An open file of that many bytes, closed at the end. */
  file(name: string, size: number, flags = fs.constants.O_RDWR | fs.constants.O_CREAT): number {
    const fd = fs.openSync(path.join(this.folder, name), flags, 0o600);
    if (size > 0) fs.ftruncateSync(fd, size);
    this.#fds.push(fd);
    return fd;
  }

  event(): number {
    const fd = this.native.createEvent();
    this.#fds.push(fd);
    return fd;
  }

  /** How often an event was signalled since this was last asked. */
  signals(fd: number): number {
    const count = Buffer.alloc(8);
    try {
      fs.readSync(fd, count);
    } catch {
      return 0;
    }
    return Number(count.readBigUInt64LE());
  }

  add(region: Region, user: bigint): number {
    const { guest, size, fd, offset } = region;
    const result = this.native.addMemory(guest, BigInt(size), user, BigInt(offset), fd);
    if (result === 0) this.#regions.push(region);
    return result;
  }

  write(address: bigint, bytes: Uint8Array): void {
    const { region, at } = this.#find(address);
    fs.writeSync(region.fd, bytes, 0, bytes.length, at);
  }

  read(address: bigint, length: number): Buffer {
    const { region, at } = this.#find(address);
    const bytes = Buffer.alloc(length);
    fs.readSync(region.fd, bytes, 0, length, at);
    return bytes;
  }

  /** Room in the first region. */
  room(bytes: number): bigint {
    const at = this.#free;
    this.#free += bytes;
    if (this.#free > REGION) throw new Error('The guest has no memory left.');
    return GUEST + BigInt(at);
  }

  /** The guest's bytes, somewhere in the first region. */
  place(bytes: Uint8Array): bigint {
    const address = this.room(bytes.length);
    this.write(address, bytes);
    return address;
  }

  ring(index: number, options: RingOptions = {}): TestRing {
    return new TestRing(this, index, GUEST + BigInt(RINGS_AT + index * RING_BYTES), options);
  }

  /** The next request's bytes; null when none waits. */
  next(replyLength = 0): Buffer | null {
    // The control event ends the wait. The device looks at it before it looks for requests now and
    // then, for two reasons, but not for a third time in a row.
    for (let looks = 0; looks < 3; looks++) {
      this.native.signalEvent(this.control);
      const length = this.native.ringNext(looks === 0 ? replyLength : 0);
      if (length > 0) {
        this.signals(this.control);
        return Buffer.from(this.scratch.u8.subarray(REQUEST, REQUEST + length));
      }
      if (length < 0) throw new Error(`ringNext: ${length}`);
    }
    return null;
  }

  /** Puts an answer where the device takes it from; returns its length. */
  reply(bytes: Uint8Array): number {
    this.scratch.u8.set(bytes, REPLY);
    return bytes.length;
  }

  close(): void {
    this.native.closeDevice();
    for (const fd of this.#fds) fs.closeSync(fd);
    fs.rmSync(this.folder, { recursive: true });
  }

  #find(address: bigint): { region: Region; at: number } {
    for (const region of this.#regions) {
      const inside = Number(address - region.guest);
      if (inside >= 0 && inside < region.size) return { region, at: region.offset + inside };
    }
    throw new Error(`0x${address.toString(16)} is not in the guest's memory.`);
  }
}

export interface RingOptions {
  readonly size?: number;
  readonly eventIdx?: boolean;
  readonly indirect?: boolean;
  /** Where available and used index begin. */
  readonly availableIndex?: number;
  readonly usedIndex?: number;
  /** False: somebody else starts it. */
  readonly started?: boolean;
}

/** The driver's side of one ring. */
export class TestRing {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly kick: number;
  readonly call: number;
  readonly error: number;
  /** Where it is for the front-end. */
  readonly addresses: Readonly<Record<'descriptors' | 'available' | 'used', bigint>>;
  readonly #guest: TestGuest;
  readonly #index: number;
  readonly #descriptors: bigint;
  readonly #available: bigint;
  readonly #used: bigint;
  #availableIndex: number;
  #free = 0;

  constructor(guest: TestGuest, index: number, at: bigint, options: RingOptions) {
    this.#guest = guest;
    this.#index = index;
    this.size = options.size ?? 128;
    this.eventIdx = options.eventIdx ?? true;
    this.#descriptors = at;
    this.#available = at + BigInt(16 * this.size);
    // Behind flags, idx, ring and used_event, aligned.
    this.#used = this.#available + BigInt(8 + 2 * this.size);
    this.#availableIndex = options.availableIndex ?? 0;
    this.kick = guest.event();
    this.call = guest.event();
    this.error = guest.event();
    this.#setWord(this.#available + 2n, this.#availableIndex);
    this.#setWord(this.#used + 2n, options.usedIndex ?? this.#availableIndex);
    this.addresses = {
      descriptors: this.#user(this.#descriptors),
      available: this.#user(this.#available),
      used: this.#user(this.#used),
    };
    if (options.started === false) return;
    const features =
      (this.eventIdx ? RING_EVENT_IDX : 0) | ((options.indirect ?? true) ? RING_INDIRECT : 0);
    const started = guest.native.startRing(
      index,
      this.size,
      this.addresses.descriptors,
      this.addresses.available,
      this.addresses.used,
      this.#availableIndex,
      features,
      this.kick,
      this.call,
      this.error,
    );
    if (started !== 0) throw new Error(`startRing: ${started}`);
  }

  /** Returns the next available index. */
  stop(): number {
    return this.#guest.native.stopRing(this.#index);
  }

  set(index: number, { address, length, flags = 0, next = 0 }: Descriptor): void {
    this.#guest.write(this.#descriptors + BigInt(16 * index), entry(address, length, flags, next));
  }

  /** A chain of fresh descriptors, in order; the last one has no NEXT. Returns its head. */
  chain(descriptors: readonly Descriptor[]): number {
    const head = this.#free;
    descriptors.forEach((descriptor, i) => {
      const last = i === descriptors.length - 1;
      this.set((head + i) % this.size, {
        ...descriptor,
        flags: (descriptor.flags ?? 0) | (last ? 0 : NEXT),
        next: last ? 0 : (head + i + 1) % this.size,
      });
    });
    this.#free = (head + descriptors.length) % this.size;
    return head;
  }

  /** Makes heads available. */
  offer(...heads: readonly number[]): void {
    for (const head of heads) {
      const slot = this.#availableIndex % this.size;
      this.#setWord(this.#available + BigInt(4 + 2 * slot), head);
      this.#availableIndex = (this.#availableIndex + 1) & 0xffff;
    }
    this.publish(this.#availableIndex);
  }

  /** Writes the available index, whatever it is. */
  publish(index: number): void {
    this.#availableIndex = index;
    this.#setWord(this.#available + 2n, index);
  }

  setNoInterrupt(on: boolean): void {
    this.#setWord(this.#available, on ? 1 : 0);
  }

  setUsedEvent(index: number): void {
    this.#setWord(this.#available + BigInt(4 + 2 * this.size), index);
  }

  get usedIndex(): number {
    return this.#word(this.#used + 2n);
  }

  get usedFlags(): number {
    return this.#word(this.#used);
  }

  get availableEvent(): number {
    return this.#word(this.#used + BigInt(4 + 8 * this.size));
  }

  /** The used element at a free-running index. */
  used(index: number): { readonly head: number; readonly written: number } {
    const at = this.#used + BigInt(4 + 8 * (index % this.size));
    const bytes = this.#guest.read(at, 8);
    return { head: bytes.readUInt32LE(0), written: bytes.readUInt32LE(4) };
  }

  #word(at: bigint): number {
    return this.#guest.read(at, 2).readUInt16LE();
  }

  #setWord(at: bigint, value: number): void {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value & 0xffff);
    this.#guest.write(at, bytes);
  }

  #user(guest: bigint): bigint {
    return guest - GUEST + USER;
  }
}

function entry(address: bigint, length: number, flags: number, next: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, address), 0);
  bytes.writeUInt32LE(length, 8);
  bytes.writeUInt16LE(flags, 12);
  bytes.writeUInt16LE(next, 14);
  return bytes;
}

/** An indirect table; entries are chained in order. */
export function table(descriptors: readonly Descriptor[]): Buffer {
  return Buffer.concat(
    descriptors.map(({ address, length, flags = 0, next }, i) => {
      const last = i === descriptors.length - 1;
      return entry(address, length, flags | (last ? 0 : NEXT), next ?? (last ? 0 : i + 1));
    }),
  );
}

/** struct fuse_in_header and a body. */
export function request(
  opcode: number,
  unique: bigint,
  body: Uint8Array = Buffer.alloc(0),
): Buffer {
  const bytes = Buffer.alloc(40 + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(unique, 8);
  bytes.writeBigUInt64LE(1n, 16);
  bytes.set(body, 40);
  return bytes;
}

/** struct fuse_out_header and a body. */
export function answer(unique: bigint, body: Uint8Array = Buffer.alloc(0), errno = 0): Buffer {
  const bytes = Buffer.alloc(16 + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeInt32LE(-errno, 4);
  bytes.writeBigUInt64LE(unique, 8);
  bytes.set(body, 16);
  return bytes;
}
