/**
 * virtiofsd's command line (the options of 1.13.3, and those of 1.14 that mean something here), so
 * that what starts virtiofsd can start this daemon instead. Options that this daemon does not
 * implement are refused by name.
 */

import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { OwnerTranslation } from '../passthrough/idTranslation';
import type {
  CacheMode,
  HandleMode,
  Negotiation,
  PassthroughOptions,
} from '../passthrough/options';
import type { XattrMap } from '../passthrough/xattrNames';
import type { CompatOptions } from './compat';
import { parseCompat } from './compat';
import type {
  CapabilityChange,
  Confinement,
  IdRange,
  SandboxMode,
  SeccompAction,
} from './confinementOptions';
import { SANDBOX_MODES, SECCOMP_ACTIONS, parseIdRange, parseModcaps } from './confinementOptions';
import { parseIdTranslation } from './idTranslation';
import type { LogLevel } from './logLevel';
import { LOG_LEVELS } from './logLevel';
import { parseXattrmap } from './xattrmap';

/** Where the virtual machine's monitor connects. */
export type Listen =
  | { readonly kind: 'path'; readonly path: string; readonly group?: string }
  /** A listening socket that the daemon inherited. */
  | { readonly kind: 'fd'; readonly fd: number };

/** What the options say, with virtiofsd's defaults for what they do not say. */
export interface VirtiofsdOptions {
  readonly sharedDir?: string;
  /** Null: none was named. */
  readonly listen: Listen | null;
  readonly tag?: string;
  readonly passthrough: Omit<PassthroughOptions, 'sharedDir' | 'lookupRule'>;
  readonly confinement: Confinement;
  /** The options for virtual machines alone that were given. */
  readonly forMachines: readonly string[];
  readonly logLevel: LogLevel;
  readonly syslog: boolean;
  /** Sentences about options that virtiofsd calls deprecated. */
  readonly warnings: readonly string[];
}

/** What --print-capabilities answers (QEMU's docs/interop/vhost-user.json): no device state. */
export const CAPABILITIES = `{
  "type": "fs",
  "features": [
    "separate-options"
  ]
}
`;

/** MAX_TAG_LEN of virtiofsd: virtio_fs_config.tag without a NUL. */
const TAG_BYTES = 36;

/** Options about handing a running guest over to another daemon. */
const MIGRATION = [
  '--migration-mode [mode]',
  '--migration-on-error [action]',
  '--migration-verify-handles',
  '--migration-confirm-paths',
];

const NEGOTIATIONS = ['never', 'auto', 'always'] as const;

/** What commander makes of the options. */
interface Given {
  readonly sharedDir?: string;
  readonly tag?: string;
  readonly socket?: string;
  readonly socketPath?: string;
  readonly socketGroup?: string;
  readonly fd?: number;
  readonly xattr?: true;
  readonly posixAcl?: Negotiation;
  readonly xattrmap?: XattrMap;
  readonly sandbox?: SandboxMode;
  readonly readonly?: true;
  readonly seccomp?: SeccompAction;
  readonly announceSubmounts?: boolean;
  readonly inodeFileHandles?: HandleMode | 'fallback';
  readonly cache?: CacheMode;
  readonly allowMmap?: true;
  readonly readdirplus: boolean;
  readonly writeback?: true;
  readonly allowDirectIo?: true;
  readonly printCapabilities?: true;
  readonly modcaps?: readonly CapabilityChange[];
  readonly logLevel?: LogLevel;
  readonly syslog?: true;
  readonly rlimitNofile?: number;
  readonly o?: readonly string[];
  readonly d?: true;
  readonly f?: true;
  readonly killprivV2?: boolean;
  readonly securityLabel?: Negotiation;
  readonly uidMap?: readonly IdRange[];
  readonly gidMap?: readonly IdRange[];
  readonly translateUid?: readonly string[];
  readonly translateGid?: readonly string[];
  readonly preserveNoatime?: true;
}

/** Adds virtiofsd's options to a command. */
export function addVirtiofsdOptions(command: Command): Command {
  command
    .option('--shared-dir <dir>', 'the directory to share')
    .option('--socket-path <path>', 'serve a virtual machine, over this vhost-user socket')
    .addOption(new Option('--socket <path>', 'the same [deprecated]'))
    .option('--socket-group <name>', 'group that may connect to the socket')
    .option(
      '--fd <n>',
      'serve a virtual machine, over this listening vhost-user socket',
      number('a descriptor', 2 ** 31 - 1),
    )
    .option('--tag <tag>', 'the tag that the device itself advertises', tag)
    .addOption(
      new Option('--thread-pool-size <n>', 'only 0: requests are served one after another')
        .argParser(threadPoolSize)
        .default(0),
    )
    .addOption(
      choice(
        '--inode-file-handles <mode>',
        'hold file handles instead of open descriptors',
        ['never', 'prefer', 'fallback', 'mandatory'],
        'prefer',
      ),
    )
    .addOption(
      choice(
        '--cache <policy>',
        'how long the guest may remember',
        ['auto', 'always', 'never', 'metadata'],
        'auto',
      ),
    )
    .option('--xattr', 'extended attributes')
    .addOption(
      new Option('--xattrmap <rules>', 'other names for extended attributes on the host').argParser(
        refusing(parseXattrmap),
      ),
    )
    .addOption(choice('--posix-acl [when]', 'POSIX ACLs', NEGOTIATIONS, 'never').preset('always'))
    .addOption(
      choice(
        '--security-label [when]',
        'give new files the security label that the guest sends',
        NEGOTIATIONS,
        'never',
      ).preset('always'),
    )
    .option('--readonly', 'refuse every change')
    .option('--writeback', 'let the guest collect writes')
    .option('--no-readdirplus', 'list names without looking them up')
    .option('--allow-direct-io', 'pass O_DIRECT on to the host')
    .option('--allow-mmap', 'with --cache=never or metadata: let files be mapped all the same')
    .option('--preserve-noatime', 'pass O_NOATIME on to the host')
    .option('--announce-submounts', 'tell the guest about mounts below the directory [default]')
    .option('--no-announce-submounts', 'do not tell it')
    .option('--killpriv-v2', 'take set-user-id bits and file capabilities away for the guest')
    .option('--no-killpriv-v2', 'leave that to the guest [default]')
    .addOption(
      choice('--sandbox <mode>', 'how the daemon shuts itself in', SANDBOX_MODES, 'namespace'),
    )
    .addOption(
      choice('--seccomp <action>', 'on a system call out of place', SECCOMP_ACTIONS, 'kill'),
    )
    .option(
      '--modcaps <list>',
      'capabilities to keep or to drop: +sys_admin:-chown',
      refusing(parseModcaps),
    )
    .option(
      '--uid-map <range>',
      'user ids of the namespace, :inside:outside:count: (repeatable)',
      each(refusing(parseIdRange)),
    )
    .option(
      '--gid-map <range>',
      'group ids of the namespace, :inside:outside:count: (repeatable)',
      each(refusing(parseIdRange)),
    )
    .option(
      '--translate-uid <rule>',
      'user ids that differ, [squash-]guest|[squash-]host|map:from:to:count or ' +
        'forbid-guest:from:count (repeatable)',
      each(String),
    )
    .option('--translate-gid <rule>', 'the same for group ids (repeatable)', each(String))
    .option(
      '--rlimit-nofile <n>',
      'descriptor limit; 0 leaves it as it is',
      number('a number of descriptors', Number.MAX_SAFE_INTEGER),
    )
    .addOption(choice('--log-level <level>', 'what is logged', LOG_LEVELS, 'info'))
    .option('--syslog', 'log to syslog instead of stderr')
    .option('--print-capabilities', 'print what vhost-user.json calls capabilities, and end')
    .option('-o <list>', 'options as the first virtiofsd took them [deprecated]', each(String))
    .option('-d', '--log-level=debug [deprecated]')
    .option('-f', 'does nothing [deprecated]');
  for (const flags of MIGRATION) command.addOption(new Option(flags).hideHelp());
  return command;
}

/**
 * What was asked for.
 *
 * @param command that the options were added to, after parsing
 * @throws Error with a sentence when options contradict each other
 */
export function readVirtiofsdOptions(command: Command): VirtiofsdOptions {
  const migration = command.options.find(
    (option) =>
      MIGRATION.includes(option.flags) &&
      command.getOptionValue(option.attributeName()) !== undefined,
  );
  if (migration !== undefined) {
    throw new Error(
      `${migration.long ?? ''}: this daemon hands no device state over, so the virtual machine ` +
        'cannot be migrated with it.',
    );
  }
  const given = command.opts<Given>();
  const compat = parseCompat(given.o ?? []);
  const confinement: Confinement = {
    sandbox: compat.sandbox ?? given.sandbox ?? 'namespace',
    seccomp: given.seccomp ?? 'kill',
    modcaps: compat.modcaps ?? given.modcaps ?? [],
    uidMap: given.uidMap ?? [],
    gidMap: given.gidMap ?? [],
  };
  const sharedDir = compat.sharedDir ?? given.sharedDir;
  return {
    ...(sharedDir === undefined ? {} : { sharedDir }),
    listen: listenOn(given),
    ...(given.tag === undefined ? {} : { tag: given.tag }),
    passthrough: passthroughOptions(given, compat),
    confinement,
    forMachines: forMachines(given, compat),
    logLevel: given.d === true ? 'debug' : (compat.logLevel ?? given.logLevel ?? 'info'),
    syslog: given.syslog === true,
    warnings: deprecated(given),
  };
}

function passthroughOptions(given: Given, compat: CompatOptions): VirtiofsdOptions['passthrough'] {
  const posixAcl = compat.posixAcl ?? given.posixAcl ?? 'never';
  const securityLabel = compat.securityLabel ?? given.securityLabel ?? 'never';
  const xattrmap = compat.xattrmap ?? given.xattrmap;
  const handles = given.inodeFileHandles ?? 'prefer';
  const translated = (given.translateUid ?? given.translateGid) !== undefined;
  if (translated && posixAcl !== 'never') {
    throw new Error('--translate-uid and --translate-gid would break the ACLs of --posix-acl.');
  }
  return {
    inodeFileHandles: handles === 'fallback' ? 'prefer' : handles,
    cache: compat.cache ?? given.cache ?? 'auto',
    xattr:
      (compat.xattr ?? given.xattr === true) ||
      xattrmap !== undefined ||
      posixAcl !== 'never' ||
      securityLabel !== 'never',
    ...(xattrmap === undefined ? {} : { xattrmap }),
    posixAcl,
    securityLabel,
    killprivV2: compat.killprivV2 ?? given.killprivV2 === true,
    allowMmap: given.allowMmap === true,
    readonly: given.readonly === true,
    writeback: compat.writeback ?? given.writeback === true,
    readdirplus: compat.readdirplus ?? given.readdirplus,
    allowDirectIo: compat.allowDirectIo ?? given.allowDirectIo === true,
    preserveNoatime: given.preserveNoatime === true,
    announceSubmounts: given.announceSubmounts !== false,
    ...(given.rlimitNofile === undefined ? {} : { rlimitNofile: given.rlimitNofile }),
    ...(translated ? { translation: translationOf(given) } : {}),
  };
}

function forMachines(given: Given, compat: CompatOptions): string[] {
  const options: string[] = [];
  const sandbox = compat.sandbox ?? given.sandbox ?? 'none';
  if (sandbox !== 'none') options.push(`--sandbox=${sandbox}`);
  const seccomp = given.seccomp ?? 'none';
  if (seccomp !== 'none') options.push(`--seccomp=${seccomp}`);
  if ((compat.modcaps ?? given.modcaps) !== undefined) options.push('--modcaps');
  if (given.uidMap !== undefined) options.push('--uid-map');
  if (given.gidMap !== undefined) options.push('--gid-map');
  if (given.tag !== undefined) options.push('--tag');
  return options;
}

function translationOf(given: Given): OwnerTranslation {
  const parse = (option: string, texts: readonly string[] | undefined) => {
    try {
      return parseIdTranslation(texts ?? []);
    } catch (error) {
      throw new Error(`${option}: ${sentence(error)}`);
    }
  };
  return {
    uid: parse('--translate-uid', given.translateUid),
    gid: parse('--translate-gid', given.translateGid),
  };
}

function listenOn(given: Given): Listen | null {
  const { fd, socketGroup: group } = given;
  const path = given.socketPath ?? given.socket;
  if (fd === undefined) {
    if (path !== undefined)
      return { kind: 'path', path, ...(group === undefined ? {} : { group }) };
    if (group !== undefined) throw new Error('--socket-group needs --socket-path.');
    return null;
  }
  if (path !== undefined) throw new Error('--fd and --socket-path exclude each other.');
  if (group !== undefined) throw new Error('--fd and --socket-group exclude each other.');
  return { kind: 'fd', fd };
}

function deprecated(given: Given): string[] {
  const warnings: string[] = [];
  if (given.f === true) warnings.push('-f is deprecated and does nothing: leave it out.');
  if (given.d === true) warnings.push('-d is deprecated: use --log-level=debug.');
  if (given.o !== undefined) {
    warnings.push('-o is deprecated: use --cache=auto instead of -o cache=auto.');
  }
  if (given.inodeFileHandles === 'fallback') {
    warnings.push('--inode-file-handles=fallback is deprecated: use prefer.');
  }
  if (given.socket !== undefined && given.socketPath === undefined) {
    warnings.push('--socket is deprecated: use --socket-path.');
  }
  return warnings;
}

/** An option of a few words. Its default is said here and applied when all options are known. */
function choice(
  flags: string,
  description: string,
  values: readonly string[],
  standard: string,
): Option {
  return new Option(flags, `${description} (${values.join(', ')}; default: ${standard})`).argParser(
    (text: string) => {
      const value = values.find((known) => known === text.toLowerCase());
      if (value === undefined) throw new InvalidArgumentError(`Give one of ${values.join(', ')}.`);
      return value;
    },
  );
}

/** Makes a parser's mistake one of usage. */
function refusing<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(sentence(error));
    }
  };
}

/** For options that may be given several times. */
function each<T>(parse: (text: string) => T): (text: string, before?: readonly T[]) => T[] {
  return (text, before = []) => [...before, parse(text)];
}

function number(what: string, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value > most) throw new InvalidArgumentError(`Give ${what}.`);
    return value;
  };
}

function tag(text: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes === 0 || bytes > TAG_BYTES) {
    throw new InvalidArgumentError(`A tag has 1 to ${TAG_BYTES} bytes.`);
  }
  return text;
}

function threadPoolSize(text: string): number {
  if (text !== '0') {
    throw new InvalidArgumentError('Requests are served one after another here: give 0.');
  }
  return 0;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
