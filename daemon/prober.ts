/**
 * Tries the handles of entries on the main thread: whether the file is still there (hazards H1, H2).
 * Rate-limited, and bounded: a branch switch may ask for hundreds of probes at once.
 */

import type { Addon } from '../native/index';
import type { HostView } from './passthrough/hostView';
import { MountFds } from './passthrough/mountFds';
import type { Log } from './passthrough/options';
import type { Probe } from './hazards/hazard';
import type { LookupEvent } from './tables/events';
import type { FileHandle, Nodeid } from './tables/identity';

const O_PATH = 0x200000;
const O_CLOEXEC = 0x80000;
/** Probes in one go, and the pause between: at most 20,000 a second, 2 % of one processor. */
const BATCH = 200;
const PAUSE_MS = 10;
/** Waiting probes beyond this are left out; each concerns a number that is long gone anyway. */
const MAX_WAITING = 10_000;

interface Wanted {
  readonly nodeid: Nodeid;
  readonly handle: FileHandle;
  readonly because: LookupEvent | null;
}

export class Prober {
  #waiting: Wanted[] = [];
  #timer: NodeJS.Timeout | null = null;
  #settled: (() => void)[] = [];

  /** @param answer called with each result */
  constructor(
    private readonly native: Addon,
    private readonly log: Log,
    private readonly view: HostView,
    private readonly answer: (probe: Probe) => void,
  ) {}

  ask(nodeid: Nodeid, handle: FileHandle, because: LookupEvent | null): void {
    if (this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push({ nodeid, handle, because });
    this.#timer ??= setTimeout(() => this.#run(), 0);
  }

  /** Resolves when everything that was asked until now has been tried. */
  settled(): Promise<void> {
    if (this.#timer === null) return Promise.resolve();
    return new Promise((resolve) => this.#settled.push(resolve));
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#waiting = [];
  }

  #run(): void {
    const batch = this.#waiting.splice(0, BATCH);
    // A mount's descriptor is held only while its handles are tried, so as not to pin the mount.
    const mounts = new MountFds(this.native, this.log, this.view);
    for (const { nodeid, handle, because } of batch) {
      const mountFd = mounts.acquire(handle.mntId);
      if (mountFd < 0) continue;
      const fd = this.native.openByHandle(mountFd, handle.type, handle.bytes, O_PATH | O_CLOEXEC);
      if (fd >= 0) this.native.closeDescriptor(fd);
      this.answer({ nodeid, errno: fd < 0 ? -fd : 0, because });
    }
    mounts.closeAll();
    this.#timer = this.#waiting.length > 0 ? setTimeout(() => this.#run(), PAUSE_MS) : null;
    if (this.#timer === null) for (const resolve of this.#settled.splice(0)) resolve();
  }
}
