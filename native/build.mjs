// Builds the addon into prebuilds/linux-<arch>/ unless what is there is newer than its sources.
// Usage: node native/build.mjs [--force]

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, '..', 'prebuilds', `linux-${process.arch}`, 'virtiofsd-inspector.node');

function newest() {
  const sources = readdirSync(join(here, 'src')).map((name) => join(here, 'src', name));
  return Math.max(...[...sources, join(here, 'binding.gyp')].map((file) => statSync(file).mtimeMs));
}

function run(command, args) {
  const done = spawnSync(command, args, { cwd: here, encoding: 'utf8' });
  if (done.error) throw new Error(`cannot run ${command}: ${done.error.message}`);
  if (done.status !== 0) {
    process.stderr.write(done.stdout + done.stderr);
    throw new Error(`${command} failed with status ${done.status}`);
  }
}

/** Builds the addon when a source is newer than it, or always when `force` is set. */
export function buildAddon(force = false) {
  if (!force && existsSync(target) && statSync(target).mtimeMs >= newest()) return;
  const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  const prefix = join(dirname(process.execPath), '..');
  // A distribution's node brings its headers; without them node-gyp fetches them.
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h'))
    ? [`--nodedir=${prefix}`]
    : [];
  run(process.execPath, [nodeGyp, 'rebuild', ...headers]);
  mkdirSync(dirname(target), { recursive: true });
  const fresh = `${target}.${process.pid}`;
  copyFileSync(join(here, 'build', 'Release', 'virtiofsd-inspector.node'), fresh);
  run('strip', ['--strip-unneeded', fresh]);
  // A running daemon keeps the old file mapped.
  renameSync(fresh, target);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  buildAddon(process.argv.includes('--force'));
}
