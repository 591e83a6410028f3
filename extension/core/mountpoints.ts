/**
 * The folders on which daemons started here are mounted, and a note beside each that says whose it
 * is. The note outlives a crash of the extension host, so that the next one can clean up.
 */

import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import type { Log } from './log';
import { messageOf } from './log';
import { processStartTime } from './processTime';

const processNote = v.object({ pid: v.number(), startTime: v.string() });

const mountNote = v.object({
  /** The extension host. */
  host: processNote,
  daemon: processNote,
});

/**
 * Folders that may hold the mountpoints, the best first. $XDG_RUNTIME_DIR is private, in memory,
 * and never inside a folder that one shares; the extension's storage always exists.
 */
export function mountRoots(environment: NodeJS.ProcessEnv, uid: number, storage: string): string[] {
  const runtime = environment['XDG_RUNTIME_DIR'];
  const roots = [path.join(storage, 'mounts')];
  if (runtime !== undefined && path.isAbsolute(runtime)) {
    roots.unshift(path.join(runtime, 'virtiofsd-inspector', 'mounts'));
  } else if (uid === 0) {
    roots.unshift('/run/virtiofsd-inspector/mounts');
  }
  return roots;
}

/**
 * Makes a fresh empty folder `NAME-N` for a mount, outside the shared directory: a mount inside
 * what it shows would look itself up for ever.
 *
 * @throws Error when none of the roots will do
 */
export async function makeMountpoint(roots: readonly string[], sharedDir: string): Promise<string> {
  const name = path.basename(sharedDir).replaceAll(/[^\w.-]/g, '_') || 'root';
  const refusals: string[] = [];
  for (const root of roots) {
    if (isInside(root, sharedDir)) {
      refusals.push(`${root} is inside the folder itself`);
      continue;
    }
    try {
      await mkdir(root, { recursive: true, mode: 0o700 });
      return await makeNumbered(root, name);
    } catch (error) {
      refusals.push(messageOf(error));
    }
  }
  throw new Error(
    `There is no place to mount ${sharedDir}: ${refusals.join('; ')}. Share a folder further down.`,
  );
}

async function makeNumbered(root: string, name: string): Promise<string> {
  for (let number = 1; ; number++) {
    const folder = path.join(root, `${name}-${number}`);
    try {
      await mkdir(folder, { mode: 0o700 });
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** Writes down that this process owns the mountpoint and which daemon serves it. */
export async function noteMount(mountpoint: string, daemonPid: number): Promise<void> {
  const [host, daemon] = await Promise.all([
    processStartTime(process.pid),
    processStartTime(daemonPid),
  ]);
  if (host === undefined || daemon === undefined) return;
  const note: v.InferOutput<typeof mountNote> = {
    host: { pid: process.pid, startTime: host },
    daemon: { pid: daemonPid, startTime: daemon },
  };
  await writeFile(noteOf(mountpoint), JSON.stringify(note), { mode: 0o600 });
}

/** Removes the folder and its note after the daemon has ended. */
export async function removeMountpoint(mountpoint: string, log: Log): Promise<void> {
  try {
    await removeFolder(mountpoint);
  } catch (first) {
    // A killed daemon leaves a dead mount (ENOTCONN), a busy one is still there (EBUSY).
    await unmount(mountpoint);
    try {
      await removeFolder(mountpoint);
    } catch (second) {
      log.warn(
        `${mountpoint} could not be removed (${messageOf(first)}; then ${messageOf(second)}). ` +
          `Close what works in it, then run: fusermount3 -uz ${mountpoint}; rmdir ${mountpoint}`,
      );
      return;
    }
  }
  await rm(noteOf(mountpoint), { force: true });
}

async function removeFolder(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/**
 * Ends what a crashed extension host has left: its daemons get SIGTERM, and dead mountpoints are
 * removed. Those of living hosts (another window) are left alone.
 */
export async function cleanUpMountpoints(roots: readonly string[], log: Log): Promise<void> {
  for (const root of roots) {
    for (const name of await namesIn(root)) {
      if (name.endsWith('.json')) await cleanUp(path.join(root, name.slice(0, -5)), log);
    }
  }
}

async function cleanUp(mountpoint: string, log: Log): Promise<void> {
  let note: v.InferOutput<typeof mountNote>;
  try {
    note = v.parse(mountNote, JSON.parse(await readFile(noteOf(mountpoint), 'utf8')));
  } catch (error) {
    log.warn(`${noteOf(mountpoint)} is unreadable and was left alone: ${messageOf(error)}`);
    return;
  }
  if (await lives(note.host)) return;
  if (await lives(note.daemon)) {
    log.info(`Stopping the daemon ${note.daemon.pid}, which a former window has left.`);
    process.kill(note.daemon.pid, 'SIGTERM');
    // Its own end takes the mount along; the folder is for the next start to remove.
    return;
  }
  await removeMountpoint(mountpoint, log);
}

async function lives(one: v.InferOutput<typeof processNote>): Promise<boolean> {
  return (await processStartTime(one.pid)) === one.startTime;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    // Nothing was ever mounted there.
    return [];
  }
}

async function unmount(mountpoint: string): Promise<void> {
  const run = promisify(execFile);
  const commands: [string, string[]][] = [
    ['fusermount3', ['-u', '-z', mountpoint]],
    ['umount', ['-l', mountpoint]],
  ];
  for (const [program, args] of commands) {
    try {
      await run(program, args);
      return;
    } catch {
      // Not installed, or nothing mounted there: the rmdir that follows tells what counts.
    }
  }
}

function noteOf(mountpoint: string): string {
  return `${mountpoint}.json`;
}

function isInside(folder: string, parent: string): boolean {
  const relative = path.relative(parent, folder);
  return relative !== '..' && !relative.startsWith('../');
}
