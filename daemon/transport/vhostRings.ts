/**
 * The rings of a vhost-user session, and when each is served (vhost-user specification, "Ring
 * states"): once it is started, by a kick descriptor, and enabled. Started, stopped and enabled come
 * in any order and more than once; requests wait in the ring meanwhile. A ring is looked at whenever
 * it begins to be served, so no kick that came too early is lost.
 */

import type { Addon } from '../../native/index';
import type { RingAddresses } from './vhostMessages';
import { RefusedMessage } from './vhostMessages';

const EFAULT = 14;
const EINVAL = 22;

const MOST_DESCRIPTORS = 32768;
const NONE = -1;

interface Ring {
  readonly index: number;
  /** Descriptors; 0: not told yet. */
  size: number;
  addresses: RingAddresses | null;
  /** Of a ring that is not served; else the device counts. */
  nextAvailable: number;
  kick: number;
  call: number;
  error: number;
  enabled: boolean;
  /** Whether the device serves it. */
  served: boolean;
  /** The guest destroyed it: it is served again when it was set up anew. */
  broken: boolean;
}

export type RingFd = 'kick' | 'call' | 'error';

export class VhostRings {
  readonly #native: Addon;
  readonly #rings: readonly Ring[];
  #features = 0;

  constructor(native: Addon, count: number) {
    this.#native = native;
    this.#rings = Array.from({ length: count }, (_, index) => ({
      index,
      size: 0,
      addresses: null,
      nextAvailable: 0,
      kick: NONE,
      call: NONE,
      error: NONE,
      enabled: false,
      served: false,
      broken: false,
    }));
  }

  get count(): number {
    return this.#rings.length;
  }

  /** @param features RING_... bits that the guest wants; those that are served change over */
  setFeatures(features: number): void {
    if (features === this.#features) return;
    this.withoutServing(() => {
      this.#features = features;
    });
  }

  /** @throws RefusedMessage, as all that follow, when there is no such ring, or it cannot be served */
  setSize(index: number, size: number): void {
    // VIRTIO 1.2, 2.7: a power of two, at most 32768.
    if (size < 1 || size > MOST_DESCRIPTORS || (size & (size - 1)) !== 0) {
      throw new RefusedMessage(`a ring of ${size} descriptors is none`);
    }
    this.#change(index, (ring) => {
      ring.size = size;
    });
  }

  setAddresses(index: number, addresses: RingAddresses): void {
    this.#change(index, (ring) => {
      ring.addresses = addresses;
      ring.broken = false;
    });
  }

  setBase(index: number, nextAvailable: number): void {
    this.#change(index, (ring) => {
      ring.nextAvailable = nextAvailable & 0xffff;
      ring.broken = false;
    });
  }

  setEnabled(index: number, enabled: boolean): void {
    const ring = this.#at(index);
    if (ring.enabled === enabled) return;
    ring.enabled = enabled;
    this.#update(ring);
  }

  /** Without protocol features rings need no enabling. */
  enableAll(): void {
    for (const ring of this.#rings) this.setEnabled(ring.index, true);
  }

  disableAll(): void {
    for (const ring of this.#rings) this.setEnabled(ring.index, false);
  }

  /** Takes a descriptor over (`holds`), or learns that there is none. */
  setDescriptor(index: number, which: RingFd, fd: number | null): void {
    const ring = this.#at(index);
    if (fd !== null && this.#native.isEvent(fd) !== 1) {
      throw new RefusedMessage(`the ${which} descriptor of ring ${index} is no eventfd`);
    }
    if (which === 'kick') {
      if (fd === null) {
        throw new RefusedMessage(`ring ${index} comes without a kick; polling is not offered`);
      }
      this.#stop(ring);
    }
    const before = ring[which];
    ring[which] = fd ?? NONE;
    if (which === 'kick') {
      this.#close(before);
      this.#update(ring);
      return;
    }
    this.#native.setRingSignals(index, ring.call, ring.error);
    this.#close(before);
    // The front-end may have stopped listening to the descriptor before while it was signalled: a
    // signal too many is harmless, one that is lost leaves the guest waiting.
    if (which === 'call' && fd !== null && ring.served) this.#native.signalEvent(fd);
  }

  /** Whether a descriptor was taken over. */
  holds(fd: number): boolean {
    return this.#rings.some((ring) => ring.kick === fd || ring.call === fd || ring.error === fd);
  }

  /** GET_VRING_BASE: ends serving, and forgets kick and call. Returns the next available index. */
  stop(index: number): number {
    const ring = this.#at(index);
    this.#stop(ring);
    this.#close(ring.kick);
    this.#close(ring.call);
    ring.kick = NONE;
    ring.call = NONE;
    ring.broken = false;
    return ring.nextAvailable;
  }

  /** The device gave this ring up, because what the guest wrote into it makes no sense. */
  giveUp(index: number): void {
    const ring = this.#at(index);
    this.#stop(ring);
    ring.broken = true;
  }

  /** Changes guest memory while no ring is served. */
  withoutServing<T>(change: () => T): T {
    const were = this.#rings.filter((ring) => ring.served);
    for (const ring of were) this.#stop(ring);
    try {
      return change();
    } finally {
      this.retry();
    }
  }

  /** Serves those whose memory was missing. */
  retry(): void {
    for (const ring of this.#rings) {
      if (wanted(ring) && !ring.served) this.#start(ring);
    }
  }

  close(): void {
    for (const ring of this.#rings) {
      this.#stop(ring);
      for (const fd of [ring.kick, ring.call, ring.error]) this.#close(fd);
      ring.kick = ring.call = ring.error = NONE;
    }
  }

  #at(index: number): Ring {
    const ring = this.#rings[index];
    if (ring === undefined) {
      throw new RefusedMessage(`there is no ring ${index}: there are ${this.#rings.length}`);
    }
    return ring;
  }

  /** What changes while a ring is served takes effect between two requests. */
  #change(index: number, apply: (ring: Ring) => void): void {
    const ring = this.#at(index);
    this.#stop(ring);
    apply(ring);
    this.#update(ring);
  }

  #update(ring: Ring): void {
    if (!wanted(ring)) {
      this.#stop(ring);
      return;
    }
    if (ring.served) return;
    const result = this.#start(ring);
    if (result === -EFAULT) {
      throw new RefusedMessage(`ring ${ring.index} is not in the guest's memory`);
    }
    if (result === -EINVAL) {
      throw new RefusedMessage(
        `ring ${ring.index} has ${ring.size} descriptors, or lies at an odd place`,
      );
    }
    if (result < 0) {
      throw new RefusedMessage(`ring ${ring.index} cannot be served (errno ${-result})`);
    }
  }

  #start(ring: Ring): number {
    if (ring.addresses === null) return -EINVAL;
    const { descriptors, available, used } = ring.addresses;
    const result = this.#native.startRing(
      ring.index,
      ring.size,
      descriptors,
      available,
      used,
      ring.nextAvailable,
      this.#features,
      ring.kick,
      ring.call,
      ring.error,
    );
    ring.served = result === 0;
    return result;
  }

  #stop(ring: Ring): void {
    if (!ring.served) return;
    ring.nextAvailable = this.#native.stopRing(ring.index);
    ring.served = false;
  }

  #close(fd: number): void {
    if (fd !== NONE) this.#native.closeDescriptor(fd);
  }
}

function wanted(ring: Ring): boolean {
  return (
    ring.enabled && ring.kick !== NONE && ring.size > 0 && ring.addresses !== null && !ring.broken
  );
}
