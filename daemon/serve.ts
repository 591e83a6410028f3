/**
 * Serving: starts the file system's thread, folds its events, serves observers, and takes everything
 * back. In which process, and how confined, says start.ts.
 */

import path from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Addon } from '../native/index';
import { limitSystemCalls } from './confinement/sandbox';
import { errnoName } from './inspector/errnoName';
import type { InspectAddress } from './inspector/listening';
import { readPage } from './inspector/page';
import type { Observation } from './observation';
import { IMPLEMENTATION } from './observation';
import type { Observers } from './observers';
import { startObservers } from './observers';
import type { Confinement } from './options/confinementOptions';
import type { HostView } from './passthrough/hostView';
import type { Log, PassthroughOptions } from './passthrough/options';
import type { LookupRuleName } from './tables/lookupRule';
import { makeRing } from './trace/eventRing';
import type { OpenSource, Source } from './source';
import type { EndedWhy, FromWorker, WorkerStart } from './workerMessages';
import { CONTROL } from './workerMessages';

export interface ServeOptions {
  readonly passthrough: Omit<PassthroughOptions, 'lookupRule'>;
  readonly lookupRule: LookupRuleName;
  readonly source: Source;
  readonly confinement: Confinement;
  /** Null: --no-inspect. */
  readonly inspect: InspectAddress | null;
}

/** The process that serves, and what it has been given. */
export interface Place {
  /** The process id that the host knows the daemon by. */
  readonly pid: number;
  readonly source: OpenSource;
  readonly observation: Observation | null;
  /** Called once all programs and files are loaded: what is seen of the host from then on. */
  enter(): HostView;
  /** Called before the first request is served. */
  ready(): void;
  /** Called when serving has ended, before observers are sent away. */
  over(): void;
  /** Takes what ends the serving when nobody wants it any more, beside the signals. */
  onUnwanted(stop: () => void): void;
}

const ENDED: Readonly<Record<EndedWhy, string>> = {
  unmounted: 'The mount is gone.',
  disconnected: 'The virtual machine is gone.',
  stopped: 'Stopped serving.',
};

/**
 * Serves until the mount or the virtual machine is gone, or something asks to stop.
 *
 * @throws Error with a sentence and advice when it cannot start
 */
export async function serveShare(
  native: Addon,
  options: ServeOptions,
  place: Place,
  log: Log,
): Promise<void> {
  const { source, observation } = place;
  const controlWords = new SharedArrayBuffer(CONTROL.words * 4);
  const control = new Int32Array(controlWords);
  const ring = observation === null ? null : makeRing();
  const { port1: commands, port2 } = new MessageChannel();
  commands.unref();
  const start: WorkerStart = {
    options: options.passthrough,
    lookupRule: options.lookupRule,
    source: source.forWorker,
    controlFd: source.controlFd,
    ring,
    control: controlWords,
    commands: ring === null ? null : port2,
  };
  const worker = new Worker(path.join(__dirname, 'worker.js'), {
    workerData: start,
    transferList: ring === null ? [] : [port2],
  });
  const page = readPage(path.join(__dirname, '..', 'webview'));

  let observers: Observers | null = null;
  const loaded = told(worker, 'loaded');
  worker.on('message', (message: FromWorker) => {
    switch (message.type) {
      case 'loaded':
      case 'ready':
        return;
      case 'events':
        observers?.drain();
        return;
      case 'tables':
        observers?.restore(message);
        return;
      case 'debug':
        observers?.debugged(message.report);
        return;
      case 'probed':
        observers?.probed(message.question, message.answers);
        return;
      case 'openFiles':
        observers?.openFiles(message.question, message.page);
        return;
      case 'log':
        log(message.level, message.text);
        return;
      case 'ended':
        log('info', ENDED[message.why]);
    }
  });
  const ended = new Promise<Error | null>((resolve) => {
    worker.once('error', resolve);
    worker.once('exit', () => resolve(null));
  });

  try {
    await loaded;
    const view = place.enter();
    const ready = told(worker, 'ready');
    worker.postMessage(view);
    const { effectiveHandles, handlesRefused, fdLimit } = await ready;
    if (ring !== null && observation !== null) {
      const target = {
        kind: 'serve',
        pid: place.pid,
        implementation: IMPLEMENTATION,
        sharedDir: options.passthrough.sharedDir,
        lookupRule: options.lookupRule,
        inodeFileHandles: {
          requested: options.passthrough.inodeFileHandles,
          effective: effectiveHandles,
          ...(handlesRefused === null
            ? {}
            : {
                refused: { call: handlesRefused.call, errno: errnoName(handlesRefused.errno) },
              }),
        },
        level: 'instrumented',
        complete: true,
        transport: source.transport,
      } as const;
      const wake = () => void native.signalEvent(source.controlFd);
      const { probe = 'hits' } = options.passthrough;
      const observed = { target, ring, control, view, probe, fdLimit, wake, commands };
      observers = await startObservers(native, observation, page, observed, log);
    }
    place.ready();
    limitSystemCalls(native, options.confinement.seccomp);
    const stop = () => {
      log('info', 'Stopping.');
      // What is held would keep a mount busy. What goes wrong is reported at the end, where it is
      // awaited.
      const released = observers?.endDebugging() ?? Promise.resolve();
      released.then(() => source.stop()).catch(() => undefined);
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    process.once('SIGHUP', stop);
    place.onUnwanted(stop);
    // Node's own way out of a mistake of ours would wait for the worker for ever, which waits for
    // requests: stop it, and both come to an end.
    process.once('uncaughtException', (error) => {
      log('error', `The daemon failed inside and ends: ${error.stack ?? error.message}`);
      process.exitCode = 1;
      stop();
    });
    log(
      'info',
      `Serving ${options.passthrough.sharedDir} on ${source.where}, file handles ${effectiveHandles}.`,
    );
    if (observers?.page != null) log('info', `The Key Map is at ${observers.page}`);
    Atomics.store(control, CONTROL.go, 1);
    Atomics.notify(control, CONTROL.go);
    const failure = await ended;
    if (failure !== null) throw failure;
  } catch (error) {
    await worker.terminate();
    throw error;
  } finally {
    await source.stop();
    source.close();
    place.over();
    await observers?.close();
  }
}

/** The first message of a kind. */
function told<Type extends FromWorker['type']>(
  worker: Worker,
  type: Type,
): Promise<Extract<FromWorker, { type: Type }>> {
  type Wanted = Extract<FromWorker, { type: Type }>;
  return new Promise((resolve, reject) => {
    const listen = (message: FromWorker) => {
      if (message.type !== type) return;
      worker.off('message', listen);
      resolve(message as Wanted);
    };
    worker.on('message', listen);
    worker.once('error', reject);
  });
}
