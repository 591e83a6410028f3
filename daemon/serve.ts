/**
 * The bundled daemon: mounts, starts the file system's thread, folds its events, serves observers,
 * unmounts.
 */

import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { loadAddon } from '../native/index';
import { EventHistory } from './inspector/eventHistory';
import { newToken } from './inspector/access';
import type { InspectAddress } from './inspector/inspectorServer';
import { startInspectorServer } from './inspector/inspectorServer';
import { LiveModel } from './inspector/liveModel';
import { processStartTime, writeRuntimeFile } from './inspector/runtimeFiles';
import type { PassthroughOptions } from './passthrough/options';
import { Prober } from './prober';
import type { Target } from './protocol/json';
import { PROTOCOL_VERSION } from './protocol/json';
import type { LookupRuleName } from './tables/lookupRule';
import type { VolumeFacts } from './tables/recorder';
import { makeRing, RingReader } from './trace/eventRing';
import { readRecord, RecordGlance } from './trace/record';
import { mountFuse } from './transport/fuseSession';
import { VERSION } from './version';
import type { FromWorker, WorkerStart } from './workerMessages';
import { CONTROL } from './workerMessages';

export interface ServeOptions {
  readonly passthrough: Omit<PassthroughOptions, 'lookupRule'>;
  readonly lookupRule: LookupRuleName;
  readonly mountpoint: string;
  readonly allowOther: boolean;
  /** Null: --no-inspect. */
  readonly inspect: InspectAddress | null;
}

export type Log = (level: 'error' | 'warn' | 'info' | 'debug', text: string) => void;

/** Records folded before the event loop gets its turn. */
const DRAIN_BATCH = 4_096;
/** Milliseconds until the ring is looked at again after it had something; then it may wake us. */
const DRAIN_INTERVAL = 3;

/**
 * Serves until the mount is gone or a signal asks to stop.
 *
 * @throws Error with a sentence and advice when it cannot start
 */
export async function serveMount(options: ServeOptions, log: Log): Promise<void> {
  const native = loadAddon();
  const mount = mountFuse(
    native,
    {
      sharedDir: options.passthrough.sharedDir,
      mountpoint: options.mountpoint,
      allowOther: options.allowOther,
      readonly: options.passthrough.readonly,
    },
    (text) => log('warn', text),
  );
  const controlWords = new SharedArrayBuffer(CONTROL.words * 4);
  const control = new Int32Array(controlWords);
  const ring = options.inspect === null ? null : makeRing();
  const start: WorkerStart = {
    options: options.passthrough,
    lookupRule: options.lookupRule,
    fuseFd: mount.fuseFd,
    controlFd: mount.controlFd,
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
          log('info', message.why === 'unmounted' ? 'The mount is gone.' : 'Stopped serving.');
      }
    });
    worker.once('error', reject);
  });
  const ended = new Promise<Error | null>((resolve) => {
    worker.once('error', resolve);
    worker.once('exit', () => resolve(null));
  });

  let unmounting: Promise<void> | undefined;
  const unmount = () =>
    (unmounting ??= mount.unmount().then((said) => {
      if (said !== undefined) log('warn', said);
    }));
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
        transport: `/dev/fuse on ${mount.point}`,
      };
      observers = await startObservers(options.inspect, target, ring, control, log, {
        fdLimit,
        resync: () => native.signalEvent(mount.controlFd),
      });
    }
    log(
      'info',
      `Serving ${options.passthrough.sharedDir} on ${mount.point}, file handles ${effectiveHandles}.`,
    );
    if (observers?.page != null) log('info', `The Key Map is at ${observers.page}`);

    const stop = () => {
      // Unmounting makes the worker's read fail with ENODEV, so that it ends by itself.
      log('info', 'Unmounting.');
      // What goes wrong is reported at the end, where it is awaited.
      unmount().catch(() => undefined);
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    process.once('SIGHUP', stop);
    Atomics.store(control, CONTROL.go, 1);
    Atomics.notify(control, CONTROL.go);
    const failure = await ended;
    if (failure !== null) throw failure;
  } catch (error) {
    await worker.terminate();
    throw error;
  } finally {
    await unmount();
    mount.close();
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

interface Source {
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
  source: Source,
): Promise<Observers> {
  const reader = new RingReader(ring);
  const volumes = new Map<number, VolumeFacts>();
  const history = new EventHistory(volumes);
  const model = new LiveModel(target, {
    event: (event) => history.push(event),
    probe: (nodeid, because) => {
      const handle = model.tables.entry(nodeid)?.handle ?? null;
      if (handle !== null) prober.ask(nodeid, handle, because);
    },
  });
  const prober = new Prober(loadAddon(), log, (probe) => {
    model.probed(probe);
    server.changed();
  });
  model.descriptors.limit = source.fdLimit;

  let timer: NodeJS.Timeout | null = null;
  let awaitingTables = false;
  const sink = {
    nextSeq: () => model.nextSeq++,
    event: model.fold.bind(model),
    volume: (facts: VolumeFacts) => void volumes.set(facts.mntId, facts),
  };

  const glance = new RecordGlance(reader.words);
  const take = (words: Int32Array, at: number): void => {
    glance.look(at);
    const seq = model.nextSeq;
    if (model.foldPlain(glance)) history.pushRecord(words, at, seq, glance.events);
    else readRecord(words, at, volumes, sink);
  };

  const drain = (): void => {
    timer = null;
    // What comes after a gap makes sense only once the tables of that moment are here.
    if (awaitingTables) return;
    const taken = reader.drain(DRAIN_BATCH, take);
    if (taken > 0) {
      model.descriptors.used = control[CONTROL.fdsUsed] ?? 0;
      server.changed();
    }
    if (taken === DRAIN_BATCH) setImmediate(drain);
    else if (reader.lost) {
      awaitingTables = true;
      Atomics.store(control, CONTROL.resync, 1);
      source.resync();
      log('warn', 'Events came faster than they could be followed; reading the tables anew.');
    } else if (taken > 0) timer = setTimeout(drain, DRAIN_INTERVAL);
    else if (!reader.sleep()) setImmediate(drain);
  };

  const token = newToken();
  const server = await startInspectorServer(
    address,
    token,
    model,
    history,
    path.join(__dirname, '..', 'webview'),
    { info: (text) => log('info', text), warn: (text) => log('warn', text) },
  );
  const removeRuntimeFile = writeRuntimeFile({
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
  process.once('exit', removeRuntimeFile);
  drain();
  const { page } = server;
  return {
    page,
    drain: () => {
      if (timer === null) drain();
    },
    restore: ({ image }) => {
      awaitingTables = false;
      model.restore(image);
      server.changed();
      drain();
    },
    close: async () => {
      if (timer !== null) clearTimeout(timer);
      prober.stop();
      removeRuntimeFile();
      await server.close('The daemon ended.');
    },
  };
}
