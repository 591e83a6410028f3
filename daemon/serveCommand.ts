/** `serve`: virtiofsd's command line (daemon/options), and what only this daemon has. */

import * as fs from 'node:fs';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { loadAddon } from '../native/index';
import type { InspectAddress } from './inspector/listening';
import { parseInspectAddress } from './inspector/listening';
import type { VirtiofsdOptions } from './options/commandLine';
import { CAPABILITIES, addVirtiofsdOptions, readVirtiofsdOptions } from './options/commandLine';
import type { Confinement } from './options/confinementOptions';
import { refusedConfinement } from './options/confinementOptions';
import type { ServeOptions } from './serve';
import { openLog } from './serveLog';
import type { Source } from './source';
import { startDaemon } from './start';
import type { ProbeMode } from './tables/hitKind';
import { PROBE_MODES } from './tables/hitKind';
import type { LookupRuleName } from './tables/lookupRule';
import { LOOKUP_RULE_NAMES } from './tables/lookupRule';
import { VERSION } from './version';

/** The options that virtiofsd does not have. */
interface Given {
  readonly mount?: string;
  readonly allowOther?: true;
  readonly lookupRule: LookupRuleName;
  readonly probe: ProbeMode;
  /** Left out: undefined; `--inspect` alone: true; `--no-inspect`: false. */
  readonly inspect: boolean | undefined | InspectAddress;
  readonly printCapabilities?: true;
}

/** A mount is served as the user who asked for it, unconfined. */
const UNCONFINED: Confinement = {
  sandbox: 'none',
  seccomp: 'none',
  modcaps: [],
  uidMap: [],
  gidMap: [],
};

export function addServeCommand(program: Command): void {
  const command = program.command('serve').description('share a directory, as virtiofsd does');
  command.option('--mount <dir>', 'mount it here, through /dev/fuse');
  addVirtiofsdOptions(command)
    .option('--allow-other', 'with --mount: let other users in (as root always)')
    .addOption(
      new Option('--lookup-rule <rule>', 'how a lookup uses the two tables')
        .choices(LOOKUP_RULE_NAMES)
        .default('handle-then-fd'),
    )
    .addOption(
      new Option('--probe <when>', 'whether an entry that answers still is the file asked for')
        .choices(PROBE_MODES)
        .default('hits'),
    )
    .option(
      '--inspect [address]',
      'HOST:PORT on loopback, or unix:PATH (a free port)',
      inspectAddress,
    )
    .option('--no-inspect', 'serve no inspector')
    .version(VERSION)
    .action(() => run(command));
}

async function run(command: Command): Promise<void> {
  const given = command.opts<Given>();
  if (given.printCapabilities === true) {
    process.stdout.write(CAPABILITIES);
    return;
  }
  const euid = process.geteuid?.() ?? 0;
  let options: VirtiofsdOptions;
  let source: Source;
  let sharedDir: string;
  try {
    options = readVirtiofsdOptions(command);
    if (options.sharedDir === undefined) throw new Error('Give --shared-dir DIR.');
    ({ sharedDir } = options);
    source = sourceOf(given, options, euid);
    const refused = refusal(options, source, euid);
    if (refused !== undefined) throw new Error(refused);
  } catch (error) {
    command.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  }
  const logging = { level: options.logLevel, syslog: options.syslog };
  const log = openLog(logging, loadAddon());
  for (const warning of options.warnings) log('warn', warning);
  await startDaemon(serveOptions(given, options, realDirectory(sharedDir), source), logging, log);
}

function inspectAddress(text: string): InspectAddress {
  try {
    return parseInspectAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function serveOptions(
  given: Given,
  options: VirtiofsdOptions,
  sharedDir: string,
  source: Source,
): ServeOptions {
  return {
    passthrough: { ...options.passthrough, sharedDir, probe: given.probe },
    lookupRule: given.lookupRule,
    source,
    confinement: source.kind === 'mount' ? UNCONFINED : options.confinement,
    inspect:
      given.inspect === false
        ? null
        : given.inspect === true || given.inspect === undefined
          ? parseInspectAddress('')
          : given.inspect,
  };
}

/** @throws Error when not exactly one way to serve is named */
function sourceOf(given: Given, { listen, tag }: VirtiofsdOptions, euid: number): Source {
  const { mount } = given;
  if ((mount === undefined) === (listen === null)) {
    throw new Error('Give one of --socket-path PATH, --fd N and --mount DIR.');
  }
  if (listen !== null) return { kind: 'vhost-user', listen, ...(tag === undefined ? {} : { tag }) };
  const allowOther = given.allowOther === true || euid === 0;
  return { kind: 'mount', mountpoint: mount ?? '', allowOther };
}

/** What cannot be done for this source or by this user, in a sentence. */
function refusal(options: VirtiofsdOptions, source: Source, euid: number): string | undefined {
  const { confinement, forMachines, passthrough } = options;
  if (source.kind === 'vhost-user') {
    return refusedConfinement(confinement, euid, passthrough.inodeFileHandles !== 'never');
  }
  const [first] = forMachines;
  if (first === undefined) return undefined;
  return `${first} is for virtual machines: --mount serves this host, unconfined.`;
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
