/** The driver's side of one ring: puts requests into it, in good order or not, and takes replies. */

import type { Addon } from '../../../native/index';
import { RING_EVENT_IDX, RING_INDIRECT } from '../../../native/index';
import type { Surroundings } from '../kind';
import { must } from '../kind';
import type { Random } from '../random';
import type { GuestMemory } from './guestMemory';
import { AVAILABLE, DATA_BYTES, DESCRIPTORS, USED, fileOffset, guestAddress } from './guestMemory';

/** struct virtq_desc flags. */
export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

export interface Segment {
  /** An address in LOW or MIDDLE. */
  readonly at: number;
  readonly length: number;
  readonly flags: number;
}

export class Ring {
  readonly #native: Addon;
  readonly #around: Surroundings;
  readonly #memory: GuestMemory;
  readonly #index: number;
  readonly #kick: number;
  readonly call: number;
  readonly error: number;
  size = 0;
  features = 0;
  /** Places in the file. */
  descriptors = 0;
  available = 0;
  used = 0;
  /** Free-running, as in the ring. */
  nextAvailable = 0;
  nextUsed = 0;

  constructor(around: Surroundings, memory: GuestMemory, index: number) {
    const { native } = around;
    this.#around = around;
    this.#native = native;
    this.#memory = memory;
    this.#index = index;
    this.#kick = native.createEvent();
    this.call = native.createEvent();
    this.error = native.createEvent();
  }

  get eventIdx(): boolean {
    return (this.features & RING_EVENT_IDX) !== 0;
  }

  get indirect(): boolean {
    return (this.features & RING_INDIRECT) !== 0;
  }

  /** Begins with an empty ring of another size at another index. */
  begin(random: Random): void {
    this.#native.stopRing(this.#index);
    this.size = random.pick([1, 2, 4, 16, 128, 256]);
    this.features = random.below(4);
    const around = this.eventIdx ? 6 : 4;
    this.descriptors = DESCRIPTORS.offset + DESCRIPTORS.size - 16 * this.size;
    this.available = AVAILABLE.offset + AVAILABLE.size - around - 2 * this.size;
    this.used = (USED.offset + USED.size - around - 8 * this.size) & ~3;
    this.nextAvailable = random.once(2) ? 0 : random.below(0x10000);
    this.nextUsed = random.once(2) ? this.nextAvailable : random.below(0x10000);
    const { u16 } = this.#memory;
    u16[this.available >> 1] = 0;
    u16[(this.available >> 1) + 1] = this.nextAvailable;
    u16[this.used >> 1] = 0;
    u16[(this.used >> 1) + 1] = this.nextUsed;
    this.wishForSignal();
    this.#around.fuzzing.drainEvent(this.call);
    this.#around.fuzzing.drainEvent(this.error);
    const result = this.#native.startRing(
      this.#index,
      this.size,
      userAddress(DESCRIPTORS, this.descriptors),
      userAddress(AVAILABLE, this.available),
      userAddress(USED, this.used),
      this.nextAvailable,
      this.features,
      this.#kick,
      this.call,
      this.error,
    );
    must(result === 0, () => `A ring of ${this.size} cannot be started (${result}).`);
  }

  /** used_event: the next used entry is to be told of. */
  wishForSignal(): void {
    if (!this.eventIdx) return;
    this.#memory.u16[(this.available >> 1) + 2 + this.size] = this.nextUsed;
  }

  /** Writes a descriptor; `table` is a place in the file. */
  describe(table: number, i: number, { at, length, flags }: Segment, next: number): void {
    const { u32, u16 } = this.#memory;
    const word = (table >> 2) + 4 * i;
    u32[word] = at;
    u32[word + 1] = 0;
    u32[word + 2] = length;
    u16[(word + 3) << 1] = flags;
    u16[((word + 3) << 1) + 1] = next;
  }

  /**
   * Puts a chain of these segments into descriptors from `first` on, or into a table of its own.
   *
   * @param tableAt an address in LOW or MIDDLE for an indirect table, or -1
   */
  chain(first: number, segments: readonly Segment[], tableAt: number): void {
    if (tableAt < 0) {
      segments.forEach((segment, i) => {
        const more = i + 1 < segments.length ? NEXT : 0;
        const flagged = { ...segment, flags: segment.flags | more };
        this.describe(
          this.descriptors,
          (first + i) % this.size,
          flagged,
          (first + i + 1) % this.size,
        );
      });
      return;
    }
    segments.forEach((segment, i) => {
      const more = i + 1 < segments.length ? NEXT : 0;
      // A table may lie across two regions.
      const place = fileOffset(tableAt + 16 * i);
      this.describe(place, 0, { ...segment, flags: segment.flags | more }, i + 1);
    });
    const table = { at: tableAt, length: 16 * segments.length, flags: INDIRECT };
    this.describe(this.descriptors, first % this.size, table, 0);
  }

  /** Offers a head to the device. */
  offer(head: number): void {
    const { u16 } = this.#memory;
    u16[(this.available >> 1) + 2 + (this.nextAvailable & (this.size - 1))] = head;
    this.nextAvailable = (this.nextAvailable + 1) & 0xffff;
    u16[(this.available >> 1) + 1] = this.nextAvailable;
  }

  /** Takes what the device has given back: calls back with head and length. */
  take(each: (head: number, length: number) => void): number {
    const { u16, u32 } = this.#memory;
    const index = u16[(this.used >> 1) + 1] ?? 0;
    let taken = 0;
    while (this.nextUsed !== index) {
      const word = (this.used >> 2) + 1 + 2 * (this.nextUsed & (this.size - 1));
      each(u32[word] ?? 0, u32[word + 1] ?? 0);
      this.nextUsed = (this.nextUsed + 1) & 0xffff;
      taken++;
      must(taken <= 0x8000, () => `The used index is ${index}, far from ${this.nextUsed}.`);
    }
    return taken;
  }

  end(): void {
    this.#native.stopRing(this.#index);
    for (const fd of [this.#kick, this.call, this.error]) this.#native.closeDescriptor(fd);
  }
}

function userAddress(region: { offset: number; user: bigint }, place: number): bigint {
  return region.user + BigInt(place - region.offset);
}

/** An address near which much can go wrong. */
export function oddAddress(random: Random): bigint {
  const near = (): bigint => BigInt(random.below(64)) - 32n;
  const places = [
    0n,
    BigInt(DATA_BYTES),
    guestAddress(DESCRIPTORS, 0),
    guestAddress(DESCRIPTORS, DESCRIPTORS.size),
    guestAddress(AVAILABLE, AVAILABLE.size),
    guestAddress(USED, 0),
    guestAddress(USED, USED.size),
    0xffff_ffff_ffff_ffffn,
    0x8000_0000_0000_0000n,
    0x40000n,
    DESCRIPTORS.user,
  ];
  return BigInt.asUintN(64, random.pick(places) + near());
}
