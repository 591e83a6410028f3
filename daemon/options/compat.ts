/** -o LIST: the options of the first virtiofsd, as virtiofsd still takes them. */

import type { CacheMode, Negotiation } from '../passthrough/options';
import type { XattrMap } from '../passthrough/xattrNames';
import type { CapabilityChange, SandboxMode } from './confinementOptions';
import { parseModcaps } from './confinementOptions';
import type { LogLevel } from './logLevel';
import { parseXattrmap } from './xattrmap';

/** What the lists change. They win over options in the long form, wherever they stand. */
export interface CompatOptions {
  readonly sharedDir?: string;
  readonly cache?: CacheMode;
  readonly logLevel?: LogLevel;
  readonly sandbox?: SandboxMode;
  readonly modcaps?: readonly CapabilityChange[];
  readonly xattrmap?: XattrMap;
  readonly xattr?: boolean;
  readonly readdirplus?: boolean;
  readonly writeback?: boolean;
  readonly allowDirectIo?: boolean;
  readonly killprivV2?: boolean;
  readonly posixAcl?: Negotiation;
  readonly securityLabel?: Negotiation;
}

const FLAGS = table<CompatOptions>({
  xattr: { xattr: true },
  no_xattr: { xattr: false },
  readdirplus: { readdirplus: true },
  no_readdirplus: { readdirplus: false },
  writeback: { writeback: true },
  no_writeback: { writeback: false },
  allow_direct_io: { allowDirectIo: true },
  no_allow_direct_io: { allowDirectIo: false },
  killpriv_v2: { killprivV2: true },
  no_killpriv_v2: { killprivV2: false },
  posix_acl: { posixAcl: 'always' },
  no_posix_acl: { posixAcl: 'never' },
  security_label: { securityLabel: 'always' },
  no_security_label: { securityLabel: 'never' },
  // What is done anyway.
  announce_submounts: {},
  no_posix_lock: {},
  no_flock: {},
});

/** Names of this form that are others in the long form. */
const CACHE = table<CacheMode>({
  auto: 'auto',
  always: 'always',
  none: 'never',
  metadata: 'metadata',
});
const LOG_LEVEL = table<LogLevel>({
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  err: 'error',
});
const SANDBOX = table<SandboxMode>({
  namespace: 'namespace',
  chroot: 'chroot',
});

/**
 * @param lists each as it was given after -o
 * @throws Error that names the part that is wrong
 */
export function parseCompat(lists: readonly string[]): CompatOptions {
  const parts = lists.flatMap((list) => list.split(','));
  return Object.assign({}, ...parts.map(parsePart)) as CompatOptions;
}

function parsePart(part: string): CompatOptions {
  const [name = '', value, ...more] = part.split('=');
  const unknown = new Error(`Invalid compat argument '-o ${part}'`);
  if (value === undefined) {
    const flag = FLAGS.get(name);
    if (flag === undefined) throw unknown;
    return flag;
  }
  if (more.length > 0) throw unknown;
  switch (name) {
    case 'source':
      return { sharedDir: value };
    case 'cache':
      return { cache: known(CACHE, name, value) };
    case 'loglevel':
      return { logLevel: known(LOG_LEVEL, name, value) };
    case 'sandbox':
      return { sandbox: known(SANDBOX, name, value) };
    case 'modcaps':
      return { modcaps: inside(name, value, parseModcaps) };
    case 'xattrmap':
      return { xattrmap: inside(name, value, parseXattrmap) };
    default:
      throw unknown;
  }
}

function table<T>(words: Readonly<Record<string, T>>): ReadonlyMap<string, T> {
  return new Map(Object.entries(words));
}

function invalid(name: string, value: string): string {
  return `Invalid compat value '${value}' for '-o ${name}'`;
}

function known<T>(words: ReadonlyMap<string, T>, name: string, value: string): T {
  const meant = words.get(value);
  if (meant === undefined) throw new Error(invalid(name, value));
  return meant;
}

function inside<T>(name: string, value: string, parse: (text: string) => T): T {
  try {
    return parse(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${invalid(name, value)}: ${why}`);
  }
}
