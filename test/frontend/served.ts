/** A small tree, and our daemon on it. */

import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { daemonProgram } from '../filesystem/harness';
import type { Daemon, DaemonOptions } from './daemons';
import { startDaemon, stopDaemons } from './daemons';
import type { Frontend } from './frontend';
import type { VmmOptions } from './vmm';

export const FILES = 40;
export const BIG = 3 * 1024 * 1024;

/** What byte of the file `big` stands at an offset. */
export const bigByte = (offset: number): number => (offset * 31 + (offset >> 12)) & 0xff;

const folders: string[] = [];

/** f0 to f39 with their own names as content, big, and an empty directory d. */
export function smallTree(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'frontend-share-'));
  folders.push(folder);
  fs.chmodSync(folder, 0o755);
  for (let i = 0; i < FILES; i++) fs.writeFileSync(path.join(folder, `f${i}`), `f${i}`);
  fs.writeFileSync(
    path.join(folder, 'big'),
    Uint8Array.from({ length: BIG }, (_, i) => bigByte(i)),
  );
  fs.mkdirSync(path.join(folder, 'd'));
  return folder;
}

/** Our daemon on a small tree. It is stopped after the test. */
export async function daemonOnTree(options: DaemonOptions = {}): Promise<Daemon> {
  return startDaemon('ours', smallTree(), { program: await daemonProgram(), ...options });
}

/** Our daemon on a small tree and a guest that has sent INIT. */
export async function served(
  vmm: VmmOptions = {},
  options: DaemonOptions = {},
): Promise<{ readonly daemon: Daemon; readonly fs: Frontend }> {
  const daemon = await daemonOnTree(options);
  const guest = await daemon.connect(vmm);
  await guest.init();
  return { daemon, fs: guest };
}

/** Waits until the daemon has said this: its log is written by another thread than its answers. */
export async function said(daemon: Daemon, what: RegExp): Promise<void> {
  const limit = Date.now() + 30_000;
  while (!what.test(daemon.log())) {
    if (Date.now() > limit) throw new Error(`The daemon did not say ${what}: ${daemon.log()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The guest does a bit of everything and finds it right. */
export async function works(guest: Frontend): Promise<void> {
  const { nodeid } = await guest.lookup(1n, 'f7');
  const { fh } = await guest.open(nodeid, fs.constants.O_RDONLY);
  const content = await guest.read(nodeid, fh, 0, 4096);
  if (content.toString() !== 'f7') throw new Error(`f7 holds ${JSON.stringify(String(content))}.`);
  await guest.release(nodeid, fh);
  const dir = await guest.opendir(1n);
  const entries = await guest.readdirplus(1n, dir.fh, 0, 65_536);
  if (entries.length !== FILES + 4) throw new Error(`The root has ${entries.length} entries.`);
  await guest.releasedir(1n, dir.fh);
  for (const { entry } of entries) {
    if (entry.nodeid !== 0n) await guest.forget(entry.nodeid, 1);
  }
  await guest.forget(nodeid, 1);
}

/** For a group whose tests start a daemon each. */
export function oneDaemonATest(): void {
  afterEach(stopDaemons);
}

/** For a group whose tests share a daemon and its guest, which starting would take longer than. */
export function oneDaemonForAll(
  vmm: VmmOptions = {},
  options: DaemonOptions = {},
): () => Awaited<ReturnType<typeof served>> {
  let started: Awaited<ReturnType<typeof served>> | null = null;
  beforeAll(async () => {
    started = await served(vmm, options);
  });
  afterAll(stopDaemons);
  return () => {
    if (started === null) throw new Error('The daemon was not started.');
    return started;
  };
}

afterAll(() => {
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});
