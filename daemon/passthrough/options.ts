import type { ProbeMode } from '../tables/hitKind';
import type { LookupRule } from '../tables/lookupRule';
import type { OwnerTranslation } from './idTranslation';
import type { XattrMap } from './xattrNames';

export type HandleMode = 'never' | 'prefer' | 'mandatory';
export type CacheMode = 'never' | 'metadata' | 'auto' | 'always';

/** Whether a feature that the peer must offer is used. `always` refuses peers without it. */
export type Negotiation = 'never' | 'auto' | 'always';

/** How a host directory is served; the names and meanings are virtiofsd's own options. */
export interface PassthroughOptions {
  /** Absolute path. */
  readonly sharedDir: string;
  readonly inodeFileHandles: HandleMode;
  readonly lookupRule: LookupRule;
  /** Left out: `hits`. */
  readonly probe?: ProbeMode;
  readonly cache: CacheMode;
  readonly xattr: boolean;
  readonly readonly: boolean;
  readonly writeback: boolean;
  readonly readdirplus: boolean;
  readonly allowDirectIo: boolean;
  readonly preserveNoatime: boolean;
  readonly announceSubmounts: boolean;
  /** RLIMIT_NOFILE to set; 0 leaves it; left out: min(1000000, fs.nr_open) as far as allowed. */
  readonly rlimitNofile?: number;

  // What is left out is off.
  readonly xattrmap?: XattrMap;
  /** Needs `xattr`. */
  readonly posixAcl?: Negotiation;
  /** Needs `xattr`. */
  readonly securityLabel?: Negotiation;
  readonly killprivV2?: boolean;
  readonly allowMmap?: boolean;
  readonly translation?: OwnerTranslation;
}

/** One sentence for the person who runs the daemon. */
export type Log = (level: 'error' | 'warn' | 'info' | 'debug', text: string) => void;
