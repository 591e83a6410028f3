/** Daemons on a mount, as the benchmarks of mounts measure them. */

import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { benchRoot } from './measure';

/** passthrough_hp holds a descriptor for each, and containers often allow 20,000. */
export const FILES = 15_000;
export const DATA = 256 * 1024 * 1024;
export const METADATA = ['stat', 'find', 'create', 'unlink', 'open'] as const;
export const OPERATIONS: Readonly<Record<string, number>> = { create: 5_000, unlink: 5_000 };

/** The program that works on the mount. */
export function buildWorkload(folder: string): string {
  const workload = path.join(folder, 'workload');
  execFileSync('g++', [
    ...['-O2', '-std=c++17', '-o', workload],
    path.join(benchRoot(), 'test/bench/peers/workload.cc'),
  ]);
  return workload;
}

/** Waits until something is mounted; looks as often as the mount table can be read. */
export async function mounted(mount: string, daemon: ChildProcess): Promise<void> {
  while (!fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${mount} `)) {
    if (daemon.exitCode !== null) throw new Error(`The daemon ended with ${daemon.exitCode}.`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  fs.statSync(mount);
}

export function exit(child: ChildProcess): Promise<void> {
  return child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', () => resolve()));
}

/** Numbers of poll(2) on x86-64 and arm64: only the serving thread waits so, Node waits in epoll. */
const POLL = new Set(['7', '73']);

/** @returns the serving thread's id */
export async function pinWorker(pid: number): Promise<string> {
  for (;;) {
    const waiting = fs.readdirSync(`/proc/${pid}/task`).find((thread) => {
      const call = fs.readFileSync(`/proc/${pid}/task/${thread}/syscall`, 'utf8').split(' ')[0];
      return POLL.has(call ?? '');
    });
    if (waiting !== undefined) {
      execFileSync('taskset', ['-p', '-c', '0', waiting], { stdio: 'ignore' });
      return waiting;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** @param data bytes of a file that is in the page cache, or 0 for none */
export function makeShare(folder: string, data: number): string {
  const image = path.join(folder, 'ext4.img');
  const share = path.join(folder, 'share');
  fs.mkdirSync(share);
  execFileSync('truncate', ['-s', '2G', image]);
  execFileSync('mkfs.ext4', ['-q', image]);
  execFileSync('mount', ['-o', 'loop', image, share]);
  for (let i = 0; i < FILES; i++) {
    const directory = path.join(share, `d${String(Math.floor(i / 100)).padStart(3, '0')}`);
    if (i % 100 === 0) fs.mkdirSync(directory);
    fs.writeFileSync(path.join(directory, `f${String(i).padStart(5, '0')}`), 'x');
  }
  if (data > 0) {
    fs.writeFileSync(path.join(share, 'data'), Buffer.alloc(data, 'd'));
    fs.readFileSync(path.join(share, 'data'));
  }
  return share;
}

export function unmount(target: string): void {
  try {
    execFileSync('umount', ['-l', target], { stdio: 'ignore' });
  } catch {
    // It was not mounted.
  }
}

/** Nanoseconds that a thread has been on a processor. */
export function threadTime(pid: number, thread: string): number {
  return Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
}
