/**
 * The file system's thread: serves requests in a blocking loop, changes the tables, records what
 * happens. It answers to nobody but the kernel, or a virtual machine; the main thread reaches it
 * through shared words and the control descriptor.
 */

import type { MessagePort } from 'node:worker_threads';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../native/index';
import type { Addon } from '../native/index';
import { DebugGate } from './debug/gate';
import type { RequestHandler } from './fuse/dataChannel';
import { NAMING } from './inspector/debugNaming';
import { createFileSystem } from './passthrough/fileSystem';
import type { HostView } from './passthrough/hostView';
import { NO_GATE } from './tables/gate';
import { InodeTables } from './tables/inodeTables';
import { LOOKUP_RULES } from './tables/lookupRule';
import type { Recorder } from './tables/recorder';
import { RingWriter } from './trace/eventRing';
import { RingRecorder } from './trace/record';
import { serve } from './transport/fuseSession';
import { serveVhostUser } from './transport/vhostServer';
import type { VhostLog } from './transport/vhostSession';
import type { EndedWhy, FromWorker, ToWorker, WorkerStart } from './workerMessages';
import { CONTROL } from './workerMessages';

const NOBODY_LISTENS: Recorder = {
  init: () => undefined,
  destroy: () => undefined,
  lookup: () => undefined,
  forget: () => undefined,
  overForget: () => undefined,
  openByHandleFailed: () => undefined,
  volume: () => undefined,
};

function run(
  native: Addon,
  start: WorkerStart,
  view: HostView,
  say: (message: FromWorker) => void,
): void {
  const control = new Int32Array(start.control);
  const tables = new InodeTables(LOOKUP_RULES[start.lookupRule]);
  const ring =
    start.ring === null ? null : new RingWriter(start.ring, () => say({ type: 'events' }));
  const events = ring === null ? null : new RingRecorder(ring, tables);
  const gate =
    events === null
      ? null
      : new DebugGate(tables, NAMING, events, (report) => say({ type: 'debug', report }));
  const fileSystem = createFileSystem(
    { ...start.options, lookupRule: LOOKUP_RULES[start.lookupRule] },
    native,
    tables,
    events ?? NOBODY_LISTENS,
    (level, text) => say({ type: 'log', level, text }),
    view,
    gate ?? NO_GATE,
  );
  say({
    type: 'ready',
    effectiveHandles: fileSystem.effectiveHandles,
    handlesRefused: fileSystem.handlesRefused,
    fdLimit: fileSystem.fdLimit,
  });
  // The runtime file is written before the first request is served (docs/protocol.md).
  Atomics.wait(control, CONTROL.go, 0);

  const counted: RequestHandler = {
    memory: fileSystem.memory,
    handle(length, channel) {
      const reply = fileSystem.handle(length, channel);
      control[CONTROL.fdsUsed] = fileSystem.fdsUsed();
      control[CONTROL.fdsRefused] = fileSystem.fdsRefused();
      return reply;
    },
    standsAlone: () => fileSystem.standsAlone(),
    letGo: () => fileSystem.letGo(),
    reset() {
      fileSystem.reset();
      control[CONTROL.fdsUsed] = fileSystem.fdsUsed();
    },
  };
  const onControl = (): boolean => {
    if (ring !== null && Atomics.exchange(control, CONTROL.resync, 0) === 1) {
      const { head } = ring;
      ring.restart();
      say({ type: 'tables', image: tables.image(), head });
    }
    for (const command of commandsFrom(start.commands)) {
      if (command.type === 'probe') {
        const { question, nodeids } = command;
        say({ type: 'probed', question, answers: fileSystem.probe(nodeids) });
      } else if (command.type !== 'openFiles') gate?.command(command);
      else {
        const { type, question, from, count } = command;
        say({ type, question, page: fileSystem.openFiles(from, count) });
      }
    }
    return true;
  };
  const why = serveSource(native, start, counted, onControl, (level, text) =>
    say({ type: 'log', level, text }),
  );
  fileSystem.close();
  say({ type: 'ended', why });
}

function* commandsFrom(commands: MessagePort | null): Generator<ToWorker> {
  if (commands === null) return;
  for (;;) {
    const next = receiveMessageOnPort(commands);
    if (next === undefined) return;
    yield next.message as ToWorker;
  }
}

function serveSource(
  native: Addon,
  { source, controlFd }: WorkerStart,
  handler: RequestHandler,
  onControl: () => boolean,
  log: VhostLog,
): EndedWhy {
  if (source.kind === 'mount') {
    const warn = (text: string) => log('warn', text);
    return serve(native, source.fuseFd, controlFd, handler, warn, onControl);
  }
  const peer = { listenFd: source.listenFd, controlFd, tag: source.tag ?? null };
  return serveVhostUser(native, peer, handler, log, onControl);
}

const port = parentPort;
if (port === null) throw new Error('worker.js is started by the daemon, not by itself.');
const native = loadAddon();
const say = (message: FromWorker) => port.postMessage(message);
// The one message that comes this way. Nobody listens while requests are served.
port.once('message', (view: HostView) => run(native, workerData as WorkerStart, view, say));
say({ type: 'loaded' });
