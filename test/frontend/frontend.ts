/**
 * A guest without a kernel: sends FUSE requests to a virtio-fs daemon through rings in memory that
 * both share.
 *
 *     const fs = await Frontend.connect('/run/share.sock');
 *     await fs.init();
 *     const entry = await fs.lookup(1n, 'a');
 *     await fs.close();
 *
 * README.md of this folder tells the rest.
 */

import { getSystemErrorName } from 'node:util';
import { Opcode } from '../../daemon/fuse/opcodes';
import type { Call } from './fuse';
import { requests } from './fuse';
import type { VmmOptions } from './vmm';
import { Vmm } from './vmm';
import type { Segment, Virtqueue } from './virtqueue';

export const ROOT = 1n;
const IN_HEADER = 40;
const OUT_HEADER = 16;
const HIPRIO = 0;

/** A request was answered with an errno. */
export class FuseError extends Error {
  readonly errno: number;
  constructor(errno: number, what: string) {
    super(`${what}: ${errnoText(errno)}`);
    this.errno = errno;
  }
}

export function errnoText(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

export function opcodeName(opcode: number): string {
  return Object.entries(Opcode).find(([, code]) => code === opcode)?.[0] ?? `opcode ${opcode}`;
}

/** Who asks, as fuse_in_header says it. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** How a request travels. */
export interface Travel {
  readonly caller?: Caller;
  /** 0 is hiprio; left out: the request queues in turn, hiprio for forgets. */
  readonly queue?: number;
  readonly indirect?: boolean;
  /** Lengths of the readable descriptors; what is left makes a last one. */
  readonly readable?: readonly number[];
  readonly writable?: readonly number[];
  /** Bytes of room for the answer's body, where the request's own is not wanted. */
  readonly room?: number | null;
  /** Where the request, and the room for the answer, stand in guest memory. */
  readonly requestAt?: number;
  readonly roomAt?: number;
  /** Milliseconds that the answer may take, instead of the VMM's limit. */
  readonly limit?: number;
  /** Changes the request's bytes before they go. */
  readonly tamper?: (request: Uint8Array) => Uint8Array;
}

/** What came back for a request. */
export interface Answer {
  /** What the used ring says was written. */
  readonly written: number;
  /** The room that was there, with whatever is in it; beginning with fuse_out_header. */
  readonly room: Uint8Array;
  readonly unique: bigint;
}

/** fuse_out_header and what follows it. */
export interface Reply {
  /** Positive, or 0. */
  readonly errno: number;
  readonly body: Uint8Array;
}

export type Outcome<T> =
  { readonly errno: 0; readonly value: T } | { readonly errno: number; readonly value: null };

type Requests = typeof requests;

/** Each function of `requests`, sent: returns the decoded answer, throws FuseError. */
export type Methods = {
  readonly [Name in keyof Requests]: (
    ...args: Parameters<Requests[Name]>
  ) => Promise<ReturnType<Requests[Name]> extends Call<infer T> ? T : never>;
};

/** What all callers of one guest share. */
interface Counters {
  unique: bigint;
  turn: number;
}

const SUPER: Caller = { uid: 0, gid: 0, pid: 1 };

/** The FUSE side of a virtual machine. */
export class Guest {
  readonly vmm: Vmm;
  /** What requests are sent as when they do not say. */
  readonly caller: Caller;
  readonly #counters: Counters;

  constructor(vmm: Vmm, caller: Caller = SUPER, counters: Counters = { unique: 0n, turn: 0 }) {
    this.vmm = vmm;
    this.caller = caller;
    this.#counters = counters;
  }

  /** Sends a request. @throws FuseError when the answer is an errno */
  async call<T>(call: Call<T>, travel: Travel = {}): Promise<T> {
    const outcome = await this.attempt(call, travel);
    if (outcome.value === null && outcome.errno !== 0) {
      throw new FuseError(outcome.errno, opcodeName(call.opcode));
    }
    return outcome.value as T;
  }

  /** Sends a request; an errno is an outcome like any other. */
  async attempt<T>(call: Call<T>, travel: Travel = {}): Promise<Outcome<T>> {
    const room = travel.room === undefined ? call.room : travel.room;
    const answer = await this.send(call, travel);
    // DESTROY has room for a header that nobody fills.
    if (room === null || (call.opcode === Opcode.DESTROY && answer.written === 0)) {
      if (answer.written !== 0) throw new Error(`${opcodeName(call.opcode)} was answered.`);
      return { errno: 0, value: undefined as T };
    }
    const { errno, body } = readReply(answer);
    return errno === 0 ? { errno, value: call.decode(body) } : { errno, value: null };
  }

  /** Sends many requests at once. */
  all<T>(calls: readonly Call<T>[], travel: Travel = {}): Promise<T[]> {
    return Promise.all(calls.map((call) => this.call(call, travel)));
  }

  /** Sends a request and returns what came back, unread. */
  async send(call: Call<unknown>, travel: Travel = {}): Promise<Answer> {
    const { memory } = this.vmm;
    const caller = travel.caller ?? this.caller;
    const unique = (this.#counters.unique += 2n);
    let bytes: Uint8Array = new Uint8Array(IN_HEADER + call.body.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, bytes.length, true);
    view.setUint32(4, call.opcode, true);
    view.setBigUint64(8, unique, true);
    view.setBigUint64(16, BigInt.asUintN(64, call.nodeid), true);
    view.setUint32(24, caller.uid, true);
    view.setUint32(28, caller.gid, true);
    view.setUint32(32, caller.pid, true);
    view.setUint16(36, (call.extension ?? 0) / 8, true);
    bytes.set(call.body, IN_HEADER);
    if (travel.tamper !== undefined) bytes = travel.tamper(bytes);

    const answerBody = travel.room === undefined ? call.room : travel.room;
    const room = answerBody === null ? 0 : OUT_HEADER + answerBody;
    const requestAt = travel.requestAt ?? memory.allocate(bytes.length);
    memory.write(requestAt, bytes);
    const roomAt = travel.roomAt ?? (room === 0 ? 0 : memory.allocate(room));
    const segments = [
      ...cut(requestAt, bytes.length, travel.readable ?? [IN_HEADER], false),
      ...(room === 0 ? [] : cut(roomAt, room, travel.writable ?? [OUT_HEADER], true)),
    ];
    const queue = this.#queueFor(call.opcode, travel.queue);
    const written = await this.#timed(
      queue.submit(segments, travel.indirect ?? this.vmm.indirect),
      opcodeName(call.opcode),
      travel.limit ?? this.vmm.limit,
    );
    const answer = {
      written,
      room: memory.read(roomAt, room),
      unique,
    };
    if (travel.requestAt === undefined) memory.release(requestAt, bytes.length);
    if (travel.roomAt === undefined && room > 0) memory.release(roomAt, room);
    return answer;
  }

  /** Asks as somebody else. */
  as(caller: Partial<Caller>): Frontend {
    return withMethods(new Guest(this.vmm, { ...this.caller, ...caller }, this.#counters));
  }

  /** The VMM ends; waits until the connection is closed. */
  async close(): Promise<void> {
    this.vmm.close();
    await this.vmm.socket.closed;
  }

  #queueFor(opcode: number, wanted: number | undefined): Virtqueue {
    const { queues } = this.vmm;
    const forget = opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET;
    const index = wanted ?? (forget ? HIPRIO : 1 + (this.#counters.turn++ % (queues.length - 1)));
    const queue = queues[index];
    if (queue === undefined) throw new Error(`There is no queue ${index}.`);
    return queue;
  }

  async #timed<T>(work: Promise<T>, what: string, limit: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`${what} was not answered in ${limit} ms.`));
      }, limit);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A guest with a method for each request. */
export type Frontend = Guest & Methods;

export const Frontend = {
  /** Connects to a daemon's socket, negotiates and starts the rings. INIT is the caller's to send. */
  async connect(path: string, options: VmmOptions = {}): Promise<Frontend> {
    return Frontend.start(await Vmm.connect(path, options));
  },

  /** Starts the rings of a device that was negotiated. */
  async start(vmm: Vmm): Promise<Frontend> {
    try {
      await vmm.start();
    } catch (error) {
      vmm.close();
      throw error;
    }
    return withMethods(new Guest(vmm));
  },
};

function withMethods(guest: Guest): Frontend {
  const makers = Object.entries(requests) as [string, (...given: unknown[]) => Call<unknown>][];
  const methods = makers.map(([name, make]) => [
    name,
    (...given: unknown[]) => guest.call(make(...given)),
  ]);
  return Object.assign(guest, Object.fromEntries(methods) as Methods);
}

function cut(
  address: number,
  length: number,
  lengths: readonly number[],
  write: boolean,
): Segment[] {
  const segments: Segment[] = [];
  let at = 0;
  for (const wanted of [...lengths, length]) {
    const piece = Math.min(wanted, length - at);
    if (piece > 0) segments.push({ address: address + at, length: piece, write });
    at += piece;
  }
  return segments;
}

/**
 * Reads an answer as a careful guest does.
 *
 * @throws Error when its length, its unique or its errno cannot be
 */
function readReply({ room, written, unique }: Answer): Reply {
  if (written < OUT_HEADER) throw new Error(`An answer of ${written} bytes.`);
  const view = new DataView(room.buffer, room.byteOffset, room.length);
  const length = view.getUint32(0, true);
  const errno = -view.getInt32(4, true);
  if (view.getBigUint64(8, true) !== unique) throw new Error('An answer to another request.');
  if (length !== written) throw new Error(`An answer of ${written} bytes that says ${length}.`);
  if (length > room.length) throw new Error(`An answer of ${length} bytes in ${room.length}.`);
  if (errno < 0 || errno >= 512) throw new Error(`An answer with errno ${errno}.`);
  if (errno !== 0 && length !== OUT_HEADER) throw new Error('An errno with something behind it.');
  return { errno, body: room.subarray(OUT_HEADER, length) };
}
