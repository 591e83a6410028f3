/**
 * What virtual machine monitors say, from the start to the end: the order of QEMU 7.2 and 10, of
 * cloud-hypervisor and of crosvm (QEMU's docs/interop/vhost-user.rst has the messages).
 */

import type { Region } from '../chains/guestMemory';
import { AVAILABLE, DESCRIPTORS, REGIONS, USED } from '../chains/guestMemory';

/** What a descriptor sent along is. */
export type FdKind =
  | 'memory'
  | 'event'
  | 'small'
  | 'readonly'
  | 'directory'
  | 'null'
  | 'zero'
  | 'empty'
  | 'socket'
  | 'path';

export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  readonly fds: readonly FdKind[];
}

export const VERSION = 1;
export const NEED_REPLY = 8;
const HEADER = 12;

const FEATURES = 0x170000000n;
const PROTOCOL_FEATURES = 0x1fffffn;

export const RING_SIZE = 16;
export const RING_PLACES = {
  descriptors: DESCRIPTORS.offset,
  available: AVAILABLE.offset,
  used: USED.offset,
} as const;

export function message(
  request: number,
  payload: Uint8Array = new Uint8Array(),
  fds: readonly FdKind[] = [],
  needReply = false,
): Message {
  return { request, flags: VERSION | (needReply ? NEED_REPLY : 0), payload, fds };
}

/** The header and the payload, as they are sent. `size`: what the header says. */
export function bytesOf({ request, flags, payload }: Message, size = payload.length): Uint8Array {
  const bytes = new Uint8Array(HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, size, true);
  bytes.set(payload, HEADER);
  return bytes;
}

function words64(...values: bigint[]): Uint8Array {
  return new Uint8Array(
    new BigUint64Array(values.map((value) => BigInt.asUintN(64, value))).buffer,
  );
}

function state(index: number, num: number): Uint8Array {
  return new Uint8Array(new Uint32Array([index, num]).buffer);
}

function regionWords({ guest, size, user, offset }: Region): bigint[] {
  return [guest, BigInt(size), user, BigInt(offset)];
}

function addMemory(region: Region, needReply: boolean): Message {
  return message(37, words64(0n, ...regionWords(region)), ['memory'], needReply);
}

function removeMemory(region: Region, needReply: boolean): Message {
  return message(38, words64(0n, ...regionWords({ ...region, offset: 0 })), [], needReply);
}

function memoryTable(regions: readonly Region[], needReply: boolean): Message {
  const payload = words64(BigInt(regions.length), ...regions.flatMap(regionWords));
  return message(
    5,
    payload,
    regions.map(() => 'memory' as const),
    needReply,
  );
}

function addresses(index: number, needReply: boolean): Message {
  const payload = words64(BigInt(index), DESCRIPTORS.user, USED.user, AVAILABLE.user, 0n);
  return message(9, payload, [], needReply);
}

function event(request: number, index: number, needReply = false): Message {
  return message(request, words64(BigInt(index)), ['event'], needReply);
}

const QUEUES = [0, 1];

function qemu(version: 7 | 10): Message[] {
  const perQueue = (make: (queue: number) => Message | readonly Message[]): Message[] =>
    QUEUES.flatMap((queue) => make(queue));
  const enable = (on: number): Message[] =>
    perQueue((queue) => message(18, state(queue, on), [], version === 10));
  const calls = (): Message[] => perQueue((queue) => event(13, queue));
  const start = (base: number): Message[] => [
    ...calls(),
    message(2, words64(FEATURES)),
    ...(base === 0 ? REGIONS.map((region) => addMemory(region, true)) : []),
    ...perQueue((queue) => [
      message(8, state(queue, RING_SIZE)),
      message(10, state(queue, base)),
      addresses(queue, false),
      event(12, queue),
    ]),
    ...enable(1),
    ...calls(),
  ];
  const stop = [...enable(0), ...perQueue((queue) => message(11, state(queue, 0))), ...calls()];
  return [
    message(1),
    message(15),
    message(16, words64(PROTOCOL_FEATURES & 0xa42bn)),
    message(17),
    message(36),
    message(21, new Uint8Array(), ['socket'], true),
    message(3),
    message(1),
    ...perQueue((queue) => [event(13, queue), event(14, queue)]),
    ...(version === 10 ? [message(34), message(34)] : []),
    ...start(0),
    ...stop,
    ...start(3),
    removeMemory(REGIONS[1] ?? AVAILABLE, true),
    addMemory(REGIONS[1] ?? AVAILABLE, true),
    ...stop,
    ...(version === 10 ? [message(34)] : []),
  ];
}

function cloudHypervisor(): Message[] {
  return [
    message(3),
    message(1),
    message(15),
    message(16, words64(0x9n | (1n << 15n))),
    message(17, undefined, [], true),
    message(2, words64(FEATURES), [], true),
    memoryTable(REGIONS, true),
    ...QUEUES.map((queue) => message(8, state(queue, RING_SIZE), [], true)),
    ...QUEUES.flatMap((queue) => [
      addresses(queue, true),
      message(10, state(queue, 2), [], true),
      event(13, queue, true),
      event(12, queue, true),
    ]),
    ...QUEUES.map((queue) => message(18, state(queue, 1), [], true)),
    ...QUEUES.map((queue) => message(18, state(queue, 0), [], true)),
    ...QUEUES.map((queue) => message(18, state(queue, 1), [], true)),
    memoryTable(REGIONS.slice(0, 5), true),
    ...QUEUES.map((queue) => message(18, state(queue, 0), [], true)),
    ...QUEUES.map((queue) => message(11, state(queue, 0), [], true)),
  ];
}

function crosvm(): Message[] {
  const config = new Uint8Array(12 + 40);
  new DataView(config.buffer).setUint32(4, 40, true);
  return [
    message(3),
    message(1),
    message(2, words64(1n << 30n)),
    message(15),
    message(16, words64(0x221n)),
    message(21, new Uint8Array(), ['socket']),
    message(17),
    message(24, config),
    message(2, words64(FEATURES)),
    memoryTable(REGIONS, false),
    ...QUEUES.flatMap((queue) => [
      message(8, state(queue, RING_SIZE)),
      addresses(queue, false),
      message(10, state(queue, 0)),
      event(13, queue),
      event(12, queue),
      message(18, state(queue, 1)),
    ]),
    ...QUEUES.map((queue) => message(11, state(queue, 0))),
    message(4),
  ];
}

export const CONVERSATIONS: readonly (readonly Message[])[] = [
  qemu(7),
  qemu(10),
  cloudHypervisor(),
  crosvm(),
];
