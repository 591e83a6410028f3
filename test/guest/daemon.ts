/** Daemons that serve a directory to virtual machines: ours, and virtiofsd for comparison. */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { createInterface } from 'node:readline';

/** A daemon that waits for a machine or serves one. */
export class Daemon {
  /** Resolves to the exit status; null when a signal ended it. */
  readonly ended: Promise<number | null>;

  private constructor(
    private readonly child: ChildProcess,
    /** Its socket. */
    readonly socket: string,
    /** Its stderr, line by line. */
    readonly log: readonly string[],
  ) {
    this.ended = once(child, 'exit').then(() => child.exitCode);
  }

  /**
   * Starts a daemon and waits until a machine may connect.
   *
   * @param command the program and its options, which name `socket`
   * @throws Error with the daemon's own words when it does not start
   */
  static async start(command: readonly string[], socket: string): Promise<Daemon> {
    // Nothing of this outlives the test.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const log: string[] = [];
    const lines = createInterface({ input: child.stderr });
    await new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        log.push(line);
        // Ours, and both implementations of virtiofsd.
        if (/Serving |Waiting for vhost-user/.test(line)) resolve();
      });
      child.once('error', reject);
      lines.once('close', () => {
        reject(new Error(`${command.join(' ')} did not start: ${log.join('\n')}`));
      });
    });
    return new Daemon(child, socket, log);
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('The daemon has no process.');
    return this.child.pid;
  }

  /** Open descriptors of the daemon's processes. */
  descriptors(): number {
    return processes(this.pid).reduce(
      (sum, pid) => sum + fs.readdirSync(`/proc/${pid}/fd`).length,
      0,
    );
  }

  /** Seconds of processor time that the daemon's processes have used, in steps of 10 ms. */
  processorTime(): number {
    return processes(this.pid).reduce((sum, pid) => {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
      // utime and stime, the 14th and 15th field of proc_pid_stat(5); the second is in parentheses
      // and may contain anything. A second has 100 clock ticks on every Linux that Node runs on.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return sum + (Number(fields[11]) + Number(fields[12])) / 100;
    }, 0);
  }

  /** kill -9, if it still runs. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** A process and all that it started: proc_pid_task_children(5). */
function processes(pid: number): readonly number[] {
  const children = fs
    .readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' '))
    .filter((child) => child !== '');
  return [pid, ...children.flatMap((child) => processes(Number(child)))];
}
