/** Mutated chains of descriptors, rings and memory maps against the device in the addon. */

import * as fs from 'node:fs';
import path from 'node:path';
import { MAX_WRITE } from '../../../daemon/fuse/init';
import { Opcode } from '../../../daemon/fuse/opcodes';
import { IN_HEADER, OUT_HEADER } from '../../../daemon/fuse/wire';
import type { Addon, Scratch } from '../../../native/index';
import {
  REPLY,
  REPLY_SIZE,
  REQUEST,
  REQUEST_SIZE,
  RESULT_TROUBLE,
  TROUBLE_RING,
  createScratch,
} from '../../../native/index';
import { allOf, must, openDescriptors } from '../kind';
import type { Surroundings } from '../kind';
import { Random } from '../random';
import { INDIRECT, NEXT, Ring, WRITE, oddAddress } from './driver';
import type { Segment } from './driver';
import { SENTINEL_OPCODE, Sentinels } from './sentinels';
import {
  AVAILABLE,
  DESCRIPTORS,
  GuestMemory,
  LOW,
  MIDDLE,
  REGIONS,
  USED,
  fileOffset,
  highWord,
  lowWord,
} from './guestMemory';

/** Where indirect tables are; the latter lie across LOW and MIDDLE. */
const APART = 0x10000;
const ACROSS = LOW.size - 256;
const TABLES = [APART, ACROSS];
const TABLE_BYTES = 0x800;
const RINGS = 3;
/** Requests that an input puts into a ring. */
const MOST_OFFERED = 4;
/** Each ends early only by chance. */
const MOST_TURNS = 8;
const SILENT: ReadonlySet<number> = new Set([2, 36, 38, 42]);
const OPCODES = [1, 1, 3, 14, 35, Opcode.READ, Opcode.READ, Opcode.WRITE, Opcode.WRITE, 2, 42, 38];
/** Surrounds the room for a reply, where nothing must be written. */
const UNTOUCHED = 0x5a;
const AROUND = 16;
const FILE_BYTES = 65536;
const SHRINK_EVERY = 256;
const EIO = 5;
const EINVAL = 22;
const ENOMEM = 12;

/** The guest's memory lasts as long as the process. */
let memoryOfProcess: GuestMemory | null = null;

export function chainSession(around: Surroundings, seed: number, inputs: number): void {
  memoryOfProcess ??= new GuestMemory(around);
  const memory = memoryOfProcess;
  const descriptors = openDescriptors();
  const random = new Random(seed);
  const device = new Device(around, memory, random);
  allOf(
    () => {
      if (random.once(4)) device.race(inputs);
      else device.run(inputs);
    },
    () => {
      device.end();
    },
  );
  must(openDescriptors() === descriptors, () => `Descriptors were left open.`);
}

/** A request and its chain, as they were meant. */
interface Plan {
  readonly opcode: number;
  readonly unique: number;
  readonly tableAt: number;
  readonly replyAt: number;
  readonly room: number;
  readonly segments: readonly Segment[];
  /** Whether an address in it may be anywhere. */
  readonly odd: boolean;
}

class Device {
  readonly #around: Surroundings;
  readonly #native: Addon;
  readonly #memory: GuestMemory;
  readonly #random: Random;
  readonly #scratch: Scratch;
  readonly #control: number;
  readonly #rings: readonly Ring[];
  readonly #sentinels: Sentinels;
  readonly #file: number;
  #served = 0;

  constructor(around: Surroundings, memory: GuestMemory, random: Random) {
    const { native } = around;
    this.#around = around;
    this.#native = native;
    this.#memory = memory;
    this.#random = random;
    this.#scratch = createScratch(native);
    const { u8 } = this.#scratch;
    around.fuzzing.poison(u8, REQUEST + REQUEST_SIZE, REPLY - REQUEST - REQUEST_SIZE);
    around.fuzzing.poison(u8, REPLY + REPLY_SIZE, u8.length - REPLY - REPLY_SIZE);
    this.#control = native.createEvent();
    must(native.openDevice(this.#control) >= RINGS, () => 'The device cannot be opened.');
    memory.u8.fill(0);
    for (const region of REGIONS) {
      const result = memory.share(native, region);
      must(result === 0, () => `A region cannot be shared (${result}).`);
    }
    this.#file = openFile(path.join(around.folder, 'file'), random.once(8));
    this.#rings = Array.from({ length: RINGS }, (_, i) => new Ring(around, memory, i));
    this.#sentinels = new Sentinels(native, memory);
    // One after the other: they share their places in memory.
    this.#rings[0]?.begin(random);
  }

  /** Inputs whose outcome can be told. */
  run(inputs: number): void {
    for (let i = 1; i <= inputs; i++) {
      this.#around.count();
      if (this.#random.once(200)) this.#reconfigure();
      if (this.#random.once(2)) this.#good();
      else this.#bad();
      if (i % SHRINK_EVERY === 0) fs.ftruncateSync(this.#file, FILE_BYTES);
    }
    this.#afterwards();
  }

  /** Inputs that change while they are read. */
  race(inputs: number): void {
    const random = this.#random;
    const { fuzzing } = this.#around;
    const ring = this.#ring();
    const places = [
      [ring.descriptors, 16 * ring.size],
      [ring.available, AVAILABLE.offset + AVAILABLE.size - ring.available],
      [ring.used, USED.offset + USED.size - ring.used],
      [0, 0x10000],
      [0, USED.offset + USED.size],
    ] as const;
    const [at, length] = random.pick(places);
    fuzzing.startChanging(this.#memory.u8, at, length, random.u32());
    try {
      for (let i = 1; i <= inputs; i++) {
        this.#around.count();
        this.#submit(random.once(2));
        this.#serve();
        // What is not served any more is begun again.
        if (i % 64 === 0) this.#ring().begin(random);
        if (i % SHRINK_EVERY === 0) fs.ftruncateSync(this.#file, FILE_BYTES);
      }
    } finally {
      fuzzing.stopChanging();
    }
    this.#trouble();
    this.#memory.u8.fill(0, 0, USED.offset + USED.size);
    this.#ring().begin(random);
    this.#afterwards();
  }

  end(): void {
    for (const ring of this.#rings) ring.end();
    this.#sentinels.end();
    this.#native.closeDevice();
    const { u8 } = this.#scratch;
    this.#around.fuzzing.unpoison(u8, 0, u8.length);
    this.#native.closeDescriptor(this.#control);
    fs.closeSync(this.#file);
  }

  #ring(): Ring {
    const ring = this.#rings[this.#served];
    if (ring === undefined) throw new RangeError('There is no such ring.');
    return ring;
  }

  /** After everything the device still serves. */
  #afterwards(): void {
    for (let i = 0; i < 20; i++) this.#good();
  }

  /** A request in good order, and its reply. */
  #good(): void {
    const ring = this.#ring();
    ring.wishForSignal();
    this.#around.fuzzing.drainEvent(ring.call);
    const head = this.#random.below(ring.size);
    const plan = this.#submit(false, head);
    this.#serve();
    const taken = ring.take((id, length) => {
      must(id === head, () => `Chain ${head} was given back as ${id}.`);
      this.#checkReply(plan, length);
    });
    must(taken === 1, () => `${taken} chains were given back instead of one.`);
    must(this.#around.fuzzing.drainEvent(ring.call) > 0, () => 'The driver was not signalled.');
    must(this.#trouble() !== TROUBLE_RING, () => 'The ring was given up.');
  }

  /** A request that something is wrong with. */
  #bad(): void {
    const random = this.#random;
    const ring = this.#ring();
    const head = random.below(ring.size);
    const { odd } = this.#submit(true, head);
    let heads = head < ring.size ? 1 : 0;
    for (let more = random.below(3); more > 0 && heads < ring.size; more--) {
      // Heads that name the middle of a chain, or nothing.
      const other = random.once(4)
        ? ring.size + random.below(0x10000 - ring.size)
        : random.below(ring.size);
      ring.offer(other);
      if (other < ring.size) heads++;
    }
    const broken = random.once(40);
    if (broken) {
      const { u16 } = this.#memory;
      u16[(ring.available >> 1) + 1] = ring.nextAvailable + ring.size + 1 + random.below(1000);
    }
    this.#serve();
    if (this.#trouble() === TROUBLE_RING || broken || odd) {
      // A reply may have been written over the ring, by the guest's own wish.
      if (odd) this.#clearTables();
      ring.begin(random);
      return;
    }
    const taken = ring.take((id) => {
      must(id < ring.size, () => `Chain ${id} was given back in a ring of ${ring.size}.`);
    });
    must(taken === heads, () => `${taken} chains of ${heads} were given back.`);
  }

  /** Forgets descriptors that lead to odd places. */
  #clearTables(): void {
    for (const at of TABLES) {
      for (let i = 0; i < TABLE_BYTES; i++) this.#memory.u8[fileOffset(at + i)] = 0;
    }
    const { offset, size } = DESCRIPTORS;
    this.#memory.u8.fill(0, offset, offset + size);
  }

  /** Rings and memory that come and go. */
  #reconfigure(): void {
    const random = this.#random;
    switch (random.below(3)) {
      case 0:
        this.#ring().begin(random);
        break;
      case 1:
        this.#native.stopRing(this.#served);
        this.#served = random.below(RINGS);
        this.#ring().begin(random);
        break;
      default: {
        const { guest, size, user } = MIDDLE;
        const removed = this.#native.removeMemory(guest, BigInt(size), user);
        must(removed === 0, () => `A region cannot be removed (${removed}).`);
        // Requests there are wrong now, and those elsewhere are not.
        for (let i = 0; i < 5; i++) this.#bad();
        const shared = this.#memory.share(this.#native, MIDDLE);
        must(shared === 0, () => `A region cannot be shared again (${shared}).`);
        this.#ring().begin(random);
        break;
      }
    }
  }

  /** Writes a request to guest memory and offers it. */
  #submit(broken: boolean, head = this.#random.below(this.#ring().size)): Plan {
    const random = this.#random;
    const ring = this.#ring();
    const plan = this.#plan();
    let { segments } = plan;
    let table = -1;
    if (ring.indirect && (random.once(2) || segments.length > ring.size)) {
      table = plan.tableAt;
    } else if (segments.length > ring.size) {
      segments = fewer(segments, ring.size);
    }
    ring.chain(head, segments, table);
    const odd = broken && this.#breakChain(table, segments.length);
    ring.offer(broken && random.once(16) ? random.below(ring.size) : head);
    // A ring of one descriptor has no room for replies.
    const room = segments.some(({ flags }) => flags === WRITE) ? plan.room : 0;
    return { ...plan, segments, room, odd };
  }

  #plan(): Plan {
    const random = this.#random;
    const { u8 } = this.#memory;
    const opcode = random.pick(OPCODES);
    const unique = random.u32();
    const bodySize = random.once(8) ? random.below(9000) : random.pick([0, 1, 8, 40, 64, 200]);
    const size = IN_HEADER + (opcode === Opcode.WRITE ? 40 : 0) + bodySize;
    // Some requests, and the tables of others, lie across LOW and MIDDLE.
    const across = random.once(2);
    const requestAt = across ? LOW.size - random.below(size) : 0x20000 + random.below(0x10000);
    const tableAt = (across ? APART : ACROSS) + 16 * random.below(32);
    const replyAt = 0x60000 + random.below(0x10000);
    const room = SILENT.has(opcode)
      ? random.pick([0, 16])
      : random.pick([OUT_HEADER, 24, 100, 144, 4112, 9000]);
    for (let i = 0; i < Math.min(size, 96); i++) u8[fileOffset(requestAt + i)] = 0;
    this.#put(requestAt, size);
    this.#put(requestAt + 4, opcode);
    this.#put(requestAt + 8, unique);
    this.#put(requestAt + 12, ~unique);
    this.#put(requestAt + 16, random.pick([0, 8, 100, 128, 9000]));
    if (opcode === Opcode.READ)
      this.#put(requestAt + 56, random.once(8) ? random.edge() : room - 16);
    if (opcode === Opcode.WRITE)
      this.#put(requestAt + 56, random.once(8) ? random.edge() : bodySize);
    if (random.once(4)) this.#put(requestAt + 48, random.edge());
    u8.fill(UNTOUCHED, fileOffset(replyAt - AROUND), fileOffset(replyAt));
    u8.fill(UNTOUCHED, fileOffset(replyAt + room), fileOffset(replyAt + room + AROUND));
    const segments = [
      ...this.#split(requestAt, opcode === Opcode.READ ? Math.max(size, 80) : size, 0),
      ...this.#split(replyAt, room, WRITE),
    ];
    return { opcode, unique, tableAt, replyAt, room, segments, odd: false };
  }

  #put(at: number, value: number): void {
    const { u8 } = this.#memory;
    for (let i = 0; i < 4; i++) u8[fileOffset(at + i)] = value >>> (8 * i);
  }

  /** The framing is the driver's choice: any number of parts, also empty ones. */
  #split(at: number, size: number, flags: number): Segment[] {
    const random = this.#random;
    const parts: Segment[] = [];
    let done = 0;
    while (done < size) {
      const left = size - done;
      const length = random.once(2) ? left : Math.min(left, random.below(64));
      parts.push({ at: at + done, length, flags });
      done += length;
      if (parts.length > 40) {
        parts.push({ at: at + done, length: size - done, flags });
        break;
      }
    }
    return parts;
  }

  /**
   * Changes descriptors, the table's or the ring's, and what else the driver writes.
   *
   * @returns whether an address may be anywhere now
   */
  #breakChain(table: number, length: number): boolean {
    let odd = false;
    const random = this.#random;
    const ring = this.#ring();
    const { u16, u32 } = this.#memory;
    for (let times = 1 + random.below(3); times > 0; times--) {
      const inTable = table >= 0 && random.once(2);
      const i = random.below(inTable ? length : ring.size);
      const place = inTable ? fileOffset(table + 16 * i) : ring.descriptors + 16 * i;
      const word = place >> 2;
      switch (random.below(8)) {
        case 0:
        case 1: {
          const address = oddAddress(random);
          odd = true;
          u32[word] = lowWord(address);
          u32[word + 1] = highWord(address);
          break;
        }
        case 2:
          u32[word + 2] = random.edge();
          break;
        case 3:
          u16[(word << 1) + 6] = random.below(8);
          break;
        case 4:
          u16[(word << 1) + 6] = random.pick([INDIRECT, INDIRECT | NEXT, INDIRECT | WRITE, 0xffff]);
          break;
        case 5:
          u16[(word << 1) + 7] = random.once(2) ? random.below(ring.size) : random.edge();
          u16[(word << 1) + 6] = NEXT | (random.once(2) ? WRITE : 0);
          break;
        case 6:
          u16[ring.available >> 1] = random.edge();
          break;
        default:
          if (ring.eventIdx) u16[(ring.available >> 1) + 2 + ring.size] = random.edge();
          break;
      }
    }
    return odd;
  }

  /** Lets the device take what is there: at most as many requests as there are sentinels. */
  #serve(): void {
    this.#sentinels.offer(MOST_OFFERED);
    // A chain that is changed meanwhile may lead to a sentinel's request and end the wait too early:
    // what was left is taken in a further turn.
    for (let turn = 0; turn < MOST_TURNS && this.#sentinels.left > 0; turn++) this.#serveTurn();
    this.#sentinels.check();
    const { u16 } = this.#memory;
    // What a driver's flags say is not remembered from one input to the next.
    u16[this.#ring().available >> 1] = 0;
  }

  #serveTurn(): void {
    let { left } = this.#sentinels;
    let length = this.#native.ringNext(0);
    while (length > 0) {
      const reply = this.#handle(length);
      if (this.#scratch.u32[(REQUEST + 4) >> 2] === SENTINEL_OPCODE) left--;
      // The last one's reply is to be followed by an end of the wait.
      if (left === 0) {
        this.#native.signalEvent(this.#control);
        left = -1;
      }
      length = this.#native.ringNext(reply);
    }
    must(length === 0, () => `ringNext returned ${length}.`);
  }

  /** Answers like a file system, with the checks that one makes. */
  #handle(length: number): number {
    const { u32, i32, u8 } = this.#scratch;
    must(length >= IN_HEADER && length <= REQUEST_SIZE, () => `A request of ${length} bytes.`);
    const opcode = u32[(REQUEST + 4) >> 2] ?? 0;
    const nodeid = u32[(REQUEST + 16) >> 2] ?? 0;
    let result = nodeid % 9001;
    if (SILENT.has(opcode)) return 0;
    if (opcode === Opcode.READ) {
      const size = u32[(REQUEST + 56) >> 2] ?? 0;
      if (length < 80) result = -EINVAL;
      else if (size > MAX_WRITE) result = -ENOMEM;
      else result = this.#native.ringSendFile(this.#file, REQUEST + 48, size, REQUEST + 8);
      if (result === 0) return 0;
    } else if (opcode === Opcode.WRITE) {
      const size = u32[(REQUEST + 56) >> 2] ?? 0;
      if (length < 80 || size > length - 80) result = -EINVAL;
      else result = this.#native.ringWriteFile(this.#file, size, REQUEST + 48, size & 1);
      if (result >= 0) result = 8;
    } else {
      u8.fill(nodeid, REPLY + OUT_HEADER, REPLY + OUT_HEADER + result);
    }
    const bytes = OUT_HEADER + Math.max(result, 0);
    i32[REPLY >> 2] = bytes;
    i32[(REPLY + 4) >> 2] = Math.min(result, 0);
    i32[(REPLY + 8) >> 2] = i32[(REQUEST + 8) >> 2] ?? 0;
    i32[(REPLY + 12) >> 2] = i32[(REQUEST + 12) >> 2] ?? 0;
    return bytes;
  }

  #checkReply({ opcode, unique, replyAt, room }: Plan, length: number): void {
    const { u8 } = this.#memory;
    for (let i = 1; i <= AROUND && room > 0; i++) {
      const wrong =
        u8[fileOffset(replyAt - i)] !== UNTOUCHED ||
        u8[fileOffset(replyAt + room - 1 + i)] !== UNTOUCHED;
      must(!wrong, () => `Opcode ${opcode} wrote beside its room of ${room} bytes.`);
    }
    if (SILENT.has(opcode) || room === 0) {
      must(length === 0, () => `Opcode ${opcode} was answered with ${length} bytes.`);
      return;
    }
    const said = this.#get(replyAt);
    must(said === length && length >= OUT_HEADER && length <= room, () => {
      return `Opcode ${opcode}: ${length} bytes in a room of ${room}, the header says ${said}.`;
    });
    must(this.#get(replyAt + 8) === unique, () => `Opcode ${opcode}: the unique differs.`);
    const error = this.#get(replyAt + 4) | 0;
    must(error <= 0 && error > -4096, () => `Opcode ${opcode}: error ${error}.`);
    must(error !== -EIO || length === OUT_HEADER, () => `Opcode ${opcode}: a long error.`);
  }

  #get(at: number): number {
    const { u8 } = this.#memory;
    let value = 0;
    for (let i = 3; i >= 0; i--) value = (value << 8) | (u8[fileOffset(at + i)] ?? 0);
    return value >>> 0;
  }

  #trouble(): number {
    const { i32 } = this.#scratch;
    const trouble = i32[RESULT_TROUBLE >> 2] ?? 0;
    i32[RESULT_TROUBLE >> 2] = 0;
    return trouble;
  }
}

/** The same bytes in at most `most` parts of each kind, or none that can be served. */
function fewer(segments: readonly Segment[], most: number): readonly Segment[] {
  const joined: Segment[] = [];
  for (const segment of segments) {
    const last = joined.at(-1);
    if (
      last !== undefined &&
      last.flags === segment.flags &&
      last.at + last.length === segment.at
    ) {
      joined[joined.length - 1] = { ...last, length: last.length + segment.length };
    } else {
      joined.push(segment);
    }
  }
  return joined.slice(0, most);
}

function openFile(name: string, direct: boolean): number {
  const { O_RDWR, O_CREAT, O_DIRECT } = fs.constants;
  fs.writeFileSync(name, new Uint8Array(FILE_BYTES).fill(0x77));
  if (direct) {
    try {
      return fs.openSync(name, O_RDWR | O_CREAT | O_DIRECT);
    } catch {
      // Not every file system has it.
    }
  }
  return fs.openSync(name, O_RDWR | O_CREAT);
}
