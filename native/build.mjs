// Builds the addon into prebuilds/linux-<arch>/ unless what is there is newer than its sources.
// Usage: node native/build.mjs [--force | --sanitize]

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const NAME = 'virtiofsd-inspector';
const PREBUILDS = join('prebuilds', `linux-${process.arch}`);
const target = join(here, '..', PREBUILDS, `${NAME}.node`);

/** The root to give to loadAddon for the addon that buildSanitized has built. */
export const sanitizedRoot = join(here, '..', 'out', 'sanitized');

/** @param {string} folder with binding.gyp and src/ */
function newest(folder) {
  const sources = readdirSync(join(folder, 'src')).map((name) => join(folder, 'src', name));
  const files = [...sources, join(folder, 'binding.gyp')];
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

function run(command, args, cwd = here, env = process.env) {
  const done = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  if (done.error) throw new Error(`cannot run ${command}: ${done.error.message}`);
  if (done.status !== 0) {
    process.stderr.write(done.stdout + done.stderr);
    throw new Error(`${command} failed with status ${done.status}`);
  }
}

function nodeGyp(folder, steps, env) {
  const program = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  const prefix = join(dirname(process.execPath), '..');
  // A distribution's node brings its headers; without them node-gyp fetches them.
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h'))
    ? [`--nodedir=${prefix}`]
    : [];
  run(process.execPath, [program, ...steps, ...headers], folder, env);
}

/** Builds the addon when a source is newer than it, or always when `force` is set. */
export function buildAddon(force = false) {
  if (!force && existsSync(target) && statSync(target).mtimeMs >= newest(here)) return;
  nodeGyp(here, ['rebuild'], process.env);
  mkdirSync(dirname(target), { recursive: true });
  const fresh = `${target}.${process.pid}`;
  copyFileSync(join(here, 'build', 'Release', `${NAME}.node`), fresh);
  run('strip', ['--strip-unneeded', fresh]);
  // A running daemon keeps the old file mapped.
  renameSync(fresh, target);
}

/**
 * Builds an addon with AddressSanitizer and UndefinedBehaviorSanitizer into prebuilds/ below
 * `sanitizedRoot`. A process that loads it needs libasan preloaded, because Node itself is built
 * without.
 *
 * @param {string} folder with binding.gyp and src/
 * @param {string} name the target's, in binding.gyp
 * @param {string} linking further flags for the linker
 * @returns {string} the addon's path
 */
export function buildSanitized(folder = here, name = NAME, linking = '') {
  const built = join(sanitizedRoot, PREBUILDS, `${name}.node`);
  if (existsSync(built) && statSync(built).mtimeMs >= newest(folder)) return built;
  // A tree of its own, so that the ordinary build's objects are left alone.
  const place = join(sanitizedRoot, name);
  mkdirSync(place, { recursive: true });
  copyFileSync(join(folder, 'binding.gyp'), join(place, 'binding.gyp'));
  rmSync(join(place, 'src'), { force: true });
  symlinkSync(join(folder, 'src'), join(place, 'src'));
  // vptr checks need RTTI, which addons are built without.
  const checks = '-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined';
  nodeGyp(place, ['configure', 'build', '--jobs=2'], {
    ...process.env,
    CXXFLAGS: `${checks} -fno-omit-frame-pointer -g1 -O1`,
    LDFLAGS: `-fsanitize=address,undefined ${linking}`,
  });
  mkdirSync(dirname(built), { recursive: true });
  const fresh = `${built}.${process.pid}`;
  copyFileSync(join(place, 'build', 'Release', `${name}.node`), fresh);
  renameSync(fresh, built);
  return built;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--sanitize')) buildSanitized();
  else buildAddon(process.argv.includes('--force'));
}
