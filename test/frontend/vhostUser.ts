/** The vhost-user protocol, front-end side (QEMU's docs/interop/vhost-user.rst). */

import { must, native } from './native';

export const Message = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_LOG_FD: 7,
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

export const VirtioFeature = {
  LOG_ALL: 1n << 26n,
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  PROTOCOL_FEATURES: 1n << 30n,
  VERSION_1: 1n << 32n,
} as const;

export const ProtocolFeature = {
  MQ: 1n << 0n,
  LOG_SHMFD: 1n << 1n,
  REPLY_ACK: 1n << 3n,
  BACKEND_REQ: 1n << 5n,
  CONFIG: 1n << 9n,
  BACKEND_SEND_FD: 1n << 10n,
  HOST_NOTIFIER: 1n << 11n,
  INFLIGHT_SHMFD: 1n << 12n,
  RESET_DEVICE: 1n << 13n,
  INBAND_NOTIFICATIONS: 1n << 14n,
  CONFIGURE_MEM_SLOTS: 1n << 15n,
  STATUS: 1n << 16n,
  DEVICE_STATE: 1n << 19n,
} as const;

const VERSION = 1;
const REPLY = 4;
export const NEED_REPLY = 8;
const HEADER = 12;
const NONE = new Uint8Array(0);

/** What one message says; everything can be wrong on purpose. */
export interface Outgoing {
  readonly request: number;
  readonly payload?: Uint8Array;
  readonly fds?: readonly number[];
  /** Beside the version. */
  readonly flags?: number;
}

/** A reply whose flags and request code were right. */
export interface Incoming {
  readonly request: number;
  readonly payload: Uint8Array;
}

interface Waiter {
  readonly request: number;
  readonly resolve: (reply: Incoming) => void;
  readonly reject: (reason: Error) => void;
}

export function requestName(request: number): string {
  return Object.entries(Message).find(([, code]) => code === request)?.[0] ?? String(request);
}

/** A connection to a back-end, from the side of the VMM. */
export class VhostUserSocket {
  /** Resolves when the daemon has closed the connection, or this side has. */
  readonly closed: Promise<void>;
  /** Answers to nothing that was asked, and answers that break the protocol. */
  readonly complaints: string[] = [];
  readonly #fd: number;
  readonly #limit: number;
  readonly #stopWatching: () => void;
  readonly #waiters: Waiter[] = [];
  #open = true;
  #settleClosed: () => void = () => undefined;
  #buffer = new Uint8Array(HEADER);
  #filled = 0;

  /** @param limit milliseconds that an answer may take */
  constructor(fd: number, limit: number) {
    this.#fd = fd;
    this.#limit = limit;
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    this.#stopWatching = native.watch(fd, () => this.#read());
  }

  /** @throws Error when nobody listens there */
  static connect(path: string, limit: number): VhostUserSocket {
    return new VhostUserSocket(must(native.connectUnix(path), `connect to ${path}`), limit);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Sends any bytes. */
  sendRaw(bytes: Uint8Array, fds: readonly number[] = []): void {
    must(native.sendBytes(this.#fd, bytes, fds), 'send to the daemon');
  }

  /** Sends a message and expects no answer. */
  send({ request, payload = NONE, fds = [], flags = 0 }: Outgoing): void {
    const bytes = new Uint8Array(HEADER + payload.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, request, true);
    view.setUint32(4, VERSION | flags, true);
    view.setUint32(8, payload.length, true);
    bytes.set(payload, HEADER);
    this.sendRaw(bytes, fds);
  }

  /** Sends a message and waits for the answer. Rejects when the daemon closes or takes too long. */
  async ask(message: Outgoing): Promise<Incoming> {
    this.send(message);
    return this.#answer(message.request);
  }

  async askU64(message: Outgoing): Promise<bigint> {
    const { payload } = await this.ask(message);
    if (payload.length !== 8) {
      throw new Error(`${requestName(message.request)} was answered with ${payload.length} bytes.`);
    }
    return new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true);
  }

  close(): void {
    this.#end(new Error('The connection was closed by the VMM.'));
  }

  #answer(request: number): Promise<Incoming> {
    return new Promise((resolve, reject) => {
      if (!this.#open) {
        reject(new Error('The daemon has closed the connection.'));
        return;
      }
      const timer = setTimeout(() => {
        waiter.reject(new Error(`No answer to ${requestName(request)} in ${this.#limit} ms.`));
      }, this.#limit);
      const waiter: Waiter = {
        request,
        resolve: (reply) => {
          clearTimeout(timer);
          resolve(reply);
        },
        reject: (reason) => {
          clearTimeout(timer);
          reject(reason);
        },
      };
      this.#waiters.push(waiter);
    });
  }

  #read(): void {
    while (this.#open) {
      const fds: number[] = [];
      const n = native.receiveBytes(this.#fd, this.#buffer.subarray(this.#filled), fds);
      for (const fd of fds) native.closeFd(fd);
      if (n === -11) return;
      if (n <= 0) {
        this.#end(new Error('The daemon has closed the connection.'));
        return;
      }
      this.#filled += n;
      if (this.#filled < this.#buffer.length) continue;
      const view = new DataView(this.#buffer.buffer);
      const size = view.getUint32(8, true);
      if (this.#filled === HEADER && size > 0) {
        if (size > 65536) {
          this.#end(new Error(`The daemon announced a reply of ${size} bytes.`));
          return;
        }
        const whole = new Uint8Array(HEADER + size);
        whole.set(this.#buffer);
        this.#buffer = whole;
        continue;
      }
      this.#reply(view.getUint32(0, true), view.getUint32(4, true), this.#buffer.slice(HEADER));
      this.#buffer = new Uint8Array(HEADER);
      this.#filled = 0;
    }
  }

  #reply(request: number, flags: number, payload: Uint8Array): void {
    const waiter = this.#waiters.shift();
    const said = `${requestName(request)} (flags 0x${flags.toString(16)})`;
    let complaint: string | null = null;
    // QEMU refuses every other value, a copied NEED_REPLY bit too.
    if (flags !== (VERSION | REPLY)) complaint = `The answer to ${said} has wrong flags.`;
    if (waiter === undefined) complaint = `The daemon answered ${said}, which asked for nothing.`;
    else if (waiter.request !== request) {
      complaint = `The daemon answered ${said} to ${requestName(waiter.request)}.`;
    }
    if (complaint === null) waiter?.resolve({ request, payload });
    else {
      this.complaints.push(complaint);
      waiter?.reject(new Error(complaint));
    }
  }

  #end(reason: Error): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stopWatching();
    native.closeFd(this.#fd);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
    this.#settleClosed();
  }
}

// --- payloads -------------------------------------------------------------------------------------

export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

export function vringState(index: number, num: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, index, true);
  view.setUint32(4, num, true);
  return bytes;
}

export interface VringAddresses {
  readonly descriptors: number;
  readonly used: number;
  readonly avail: number;
}

/** @param addresses in the VMM's own address space */
export function vringAddr(index: number, addresses: VringAddresses, flags = 0): Uint8Array {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, index, true);
  view.setUint32(4, flags, true);
  view.setBigUint64(8, BigInt(addresses.descriptors), true);
  view.setBigUint64(16, BigInt(addresses.used), true);
  view.setBigUint64(24, BigInt(addresses.avail), true);
  return bytes;
}

export interface RegionPayload {
  readonly guestAddress: number;
  readonly size: number;
  readonly userAddress: number;
  readonly offset: number;
}

export function memoryTable(regions: readonly RegionPayload[]): Uint8Array {
  const bytes = new Uint8Array(8 + 32 * regions.length);
  new DataView(bytes.buffer).setUint32(0, regions.length, true);
  regions.forEach((region, i) => writeRegion(bytes, 8 + 32 * i, region));
  return bytes;
}

export function singleRegion(region: RegionPayload): Uint8Array {
  const bytes = new Uint8Array(40);
  writeRegion(bytes, 8, region);
  return bytes;
}

function writeRegion(bytes: Uint8Array, at: number, region: RegionPayload): void {
  const view = new DataView(bytes.buffer, at);
  view.setBigUint64(0, BigInt(region.guestAddress), true);
  view.setBigUint64(8, BigInt(region.size), true);
  view.setBigUint64(16, BigInt(region.userAddress), true);
  view.setBigUint64(24, BigInt(region.offset), true);
}

export function configPayload(
  offset: number,
  size: number,
  flags: number,
  content: Uint8Array = new Uint8Array(size),
): Uint8Array {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, offset, true);
  view.setUint32(4, size, true);
  view.setUint32(8, flags, true);
  bytes.set(content, 12);
  return bytes;
}
