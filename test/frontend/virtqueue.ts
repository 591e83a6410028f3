/** A split virtqueue, driver side (VIRTIO 1.2, section 2.7). */

import type { GuestMemory } from './guestMemory';
import type { StreamQueue } from './native';
import { must, native } from './native';

export const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

const CALLS_KEPT = 4;

/** A piece of guest memory in a chain. */
export interface Segment {
  /** Guest address. */
  readonly address: number;
  readonly length: number;
  /** Whether the device writes there. */
  readonly write: boolean;
}

/** A descriptor as it stands in memory; for chains that are wrong on purpose. */
export interface RawDescriptor {
  readonly address: bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

export interface VirtqueueOptions {
  readonly size: number;
  readonly eventIdx: boolean;
}

interface Chain {
  readonly segments: readonly Segment[];
  readonly indirect: boolean;
  readonly resolve: (written: number) => void;
  readonly reject: (reason: Error) => void;
}

interface Submitted extends Chain {
  readonly descriptors: readonly number[];
  readonly table: { readonly address: number; readonly size: number } | null;
}

export class Virtqueue {
  /** Guest addresses. */
  readonly descriptors: number;
  readonly avail: number;
  readonly used: number;
  readonly size: number;
  readonly eventIdx: boolean;
  /** Signals the device. */
  kick = -1;
  /** Where the device goes on: VHOST_USER_GET_VRING_BASE's answer, or 0. */
  base = 0;
  /** How often the device was kicked, and how often it interrupted. */
  kicks = 0;
  interrupts = 0;
  /** While true nothing is signalled: a driver that relies on another kick. */
  silent = false;
  readonly #memory: GuestMemory;
  readonly #descriptorView: DataView;
  readonly #availView: DataView;
  readonly #usedView: DataView;
  readonly #free: number[] = [];
  readonly #submitted = new Map<number, Submitted>();
  readonly #waiting: Chain[] = [];
  #availIdx = 0;
  #usedIdx = 0;
  readonly #calls: { readonly fd: number; readonly stopWatching: () => void }[] = [];
  #publishing = false;

  constructor(memory: GuestMemory, { size, eventIdx }: VirtqueueOptions) {
    this.#memory = memory;
    this.size = size;
    this.eventIdx = eventIdx;
    const availAt = 16 * size;
    const usedAt = Math.ceil((availAt + 6 + 2 * size) / 64) * 64;
    const bytes = usedAt + 6 + 8 * size;
    this.descriptors = memory.allocate(bytes);
    this.avail = this.descriptors + availAt;
    this.used = this.descriptors + usedAt;
    this.#descriptorView = memory.view(this.descriptors, availAt);
    this.#availView = memory.view(this.avail, 6 + 2 * size);
    this.#usedView = memory.view(this.used, 6 + 8 * size);
    this.clear();
  }

  /** What is on its way or waits for a free descriptor. */
  get pending(): number {
    return this.#submitted.size + this.#waiting.length;
  }

  get availIdx(): number {
    return this.#availIdx;
  }

  get usedIdx(): number {
    return this.#usedIdx;
  }

  /** used.idx as the device has written it. */
  get deviceUsedIdx(): number {
    native.fence();
    return this.#usedView.getUint16(2, true);
  }

  /** The queue as `stream` of the addon takes it. @param bytes the mapping that the rings are in */
  forStream(bytes: Uint8Array): StreamQueue {
    return {
      memory: bytes.buffer as ArrayBuffer,
      descriptors: this.descriptors,
      avail: this.avail,
      used: this.used,
      size: this.size,
      eventIdx: this.eventIdx,
      kick: this.kick,
      call: this.callFd,
      availIdx: this.#availIdx,
      usedIdx: this.#usedIdx,
    };
  }

  /** After a stream of the addon moved the ring. */
  setIndices(availIdx: number, usedIdx: number): void {
    this.#availIdx = availIdx;
    this.#usedIdx = usedIdx;
    if (this.eventIdx) this.#availView.setUint16(4 + 2 * this.size, usedIdx, true);
  }

  get callFd(): number {
    return this.#calls.at(-1)?.fd ?? -1;
  }

  /** Empty rings, as a driver makes them when it begins; fails what was on its way. */
  clear(): void {
    const lost = [...this.#submitted.values(), ...this.#waiting.splice(0)];
    this.#submitted.clear();
    this.#memory.bytes(this.descriptors, 16 * this.size).fill(0);
    this.#memory.bytes(this.avail, 6 + 2 * this.size).fill(0);
    this.#memory.bytes(this.used, 6 + 8 * this.size).fill(0);
    this.#availIdx = 0;
    this.#usedIdx = 0;
    this.base = 0;
    this.#free.length = 0;
    for (let i = this.size - 1; i >= 0; i--) this.#free.push(i);
    for (const chain of lost) chain.reject(new Error('The guest was reset.'));
  }

  /**
   * Takes a new eventfd for interrupts, and looks for answers at once. The old one is listened to
   * for a while: the daemon signals it until it has read the message.
   */
  replaceCall(fd: number): void {
    const stopWatching = native.watch(fd, () => {
      native.drainFd(fd);
      this.interrupts++;
      this.collect();
    });
    this.#calls.push({ fd, stopWatching });
    while (this.#calls.length > CALLS_KEPT) this.#closeOldestCall();
    this.collect();
  }

  /** Takes a new eventfd for kicks; the old one is closed. */
  replaceKick(fd: number): void {
    if (this.kick >= 0) native.closeFd(this.kick);
    this.kick = fd;
  }

  #closeOldestCall(): void {
    const call = this.#calls.shift();
    if (call === undefined) return;
    call.stopWatching();
    native.closeFd(call.fd);
  }

  /**
   * Offers a chain to the device.
   *
   * @returns the bytes that the device says it has written
   */
  submit(segments: readonly Segment[], indirect: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ segments, indirect, resolve, reject });
      // Chains that are submitted in one go are published, and kicked for, in one go.
      if (this.#publishing) return;
      this.#publishing = true;
      queueMicrotask(() => {
        this.#publishing = false;
        this.#offerWaiting();
      });
    });
  }

  #offerWaiting(): void {
    const before = this.#availIdx;
    let next = before;
    for (;;) {
      const chain = this.#waiting[0];
      if (chain === undefined) break;
      const indirect = chain.indirect && chain.segments.length > 1;
      const wanted = indirect ? 1 : chain.segments.length;
      if (wanted > this.size) {
        this.#waiting.shift();
        chain.reject(new Error(`${wanted} segments do not fit into a ring of ${this.size}.`));
        continue;
      }
      if (wanted > this.#free.length) break;
      this.#waiting.shift();
      const descriptors = this.#free.splice(-wanted);
      const table = indirect ? this.#writeTable(chain.segments) : null;
      const head = descriptors[0] ?? 0;
      if (table === null) writeChain(this.#descriptorView, descriptors, chain.segments);
      else {
        this.writeDescriptor(head, {
          address: BigInt(table.address),
          length: table.size,
          flags: DescriptorFlag.INDIRECT,
          next: 0,
        });
      }
      this.#submitted.set(head, { ...chain, descriptors, table });
      this.#availView.setUint16(4 + 2 * (next % this.size), head, true);
      next = (next + 1) & 0xffff;
    }
    if (next !== before) this.publish(next);
  }

  #writeTable(segments: readonly Segment[]): { address: number; size: number } {
    const size = 16 * segments.length;
    const address = this.#memory.allocate(size);
    writeChain(this.#memory.view(address, size), [...segments.keys()], segments);
    return { address, size };
  }

  writeDescriptor(i: number, descriptor: RawDescriptor): void {
    writeDescriptorAt(this.#descriptorView, 16 * i, descriptor);
  }

  /** Descriptors that no chain uses, for raw chains; they are not given back. */
  takeDescriptors(count: number): number[] {
    return this.#free.splice(-count);
  }

  /** Offers a head that was written by hand. @returns what `submit` returns */
  submitRaw(head: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#submitted.set(head, {
        segments: [],
        indirect: false,
        descriptors: [],
        table: null,
        resolve,
        reject,
      });
      this.pushRaw(head);
    });
  }

  /** Puts a head, or any number, into the avail ring and publishes it. */
  pushRaw(head: number): void {
    this.#availView.setUint16(4 + 2 * (this.#availIdx % this.size), head, true);
    this.publish((this.#availIdx + 1) & 0xffff);
  }

  /** Stores avail.idx, and kicks when the device wants to be. */
  publish(next: number): void {
    const before = this.#availIdx;
    this.#availIdx = next;
    native.fence();
    this.#availView.setUint16(2, next, true);
    native.fence();
    if (this.silent) return;
    if (this.eventIdx) {
      const event = this.#usedView.getUint16(4 + 8 * this.size, true);
      if (((next - event - 1) & 0xffff) >= ((next - before) & 0xffff)) return;
    } else if ((this.#usedView.getUint16(0, true) & 1) !== 0) return;
    this.forceKick();
  }

  forceKick(): void {
    if (this.kick < 0) return;
    this.kicks++;
    must(native.signalFd(this.kick), 'kick the device');
  }

  /** avail.flags: 1 asks for no interrupts (without EVENT_IDX). */
  setAvailFlags(flags: number): void {
    this.#availView.setUint16(0, flags, true);
    native.fence();
  }

  /** Takes what the device has given back. */
  collect(): void {
    for (;;) {
      native.fence();
      const end = this.#usedView.getUint16(2, true);
      if (end === this.#usedIdx) break;
      while (this.#usedIdx !== end) {
        const at = 4 + 8 * (this.#usedIdx % this.size);
        this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
        this.#complete(this.#usedView.getUint32(at, true), this.#usedView.getUint32(at + 4, true));
      }
      if (this.eventIdx) this.#availView.setUint16(4 + 2 * this.size, this.#usedIdx, true);
    }
    if (this.#waiting.length > 0) this.#offerWaiting();
  }

  #complete(head: number, written: number): void {
    const submitted = this.#submitted.get(head);
    // What was pushed raw has no owner; what nobody offered is the device's mistake.
    if (submitted === undefined) return;
    this.#submitted.delete(head);
    this.#free.push(...submitted.descriptors);
    if (submitted.table !== null) {
      this.#memory.release(submitted.table.address, submitted.table.size);
    }
    submitted.resolve(written);
  }

  close(): void {
    while (this.#calls.length > 0) this.#closeOldestCall();
    this.replaceKick(-1);
    const lost = [...this.#submitted.values(), ...this.#waiting.splice(0)];
    this.#submitted.clear();
    for (const chain of lost) chain.reject(new Error('The queue was closed.'));
  }

  /** Fails what is on its way, because the device is gone. */
  fail(reason: Error): void {
    const lost = [...this.#submitted.values(), ...this.#waiting.splice(0)];
    this.#submitted.clear();
    for (const chain of lost) chain.reject(reason);
  }
}

export function writeDescriptorAt(
  view: DataView,
  at: number,
  { address, length, flags, next }: RawDescriptor,
): void {
  view.setBigUint64(at, address, true);
  view.setUint32(at + 8, length, true);
  view.setUint16(at + 12, flags, true);
  view.setUint16(at + 14, next, true);
}

/** Writes a chain into a table, at these of its entries. */
function writeChain(
  table: DataView,
  entries: readonly number[],
  segments: readonly Segment[],
): void {
  segments.forEach((segment, i) => {
    const next = entries[i + 1];
    writeDescriptorAt(table, 16 * (entries[i] ?? 0), {
      address: BigInt(segment.address),
      length: segment.length,
      flags:
        (next === undefined ? 0 : DescriptorFlag.NEXT) | (segment.write ? DescriptorFlag.WRITE : 0),
      next: next ?? 0,
    });
  });
}
