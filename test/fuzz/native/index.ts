/** The fuzzer's own addon; built with sanitizers, like the addon under test. */

import { createRequire } from 'node:module';
import path from 'node:path';

export interface Fuzzing {
  /** A file's first bytes, shared with every process that maps it; or -errno. */
  mapFile(fd: number, size: number): ArrayBuffer | number;
  /** From now on native code that touches these bytes ends the process with a report. */
  poison(bytes: Uint8Array, offset: number, length: number): void;
  unpoison(bytes: Uint8Array, offset: number, length: number): void;
}

/** @param root where the sanitized addons are */
export function loadFuzzing(root: string): Fuzzing {
  const file = path.join(root, 'prebuilds', `linux-${process.arch}`, 'fuzzing.node');
  return createRequire(file)(file) as Fuzzing;
}
