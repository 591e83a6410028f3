/** The client's own addon (test/frontend/native), built when it is missing or old. */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { getSystemErrorName } from 'node:util';

/** A ring and a mapping of the guest's memory, for `stream`; offsets are bytes in the mapping. */
export interface StreamQueue {
  readonly memory: ArrayBuffer;
  readonly descriptors: number;
  readonly avail: number;
  readonly used: number;
  readonly size: number;
  readonly eventIdx: boolean;
  readonly kick: number;
  readonly call: number;
  readonly availIdx: number;
  readonly usedIdx: number;
}

/** Where the rings stand after a stream, and what it took. */
export interface StreamResult {
  readonly nanoseconds: number;
  /** Replies whose error field is not 0. */
  readonly failures: number;
  readonly availIdx: number;
  readonly usedIdx: number;
}

/** Calls that return a number return -errno when they fail. */
export interface FrontendAddon {
  memfd(size: number): number;
  map(fd: number, offset: number, size: number): ArrayBuffer | number;
  unmap(memory: ArrayBuffer): number;
  events(count: number): number;
  signalFd(fd: number): number;
  drainFd(fd: number): number;
  connectUnix(path: string): number;
  listenUnix(path: string): number;
  socketPair(): readonly [number, number] | number;
  sendBytes(fd: number, bytes: Uint8Array, fds: readonly number[]): number;
  receiveBytes(fd: number, bytes: Uint8Array, fds: number[]): number;
  closeFd(fd: number): number;
  fence(): void;
  watch(fd: number, callback: () => void): () => void;
  stream(queue: StreamQueue, plan: Uint32Array, depth: number): StreamResult | number;
}

/** The repository, seen from the sources as from a bundle in dist/bench. */
export const root = findRoot();

function findRoot(): string {
  const start = typeof __dirname === 'string' ? __dirname : process.cwd();
  let folder = start;
  while (!existsSync(path.join(folder, 'test/frontend/native/build.mjs'))) {
    const above = path.dirname(folder);
    if (above === folder) throw new Error(`${start} is not in the repository.`);
    folder = above;
  }
  return folder;
}

function load(): FrontendAddon {
  execFileSync(process.execPath, [path.join(root, 'test/frontend/native/build.mjs')]);
  return createRequire(path.join(root, 'x'))(
    path.join(root, 'out/frontend/frontend.node'),
  ) as FrontendAddon;
}

export const native = load();

/**
 * @param result of a call of the addon
 * @throws Error that says what failed and why, when it is negative
 */
export function must(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: ${getSystemErrorName(result)}`);
  return result;
}
