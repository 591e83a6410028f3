/**
 * The messages of a vhost-user front-end, as far as a file system needs them: bytes in, values out,
 * and back. Source: QEMU's docs/interop/vhost-user.rst ("Message Specification").
 */

/** "Front-end message types". */
const Request = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
} as const;

export type RequestName = keyof typeof Request;

const NAMES = new Map<number, RequestName>(
  Object.entries(Request).map(([name, id]) => [id, name as RequestName]),
);

/** Feature bits of the device. */
export const VIRTIO_RING_F_INDIRECT_DESC = 1n << 28n;
export const VIRTIO_RING_F_EVENT_IDX = 1n << 29n;
export const VHOST_USER_F_PROTOCOL_FEATURES = 1n << 30n;
export const VIRTIO_F_VERSION_1 = 1n << 32n;

/** "Protocol features". */
export const PROTOCOL_F_MQ = 1n << 0n;
export const PROTOCOL_F_REPLY_ACK = 1n << 3n;
export const PROTOCOL_F_BACKEND_REQ = 1n << 5n;
export const PROTOCOL_F_CONFIG = 1n << 9n;
export const PROTOCOL_F_RESET_DEVICE = 1n << 13n;
export const PROTOCOL_F_CONFIGURE_MEM_SLOTS = 1n << 15n;

const VERSION = 1;
const VERSION_MASK = 3;
const FLAG_REPLY = 1 << 2;
const FLAG_NEED_REPLY = 1 << 3;
const HEADER = 12;

/** The index of a kick, call or error descriptor, and the bit that says that there is none. */
const VRING_INDEX_MASK = 0xffn;
const VRING_NO_FD = 0x100n;

const CONFIG_HEADER = 12;
/** VHOST_USER_MAX_CONFIG_SIZE of QEMU. */
const CONFIG_MOST = 256;

/** "Memory region description"; the file is `fd`. */
export interface MemoryRegion {
  readonly guestAddress: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Where the front-end has it. */
  readonly userAddress: bigint;
  /** Where in its file it begins. */
  readonly offset: bigint;
}

export interface MappedRegion extends MemoryRegion {
  readonly fd: number;
}

/** Addresses of the front-end. */
export interface RingAddresses {
  readonly descriptors: bigint;
  readonly used: bigint;
  readonly available: bigint;
}

export type Message =
  | {
      readonly type:
        | 'GET_FEATURES'
        | 'SET_OWNER'
        | 'RESET_OWNER'
        | 'GET_PROTOCOL_FEATURES'
        | 'GET_QUEUE_NUM'
        | 'RESET_DEVICE'
        | 'GET_MAX_MEM_SLOTS'
        | 'SET_CONFIG';
    }
  | { readonly type: 'SET_FEATURES' | 'SET_PROTOCOL_FEATURES'; readonly value: bigint }
  | { readonly type: 'SET_MEM_TABLE'; readonly regions: readonly MappedRegion[] }
  | { readonly type: 'ADD_MEM_REG'; readonly region: MappedRegion }
  | { readonly type: 'REM_MEM_REG'; readonly region: MemoryRegion }
  | {
      readonly type: 'SET_VRING_NUM' | 'SET_VRING_BASE' | 'GET_VRING_BASE' | 'SET_VRING_ENABLE';
      readonly index: number;
      readonly num: number;
    }
  | {
      readonly type: 'SET_VRING_ADDR';
      readonly index: number;
      readonly addresses: RingAddresses;
    }
  | {
      readonly type: 'SET_VRING_KICK' | 'SET_VRING_CALL' | 'SET_VRING_ERR';
      readonly index: number;
      /** Null: there is none; the ring is to be polled. */
      readonly fd: number | null;
    }
  | { readonly type: 'SET_BACKEND_REQ_FD'; readonly fd: number }
  | {
      readonly type: 'GET_CONFIG';
      readonly offset: number;
      readonly size: number;
      readonly flags: number;
    }
  | { readonly type: 'unknown' };

/** A message as it came. */
export interface RawMessage {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  readonly fds: readonly number[];
}

/** What the front-end said makes no sense, or asks for what cannot be. */
export class RefusedMessage extends Error {}

/** Whether the front-end waits for an answer to a message that has none of its own. */
export function needsReply(flags: number): boolean {
  return (flags & FLAG_NEED_REPLY) !== 0;
}

/** Messages that change nothing for requests that are under way. */
const HARMLESS: ReadonlySet<number> = new Set([
  Request.GET_FEATURES,
  Request.SET_OWNER,
  Request.SET_VRING_CALL,
  Request.SET_VRING_ERR,
  Request.GET_PROTOCOL_FEATURES,
  Request.GET_QUEUE_NUM,
  Request.SET_BACKEND_REQ_FD,
  Request.GET_CONFIG,
  Request.SET_CONFIG,
  Request.GET_MAX_MEM_SLOTS,
  Request.ADD_MEM_REG,
]);

/** Whether a message may stop a ring or take memory away that a request under way needs. */
export function concernsRequests(request: number): boolean {
  return NAMES.has(request) && !HARMLESS.has(request);
}

/** How a request is called, for people. */
export function requestName(request: number): string {
  return NAMES.get(request) ?? `message ${request}`;
}

/**
 * @throws RefusedMessage when its header, length or number of descriptors is not that of its kind
 */
export function decodeMessage(raw: RawMessage): Message {
  if ((raw.flags & VERSION_MASK) !== VERSION || (raw.flags & FLAG_REPLY) !== 0) {
    throw new RefusedMessage(`its header has flags 0x${raw.flags.toString(16)}`);
  }
  const type = NAMES.get(raw.request);
  if (type === undefined) return { type: 'unknown' };
  const { payload, fds } = raw;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  switch (type) {
    case 'SET_FEATURES':
    case 'SET_PROTOCOL_FEATURES':
      expectSize(payload, 8);
      expectFds(fds, 0);
      return { type, value: view.getBigUint64(0, true) };
    case 'SET_MEM_TABLE': {
      if (payload.length < 8) expectSize(payload, 8);
      const count = view.getUint32(0, true);
      expectSize(payload, 8 + 32 * count);
      expectFds(fds, count);
      return { type, regions: fds.map((fd, i) => ({ ...regionAt(view, 8 + 32 * i), fd })) };
    }
    case 'ADD_MEM_REG':
      expectSize(payload, 40);
      return { type, region: { ...regionAt(view, 8), fd: expectFd(fds) } };
    case 'REM_MEM_REG':
      // A descriptor that comes along is to be closed and is no mistake.
      expectSize(payload, 40);
      return { type, region: regionAt(view, 8) };
    case 'SET_VRING_NUM':
    case 'SET_VRING_BASE':
    case 'GET_VRING_BASE':
    case 'SET_VRING_ENABLE':
      expectSize(payload, 8);
      expectFds(fds, 0);
      return { type, index: view.getUint32(0, true), num: view.getUint32(4, true) };
    case 'SET_VRING_ADDR':
      expectSize(payload, 40);
      expectFds(fds, 0);
      return {
        type,
        index: view.getUint32(0, true),
        addresses: {
          descriptors: view.getBigUint64(8, true),
          used: view.getBigUint64(16, true),
          available: view.getBigUint64(24, true),
        },
      };
    case 'SET_VRING_KICK':
    case 'SET_VRING_CALL':
    case 'SET_VRING_ERR': {
      expectSize(payload, 8);
      const value = view.getBigUint64(0, true);
      const none = (value & VRING_NO_FD) !== 0n;
      if (none) expectFds(fds, 0);
      return { type, index: Number(value & VRING_INDEX_MASK), fd: none ? null : expectFd(fds) };
    }
    case 'SET_BACKEND_REQ_FD':
      expectSize(payload, 0);
      return { type, fd: expectFd(fds) };
    case 'GET_CONFIG': {
      if (payload.length < CONFIG_HEADER) expectSize(payload, CONFIG_HEADER);
      const size = view.getUint32(4, true);
      expectSize(payload, CONFIG_HEADER + size);
      expectFds(fds, 0);
      return { type, offset: view.getUint32(0, true), size, flags: view.getUint32(8, true) };
    }
    case 'SET_CONFIG':
      expectFds(fds, 0);
      return { type };
    case 'GET_FEATURES':
    case 'SET_OWNER':
    case 'RESET_OWNER':
    case 'GET_PROTOCOL_FEATURES':
    case 'GET_QUEUE_NUM':
    case 'RESET_DEVICE':
    case 'GET_MAX_MEM_SLOTS':
      expectSize(payload, 0);
      expectFds(fds, 0);
      return { type };
  }
}

function regionAt(view: DataView, at: number): MemoryRegion {
  return {
    guestAddress: view.getBigUint64(at, true),
    size: view.getBigUint64(at + 8, true),
    userAddress: view.getBigUint64(at + 16, true),
    offset: view.getBigUint64(at + 24, true),
  };
}

function expectSize(payload: Uint8Array, size: number): void {
  if (payload.length === size) return;
  throw new RefusedMessage(`it has ${payload.length} bytes instead of ${size}`);
}

function expectFds(fds: readonly number[], count: number): void {
  if (fds.length === count) return;
  throw new RefusedMessage(`it brings ${fds.length} descriptors instead of ${count}`);
}

function expectFd(fds: readonly number[]): number {
  const [fd] = fds;
  expectFds(fds, 1);
  if (fd === undefined) throw new RefusedMessage('it brings no descriptor');
  return fd;
}

function reply(request: number, size: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(HEADER + size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  // Front-ends compare this word as a whole: a reply must not ask for one.
  view.setUint32(4, VERSION | FLAG_REPLY, true);
  view.setUint32(8, size, true);
  return { bytes, view };
}

/** An answer that is one number; to messages without an answer of their own, 0 says that all is well. */
export function encodeU64(request: number, value: bigint): Uint8Array {
  const { bytes, view } = reply(request, 8);
  view.setBigUint64(HEADER, value, true);
  return bytes;
}

export function encodeVringState(request: number, index: number, num: number): Uint8Array {
  const { bytes, view } = reply(request, 8);
  view.setUint32(HEADER, index, true);
  view.setUint32(HEADER + 4, num, true);
  return bytes;
}

/**
 * The part of the configuration space that was asked for; what lies behind its end is zero. A part
 * that no device has is answered with nothing, which means an error.
 */
export function encodeConfig(
  request: number,
  asked: { readonly offset: number; readonly size: number; readonly flags: number },
  space: Uint8Array,
): Uint8Array {
  const { offset, size, flags } = asked;
  if (size === 0 || offset + size > CONFIG_MOST) return reply(request, 0).bytes;
  const { bytes, view } = reply(request, CONFIG_HEADER + size);
  view.setUint32(HEADER, offset, true);
  view.setUint32(HEADER + 4, size, true);
  view.setUint32(HEADER + 8, flags, true);
  bytes.set(space.subarray(offset, offset + size), HEADER + CONFIG_HEADER);
  return bytes;
}

const TAG_BYTES = 36;

/** struct virtio_fs_config (VIRTIO 1.2, 5.11.4); a tag has at most 36 bytes. */
export function configSpace(tag: string, requestQueues: number): Uint8Array {
  const space = new Uint8Array(TAG_BYTES + 4);
  space.set(new TextEncoder().encode(tag).subarray(0, TAG_BYTES));
  new DataView(space.buffer).setUint32(TAG_BYTES, requestQueues, true);
  return space;
}
