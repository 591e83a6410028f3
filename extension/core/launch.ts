/** Runs the bundled daemon as a child process, from its start to the clean end of its mount. */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { HandleMode } from '../../daemon/protocol/json';
import type { Log } from './log';
import { messageOf } from './log';
import { logDaemonLine } from './logLine';

export const CACHE_POLICIES = ['never', 'metadata', 'auto', 'always'] as const;
export type CachePolicy = (typeof CACHE_POLICIES)[number];

export interface LaunchRequest {
  /** The program that runs JavaScript: Electron, the server's node, or one that the user chose. */
  readonly node: string;
  /** dist/daemon/cli.js */
  readonly program: string;
  readonly sharedDir: string;
  /** Options that say where to serve: `--mount DIR` or `--socket-path PATH`. */
  readonly place: readonly string[];
  readonly inodeFileHandles: HandleMode;
  readonly cache: CachePolicy;
  /** Further options of `serve`. */
  readonly more?: readonly string[];
}

/** How a daemon ended. */
export interface Exit {
  /** Asked for by `stop`. */
  readonly expected: boolean;
  /** One sentence; for an unexpected end with the daemon's own last words. */
  readonly message: string;
}

/**
 * How long a daemon may take to unmount and end before it is killed, in ms: less than the five
 * seconds that VS Code gives an extension to end.
 */
const STOP_MS = 4_000;

/**
 * The environment for the daemon: without what would make it load foreign code
 * (the auto-attach of a JavaScript debugger sets NODE_OPTIONS) or take part in VS Code's own
 * conversations, and with the one variable that makes Electron a plain node.
 */
export function daemonEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(
    ([name]) => !/^(NODE_OPTIONS$|NODE_INSPECT|VSCODE_|ELECTRON_|npm_)/.test(name),
  );
  return { ...Object.fromEntries(kept), ELECTRON_RUN_AS_NODE: '1' };
}

export function daemonArguments(request: LaunchRequest): string[] {
  return [
    request.program,
    'serve',
    ...['--shared-dir', request.sharedDir],
    ...request.place,
    `--inode-file-handles=${request.inodeFileHandles}`,
    ...['--cache', request.cache],
    '--inspect',
    ...(request.more ?? []),
  ];
}

export class DaemonProcess {
  readonly pid: number;
  /** Resolves, never rejects, when the process has ended and its last words are logged. */
  readonly exited: Promise<Exit>;
  #stopping = false;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, pid: number, log: Log) {
    this.#child = child;
    this.pid = pid;
    let lastError = '';
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        const level = logDaemonLine(log, pid, line);
        if (level === 'error' || lastError === '') lastError = line.trim();
      });
    }
    this.exited = new Promise((resolve) => {
      // `close` and not `exit`: only then has everything that it printed been read.
      child.once('close', (code, signal) => {
        const how = signal === null ? `exit status ${code}` : `signal ${signal}`;
        log.info(`[${pid}] ended with ${how}`);
        const words = lastError === '' ? '' : `: ${lastError}`;
        resolve(
          this.#stopping
            ? { expected: true, message: 'The daemon was stopped.' }
            : { expected: false, message: `The daemon ended with ${how}${words}` },
        );
      });
    });
  }

  /** @throws Error when the program cannot be started at all */
  static async start(
    node: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv,
    log: Log,
  ): Promise<DaemonProcess> {
    log.info(`Starting ${[node, ...args].map(quote).join(' ')}`);
    const child = spawn(node, args, {
      cwd: '/',
      env: daemonEnvironment(environment),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
    } catch (error) {
      throw new Error(
        `${node} cannot be run (${messageOf(error)}). Check the setting virtiofsdInspector.nodePath.`,
      );
    }
    if (child.pid === undefined) throw new Error(`${node} has started without a process id.`);
    return new DaemonProcess(child, child.pid, log);
  }

  /** Ends the daemon; resolves when it is gone. A daemon that hangs is killed after STOP_MS. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    await this.exited;
    clearTimeout(timer);
  }
}

/** For the log: as a shell would take it. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
