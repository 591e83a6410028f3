/**
 * Runtime files: how other programs of this host find a daemon (docs/protocol.md). One file a daemon,
 * readable by its user alone because it holds the token.
 */

import * as fs from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import type { RuntimeFile } from '../protocol/runtimeFile';
import { runtimeFile } from '../protocol/runtimeFile';

/** Where this user's daemons leave their runtime files. */
export function runtimeDirectory(): string {
  const own = process.env['XDG_RUNTIME_DIR'];
  const root = process.getuid?.() === 0;
  const base = root ? '/run' : own !== undefined && own !== '' ? own : fallbackDirectory();
  return path.join(base, 'virtiofsd-inspector');
}

/** Where to look for daemons: the user's own folder and, for root, root's. */
export function runtimeDirectories(): readonly string[] {
  const own = process.env['XDG_RUNTIME_DIR'];
  const directories = new Set([runtimeDirectory()]);
  if (own !== undefined && own !== '') directories.add(path.join(own, 'virtiofsd-inspector'));
  return [...directories];
}

// Without a login session there is no XDG_RUNTIME_DIR; the name must not be another user's to take.
function fallbackDirectory(): string {
  return path.join('/tmp', `virtiofsd-inspector-${process.getuid?.() ?? 0}`);
}

/**
 * Start time of a process in clock ticks since boot, field 22 of proc_pid_stat(5); null when it is
 * gone. With the pid it names a process for ever.
 */
export function processStartTime(pid: number): string | null {
  let stat: string;
  try {
    stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The second field is the program's name in parentheses and may contain anything.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

/**
 * Writes a daemon's runtime file, whole or not at all. Under sudo it goes to the user who asked, so
 * that their editor finds the daemon.
 *
 * @returns a function that removes it
 * @throws when the directory cannot be made or written
 */
export function writeRuntimeFile(file: RuntimeFile): () => void {
  const uid = Number(process.env['SUDO_UID'] ?? NaN);
  const gid = Number(process.env['SUDO_GID'] ?? NaN);
  const underSudo = process.getuid?.() === 0 && Number.isInteger(uid) && uid > 0;
  const userRuntime = `/run/user/${uid}`;
  const directory =
    underSudo && fs.existsSync(userRuntime)
      ? path.join(userRuntime, 'virtiofsd-inspector')
      : runtimeDirectory();
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { uid: owner, mode } = fs.lstatSync(directory);
  const trusted = owner === process.getuid?.() || (underSudo && owner === uid) || owner === 0;
  if (!trusted || (mode & 0o022) !== 0) {
    throw new Error(
      `${directory} belongs to another user or is writable by others; remove it, then start again.`,
    );
  }
  const target = path.join(directory, `${file.pid}.json`);
  const temporary = `${target}.${process.pid}.new`;
  fs.writeFileSync(temporary, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  if (underSudo) {
    fs.chownSync(temporary, uid, Number.isInteger(gid) ? gid : uid);
    if (directory.startsWith(userRuntime)) fs.chownSync(directory, uid, gid);
  }
  fs.renameSync(temporary, target);
  return () => fs.rmSync(target, { force: true });
}

/**
 * The daemons of this host, the newest first. Files of processes that are gone are removed;
 * malformed ones are reported through `complain` and left alone.
 */
export function listRuntimeFiles(complain: (sentence: string) => void): RuntimeFile[] {
  return runtimeDirectories()
    .flatMap((directory) => readDirectory(directory).map((name) => path.join(directory, name)))
    .flatMap((file) => readRuntimeFile(file, complain) ?? [])
    .sort((a, b) => Number(b.startTime) - Number(a.startTime));
}

function readDirectory(directory: string): string[] {
  try {
    return fs.readdirSync(directory).filter((name) => /^[0-9]+\.json$/.test(name));
  } catch {
    return [];
  }
}

/**
 * Whether a runtime file is this user's, or root's. In a place that others may write to, a file of
 * theirs would lead our clients to a server of theirs.
 */
function isTrusted({ uid, mode }: fs.Stats): boolean {
  const own = process.getuid?.();
  const askedAsRoot = own === 0 && uid === Number(process.env['SUDO_UID'] ?? NaN);
  return (uid === own || uid === 0 || askedAsRoot) && (mode & 0o022) === 0;
}

/** @returns null when the daemon is gone or the file is not one, or another user's */
export function readRuntimeFile(
  file: string,
  complain: (sentence: string) => void,
): RuntimeFile | null {
  let json: unknown;
  try {
    const stats = fs.lstatSync(file);
    if (!isTrusted(stats)) {
      complain(`${file} belongs to another user or is writable by others; it is not believed.`);
      return null;
    }
    json = JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    // Another process may have cleaned it up meanwhile; anything else is worth a word.
    if (fs.existsSync(file)) complain(`${file} cannot be read as a runtime file: ${String(error)}`);
    return null;
  }
  const parsed = v.safeParse(runtimeFile, json);
  if (!parsed.success) {
    complain(
      `${file} is not a runtime file: ${v.getDotPath(parsed.issues[0]) ?? 'it'} is malformed.`,
    );
    return null;
  }
  if (processStartTime(parsed.output.pid) === parsed.output.startTime) return parsed.output;
  fs.rmSync(file, { force: true });
  return null;
}
