// Builds the client's addon into out/frontend/ unless what is there is newer than its sources.
// Usage: node test/frontend/native/build.mjs

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, '../../../out/frontend/frontend.node');

/** Builds the client's addon when a source is newer than it. */
export function buildFrontend() {
  const sources = readdirSync(here).filter((name) => /\.(cc|h|gyp)$/.test(name));
  const newest = Math.max(...sources.map((name) => statSync(join(here, name)).mtimeMs));
  if (existsSync(target) && statSync(target).mtimeMs >= newest) return;
  const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  // A distribution's node brings its headers; without them node-gyp fetches them.
  const prefix = join(dirname(process.execPath), '..');
  const headers = existsSync(join(prefix, 'include/node/node_api.h'))
    ? [`--nodedir=${prefix}`]
    : [];
  const done = spawnSync(process.execPath, [nodeGyp, 'rebuild', ...headers], {
    cwd: here,
    encoding: 'utf8',
  });
  if (done.status !== 0) {
    throw new Error(`The client's addon cannot be built:\n${done.stdout}${done.stderr}`);
  }
  mkdirSync(dirname(target), { recursive: true });
  const fresh = `${target}.${process.pid}`;
  copyFileSync(join(here, 'build/Release/frontend.node'), fresh);
  // A running client keeps the old file mapped.
  renameSync(fresh, target);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildFrontend();
