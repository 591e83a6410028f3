/** Conversations, whole or broken, and how they are sent. */

import * as fs from 'node:fs';
import path from 'node:path';
import { IN_HEADER, OUT_HEADER } from '../../../daemon/fuse/wire';
import { GuestMemory, fileOffset } from '../chains/guestMemory';
import { must } from '../kind';
import type { Surroundings } from '../kind';
import type { Random } from '../random';
import type { FdKind, Message } from './conversations';
import { CONVERSATIONS, RING_PLACES, RING_SIZE, bytesOf } from './conversations';

const FD_KINDS: readonly FdKind[] = [
  ...(['memory', 'event', 'small', 'readonly', 'directory'] as const),
  ...(['null', 'zero', 'empty', 'socket', 'path'] as const),
];
/** A file that is smaller than every region. */
const SMALL = 0x800;
/** Bytes of a payload. */
const MOST_SHOWN = 80;
const MOST_FDS = 253;
const O_PATH = 0x200000;
const REPLY_FLAGS = 5;
const HEADER = 12;
const REQUESTS_AT = 0x1000;

/** What conversations need. */
export interface FrontEnd {
  readonly memory: GuestMemory;
  readonly fds: Readonly<Record<FdKind, number>>;
}

/** What every session of the process uses. */
let lasting: FrontEnd | null = null;

export function frontEnd(around: Surroundings): FrontEnd {
  return (lasting ??= prepare(around));
}

function prepare(around: Surroundings): FrontEnd {
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
export function fillRings(memory: GuestMemory): void {
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

/** A conversation, mostly broken somewhere. */
export function conversation(random: Random): readonly Message[] {
  return random.once(10) ? random.pick(CONVERSATIONS) : mutated(random);
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

/**
 * Sends all of it and ends.
 *
 * @returns whether every header was true
 */
export function sendAll(
  around: Surroundings,
  { fds }: FrontEnd,
  socket: number,
  messages: readonly Message[],
  random: Random,
): boolean {
  const { tell, fuzzing } = around;
  let honest = true;
  for (const [i, one] of messages.entries()) {
    around.count();
    if (tell !== null) {
      const { request, flags, payload } = one;
      tell(
        `${request} flags ${flags} ${Buffer.from(payload.subarray(0, MOST_SHOWN)).toString('hex')} ${one.fds.join(' ')}`,
      );
    }
    // The header may lie, and the last message may be cut off.
    const lies = random.once(300);
    honest &&= !lies;
    const bytes = bytesOf(one, lies ? random.edge() : one.payload.length);
    const cut = i + 1 === messages.length && random.once(3);
    const sent = cut ? bytes.subarray(0, 1 + random.below(bytes.length)) : bytes;
    send(
      around,
      socket,
      sent,
      one.fds.map((kind) => fds[kind]),
      random,
    );
  }
  fuzzing.endSending(socket);
  return honest;
}

/** In one piece, as front-ends send; or in two. */
function send(
  { fuzzing }: Surroundings,
  socket: number,
  bytes: Uint8Array,
  fds: readonly number[],
  random: Random,
): void {
  const cut = random.once(20) ? 1 + random.below(bytes.length) : bytes.length;
  const late = random.once(20);
  fuzzing.sendTo(socket, bytes.subarray(0, cut), late ? [] : fds);
  if (cut < bytes.length) fuzzing.sendTo(socket, bytes.subarray(cut), late ? fds : []);
}

/** The requests that were answered. The flags are those that front-ends insist on. */
export function readReplies({ fuzzing }: Surroundings, socket: number): number[] {
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
export function checkOrder(replies: readonly number[], messages: readonly Message[]): void {
  let next = 0;
  for (const request of replies) {
    while (next < messages.length && messages[next]?.request !== request) next++;
    must(next < messages.length, () => `A reply to ${request}, which was not sent there.`);
    next++;
  }
}
