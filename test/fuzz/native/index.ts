/** The fuzzer's own addon; built with sanitizers, like the addon under test. */

import { createRequire } from 'node:module';
import path from 'node:path';

export interface Fuzzing {
  /** A file's first bytes, shared with every process that maps it; or -errno. */
  mapFile(fd: number, size: number): ArrayBuffer | number;
  /** From now on native code that touches these bytes ends the process with a report. */
  poison(bytes: Uint8Array, offset: number, length: number): void;
  unpoison(bytes: Uint8Array, offset: number, length: number): void;
  /** A memfd of this many bytes. */
  memoryFile(size: number): number;
  connectTo(path: string): number;
  /** Never waits. Bytes sent, or -errno. */
  sendTo(socket: number, bytes: Uint8Array, fds: readonly number[]): number;
  /** The peer reads to the end; its answers still come. */
  endSending(socket: number): number;
  /** Never waits. Bytes received, 0 at the end, or -errno. */
  receiveFrom(socket: number, bytes: Uint8Array): number;
  /** How often a nonblocking eventfd was signalled. */
  drainEvent(fd: number): number;
  /** A thread changes 16-bit words of this memory until it is stopped. */
  startChanging(bytes: Uint8Array, offset: number, length: number, seed: number): void;
  stopChanging(): void;
}

/** @param root where the sanitized addons are */
export function loadFuzzing(root: string): Fuzzing {
  const file = path.join(root, 'prebuilds', `linux-${process.arch}`, 'fuzzing.node');
  return createRequire(file)(file) as Fuzzing;
}
