/**
 * What `npm start` and `npm test` need before anything else: the npm packages of the lock file, as
 * they stand there. Runs with nothing but Node, so it imports nothing that is to be installed.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

const NODE_MINIMUM = [20, 17];

/**
 * Installs the npm packages when they are missing or older than the lock file.
 *
 * @returns {boolean} whether something was installed
 * @throws {Error} with a sentence that says what to do
 */
export function preparePackages() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor < NODE_MINIMUM[1])) {
    throw new Error(
      `Node ${NODE_MINIMUM.join('.')} or later is needed, this is ${process.version}.`,
    );
  }
  if (process.platform !== 'linux') {
    throw new Error(
      'virtio-fs daemons run on Linux, and so does this; use a Linux machine or WSL 2.',
    );
  }
  const stamp = path.join(root, 'node_modules', '.package-lock.json');
  const lock = path.join(root, 'package-lock.json');
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return false;
  run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error']);
  return true;
}

/**
 * Runs a program in the repository with its output shown.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @throws {Error} when it cannot be run or fails
 */
export function run(command, args) {
  const done = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (done.error !== undefined) throw new Error(`${command} cannot be run: ${done.error.message}`);
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} failed.`);
}
