/** What a share is served to, from the main thread's point of view: a mount, or a virtual machine. */

import type { Addon } from '../native/index';
import type { Target } from './protocol/json';
import { mountFuse } from './transport/fuseSession';
import type { VhostListener, VhostUserListen } from './transport/vhostListener';
import { listenForVhostUser } from './transport/vhostListener';
import type { WorkerSource } from './workerMessages';

/** Where requests come from. */
export type Source =
  | { readonly kind: 'mount'; readonly mountpoint: string; readonly allowOther: boolean }
  | {
      readonly kind: 'vhost-user';
      readonly listen: VhostUserListen;
      /** Offers the device's configuration space, with this tag in it. */
      readonly tag?: string;
    };

export interface OpenSource {
  /** For people. */
  readonly where: string;
  readonly transport: Target['transport'];
  readonly forWorker: WorkerSource;
  /** Signalling it makes the worker look at the control words. */
  readonly controlFd: number;
  /** Brings the worker's serving to an end; may be called again. */
  stop(): Promise<void>;
  /** Takes back what was put into the file system; only after the worker has ended. */
  close(): void;
}

/** @throws Error with a sentence and advice */
export function openSource(
  native: Addon,
  source: Source,
  share: { readonly sharedDir: string; readonly readonly: boolean },
  log: (text: string) => void,
): OpenSource {
  return source.kind === 'mount'
    ? openMount(native, source, share, log)
    : openVhostSource(native, listenForVhostUser(native, source.listen), source.tag);
}

function openMount(
  native: Addon,
  { mountpoint, allowOther }: Extract<Source, { kind: 'mount' }>,
  share: { readonly sharedDir: string; readonly readonly: boolean },
  log: (text: string) => void,
): OpenSource {
  const mount = mountFuse(native, { ...share, mountpoint, allowOther }, log);
  let unmounting: Promise<void> | undefined;
  return {
    where: mount.point,
    transport: `/dev/fuse on ${mount.point}`,
    forWorker: { kind: 'mount', fuseFd: mount.fuseFd },
    controlFd: mount.controlFd,
    // Unmounting makes the worker's read fail with ENODEV, so that it ends by itself.
    stop: () =>
      (unmounting ??= mount.unmount().then((said) => {
        if (said !== undefined) log(said);
      })),
    close: () => mount.close(),
  };
}

export function transportAt(where: string): Target['transport'] {
  return `vhost-user-fs on ${where}`;
}

/** Serves the virtual machine that comes to a socket. */
export function openVhostSource(
  native: Addon,
  listener: VhostListener,
  tag: string | undefined,
): OpenSource {
  const controlFd = native.createEvent();
  if (controlFd < 0) throw new Error(`The daemon cannot be set up (errno ${-controlFd}).`);
  const { where } = listener;
  return {
    where,
    transport: transportAt(where),
    forWorker: {
      kind: 'vhost-user',
      listenFd: listener.fd,
      ...(tag === undefined ? {} : { tag }),
    },
    controlFd,
    stop() {
      native.stopEvent(controlFd);
      return Promise.resolve();
    },
    close() {
      listener.close();
      native.closeDescriptor(controlFd);
    },
  };
}
