/**
 * What a vhost-user front-end and this device agree on: features, memory, rings. It answers one
 * message after the other, between two requests, so that no request is ever under way when memory
 * or rings change.
 */

import { RING_EVENT_IDX, RING_INDIRECT } from '../../native/index';
import type { Addon } from '../../native/index';
import type { MappedRegion, Message, RawMessage } from './vhostMessages';
import {
  PROTOCOL_F_BACKEND_REQ,
  PROTOCOL_F_CONFIG,
  PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  PROTOCOL_F_MQ,
  PROTOCOL_F_REPLY_ACK,
  PROTOCOL_F_RESET_DEVICE,
  RefusedMessage,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  configSpace,
  decodeMessage,
  encodeConfig,
  encodeU64,
  encodeVringState,
  needsReply,
  requestName,
} from './vhostMessages';
import { VhostRings } from './vhostRings';

const ENOSPC = 28;
const ENXIO = 6;

/** Others (STATUS, INFLIGHT, LOG, packed rings, ...) are not offered, and so nobody relies on them. */
const FEATURES =
  VIRTIO_RING_F_INDIRECT_DESC |
  VIRTIO_RING_F_EVENT_IDX |
  VHOST_USER_F_PROTOCOL_FEATURES |
  VIRTIO_F_VERSION_1;

const PROTOCOL_FEATURES =
  PROTOCOL_F_MQ |
  PROTOCOL_F_REPLY_ACK |
  PROTOCOL_F_BACKEND_REQ |
  PROTOCOL_F_RESET_DEVICE |
  PROTOCOL_F_CONFIGURE_MEM_SLOTS;

/** What QEMU uses at most on x86; the device has room for as many. */
const MEMORY_SLOTS = 256n;

/** Requests are served one after another: more request queues are served, but bring nothing. */
const REQUEST_QUEUES = 1;

const DONE = 0n;
const FAILED = 1n;

export type VhostLog = (level: 'warn' | 'info' | 'debug', text: string) => void;

export class VhostSession {
  readonly rings: VhostRings;
  readonly #native: Addon;
  readonly #log: VhostLog;
  readonly #resetDevice: () => void;
  readonly #config: Uint8Array | null;
  readonly #protocolOffered: bigint;
  #protocolFeatures = 0n;
  /** The socket for requests of ours, of which there are none; a front-end that offers it is served. */
  #backendFd: number | null = null;

  /**
   * @param rings how many the device has
   * @param tag offered in the configuration space; null: the front-end has its own
   * @param resetDevice drops all that the guest had
   */
  constructor(
    native: Addon,
    rings: number,
    tag: string | null,
    resetDevice: () => void,
    log: VhostLog,
  ) {
    this.#native = native;
    this.rings = new VhostRings(native, rings);
    this.#config = tag === null ? null : configSpace(tag, REQUEST_QUEUES);
    this.#protocolOffered = PROTOCOL_FEATURES | (tag === null ? 0n : PROTOCOL_F_CONFIG);
    this.#resetDevice = resetDevice;
    this.#log = log;
  }

  /**
   * Does what a message asks. Its descriptors are kept or closed.
   *
   * @returns the answer to send, or null
   * @throws Error with a sentence when it cannot be done and the front-end does not wait for an
   *   answer: it would go on as if all were well
   */
  answer(raw: RawMessage): Uint8Array | null {
    const { request, flags } = raw;
    const name = requestName(request);
    const asked = needsReply(flags) && (this.#protocolFeatures & PROTOCOL_F_REPLY_ACK) !== 0n;
    try {
      const message = decodeMessage(raw);
      if (message.type === 'unknown') {
        this.#log('warn', `The virtual machine monitor sent ${name}, which is not offered.`);
        return asked ? encodeU64(request, FAILED) : null;
      }
      this.#log('debug', `vhost-user: ${name}`);
      const own = this.#do(message, request);
      return own ?? (asked ? encodeU64(request, DONE) : null);
    } catch (error) {
      if (!(error instanceof RefusedMessage)) throw error;
      const said = `The virtual machine monitor's ${name} is refused: ${error.message}.`;
      if (!asked) throw new Error(said);
      this.#log('warn', said);
      return encodeU64(request, FAILED);
    } finally {
      for (const fd of raw.fds) {
        if (fd !== this.#backendFd && !this.rings.holds(fd)) this.#native.closeDescriptor(fd);
      }
    }
  }

  close(): void {
    this.rings.close();
    if (this.#backendFd !== null) this.#native.closeDescriptor(this.#backendFd);
    this.#backendFd = null;
  }

  /** Returns the answer of a message that has one of its own. */
  #do(message: Exclude<Message, { type: 'unknown' }>, request: number): Uint8Array | null {
    const { rings } = this;
    switch (message.type) {
      case 'GET_FEATURES':
        return encodeU64(request, FEATURES);
      case 'GET_PROTOCOL_FEATURES':
        return encodeU64(request, this.#protocolOffered);
      case 'GET_QUEUE_NUM':
        return encodeU64(request, BigInt(rings.count));
      case 'GET_MAX_MEM_SLOTS':
        return encodeU64(request, MEMORY_SLOTS);
      case 'GET_VRING_BASE':
        return encodeVringState(request, message.index, rings.stop(message.index));
      case 'GET_CONFIG':
        return encodeConfig(request, message, this.#config ?? new Uint8Array());
      case 'SET_CONFIG':
        throw new RefusedMessage('the configuration space cannot be written');
      case 'SET_FEATURES':
        this.#setFeatures(message.value);
        return null;
      case 'SET_PROTOCOL_FEATURES':
        this.#protocolFeatures = message.value & this.#protocolOffered;
        return null;
      case 'SET_MEM_TABLE':
        rings.withoutServing(() => {
          this.#native.clearMemory();
          for (const region of message.regions) this.#addMemory(region);
        });
        return null;
      case 'ADD_MEM_REG':
        this.#addMemory(message.region);
        rings.retry();
        return null;
      case 'REM_MEM_REG': {
        const { guestAddress, size, userAddress } = message.region;
        const result = rings.withoutServing(() =>
          this.#native.removeMemory(guestAddress, size, userAddress),
        );
        if (result < 0) throw new RefusedMessage('there is no such region');
        return null;
      }
      case 'SET_VRING_NUM':
        rings.setSize(message.index, message.num);
        return null;
      case 'SET_VRING_ADDR':
        rings.setAddresses(message.index, message.addresses);
        return null;
      case 'SET_VRING_BASE':
        rings.setBase(message.index, message.num);
        return null;
      case 'SET_VRING_ENABLE':
        rings.setEnabled(message.index, message.num !== 0);
        return null;
      case 'SET_VRING_KICK':
        rings.setDescriptor(message.index, 'kick', message.fd);
        return null;
      case 'SET_VRING_CALL':
        rings.setDescriptor(message.index, 'call', message.fd);
        return null;
      case 'SET_VRING_ERR':
        rings.setDescriptor(message.index, 'error', message.fd);
        return null;
      case 'SET_BACKEND_REQ_FD':
        if (this.#backendFd !== null) this.#native.closeDescriptor(this.#backendFd);
        this.#backendFd = message.fd;
        return null;
      case 'RESET_DEVICE':
        // The connection, the memory and the protocol features stay.
        rings.disableAll();
        rings.setFeatures(0);
        this.#resetDevice();
        return null;
      case 'SET_OWNER':
      case 'RESET_OWNER':
        // There is one owner, the one who connected; RESET_OWNER is deprecated.
        return null;
    }
  }

  #setFeatures(value: bigint): void {
    const extra = value & ~FEATURES;
    if (extra !== 0n) {
      throw new RefusedMessage(`features 0x${extra.toString(16)} were not offered`);
    }
    const eventIdx = (value & VIRTIO_RING_F_EVENT_IDX) === 0n ? 0 : RING_EVENT_IDX;
    const indirect = (value & VIRTIO_RING_F_INDIRECT_DESC) === 0n ? 0 : RING_INDIRECT;
    this.rings.setFeatures(eventIdx | indirect);
    if ((value & VHOST_USER_F_PROTOCOL_FEATURES) === 0n) this.rings.enableAll();
  }

  #addMemory(region: MappedRegion): void {
    const { guestAddress, size, userAddress, offset, fd } = region;
    const result = this.#native.addMemory(guestAddress, size, userAddress, offset, fd);
    if (result >= 0) return;
    const what = `memory at 0x${guestAddress.toString(16)}, ${size} bytes,`;
    if (result === -ENXIO) throw new RefusedMessage(`${what} reaches beyond the end of its file`);
    if (result === -ENOSPC) throw new RefusedMessage(`${what} is one region too many`);
    throw new RefusedMessage(`${what} cannot be mapped (errno ${-result})`);
  }
}
