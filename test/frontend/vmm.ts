/**
 * A virtual machine monitor with a vhost-user-fs device: connects to a daemon, negotiates, announces
 * memory and rings, stops and starts them, in the order of messages of a VMM that exists.
 *
 * Orders were recorded from QEMU 7.2 and 10.0 and read in the sources of cloud-hypervisor
 * (vhost_user_common/vhost_user_common.rs) and crosvm (vhost_user_frontend).
 */

import type { MemoryLayout, Region, RegionPlan } from './guestMemory';
import { GuestMemory } from './guestMemory';
import { must, native } from './native';
import type { Outgoing } from './vhostUser';
import {
  Message,
  NEED_REPLY,
  ProtocolFeature,
  VhostUserSocket,
  VirtioFeature,
  configPayload,
  memoryTable,
  requestName,
  singleRegion,
  u64,
  vringAddr,
  vringState,
} from './vhostUser';
import { Virtqueue } from './virtqueue';

export type VmmOrder = 'qemu-7.2' | 'qemu-10' | 'cloud-hypervisor' | 'crosvm';

export const VMM_ORDERS: readonly VmmOrder[] = [
  'qemu-7.2',
  'qemu-10',
  'cloud-hypervisor',
  'crosvm',
];

export interface VmmOptions {
  readonly order?: VmmOrder;
  /** Beside the hiprio queue; 1 when left out. */
  readonly requestQueues?: number;
  /** 128 when left out, or 1024 in QEMU 10's order. */
  readonly ringSize?: number;
  readonly memory?: MemoryLayout;
  readonly eventIdx?: boolean;
  readonly indirect?: boolean;
  /** Milliseconds that the daemon may take for any answer; 10 s when left out. */
  readonly limit?: number;
}

/** virtio_fs_config of linux/virtio_fs.h: char tag[36], le32 num_request_queues. */
const CONFIG_SIZE = 40;
const HIPRIO_QUEUES = 1;
const DEFAULT_LIMIT = 30_000;

interface Order {
  readonly protocol: bigint;
  readonly memory: MemoryLayout;
  readonly ringSize: number;
  readonly realize: (vmm: Vmm) => Promise<void>;
  readonly start: (vmm: Vmm) => Promise<void>;
  readonly stop: (vmm: Vmm) => Promise<void>;
  readonly pause: (vmm: Vmm) => Promise<void>;
  readonly resume: (vmm: Vmm) => Promise<void>;
}

export class Vmm {
  readonly socket: VhostUserSocket;
  readonly memory: GuestMemory;
  /** 0 is hiprio, the others are request queues. */
  readonly queues: readonly Virtqueue[];
  readonly order: VmmOrder;
  readonly indirect: boolean;
  readonly limit: number;
  /** Features that both sides have. */
  features = 0n;
  protocolFeatures = 0n;
  /** What the daemon said. */
  offeredFeatures = 0n;
  offeredProtocolFeatures = 0n;
  queueCount = 0;
  memorySlots = 0;
  /** The daemon's copy of the device's configuration, where it offers one. */
  config: Uint8Array | null = null;
  /** Whether every message asks to be acknowledged. */
  ackEverything = false;
  /** Whether the daemon knows the memory. */
  memoryKnown = false;
  readonly #wanted: bigint;
  #backend = -1;
  #closing = false;

  private constructor(socket: VhostUserSocket, options: VmmOptions) {
    const order = options.order ?? 'qemu-7.2';
    this.socket = socket;
    this.order = order;
    this.limit = options.limit ?? DEFAULT_LIMIT;
    this.indirect = options.indirect ?? true;
    const eventIdx = options.eventIdx ?? true;
    this.#wanted =
      VirtioFeature.VERSION_1 |
      VirtioFeature.PROTOCOL_FEATURES |
      (this.indirect ? VirtioFeature.INDIRECT_DESC : 0n) |
      (eventIdx ? VirtioFeature.EVENT_IDX : 0n);
    this.memory = new GuestMemory(options.memory ?? ORDERS[order].memory);
    const size = options.ringSize ?? ORDERS[order].ringSize;
    this.queues = Array.from(
      { length: HIPRIO_QUEUES + (options.requestQueues ?? 1) },
      () => new Virtqueue(this.memory, { size, eventIdx }),
    );
    void socket.closed.then(() => {
      const reason = new Error('The daemon has closed the connection.');
      if (!this.#closing) for (const queue of this.queues) queue.fail(reason);
    });
  }

  /** Connects and negotiates; the rings are not started. */
  static async connect(path: string, options: VmmOptions = {}): Promise<Vmm> {
    const socket = VhostUserSocket.connect(path, options.limit ?? DEFAULT_LIMIT);
    return Vmm.over(socket, options);
  }

  static async over(socket: VhostUserSocket, options: VmmOptions = {}): Promise<Vmm> {
    const vmm = new Vmm(socket, options);
    try {
      await ORDERS[vmm.order].realize(vmm);
    } catch (error) {
      vmm.close();
      throw error;
    }
    return vmm;
  }

  /** The guest's driver comes up (DRIVER_OK), or the VM goes on after `stop`. */
  start(): Promise<void> {
    return ORDERS[this.order].start(this);
  }

  /** The VM is stopped, or the guest resets the device: every ring is taken back. */
  stop(): Promise<void> {
    return ORDERS[this.order].stop(this);
  }

  /** Pauses without taking the rings back, where the VMM has such a thing. */
  pause(): Promise<void> {
    return ORDERS[this.order].pause(this);
  }

  resume(): Promise<void> {
    return ORDERS[this.order].resume(this);
  }

  /** The guest reboots: its rings are gone, and no DESTROY was sent. Call `start` afterwards. */
  async reset(): Promise<void> {
    await this.stop();
    if (this.order === 'qemu-10') await this.resetDevice();
    for (const queue of this.queues) queue.clear();
  }

  async resetDevice(): Promise<void> {
    if ((this.protocolFeatures & ProtocolFeature.RESET_DEVICE) !== 0n) {
      await this.tell({ request: Message.RESET_DEVICE });
    }
  }

  /** The VMM ends. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.socket.close();
    for (const queue of this.queues) queue.close();
    if (this.#backend >= 0) native.closeFd(this.#backend);
    this.memory.close();
  }

  // --- single messages ----------------------------------------------------------------------------

  /**
   * Sends a message that has no answer of its own, and waits for the acknowledgement when one is
   * asked for.
   *
   * @throws Error when the daemon acknowledges with an error
   */
  async tell(message: Outgoing, ack = false): Promise<void> {
    const asks = (ack || this.ackEverything) && this.#acks();
    if (!asks) {
      this.socket.send(message);
      return;
    }
    const status = await this.socket.askU64({ ...message, flags: NEED_REPLY });
    if (status !== 0n) throw new Error(`${requestName(message.request)} was refused (${status}).`);
  }

  /** A message with an answer of its own. */
  ask(request: number, payload?: Uint8Array): Promise<bigint> {
    const flags = this.ackEverything ? NEED_REPLY : 0;
    return this.socket.askU64(
      payload === undefined ? { request, flags } : { request, payload, flags },
    );
  }

  #acks(): boolean {
    return (this.protocolFeatures & ProtocolFeature.REPLY_ACK) !== 0n;
  }

  async getFeatures(): Promise<void> {
    this.offeredFeatures = await this.ask(Message.GET_FEATURES);
    this.features = this.offeredFeatures & this.#wanted;
  }

  async getProtocolFeatures(): Promise<void> {
    this.offeredProtocolFeatures = await this.ask(Message.GET_PROTOCOL_FEATURES);
    const wanted = this.offeredProtocolFeatures & ORDERS[this.order].protocol;
    await this.tell({ request: Message.SET_PROTOCOL_FEATURES, payload: u64(wanted) });
    this.protocolFeatures = wanted;
  }

  has(feature: bigint): boolean {
    return (this.protocolFeatures & feature) !== 0n;
  }

  async getQueueCount(): Promise<void> {
    this.queueCount = Number(await this.ask(Message.GET_QUEUE_NUM));
    if (this.queueCount < this.queues.length) {
      throw new Error(`The daemon has ${this.queueCount} queues of ${this.queues.length}.`);
    }
  }

  async setFeatures(features = this.features): Promise<void> {
    await this.tell({ request: Message.SET_FEATURES, payload: u64(features) });
  }

  async setBackendFd(ack = false): Promise<void> {
    if (!this.has(ProtocolFeature.BACKEND_REQ)) return;
    const pair = native.socketPair();
    if (typeof pair === 'number') throw new Error(`No socket pair (errno ${-pair}).`);
    const [mine, theirs] = pair;
    this.#backend = mine;
    await this.tell({ request: Message.SET_BACKEND_REQ_FD, fds: [theirs] }, ack);
    native.closeFd(theirs);
  }

  async getConfig(offset = 0, size = CONFIG_SIZE, flags = 0): Promise<Uint8Array> {
    const { payload } = await this.socket.ask({
      request: Message.GET_CONFIG,
      payload: configPayload(offset, size, flags),
    });
    return payload.subarray(12);
  }

  async setMemoryTable(): Promise<void> {
    const { regions } = this.memory;
    await this.tell({
      request: Message.SET_MEM_TABLE,
      payload: memoryTable(regions),
      fds: regions.map(({ fd }) => fd),
    });
    this.memoryKnown = true;
  }

  async addRegion(region: Region, ack = true): Promise<void> {
    await this.tell(
      { request: Message.ADD_MEM_REG, payload: singleRegion(region), fds: [region.fd] },
      ack,
    );
  }

  /** Memory hotplug. */
  async plug(plan: RegionPlan): Promise<Region> {
    const region = this.memory.add(plan);
    await this.addRegion(region);
    return region;
  }

  /** Memory unplug. The message carries no offset, as QEMU sends it. */
  async unplug(region: Region): Promise<void> {
    this.memory.remove(region);
    await this.tell(
      { request: Message.REM_MEM_REG, payload: singleRegion({ ...region, offset: 0 }) },
      true,
    );
  }

  async setRingSize(index: number): Promise<void> {
    const size = this.#queue(index).size;
    await this.tell({ request: Message.SET_VRING_NUM, payload: vringState(index, size) });
  }

  async setRingBase(index: number, base: number): Promise<void> {
    await this.tell({ request: Message.SET_VRING_BASE, payload: vringState(index, base) });
  }

  async setRingAddresses(index: number): Promise<void> {
    const queue = this.#queue(index);
    const user = (address: number) => {
      const { region, offset } = this.memory.at(address);
      return region.userAddress + offset;
    };
    const addresses = {
      descriptors: user(queue.descriptors),
      used: user(queue.used),
      avail: user(queue.avail),
    };
    await this.tell({ request: Message.SET_VRING_ADDR, payload: vringAddr(index, addresses) });
  }

  /** @param signalled whether the eventfd is readable from the beginning, as QEMU's is */
  async setKick(index: number, signalled: boolean): Promise<void> {
    const fd = must(native.events(signalled ? 1 : 0), 'eventfd');
    this.#queue(index).replaceKick(fd);
    await this.#vringFd(Message.SET_VRING_KICK, index, fd);
  }

  async setCall(index: number): Promise<void> {
    const fd = must(native.events(0), 'eventfd');
    await this.#vringFd(Message.SET_VRING_CALL, index, fd);
    this.#queue(index).replaceCall(fd);
  }

  async setErr(index: number): Promise<void> {
    const fd = must(native.events(0), 'eventfd');
    await this.#vringFd(Message.SET_VRING_ERR, index, fd);
    native.closeFd(fd);
  }

  async enable(index: number, on: boolean, ack = false): Promise<void> {
    const payload = vringState(index, on ? 1 : 0);
    await this.tell({ request: Message.SET_VRING_ENABLE, payload }, ack);
  }

  /** Takes a ring back. @returns the next avail index, which is kept as the queue's base */
  async getRingBase(index: number): Promise<number> {
    const flags = this.ackEverything ? NEED_REPLY : 0;
    const { payload } = await this.socket.ask({
      request: Message.GET_VRING_BASE,
      payload: vringState(index, 0),
      flags,
    });
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    if (payload.length !== 8 || view.getUint32(0, true) !== index) {
      throw new Error(`GET_VRING_BASE of ring ${index} was answered for another ring.`);
    }
    this.#queue(index).base = view.getUint32(4, true);
    return this.#queue(index).base;
  }

  async #vringFd(request: number, index: number, fd: number): Promise<void> {
    await this.tell({ request, payload: u64(BigInt(index)), fds: [fd] });
  }

  #queue(index: number): Virtqueue {
    const queue = this.queues[index];
    if (queue === undefined) throw new Error(`There is no queue ${index}.`);
    return queue;
  }

  /** Does something for each queue, one after the other. */
  async each(act: (index: number, queue: Virtqueue) => Promise<unknown>): Promise<void> {
    for (const [index, queue] of this.queues.entries()) await act(index, queue);
  }
}

// --- orders ---------------------------------------------------------------------------------------

const QEMU_PROTOCOL =
  ProtocolFeature.MQ |
  ProtocolFeature.REPLY_ACK |
  ProtocolFeature.BACKEND_REQ |
  ProtocolFeature.RESET_DEVICE |
  ProtocolFeature.CONFIGURE_MEM_SLOTS;

/** @param ackEnable QEMU 10 waits for each SET_VRING_ENABLE */
function qemu(ackEnable: boolean): Pick<Order, 'realize' | 'start' | 'stop' | 'pause' | 'resume'> {
  const realize = async (vmm: Vmm) => {
    await vmm.getFeatures();
    await vmm.getProtocolFeatures();
    await vmm.getQueueCount();
    if (vmm.has(ProtocolFeature.CONFIGURE_MEM_SLOTS)) {
      vmm.memorySlots = Number(await vmm.ask(Message.GET_MAX_MEM_SLOTS));
    }
    await vmm.setBackendFd(true);
    await vmm.tell({ request: Message.SET_OWNER });
    await vmm.getFeatures();
    await vmm.each(async (index) => {
      await vmm.setCall(index);
      await vmm.setErr(index);
    });
    if (ackEnable) {
      await vmm.resetDevice();
      await vmm.resetDevice();
    }
  };
  const start = async (vmm: Vmm) => {
    await vmm.each((index) => vmm.setCall(index));
    await vmm.setFeatures();
    // After a stop the memory is still known, and QEMU sends nothing.
    if (!vmm.memoryKnown) {
      if (vmm.has(ProtocolFeature.CONFIGURE_MEM_SLOTS)) {
        for (const region of vmm.memory.regions) await vmm.addRegion(region);
        vmm.memoryKnown = true;
      } else await vmm.setMemoryTable();
    }
    await vmm.each(async (index, queue) => {
      await vmm.setRingSize(index);
      await vmm.setRingBase(index, queue.base);
      await vmm.setRingAddresses(index);
      await vmm.setKick(index, true);
    });
    await vmm.each((index) => vmm.enable(index, true, ackEnable));
    await vmm.each((index) => vmm.setCall(index));
  };
  const stop = async (vmm: Vmm) => {
    await vmm.each((index) => vmm.enable(index, false, ackEnable));
    await vmm.each((index) => vmm.getRingBase(index));
    await vmm.each((index) => vmm.setCall(index));
  };
  return { realize, start, stop, pause: stop, resume: start };
}

const cloudHypervisor: Order = {
  protocol:
    ProtocolFeature.MQ |
    ProtocolFeature.CONFIGURE_MEM_SLOTS |
    ProtocolFeature.REPLY_ACK |
    ProtocolFeature.LOG_SHMFD,
  memory: 'one',
  ringSize: 1024,
  async realize(vmm) {
    await vmm.tell({ request: Message.SET_OWNER });
    await vmm.getFeatures();
    await vmm.getProtocolFeatures();
    await vmm.getQueueCount();
    vmm.ackEverything = true;
  },
  async start(vmm) {
    await vmm.setFeatures();
    await vmm.setMemoryTable();
    await vmm.each((index) => vmm.setRingSize(index));
    await vmm.each(async (index, queue) => {
      await vmm.setRingAddresses(index);
      await vmm.setRingBase(index, queue.availIdx - queue.pending);
      await vmm.setCall(index);
      await vmm.setKick(index, false);
    });
    await vmm.each((index) => vmm.enable(index, true));
  },
  async stop(vmm) {
    await vmm.each((index) => vmm.enable(index, false));
    await vmm.each((index) => vmm.getRingBase(index));
  },
  async pause(vmm) {
    await vmm.each((index) => vmm.enable(index, false));
  },
  async resume(vmm) {
    await vmm.each((index) => vmm.enable(index, true));
  },
};

const crosvm: Order = {
  protocol: ProtocolFeature.CONFIG | ProtocolFeature.MQ | ProtocolFeature.BACKEND_REQ,
  memory: 'several',
  ringSize: 1024,
  async realize(vmm) {
    await vmm.tell({ request: Message.SET_OWNER });
    await vmm.getFeatures();
    await vmm.setFeatures(VirtioFeature.PROTOCOL_FEATURES);
    await vmm.getProtocolFeatures();
    await vmm.setBackendFd();
    await vmm.getQueueCount();
    if (vmm.has(ProtocolFeature.CONFIG)) vmm.config = await vmm.getConfig(0, CONFIG_SIZE, 1);
  },
  async start(vmm) {
    await vmm.setFeatures();
    await vmm.setMemoryTable();
    await vmm.each(async (index, queue) => {
      await vmm.setRingSize(index);
      await vmm.setRingAddresses(index);
      await vmm.setRingBase(index, queue.base);
      await vmm.setCall(index);
      await vmm.setKick(index, false);
      await vmm.enable(index, true);
    });
  },
  async stop(vmm) {
    await vmm.each(async (index) => {
      await vmm.enable(index, false);
      await vmm.getRingBase(index);
    });
  },
  pause: (vmm) => crosvm.stop(vmm),
  resume: (vmm) => crosvm.start(vmm),
};

const ORDERS: Readonly<Record<VmmOrder, Order>> = {
  'qemu-7.2': { protocol: QEMU_PROTOCOL, memory: 'qemu', ringSize: 128, ...qemu(false) },
  'qemu-10': { protocol: QEMU_PROTOCOL, memory: 'one', ringSize: 1024, ...qemu(true) },
  'cloud-hypervisor': cloudHypervisor,
  crosvm,
};
