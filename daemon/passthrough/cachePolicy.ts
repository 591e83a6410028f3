import { FOPEN_CACHE_DIR, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE } from '../fuse/opcodes';
import type { CacheMode } from './options';

/** What `--cache` means on the wire. */
export interface CachePolicy {
  /** Seconds for which the peer may believe entries and attributes. */
  readonly timeout: number;
  /** FOPEN_* bits for files and directories. */
  readonly fileFlags: number;
  readonly dirFlags: number;
  readonly readdirplus: boolean;
}

const DAY = 86400;

/** virtiofsd's table (passthrough/mod.rs, CachePolicy). */
export const CACHE_POLICIES: { readonly [M in CacheMode]: CachePolicy } = {
  never: { timeout: 0, fileFlags: FOPEN_DIRECT_IO, dirFlags: 0, readdirplus: false },
  metadata: {
    timeout: DAY,
    fileFlags: FOPEN_DIRECT_IO,
    dirFlags: FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE,
    readdirplus: true,
  },
  auto: { timeout: 1, fileFlags: 0, dirFlags: 0, readdirplus: true },
  always: {
    timeout: DAY,
    fileFlags: FOPEN_KEEP_CACHE,
    dirFlags: FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR,
    readdirplus: true,
  },
};
