/** Mutated conversations with the real server, over a real socket, in one process. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { RequestHandler } from '../../../daemon/fuse/dataChannel';
import { IN_HEADER, OUT_HEADER } from '../../../daemon/fuse/wire';
import { serveVhostUser } from '../../../daemon/transport/vhostServer';
import type { Scratch } from '../../../native/index';
import { REPLY, REQUEST, REQUEST_SIZE, createScratch } from '../../../native/index';
import { GuestMemory, fileOffset } from '../chains/guestMemory';
import { Finding, must, openDescriptors } from '../kind';
import type { Surroundings } from '../kind';
import { Random } from '../random';
import type { FdKind, Message } from './conversations';
import { CONVERSATIONS, RING_PLACES, RING_SIZE, bytesOf } from './conversations';

const FD_KINDS: readonly FdKind[] = [
  ...(['memory', 'event', 'small', 'readonly', 'directory'] as const),
  ...(['null', 'zero', 'empty', 'socket', 'path'] as const),
];
/** A file that is smaller than every region. */
const SMALL = 0x800;
const MOST_FDS = 253;
const O_PATH = 0x200000;
const REPLY_FLAGS = 5;
const HEADER = 12;
const REQUESTS_AT = 0x1000;

interface Lasting {
  readonly memory: GuestMemory;
  readonly fds: Readonly<Record<FdKind, number>>;
}

/** What every session of the process uses. */
let lasting: Lasting | null = null;

export function messageSession(around: Surroundings, seed: number, inputs: number): void {
  lasting ??= prepare(around);
  const { memory, fds } = lasting;
  const scratch = createScratch(around.native);
  const random = new Random(seed);
  for (let sent = 0; sent < inputs;) {
    const descriptors = openDescriptors();
    const changed = random.once(10) ? random.pick(CONVERSATIONS) : mutated(random);
    const messages = changed.slice(0, inputs - sent);
    fillRings(memory);
    converse(around, fds, scratch, messages, random, messages === changed);
    sent += messages.length;
    must(openDescriptors() === descriptors, () => {
      const codes = messages.map(({ request }) => request).join(' ');
      return `${openDescriptors() - descriptors} descriptors were left open by ${codes}.`;
    });
  }
}

function prepare(around: Surroundings): Lasting {
  const { native, fuzzing } = around;
  const memory = new GuestMemory(around);
  const sockets = native.socketPair();
  if (typeof sockets === 'number') throw new Error(`No sockets (${sockets}).`);
  const small = fuzzing.memoryFile(SMALL);
  const { O_RDONLY, O_DIRECTORY, O_RDWR, O_CREAT } = fs.constants;
  return {
    memory,
    fds: {
      memory: memory.fd,
      event: native.createEvent(),
      small,
      readonly: fs.openSync(`/proc/self/fd/${small}`, O_RDONLY),
      directory: fs.openSync(around.folder, O_RDONLY | O_DIRECTORY),
      null: fs.openSync('/dev/null', O_RDWR),
      zero: fs.openSync('/dev/zero', O_RDWR),
      empty: fs.openSync(path.join(around.folder, 'empty'), O_RDWR | O_CREAT),
      socket: sockets[0],
      path: native.openPath(around.folder, O_PATH),
    },
  };
}

/** A few requests wait in the ring that both queues use. */
function fillRings(memory: GuestMemory): void {
  const { u8, u16, u32 } = memory;
  const { descriptors, available, used } = RING_PLACES;
  u8.fill(0, descriptors, descriptors + 16 * RING_SIZE);
  u8.fill(0, available, available + 0x100);
  u8.fill(0, used, used + 0x200);
  for (let i = 0; i < RING_SIZE; i += 2) {
    const at = REQUESTS_AT + 0x100 * i;
    const word = (descriptors >> 2) + 4 * i;
    u32.set([at, 0, IN_HEADER, ((i + 1) << 16) | 1], word);
    u32.set([at + 0x80, 0, OUT_HEADER, 2], word + 4);
    u32.set([IN_HEADER, 3], fileOffset(at) >> 2);
    u16[(available >> 1) + 2 + i / 2] = i;
  }
  u16[(available >> 1) + 1] = 6;
}

function mutated(random: Random): Message[] {
  const messages = [...random.pick(CONVERSATIONS)];
  for (let times = 1 + random.below(6); times > 0; times--) {
    const i = random.below(messages.length);
    const one = messages[i];
    if (one === undefined) break;
    switch (random.below(10)) {
      case 0:
        messages.splice(i, 1);
        break;
      case 1:
        messages.splice(random.below(messages.length), 0, one);
        break;
      case 2:
        messages.splice(i, 1);
        messages.splice(random.below(messages.length + 1), 0, one);
        break;
      case 3:
        messages[i] = { ...one, request: random.once(4) ? random.edge() : random.below(46) };
        break;
      case 4:
        messages[i] = { ...one, flags: random.pick([0, 1, 2, 3, 5, 9, 13, 0xffffffff]) };
        break;
      case 5:
        messages[i] = { ...one, fds: otherFds(random, one.fds) };
        break;
      case 6:
        messages[i] = { ...one, payload: otherLength(random, one.payload) };
        break;
      case 7:
        messages.splice(i, 0, ...random.pick(CONVERSATIONS).slice(0, random.below(12)));
        break;
      default:
        messages[i] = { ...one, payload: otherWords(random, one.payload) };
        break;
    }
    if (messages.length === 0) return [...random.pick(CONVERSATIONS)];
  }
  return messages;
}

function otherFds(random: Random, fds: readonly FdKind[]): FdKind[] {
  switch (random.below(5)) {
    case 0:
      return [];
    case 1:
      return [...fds, random.pick(FD_KINDS)];
    case 2:
      return Array.from({ length: random.once(4) ? MOST_FDS : random.below(10) }, () => {
        return random.pick(FD_KINDS);
      });
    default:
      return fds.map((fd) => (random.once(2) ? random.pick(FD_KINDS) : fd));
  }
}

function otherLength(random: Random, payload: Uint8Array): Uint8Array {
  const size = random.once(2)
    ? random.below(payload.length + 1)
    : Math.min(random.pick([1, 4, 8, 12, 40, 264, 4095, 4096, 4097, 9000]), 9000);
  const bytes = new Uint8Array(size);
  bytes.set(payload.subarray(0, size));
  return bytes;
}

function otherWords(random: Random, payload: Uint8Array): Uint8Array {
  const bytes = payload.slice();
  if (bytes.length < 4) return bytes;
  const view = new DataView(bytes.buffer);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = 4 * random.below(bytes.length >> 2);
    switch (random.below(4)) {
      case 0:
        view.setUint32(at, random.edge(), true);
        break;
      case 1:
        view.setUint32(at, view.getUint32(at, true) ^ (1 << random.below(32)), true);
        break;
      case 2:
        view.setUint32(
          at,
          view.getUint32(at, true) + random.pick([-4096, -16, -1, 1, 16, 4096]),
          true,
        );
        break;
      default:
        view.setUint32(at, 0xffffffff, true);
        break;
    }
  }
  return bytes;
}

/** Sends all of it, lets the server work until the end of it, and looks at its replies. */
function converse(
  around: Surroundings,
  fds: Readonly<Record<FdKind, number>>,
  scratch: Scratch,
  messages: readonly Message[],
  random: Random,
  whole: boolean,
): void {
  const { native, fuzzing, tell } = around;
  const socketPath = path.join(around.folder, 'socket');
  const listenFd = native.listenAt(socketPath, 0o077, -1);
  must(listenFd >= 0, () => `No listening socket (${listenFd}).`);
  const socket = fuzzing.connectTo(socketPath);
  must(socket >= 0, () => `No connection (${socket}).`);
  let lied = false;
  for (const [i, one] of messages.entries()) {
    around.count();
    if (tell !== null) {
      tell(
        `${one.request} flags ${one.flags} ${Buffer.from(one.payload).toString('hex')} ${one.fds.join(' ')}`,
      );
    }
    // The header may lie, and the last message may be cut off.
    const lies = random.once(300);
    lied ||= lies;
    const bytes = bytesOf(one, lies ? random.edge() : one.payload.length);
    const last = i + 1 === messages.length && whole && random.once(3);
    send(
      around,
      socket,
      last ? bytes.subarray(0, 1 + random.below(bytes.length)) : bytes,
      one,
      fds,
      random,
    );
  }
  fuzzing.endSending(socket);
  const controlFd = native.createEvent();
  const log: string[] = [];
  try {
    const tag = random.once(2) ? 'fuzz' : null;
    serveVhostUser(native, { listenFd, controlFd, tag }, handlerOf(scratch), (_level, text) => {
      log.push(text);
    });
  } catch (error) {
    // A plain Error is a refusal in words; anything else is a mistake.
    const refused = error instanceof Error && error.constructor === Error;
    if (!refused || error instanceof Finding) throw error;
    must(error.message.length > 20, () => `Refused without a reason: ${error.message}`);
    if (tell !== null) tell(error.message);
  }
  const replies = readReplies(around, socket);
  if (!lied) checkOrder(replies, messages);
  native.closeDescriptor(controlFd);
  native.closeDescriptor(socket);
  fs.unlinkSync(socketPath);
}

/** In one piece, as front-ends send; or in several. */
function send(
  { fuzzing }: Surroundings,
  socket: number,
  bytes: Uint8Array,
  { fds: kinds }: Message,
  fds: Readonly<Record<FdKind, number>>,
  random: Random,
): void {
  const numbers = kinds.map((kind) => fds[kind]);
  const cut = random.once(20) ? 1 + random.below(bytes.length) : bytes.length;
  const late = random.once(20);
  fuzzing.sendTo(socket, bytes.subarray(0, cut), late ? [] : numbers);
  if (cut < bytes.length) fuzzing.sendTo(socket, bytes.subarray(cut), late ? numbers : []);
}

/** Answers each request with its header. */
function handlerOf(memory: Scratch): RequestHandler {
  const { i32, u32 } = memory;
  return {
    memory,
    handle(length) {
      must(length >= IN_HEADER && length <= REQUEST_SIZE, () => `A request of ${length} bytes.`);
      if ([2, 36, 38, 42].includes(u32[(REQUEST + 4) >> 2] ?? 0)) return 0;
      i32.set(
        [OUT_HEADER, 0, i32[(REQUEST + 8) >> 2] ?? 0, i32[(REQUEST + 12) >> 2] ?? 0],
        REPLY >> 2,
      );
      return OUT_HEADER;
    },
    standsAlone: () => false,
    letGo: () => undefined,
    reset: () => undefined,
  };
}

/** The requests that were answered. The flags are those that front-ends insist on. */
function readReplies({ fuzzing }: Surroundings, socket: number): number[] {
  const buffer = new Uint8Array(1 << 16);
  let filled = 0;
  for (;;) {
    const received = fuzzing.receiveFrom(socket, buffer.subarray(filled));
    if (received <= 0) break;
    filled += received;
  }
  const view = new DataView(buffer.buffer);
  const requests: number[] = [];
  for (let at = 0; at < filled;) {
    must(at + HEADER <= filled, () => 'A reply ends inside its header.');
    const request = view.getUint32(at, true);
    const flags = view.getUint32(at + 4, true);
    must(flags === REPLY_FLAGS, () => `The reply to ${request} has flags ${flags}.`);
    at += HEADER + view.getUint32(at + 8, true);
    must(at <= filled, () => `The reply to ${request} is cut off.`);
    requests.push(request);
  }
  return requests;
}

/** Each reply belongs to a message behind the one before. */
function checkOrder(replies: readonly number[], messages: readonly Message[]): void {
  let next = 0;
  for (const request of replies) {
    while (next < messages.length && messages[next]?.request !== request) next++;
    must(next < messages.length, () => `A reply to ${request}, which was not sent there.`);
    next++;
  }
}
