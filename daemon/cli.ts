#!/usr/bin/env node
/** The command line. Exit status: 0 done, 1 it failed, 2 wrong usage. */

import path from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { CONFINED } from './confinement/confinedProgram';
import { VERSION } from './version';
import { addCheckCommand } from './checkCommand';
import { addDapCommand } from './dapCommand';
import { addDebugCommands } from './debugCommands';
import { addServeCommand } from './serveCommand';
import { serveConfined } from './start';
import { addReplayCommands } from './replayCommands';
import { addObserverCommands } from './observerCommands';
import { addJudgeCommand } from './judgeCommand';
import { addProbeCommand } from './probeCommand';
import { addStatusCommand } from './statusCommand';
import { addWhyCommand } from './whyCommand';

// Set for Electron as Node; programs that the daemon starts must not inherit it.
delete process.env['ELECTRON_RUN_AS_NODE'];

const WRONG_USAGE = 2;

async function main(): Promise<void> {
  if (process.argv[2] === CONFINED) return serveConfined();
  const program = new Command('virtiofsd-inspector')
    .description('The inode tables of virtio-fs daemons, live: inodes_by_ids and inodes_by_handle.')
    .version(VERSION)
    .showHelpAfterError('(--help lists what there is)')
    .exitOverride();
  addServeCommand(program);
  addObserverCommands(program);
  addStatusCommand(program);
  addWhyCommand(program);
  addProbeCommand(program);
  addJudgeCommand(program);
  addReplayCommands(program);
  addDebugCommands(program);
  addDapCommand(program);
  addCheckCommand(program);
  for (const command of program.commands) command.exitOverride();
  await program.parseAsync(words(process.argv), { from: 'user' });
}

/** What is asked of the program itself, not of `serve`. */
const OWN = new Set(['-h', '--help', '-V', '--version']);

/**
 * The command and its arguments. What starts virtiofsd (libvirt, scripts) names no command: options
 * without one, or a program that is called virtiofsd, mean `serve`.
 */
function words([, program = '', ...given]: readonly string[]): string[] {
  const [first] = given;
  const bare = first !== undefined && first.startsWith('-') && !OWN.has(first);
  const named = path.basename(program) === 'virtiofsd' && first !== 'serve';
  return bare || named ? ['serve', ...given] : given;
}

main().catch((error: unknown) => {
  if (error instanceof InvalidArgumentError) {
    // Words that are looked at only when the command runs.
    process.stderr.write(`error: ${error.message}\n`);
  }
  if (error instanceof CommanderError) {
    // commander has said what is wrong; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? 0 : WRONG_USAGE;
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`virtiofsd-inspector: ${message}\n`);
  process.exitCode = 1;
});
