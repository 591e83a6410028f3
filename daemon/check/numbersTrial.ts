/**
 * Whether inode numbers are used again, found out by making and removing files in a private
 * directory. That directory is removed again, also when the program is told to end, and the one that
 * it was made in gets its time of change back.
 */

import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import type { Addon, NamedHandle } from '../../native/index';
import type { Numbers } from './report';

const O_PATH = 0x200000;
/** As many as it takes to see xfs reuse, which frees inodes in the background. */
const ROUNDS = 1000;
const ROUNDS_WHILE_HELD = 64;
const MAX_MS = 500;
/** Fewer say little; a slow disk gets more time for these. */
const ROUNDS_WANTED = 200;
const MAX_MS_FOR_THESE = 2_000;
/** Between two looks at whether the program was told to end. */
const ROUNDS_AT_A_TIME = 25;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

type Measured = Omit<Extract<Numbers, { state: 'measured' }>, 'state' | 'in' | 'timeRestored'>;
export type Tried = (Measured & { readonly timeRestored: boolean }) | { readonly notTried: string };

/**
 * @param fd the directory to try in, open for reading
 * @throws Error when what was made could not be removed
 */
export async function tryNumbers(native: Addon, fd: number): Promise<Tried> {
  const before = fs.fstatSync(fd, { bigint: true });
  const parent = `/proc/self/fd/${fd}`;
  const name = `.virtiofsd-inspector-check-${randomBytes(6).toString('hex')}`;
  const restore = (): boolean => restoreTime(native, fd, before.mtimeNs);
  try {
    fs.accessSync(parent, fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    return { notTried: whyNotMade(error) };
  }
  // Only its owner and CAP_FOWNER may set a file's times: where that is refused nothing is tried.
  if (!restore()) return { notTried: 'its time of change could not be put back afterwards' };

  return untilSignalled(async (told) => {
    try {
      fs.mkdirSync(`${parent}/${name}`, { mode: 0o700 });
    } catch (error) {
      return { notTried: whyNotMade(error) };
    }
    let measured: Measured | { readonly notTried: string };
    try {
      measured = await inside(native, `${parent}/${name}`, told);
    } catch (error) {
      measured = { notTried: whyNotMade(error) };
    }
    removeDirectory(parent, name);
    const timeRestored = restore();
    return 'notTried' in measured ? measured : { ...measured, timeRestored };
  });
}

function whyNotMade(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  switch (code) {
    case 'EACCES':
      return 'it is not writable for this user';
    case 'EROFS':
      return 'it is read-only';
    case 'ENOSPC':
    case 'EDQUOT':
      return `there is no room (${code})`;
    default:
      return `no file can be made in it (${code})`;
  }
}

/** Makes and removes files through a descriptor, so that nobody can slip another directory in. */
async function inside(native: Addon, path: string, told: () => boolean): Promise<Measured> {
  const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW;
  const directory = fs.openSync(path, flags);
  try {
    const file = `/proc/self/fd/${directory}/file`;
    const numbers = new Set<bigint>();
    const handles = new Set<string>();
    let handlesMade = true;
    const start = Date.now();
    const late = (): boolean =>
      Date.now() - start > (rounds < ROUNDS_WANTED ? MAX_MS_FOR_THESE : MAX_MS);
    let rounds = 0;
    while (rounds < ROUNDS && !late() && !told()) {
      for (let i = 0; i < ROUNDS_AT_A_TIME; i++, rounds++) {
        const { ino, handle } = makeAndRemove(native, file);
        numbers.add(ino);
        if (handle === null) handlesMade = false;
        else handles.add(`${handle.type} ${Buffer.from(handle.bytes).toString('hex')}`);
      }
      await aTurn();
    }
    const held = tryWhileHeld(native, `/proc/self/fd/${directory}`);
    return {
      rounds,
      distinctNumbers: numbers.size,
      distinctHandles: handlesMade ? handles.size : null,
      ...held,
    };
  } finally {
    // What a failure left. Through the descriptor: the name may be somebody else's by now.
    for (const left of ['file', 'held']) {
      fs.rmSync(`/proc/self/fd/${directory}/${left}`, { force: true });
    }
    fs.closeSync(directory);
  }
}

/** Whether an O_PATH descriptor keeps its file's number from being given away. */
function tryWhileHeld(
  native: Addon,
  directory: string,
): Pick<Measured, 'roundsWhileHeld' | 'reusedWhileHeld'> {
  const victim = `${directory}/held`;
  const fd = makeFile(victim);
  const { ino } = identityOf(native, fd);
  fs.closeSync(fd);
  const held = native.openPath(victim, O_PATH);
  fs.unlinkSync(victim);
  let reusedWhileHeld = false;
  let roundsWhileHeld = 0;
  try {
    while (held >= 0 && roundsWhileHeld < ROUNDS_WHILE_HELD && !reusedWhileHeld) {
      reusedWhileHeld = makeAndRemove(native, `${directory}/file`).ino === ino;
      roundsWhileHeld++;
    }
  } finally {
    if (held >= 0) native.closeDescriptor(held);
  }
  return { roundsWhileHeld, reusedWhileHeld };
}

function makeFile(path: string): number {
  return fs.openSync(
    path,
    fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY,
    0o600,
  );
}

function makeAndRemove(native: Addon, path: string): { ino: bigint; handle: NamedHandle | null } {
  const fd = makeFile(path);
  try {
    const handle = native.nameToHandle(fd, '');
    return {
      ino: identityOf(native, fd).ino,
      handle: typeof handle === 'number' ? null : handle,
    };
  } finally {
    fs.closeSync(fd);
    fs.unlinkSync(path);
  }
}

function identityOf(native: Addon, fd: number): { readonly ino: bigint } {
  const identity = native.identify(fd, '');
  if (typeof identity === 'number') throw new Error(`statx failed (errno ${-identity})`);
  return identity;
}

/** @throws Error that names what is left */
function removeDirectory(parent: string, name: string): void {
  try {
    fs.rmdirSync(`${parent}/${name}`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Error(
      `${fs.readlinkSync(parent)}/${name} was made to try inode numbers and cannot be removed ` +
        `(${code}): remove it by hand.`,
    );
  }
}

/** @returns whether the directory has that time now */
function restoreTime(native: Addon, fd: number, mtimeNs: bigint): boolean {
  const second = 1_000_000_000n;
  const nanoseconds = ((mtimeNs % second) + second) % second;
  const result = native.setModificationTime(
    fd,
    (mtimeNs - nanoseconds) / second,
    Number(nanoseconds),
  );
  return result === 0 && fs.fstatSync(fd, { bigint: true }).mtimeNs === mtimeNs;
}

/** Lets signals and other callbacks in. */
function aTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * While `work` runs, signals that would end the program only set `told`; when it has cleaned up,
 * they end the program as they would have.
 */
async function untilSignalled<T>(work: (told: () => boolean) => Promise<T>): Promise<T> {
  const told: NodeJS.Signals[] = [];
  const note = (signal: NodeJS.Signals): void => void told.push(signal);
  for (const signal of SIGNALS) process.on(signal, note);
  try {
    return await work(() => told.length > 0);
  } finally {
    // A signal that came in the meantime is seen in a turn of its own.
    await aTurn();
    for (const signal of SIGNALS) process.off(signal, note);
    const [first] = told;
    if (first !== undefined) process.kill(process.pid, first);
  }
}
