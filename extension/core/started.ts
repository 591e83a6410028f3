/** The daemons that this window started: it alone stops them, and it stops all of them. */

import type { Daemon, Daemons } from './daemons';
import { localKey } from './daemons';
import type { DaemonKey } from './daemons';
import type { Exit, LaunchRequest } from './launch';
import { daemonArguments, DaemonProcess } from './launch';
import type { Log } from './log';
import { makeMountpoint, noteMount, removeMountpoint } from './mountpoints';
import { processStartTime } from './processTime';
import { Signal } from './signal';

/** How long a daemon may take until it has left its runtime file, in ms. */
const READY_MS = 30_000;

export interface StartRequest extends Omit<LaunchRequest, 'place'> {
  /** Where to make the mountpoint, the best place first. */
  readonly mountRoots: readonly string[];
  /** Where to serve instead of on a mountpoint that is made and removed here. */
  readonly place?: readonly string[];
}

export interface TourRequest extends Pick<LaunchRequest, 'node' | 'program'> {
  readonly name: string;
}

interface Running {
  readonly node: string;
  readonly args: readonly string[];
  readonly sharedDir: string;
  /** Made for it, and to be removed after it. */
  readonly mountpoint: string | null;
}

interface Started {
  readonly sharedDir: string;
  readonly process: DaemonProcess;
  /** Resolves when the process has ended and its mountpoint is removed. */
  readonly gone: Promise<void>;
}

export class StartedDaemons {
  /** Fires when one was started or has gone. */
  readonly changed = new Signal<void>();
  /** Fires for a daemon that ended without being asked to. */
  readonly failed = new Signal<{ readonly sharedDir: string; readonly exit: Exit }>();

  readonly #started = new Map<DaemonKey, Started>();

  constructor(
    private readonly daemons: Daemons,
    private readonly environment: NodeJS.ProcessEnv,
    private readonly log: Log,
  ) {}

  has(key: DaemonKey): boolean {
    return this.#started.has(key);
  }

  get size(): number {
    return this.#started.size;
  }

  /** A running daemon of this window that shares the folder. */
  sharing(sharedDir: string): Daemon | undefined {
    const found = [...this.#started].find(([, started]) => started.sharedDir === sharedDir);
    return found && this.daemons.get(found[0]);
  }

  /**
   * Starts a daemon on a folder and waits until it serves.
   *
   * @throws Error with the daemon's own last words when it fails, and the signal's reason when it
   *   is given up; nothing is left behind then
   */
  async start(request: StartRequest, cancel: AbortSignal): Promise<Daemon> {
    const { sharedDir } = request;
    const mountpoint =
      request.place === undefined ? await makeMountpoint(request.mountRoots, sharedDir) : null;
    const place = request.place ?? ['--mount', mountpoint ?? ''];
    const args = daemonArguments({ ...request, place });
    return this.#run({ node: request.node, args, sharedDir, mountpoint }, cancel);
  }

  /**
   * Starts the program on a recorded tour.
   *
   * @throws as `start` does
   */
  async startTour({ node, program, name }: TourRequest, cancel: AbortSignal): Promise<Daemon> {
    const args = [program, 'tour', name];
    return this.#run({ node, args, sharedDir: `tour ${name}`, mountpoint: null }, cancel);
  }

  async #run({ node, args, sharedDir, mountpoint }: Running, cancel: AbortSignal): Promise<Daemon> {
    let process: DaemonProcess;
    try {
      process = await DaemonProcess.start(node, args, this.environment, this.log);
    } catch (error) {
      if (mountpoint !== null) await removeMountpoint(mountpoint, this.log);
      throw error;
    }
    const { pid } = process;
    const startTime = await processStartTime(pid);
    const key = localKey({ pid, startTime: startTime ?? '' });
    if (mountpoint !== null) await noteMount(mountpoint, pid);
    const gone = process.exited.then(async () => {
      if (mountpoint !== null) await removeMountpoint(mountpoint, this.log);
      this.#started.delete(key);
      this.changed.fire();
    });
    // Known from now on, so that a window that closes meanwhile ends it as well.
    this.#started.set(key, { sharedDir, process, gone });
    this.changed.fire();
    try {
      const daemon = await this.#readiness(process, cancel);
      void gone.then(async () => {
        const exit = await process.exited;
        if (!exit.expected) this.failed.fire({ sharedDir, exit });
      });
      return daemon;
    } catch (error) {
      await process.stop();
      await gone;
      throw error;
    }
  }

  /** Ends one daemon; resolves when its mount and its mountpoint are gone. */
  async stop(key: DaemonKey): Promise<void> {
    const started = this.#started.get(key);
    await started?.process.stop();
    await started?.gone;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#started.keys()].map((key) => this.stop(key)));
  }

  async #readiness(process: DaemonProcess, cancel: AbortSignal): Promise<Daemon> {
    const over = new AbortController();
    const late = AbortSignal.timeout(READY_MS);
    try {
      return await Promise.race([
        this.daemons.appearance(process.pid, AbortSignal.any([cancel, late, over.signal])),
        process.exited.then((exit) => {
          throw new Error(exit.message);
        }),
      ]);
    } catch (error) {
      if (!late.aborted) throw error;
      throw new Error(`The daemon did not become ready within ${READY_MS / 1000} s.`);
    } finally {
      over.abort(new Error('The daemon ended.'));
    }
  }
}
