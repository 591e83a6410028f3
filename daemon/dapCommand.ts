/** `dap`: the debug adapter on stdio, for any client of the Debug Adapter Protocol. */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import type { AttachArguments, LaunchArguments } from './adapter/arguments';
import { serveWords } from './adapter/arguments';
import type { Connection, Launched } from './adapter/host';
import { DebugAdapter } from './adapter/session';
import { connect, findTarget } from './inspector/connect';

const CLIENT = 'virtiofsd-inspector debug adapter';
/** How long a daemon that was asked to end may take, in ms. */
const STOP_MS = 4_000;

export function addDapCommand(program: Command): void {
  program
    .command('dap')
    .description('the debug adapter on stdio, for Neovim, Emacs and other DAP clients')
    .addHelpText('after', '\nSee docs/debugging.md for what to write into the configuration.')
    .action(run);
}

async function run(): Promise<void> {
  let gone: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (gone = resolve));
  const adapter = new DebugAdapter({ hasRuleTexts: false, attach, launch }, gone);
  // A client that is gone cannot say so.
  process.stdin.once('end', gone).once('close', gone);
  process.stdout.on('error', gone);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, gone);
  adapter.start(process.stdin, process.stdout);
  await over;
  await adapter.end();
  process.stdin.destroy();
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

async function attach({ pid, url, runtimeFile }: AttachArguments): Promise<Connection> {
  return open(pid === undefined ? (url ?? runtimeFile) : String(pid));
}

async function open(target: string | undefined): Promise<Connection> {
  const connection = await connect(findTarget(target, say), CLIENT);
  const { target: daemon } = await connection.client.hello(CLIENT);
  return { ...connection, target: daemon };
}

/** The same program as a daemon. */
async function launch(wanted: LaunchArguments, tell: (line: string) => void): Promise<Launched> {
  const { mount, socketPath } = wanted;
  if (mount === undefined && socketPath === undefined) {
    throw new Error('launch: give mount (an empty folder) or socketPath.');
  }
  const place = mount === undefined ? ['--socket-path', socketPath ?? ''] : ['--mount', mount];
  const words = serveWords(wanted, place);
  const child = spawn(process.execPath, [process.argv[1] ?? '', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await serving(child, tell);
  const { pid } = child;
  if (pid === undefined) throw new Error('The daemon has started without a process id.');
  const stop = () => end(child);
  try {
    return { connection: await open(String(pid)), pid, place: mount ?? socketPath ?? '', stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @throws Error with the daemon's last words when it ends instead */
async function serving(child: ChildProcess, tell: (line: string) => void): Promise<void> {
  if (child.stderr === null) throw new Error('The daemon has no stderr.');
  const lines = createInterface({ input: child.stderr });
  let last = '';
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      last = line;
      tell(line);
      if (line.includes('Serving ')) resolve();
    });
    child.once('error', reject);
    lines.once('close', () => reject(new Error(`The daemon did not start: ${last}`)));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}
