/**
 * A ring in good order, whose requests tell that the device has come by. Waiting for a request ends
 * with one of these, whatever became of those under test.
 */

import type { Addon } from '../../../native/index';
import { must } from '../kind';
import type { GuestMemory } from './guestMemory';
import { SENTINELS, lowWord, highWord } from './guestMemory';

const RING = 5;
const SIZE = 16;
/** Places inside the region. */
const TABLE = 0;
const AVAILABLE = 0x200;
const USED = 0x400;
const REQUESTS = 0x800;
const REPLIES = 0xc00;
const REQUEST_BYTES = 40;
const REPLY_BYTES = 16;
const NEXT = 1;
const WRITE = 2;
/** FUSE_STATFS; nothing under test asks for it. */
export const SENTINEL_OPCODE = 17;

export class Sentinels {
  readonly #native: Addon;
  readonly #memory: GuestMemory;
  readonly #kick: number;
  #offered = 0;

  constructor(native: Addon, memory: GuestMemory) {
    this.#native = native;
    this.#memory = memory;
    this.#kick = native.createEvent();
    const { u16, u32 } = memory;
    for (let i = 0; i < SIZE; i += 2) {
      const request = REQUESTS + REQUEST_BYTES * (i / 2);
      this.#describe(i, request, REQUEST_BYTES, NEXT, i + 1);
      this.#describe(i + 1, REPLIES + REPLY_BYTES * (i / 2), REPLY_BYTES, WRITE, 0);
      u32[(SENTINELS.offset + request) >> 2] = REQUEST_BYTES;
      u32[(SENTINELS.offset + request + 4) >> 2] = SENTINEL_OPCODE;
      u16[(SENTINELS.offset + AVAILABLE + 4 + i) >> 1] = 0;
    }
    const { user } = SENTINELS;
    const result = native.startRing(
      RING,
      SIZE,
      user + BigInt(TABLE),
      user + BigInt(AVAILABLE),
      user + BigInt(USED),
      0,
      0,
      this.#kick,
      -1,
      -1,
    );
    must(result === 0, () => `The ring of sentinels cannot be started (${result}).`);
  }

  #describe(i: number, inside: number, length: number, flags: number, next: number): void {
    const { u16, u32 } = this.#memory;
    const address = SENTINELS.guest + BigInt(inside);
    const word = (SENTINELS.offset + TABLE + 16 * i) >> 2;
    u32[word] = lowWord(address);
    u32[word + 1] = highWord(address);
    u32[word + 2] = length;
    u16[(word << 1) + 6] = flags;
    u16[(word << 1) + 7] = next;
  }

  /** At most 8 at once. */
  offer(count: number): void {
    const { u16 } = this.#memory;
    const ring = (SENTINELS.offset + AVAILABLE) >> 1;
    for (let i = 0; i < count; i++) {
      u16[ring + 2 + (this.#offered % SIZE)] = 2 * (this.#offered % (SIZE / 2));
      this.#offered++;
    }
    u16[ring + 1] = this.#offered;
  }

  /** How many that were offered have not been given back. */
  get left(): number {
    const used = this.#memory.u16[((SENTINELS.offset + USED) >> 1) + 1] ?? 0;
    return (this.#offered - used) & 0xffff;
  }

  /** All that were offered must have been given back. */
  check(): void {
    must(this.left === 0, () => `A request in good order was left in its ring.`);
  }

  end(): void {
    this.#native.stopRing(RING);
    this.#native.closeDescriptor(this.#kick);
  }
}
