/**
 * The lease of a command line's debugger, beside the runtime files: so that `step` and `continue`,
 * started apart, find the debugger that `break` is.
 */

import * as fs from 'node:fs';
import path from 'node:path';
import { runtimeDirectories, runtimeDirectory } from './runtimeFiles';

function nameOf(directory: string, pid: number): string {
  return path.join(directory, `${pid}.lease`);
}

/** @returns a function that removes it */
export function writeLeaseFile(pid: number, lease: string): () => void {
  const directory = runtimeDirectory();
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = nameOf(directory, pid);
  fs.rmSync(file, { force: true });
  fs.writeFileSync(file, `${lease}\n`, { mode: 0o600, flag: 'wx' });
  return () => {
    // Another debugger may have come since.
    if (readLeaseFile(pid) === lease) fs.rmSync(file, { force: true });
  };
}

/** Removes what a debugger left behind that was killed. */
export function removeLeaseFile(pid: number): void {
  for (const directory of runtimeDirectories()) fs.rmSync(nameOf(directory, pid), { force: true });
}

/** The lease of the debugger that runs for this daemon, or null. */
export function readLeaseFile(pid: number): string | null {
  for (const directory of runtimeDirectories()) {
    try {
      return fs.readFileSync(nameOf(directory, pid), 'utf8').trim();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
  return null;
}
