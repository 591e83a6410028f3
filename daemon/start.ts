/**
 * Starting the daemon: in this process, or in a confined child while this one stays outside as its
 * launcher.
 *
 *     serve --mount                        this process serves
 *     serve --socket-path --sandbox=none   this process serves; root's gives up capabilities first,
 *                                          by executing itself anew
 *     serve --socket-path --sandbox=…      this process is the launcher, its child serves
 *
 * `serveConfined` is where what was executed anew comes in.
 */

import type { Addon } from '../native/index';
import { loadAddon } from '../native/index';
import {
  ALL_CAPABILITIES,
  keptCapabilities,
  mask,
  ownCapabilities,
} from './confinement/capabilities';
import { confinedProgram, inherited } from './confinement/confinedProgram';
import { confinementError } from './confinement/failure';
import { startChild, stopWithLauncher } from './confinement/launcher';
import { enterSandbox } from './confinement/sandbox';
import type { Observation, OpenObservation } from './observation';
import { openObservation } from './observation';
import { raiseDescriptorLimit } from './passthrough/descriptorLimit';
import type { HostView } from './passthrough/hostView';
import { unconfinedView } from './passthrough/hostView';
import type { Log } from './passthrough/options';
import type { ServeOptions } from './serve';
import { serveShare } from './serve';
import type { Logging } from './serveLog';
import { openLog } from './serveLog';
import { openSource, openVhostSource, transportAt } from './source';
import type { VhostUserListen } from './transport/vhostListener';
import { listenForVhostUser } from './transport/vhostListener';

/** Options whose source is known to be a virtual machine. */
type MachineOptions = ServeOptions & { readonly source: { readonly kind: 'vhost-user' } };

/** What is handed to this program when it is executed anew. */
type Start =
  | { readonly role: 'alone'; readonly options: ServeOptions; readonly logging: Logging }
  | {
      readonly role: 'child';
      readonly options: ServeOptions;
      readonly logging: Logging;
      readonly launcher: number;
      /** The socket's name, for people. */
      readonly where: string;
      readonly observation: Observation | null;
    };

/**
 * Serves until nobody wants it any more.
 *
 * @param logging how `log` was opened, for a process that has to open it again
 * @throws Error with a sentence and advice when it cannot
 */
export async function startDaemon(
  options: ServeOptions,
  logging: Logging,
  log: Log,
): Promise<void> {
  const native = loadAddon();
  if (isForMachines(options)) {
    if (options.confinement.sandbox !== 'none') return launch(native, options, logging, log);
    giveUpCapabilities(native, options, logging, log);
  }
  return serveHere(native, options, log);
}

function isForMachines(options: ServeOptions): options is MachineOptions {
  return options.source.kind === 'vhost-user';
}

/** Executed anew with fewer rights: by `launch` or `giveUpCapabilities`. */
export async function serveConfined(): Promise<void> {
  const native = loadAddon();
  const { start, descriptors } = inherited<Start>();
  const { logging, options } = start;
  if (start.role === 'alone') {
    return serveHere(native, withSocket(options, descriptors), openLog(logging, native));
  }
  return serveAsChild(native, start, descriptors, openLog(logging, native, start.launcher));
}

async function serveHere(native: Addon, options: ServeOptions, log: Log): Promise<void> {
  const { sharedDir } = options.passthrough;
  const observation = options.inspect === null ? null : openObservation(native, options.inspect);
  try {
    const source = openSource(native, options.source, options.passthrough, (text) =>
      log('warn', text),
    );
    const place = {
      pid: process.pid,
      source,
      observation,
      enter: () => unconfinedView(sharedDir),
      ready: () => observation?.publish('serve', sharedDir, source.transport),
      over: () => observation?.remove(),
      onUnwanted: () => undefined,
    };
    await serveShare(native, options, place, log);
  } finally {
    observation?.remove();
  }
}

// --- root without a sandbox ---------------------------------------------------------------------

/** Executes this program anew when it has capabilities to give up; else returns. */
function giveUpCapabilities(
  native: Addon,
  options: MachineOptions,
  logging: Logging,
  log: Log,
): void {
  if (process.geteuid?.() !== 0) return;
  const capabilities = capabilitiesFor(options);
  if ((ownCapabilities().bounds & ~capabilities) === 0n) return;
  const { listen } = options.source;
  const start: Start = { role: 'alone', options: afterLimit(native, options, log), logging };
  const program = confinedProgram(
    native,
    { start, descriptors: listen.kind === 'fd' ? { listen: listen.fd } : {} },
    { namespaces: 0, root: 'unchanged', sharedDir: '', capabilities },
  );
  throw confinementError(native.becomeConfined(program), true);
}

/** Where the listening socket that was inherited stands now. */
function withSocket(
  options: ServeOptions,
  { listen: fd }: Readonly<Record<string, number>>,
): ServeOptions {
  if (!isForMachines(options) || fd === undefined) return options;
  const listen: VhostUserListen = { kind: 'fd', fd };
  return { ...options, source: { ...options.source, listen } };
}

// --- the launcher and its child -----------------------------------------------------------------

/** Makes what the world sees, starts the child that serves, waits for it, takes everything back. */
async function launch(
  native: Addon,
  options: MachineOptions,
  logging: Logging,
  log: Log,
): Promise<void> {
  const { confinement, inspect, passthrough } = options;
  const limited = afterLimit(native, options, log);
  const observation = inspect === null ? null : openObservation(native, inspect);
  try {
    const listener = listenForVhostUser(native, options.source.listen);
    try {
      const { where } = listener;
      observation?.publish('serve', passthrough.sharedDir, transportAt(where));
      const start: Start = {
        role: 'child',
        options: limited,
        logging,
        launcher: process.pid,
        where,
        observation: observation === null ? null : shown(observation),
      };
      const sockets = {
        listen: listener.fd,
        ...(observation === null ? {} : { inspect: observation.listener.fd }),
      };
      // Before the child can tell anybody that it serves.
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
        process.on(signal, () => child.stop());
      }
      const child = startChild(
        native,
        confinement,
        passthrough.sharedDir,
        capabilitiesFor(options),
        { start, descriptors: sockets },
      );
      // Who connects twice must not wait at a socket that nobody serves.
      for (const fd of Object.values(sockets)) native.closeDescriptor(fd);
      dropLaunchersCapabilities(native, log);
      const end = await child.ended;
      if ('failure' in end) log('error', end.failure);
      process.exitCode = 'failure' in end ? 1 : end.status;
    } finally {
      listener.close();
    }
  } finally {
    observation?.remove();
  }
}

/** Serves what the launcher has opened, in its sandbox. */
async function serveAsChild(
  native: Addon,
  start: Extract<Start, { role: 'child' }>,
  descriptors: Readonly<Record<string, number>>,
  log: Log,
): Promise<void> {
  const { options, where } = start;
  const { listen = -1, inspect = -1, link = -1, usher = -1 } = descriptors;
  if (!isForMachines(options)) throw new Error('Only virtual machines are served confined.');
  // The local time is asked of files that will be out of sight.
  new Date().getTimezoneOffset();
  const { tag } = options.source;
  const observation =
    start.observation === null
      ? null
      : { ...start.observation, listener: { ...start.observation.listener, fd: inspect } };
  const place = {
    pid: start.launcher,
    source: openVhostSource(native, { fd: listen, where, close: () => undefined }, tag),
    observation,
    enter: () => sandboxView(native, usher, options),
    ready: () => undefined,
    over: () => undefined,
    onUnwanted: (stop: () => void) => stopWithLauncher(link, stop),
  };
  return serveShare(native, options, place, log);
}

function sandboxView(native: Addon, usher: number, options: ServeOptions): HostView {
  const { sharedDir } = options.passthrough;
  const proc = enterSandbox(native, usher);
  // Its mountinfo was opened before the change of the root, and still counts from the old one.
  const old = options.confinement.sandbox === 'chroot' && sharedDir !== '/';
  return { root: '/', proc, prefix: old ? sharedDir : '' };
}

// --- what may be had -----------------------------------------------------------------------------

/** Raises the limit of descriptors while that is possible: options that leave it as it is. */
function afterLimit(native: Addon, options: ServeOptions, log: Log): ServeOptions {
  const { passthrough } = options;
  raiseDescriptorLimit(native, passthrough.rlimitNofile, passthrough.inodeFileHandles, log);
  return { ...options, passthrough: { ...passthrough, rlimitNofile: 0 } };
}

function capabilitiesFor({ confinement, passthrough }: ServeOptions): bigint {
  const handles = passthrough.inodeFileHandles !== 'never';
  // Who is not root has all of them in a user namespace of its own.
  const available = process.geteuid?.() === 0 ? ownCapabilities().permitted : ALL_CAPABILITIES;
  return keptCapabilities(confinement.modcaps, handles, available);
}

/** The launcher takes its files away in the end, in folders that may be others'. */
function dropLaunchersCapabilities(native: Addon, log: Log): void {
  const kept = mask(['DAC_OVERRIDE']) & ownCapabilities().permitted;
  const result = native.dropCapabilities(Number(kept & 0xffffffffn), Number(kept >> 32n));
  if (result < 0) log('warn', `The launcher keeps capabilities (errno ${-result}).`);
}

/** What can be handed over of it. */
function shown({ listener, token }: OpenObservation): Observation {
  return { listener, token };
}
