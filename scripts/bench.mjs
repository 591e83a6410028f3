/**
 * `npm run bench -- NAME`: builds and runs one benchmark of test/bench. Each prints its table; none
 * judges.
 */

import { build } from 'esbuild';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { preparePackages, root, run } from './prepare.mjs';

const folder = path.join(root, 'test/bench');
const NOT_BENCHMARKS = new Set(['measure', 'millionEntries', 'mountedDaemon']);
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => path.basename(name, '.ts'))
  .filter((name) => !NOT_BENCHMARKS.has(name));

const [name, ...args] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  process.stdout.write(`Name a benchmark: ${names.join(', ')}.\n`);
  process.exit(2);
}
preparePackages();
const { buildAll } = await import('./build.mjs');
await buildAll();
await build({
  absWorkingDir: root,
  entryPoints: [path.join(folder, `${name}.ts`)],
  outdir: 'dist/bench',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['bufferutil', 'utf-8-validate', 'playwright-core'],
  logLevel: 'warning',
});
run(process.execPath, [path.join(root, 'dist/bench', `${name}.js`), ...args]);
