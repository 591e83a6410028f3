/** `serve`: the options, named and meant as virtiofsd's own (virtio-fs.md 5). */

import * as fs from 'node:fs';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { InspectAddress } from './inspector/inspectorServer';
import { parseInspectAddress } from './inspector/inspectorServer';
import type { CacheMode, HandleMode } from './passthrough/options';
import type { Log, ServeOptions } from './serve';
import { serveShare } from './serve';
import type { LookupRuleName } from './tables/lookupRule';
import { LOOKUP_RULE_NAMES } from './tables/lookupRule';

const LEVELS = ['error', 'warn', 'info', 'debug', 'off'] as const;
type Level = (typeof LEVELS)[number];

interface Given {
  readonly sharedDir: string;
  readonly mount?: string;
  readonly socketPath?: string;
  readonly fd?: number;
  readonly inodeFileHandles: HandleMode | 'fallback';
  readonly lookupRule: LookupRuleName;
  readonly cache: CacheMode;
  readonly xattr?: true;
  readonly readonly?: true;
  readonly writeback?: true;
  readonly readdirplus: boolean;
  readonly allowDirectIo?: true;
  readonly preserveNoatime?: true;
  readonly announceSubmounts: boolean;
  readonly allowOther?: true;
  readonly rlimitNofile?: number;
  /** Left out: undefined; `--inspect` alone: true; `--no-inspect`: false. */
  readonly inspect: boolean | undefined | InspectAddress;
  readonly logLevel: Level;
}

export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('share a directory through the bundled daemon')
    .requiredOption('--shared-dir <dir>', 'the directory to share')
    .option('--mount <dir>', 'mount it here, through /dev/fuse')
    .option('--socket-path <path>', 'serve a virtual machine, over this vhost-user socket')
    .option('--fd <n>', 'serve a virtual machine, over this listening vhost-user socket', count)
    .addOption(
      new Option('--inode-file-handles <mode>', 'hold file handles instead of open descriptors')
        .choices(['never', 'prefer', 'fallback', 'mandatory'])
        .default('prefer'),
    )
    .addOption(
      new Option('--lookup-rule <rule>', 'how a lookup uses the two tables')
        .choices(LOOKUP_RULE_NAMES)
        .default('handle-then-fd'),
    )
    .addOption(
      new Option('--cache <policy>', 'how long the kernel may remember')
        .choices(['auto', 'always', 'never', 'metadata'])
        .default('auto'),
    )
    .option('--xattr', 'extended attributes')
    .option('--readonly', 'refuse every change')
    .option('--writeback', 'let the kernel collect writes')
    .option('--no-readdirplus', 'list names without looking them up')
    .option('--allow-direct-io', 'pass O_DIRECT on to the host')
    .option('--preserve-noatime', 'pass O_NOATIME on to the host')
    .option('--no-announce-submounts', 'do not tell the guest about mounts below the directory')
    .option('--allow-other', 'let other users in (as root always)')
    .option('--rlimit-nofile <n>', 'descriptor limit; 0 leaves it as it is', count)
    .option(
      '--inspect [address]',
      'HOST:PORT on loopback, or unix:PATH (a free port)',
      inspectAddress,
    )
    .option('--no-inspect', 'serve no inspector')
    .addOption(new Option('--log-level <level>').choices([...LEVELS]).default('info'))
    .action((given: Given) => serveShare(serveOptions(given), stderrLog(given.logLevel)));
}

function count(text: string): number {
  const value = Number(text);
  if (!/^[0-9]{1,9}$/.test(text)) throw new InvalidArgumentError('Give a number of descriptors.');
  return value;
}

function inspectAddress(text: string): InspectAddress {
  try {
    return parseInspectAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** @throws Error with a sentence when the shared directory is none */
function serveOptions(given: Given): ServeOptions {
  const sharedDir = realDirectory(given.sharedDir);
  return {
    passthrough: {
      sharedDir,
      inodeFileHandles: given.inodeFileHandles === 'fallback' ? 'prefer' : given.inodeFileHandles,
      cache: given.cache,
      xattr: given.xattr === true,
      readonly: given.readonly === true,
      writeback: given.writeback === true,
      readdirplus: given.readdirplus,
      allowDirectIo: given.allowDirectIo === true,
      preserveNoatime: given.preserveNoatime === true,
      announceSubmounts: given.announceSubmounts,
      ...(given.rlimitNofile === undefined ? {} : { rlimitNofile: given.rlimitNofile }),
    },
    lookupRule: given.lookupRule,
    source: sourceOf(given),
    inspect:
      given.inspect === false
        ? null
        : given.inspect === true || given.inspect === undefined
          ? parseInspectAddress('')
          : given.inspect,
  };
}

/** @throws Error when not exactly one way to serve is named */
function sourceOf(given: Given): ServeOptions['source'] {
  const { mount, socketPath, fd } = given;
  const sources: ServeOptions['source'][] = [];
  if (mount !== undefined) {
    const allowOther = given.allowOther === true || process.geteuid?.() === 0;
    sources.push({ kind: 'mount', mountpoint: mount, allowOther });
  }
  if (socketPath !== undefined) {
    sources.push({ kind: 'vhost-user', listen: { kind: 'path', path: socketPath } });
  }
  if (fd !== undefined) sources.push({ kind: 'vhost-user', listen: { kind: 'fd', fd } });
  const [source] = sources;
  if (source === undefined || sources.length > 1) {
    throw new Error('Give one of --mount DIR, --socket-path PATH and --fd N.');
  }
  return source;
}

function realDirectory(wanted: string): string {
  let real: string;
  try {
    real = fs.realpathSync(wanted);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Error(
      `The shared directory ${wanted} cannot be used (${code}): give one that exists.`,
    );
  }
  if (!fs.statSync(real).isDirectory()) {
    throw new Error(`The shared directory ${wanted} is not a directory.`);
  }
  return real;
}

/** One line an event on stderr, as daemons do; the extension reads the levels. */
function stderrLog(level: Level): Log {
  const most = level === 'off' ? -1 : LEVELS.indexOf(level);
  // Whoever read the log is gone (EPIPE). The guest's files do not depend on it.
  process.stderr.on('error', () => undefined);
  return (at, text) => {
    if (LEVELS.indexOf(at) <= most) process.stderr.write(`${at}: ${text.replaceAll('\n', ' ')}\n`);
  };
}
