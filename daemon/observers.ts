/** The main thread's part: folds what the worker tells into a model, and serves it to observers. */

import type { MessagePort } from 'node:worker_threads';
import type { Addon } from '../native/index';
import type { DebugReport } from './debug/spec';
import type { OpenFilesPage } from './tables/gate';
import { DebugLease } from './inspector/debugLease';
import { EventHistory } from './inspector/eventHistory';
import { startInspectorServer } from './inspector/inspectorServer';
import { LiveModel } from './inspector/liveModel';
import type { PageFiles } from './inspector/page';
import { RingFollower } from './inspector/ringFollower';
import type { Observation } from './observation';
import { RESERVED } from './passthrough/descriptorLimit';
import type { HostView } from './passthrough/hostView';
import type { Log } from './passthrough/options';
import type { ProbeAnswer } from './passthrough/probing';
import { Prober } from './prober';
import { ProbeRuns } from './probeRuns';
import { ResourceWatch } from './resourceWatch';
import type { Target } from './protocol/json';
import type { ProbeMode } from './tables/hitKind';
import type { VolumeFacts } from './tables/recorder';
import type { FromWorker, ToWorker } from './workerMessages';
import { CONTROL } from './workerMessages';

export interface Observers {
  readonly page: string | null;
  /** Folds what the ring holds. */
  drain(): void;
  restore(message: Extract<FromWorker, { type: 'tables' }>): void;
  /** Takes what the gate says. */
  debugged(report: DebugReport): void;
  /** Takes what the file system's thread says of the entries that it tried. */
  probed(question: number, answers: readonly ProbeAnswer[]): void;
  /** Takes the answer to a debugger's question. */
  openFiles(question: number, page: OpenFilesPage): void;
  /** Ends debugging: what is held goes on. Resolves when nothing is. */
  endDebugging(): Promise<void>;
  close(): Promise<void>;
}

/** What is observed. */
export interface Observed {
  readonly target: Target;
  readonly ring: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly view: HostView;
  /** --probe: `never` tries no handle by itself. */
  readonly probe: ProbeMode;
  readonly fdLimit: number;
  /** Makes the worker look at the control words and at what the gate is told. */
  readonly wake: () => void;
  /** Where the gate is told. */
  readonly commands: MessagePort;
}

export async function startObservers(
  native: Addon,
  { listener, token }: Observation,
  files: PageFiles,
  { target, ring, control, view, probe, fdLimit, wake, commands }: Observed,
  log: Log,
): Promise<Observers> {
  const volumes = new Map<number, VolumeFacts>();
  const history = new EventHistory(volumes);
  const model = new LiveModel(
    target,
    {
      event: (event) => {
        history.push(event);
        if (event.type === 'hazard') debug.opened(event.hazard);
      },
      probe: (nodeid, because) => {
        if (probe === 'never') return;
        const handle = model.tables.entry(nodeid)?.handle ?? null;
        if (handle !== null) prober.ask(nodeid, handle, because);
      },
      mayBeZombie: (nodeid) => resources.suspect(nodeid),
    },
    volumes,
  );
  const prober = new Prober(native, log, view, (probe) => {
    model.probed(probe);
    server.changed();
  });
  model.budget.descriptors.limit = fdLimit;
  model.budget.descriptors.reserved = RESERVED;
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
        model.budget.descriptors.used = control[CONTROL.fdsUsed] ?? 0;
        server.changed();
      },
      askForTables: () => {
        Atomics.store(control, CONTROL.resync, 1);
        wake();
      },
    },
    inspectorLog,
  );

  const send = (command: ToWorker): void => {
    commands.postMessage(command);
    wake();
  };
  const questions = new Map<number, (page: OpenFilesPage) => void>();
  let asked = 0;
  const debug = new DebugLease({
    send,
    openFiles: (from, count) =>
      new Promise((resolve) => {
        const question = ++asked;
        questions.set(question, resolve);
        send({ type: 'openFiles', question, from, count });
      }),
    whenCaughtUp: (then) => follower.whenCaughtUp(then),
    probed: () => prober.settled(),
    get seq() {
      return model.nextSeq - 1;
    },
    changed: () => {
      model.version++;
      server.changed();
    },
    log: (text) => log('info', text),
  });
  const probes = new ProbeRuns(model, view, {
    ask: (question, nodeids) => send({ type: 'probe', question, nodeids }),
    whenCaughtUp: (then) => follower.whenCaughtUp(then),
    changed: () => server.changed(),
  });
  const server = await startInspectorServer(
    listener,
    token,
    model,
    history,
    files,
    inspectorLog,
    debug,
    null,
    probes,
  );
  const resources = new ResourceWatch(model, view, control, log, () => server.changed());
  follower.woken();
  return {
    page: server.page,
    drain: () => follower.woken(),
    restore: ({ image, head }) => follower.restore(image, head),
    debugged: (report) => debug.report(report),
    probed: (question, answers) => probes.answered(question, answers),
    openFiles: (question, page) => {
      questions.get(question)?.(page);
      questions.delete(question);
    },
    endDebugging: () => debug.end(),
    close: async () => {
      debug.over();
      follower.stop();
      prober.stop();
      probes.close();
      resources.stop();
      await server.close('The daemon ended.');
    },
  };
}
