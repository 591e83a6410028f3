/** How observers find the daemon: a listening socket, a token, and the file that tells of both. */

import type { Addon } from '../native/index';
import { newToken } from './inspector/access';
import type { InspectAddress, InspectorListener } from './inspector/listening';
import { listenForInspector, removeListener } from './inspector/listening';
import { processStartTime, writeRuntimeFile } from './inspector/runtimeFiles';
import { PROTOCOL_VERSION } from './protocol/json';
import type { Target } from './protocol/json';
import { VERSION } from './version';

export const IMPLEMENTATION = `virtiofsd-inspector ${VERSION}`;

export interface Observation {
  readonly listener: InspectorListener;
  readonly token: string;
}

/** The side of it that stands in the file system. */
export interface OpenObservation extends Observation {
  /**
   * Writes this process's runtime file.
   *
   * @throws when its folder cannot be made or written
   */
  publish(kind: Target['kind'], sharedDir: string, transport: Target['transport']): void;
  /** Takes everything back; may be called again. */
  remove(): void;
}

/** @throws Error that says which address cannot be listened on, and why */
export function openObservation(native: Addon, address: InspectAddress): OpenObservation {
  const listener = listenForInspector(native, address);
  const token = newToken();
  let removeRuntimeFile: (() => void) | null = null;
  return {
    listener,
    token,
    publish(kind, sharedDir, transport) {
      removeRuntimeFile = writeRuntimeFile({
        protocol: PROTOCOL_VERSION,
        pid: process.pid,
        startTime: processStartTime(process.pid) ?? '0',
        url: listener.url,
        token,
        kind,
        implementation: IMPLEMENTATION,
        sharedDir,
        transport,
      });
      process.once('exit', removeRuntimeFile);
    },
    remove() {
      removeRuntimeFile?.();
      removeListener(address);
    },
  };
}
