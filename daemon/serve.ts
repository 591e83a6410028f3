/**
 * The bundled daemon: opens what it serves, starts the file system's thread, folds its events, serves
 * observers, and takes everything back.
 */

import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { loadAddon } from '../native/index';
import { EventHistory } from './inspector/eventHistory';
import { newToken } from './inspector/access';
import { startInspectorServer } from './inspector/inspectorServer';
import type { InspectAddress } from './inspector/listening';
import { listenForInspector, removeListener } from './inspector/listening';
import { LiveModel } from './inspector/liveModel';
import { readPage } from './inspector/page';
import { RingFollower } from './inspector/ringFollower';
import { processStartTime, writeRuntimeFile } from './inspector/runtimeFiles';
import { unconfinedView } from './passthrough/hostView';
import type { PassthroughOptions } from './passthrough/options';
import { Prober } from './prober';
import type { Target } from './protocol/json';
import { PROTOCOL_VERSION } from './protocol/json';
import type { LookupRuleName } from './tables/lookupRule';
import type { VolumeFacts } from './tables/recorder';
import { makeRing } from './trace/eventRing';
import type { Source } from './source';
import { openSource } from './source';
import { VERSION } from './version';
import type { EndedWhy, FromWorker, WorkerStart } from './workerMessages';
import { CONTROL } from './workerMessages';

export type { Source } from './source';

export interface ServeOptions {
  readonly passthrough: Omit<PassthroughOptions, 'lookupRule'>;
  readonly lookupRule: LookupRuleName;
  readonly source: Source;
  /** Null: --no-inspect. */
  readonly inspect: InspectAddress | null;
}

const ENDED: Readonly<Record<EndedWhy, string>> = {
  unmounted: 'The mount is gone.',
  disconnected: 'The virtual machine is gone.',
  stopped: 'Stopped serving.',
};

export type Log = (level: 'error' | 'warn' | 'info' | 'debug', text: string) => void;

/**
 * Serves until the mount or the virtual machine is gone, or a signal asks to stop.
 *
 * @throws Error with a sentence and advice when it cannot start
 */
export async function serveShare(options: ServeOptions, log: Log): Promise<void> {
  const native = loadAddon();
  const source = openSource(native, options.source, options.passthrough, (text) =>
    log('warn', text),
  );
  const controlWords = new SharedArrayBuffer(CONTROL.words * 4);
  const control = new Int32Array(controlWords);
  const ring = options.inspect === null ? null : makeRing();
  const start: WorkerStart = {
    options: options.passthrough,
    lookupRule: options.lookupRule,
    source: source.forWorker,
    controlFd: source.controlFd,
    ring,
    control: controlWords,
  };
  const worker = new Worker(path.join(__dirname, 'worker.js'), { workerData: start });

  let observers: Observers | null = null;
  const ready = new Promise<Extract<FromWorker, { type: 'ready' }>>((resolve, reject) => {
    worker.on('message', (message: FromWorker) => {
      switch (message.type) {
        case 'ready':
          resolve(message);
          return;
        case 'events':
          observers?.drain();
          return;
        case 'tables':
          observers?.restore(message);
          return;
        case 'log':
          log(message.level, message.text);
          return;
        case 'ended':
          log('info', ENDED[message.why]);
      }
    });
    worker.once('error', reject);
  });
  const ended = new Promise<Error | null>((resolve) => {
    worker.once('error', resolve);
    worker.once('exit', () => resolve(null));
  });

  try {
    const { effectiveHandles, fdLimit } = await ready;
    if (ring !== null && options.inspect !== null) {
      const target: Target = {
        kind: 'serve',
        pid: process.pid,
        implementation: `virtiofsd-inspector ${VERSION}`,
        sharedDir: options.passthrough.sharedDir,
        lookupRule: options.lookupRule,
        inodeFileHandles: {
          requested: options.passthrough.inodeFileHandles,
          effective: effectiveHandles,
        },
        level: 'instrumented',
        complete: true,
        transport: source.transport,
      };
      observers = await startObservers(options.inspect, target, ring, control, log, {
        fdLimit,
        resync: () => native.signalEvent(source.controlFd),
      });
    }
    log(
      'info',
      `Serving ${options.passthrough.sharedDir} on ${source.where}, file handles ${effectiveHandles}.`,
    );
    if (observers?.page != null) log('info', `The Key Map is at ${observers.page}`);

    const stop = () => {
      log('info', 'Stopping.');
      // What goes wrong is reported at the end, where it is awaited.
      source.stop().catch(() => undefined);
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    process.once('SIGHUP', stop);
    // Node's own way out of a mistake of ours would wait for the worker for ever, which waits for
    // requests: stop it, and both come to an end.
    process.once('uncaughtException', (error) => {
      log('error', `The daemon failed inside and ends: ${error.stack ?? error.message}`);
      process.exitCode = 1;
      stop();
    });
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
    await observers?.close();
  }
}

interface Observers {
  readonly page: string | null;
  /** Folds what the ring holds. */
  drain(): void;
  restore(message: Extract<FromWorker, { type: 'tables' }>): void;
  close(): Promise<void>;
}

interface Serving {
  readonly fdLimit: number;
  /** Makes the worker look at the control words. */
  resync(): void;
}

async function startObservers(
  address: InspectAddress,
  target: Target,
  ring: SharedArrayBuffer,
  control: Int32Array,
  log: Log,
  serving: Serving,
): Promise<Observers> {
  const volumes = new Map<number, VolumeFacts>();
  const history = new EventHistory(volumes);
  const model = new LiveModel(target, {
    event: (event) => history.push(event),
    probe: (nodeid, because) => {
      const handle = model.tables.entry(nodeid)?.handle ?? null;
      if (handle !== null) prober.ask(nodeid, handle, because);
    },
  });
  const prober = new Prober(loadAddon(), log, unconfinedView(target.sharedDir), (probe) => {
    model.probed(probe);
    server.changed();
  });
  model.descriptors.limit = serving.fdLimit;
  const inspectorLog = {
    info: (text: string) => log('info', text),
    warn: (text: string) => log('warn', text),
  };

  const follower = new RingFollower(
    ring,
    model,
    history,
    volumes,
    {
      changed: () => {
        model.descriptors.used = control[CONTROL.fdsUsed] ?? 0;
        server.changed();
      },
      askForTables: () => {
        Atomics.store(control, CONTROL.resync, 1);
        serving.resync();
      },
    },
    inspectorLog,
  );

  const token = newToken();
  const server = await startInspectorServer(
    listenForInspector(loadAddon(), address),
    token,
    model,
    history,
    readPage(path.join(__dirname, '..', 'webview')),
    inspectorLog,
  );
  let removeRuntimeFile: () => void;
  try {
    removeRuntimeFile = writeRuntimeFile({
      protocol: PROTOCOL_VERSION,
      pid: process.pid,
      startTime: processStartTime(process.pid) ?? '0',
      url: server.url,
      token,
      kind: target.kind,
      implementation: target.implementation,
      sharedDir: target.sharedDir,
      transport: target.transport,
    });
  } catch (error) {
    // A server that nobody can find would keep the daemon from ending.
    await server.close('The daemon did not start.');
    removeListener(address);
    throw error;
  }
  process.once('exit', removeRuntimeFile);
  follower.woken();
  const { page } = server;
  return {
    page,
    drain: () => follower.woken(),
    restore: ({ image, head }) => follower.restore(image, head),
    close: async () => {
      follower.stop();
      prober.stop();
      removeRuntimeFile();
      await server.close('The daemon ended.');
      removeListener(address);
    },
  };
}
