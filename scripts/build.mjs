/**
 * Builds everything that runs: the addon, the daemon with its worker, the extension, the webview.
 * Types are checked by `npm run typecheck` (tsc -b), which also checks the arrows between rooms.
 */

import { build } from 'esbuild';
import { chmod, cp, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { renderHazardPages } from './hazardPages.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const dist = path.join(root, 'dist');

/** @type {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  bundle: true,
  sourcemap: true,
  logLevel: 'warning',
  legalComments: 'none',
};

/** @type {import('esbuild').BuildOptions} */
const node = {
  ...common,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  // Optional speed-ups of ws that are not worth two more addons.
  external: ['bufferutil', 'utf-8-validate', 'vscode'],
};

/**
 * Bundles programs for Node.
 *
 * @param {Record<string, string>} entryPoints files by the names that the programs get
 * @param {string} outdir
 * @param {import('esbuild').BuildOptions} [more]
 */
export async function bundleForNode(entryPoints, outdir, more = {}) {
  await build({ ...node, entryPoints, outdir, ...more });
}

/**
 * Bundles the daemon and its worker, which must stand side by side.
 *
 * @param {string} outdir
 * @returns {Promise<string>} the program
 */
export async function bundleDaemon(outdir) {
  await bundleForNode({ cli: 'daemon/cli.ts', worker: 'daemon/worker.ts' }, outdir);
  return path.resolve(root, outdir, 'cli.js');
}

export async function buildAll() {
  const { buildAddon } = await import('../native/build.mjs');
  await buildAddon();
  await mkdir(dist, { recursive: true });
  await Promise.all([
    bundleDaemon('dist/daemon'),
    bundleForNode({ extension: 'extension/extension.ts' }, 'dist/extension', { minify: true }),
    build({
      ...common,
      platform: 'browser',
      target: 'chrome128',
      format: 'iife',
      minify: true,
      entryPoints: { map: 'webview/map.ts' },
      outdir: 'dist/webview',
      // The widgets come from one file (webview/ui/contract.ts says what it must offer).
      alias: { '#ui': './webview/ui/toolkit.ts' },
    }),
  ]);
  for (const style of ['map.css', 'document.css']) {
    await cp(path.join(root, 'webview', style), path.join(dist, 'webview', style));
  }
  await renderHazardPages(path.join(root, 'docs/hazards'), path.join(dist, 'webview/hazards'));
  await rm(path.join(dist, 'tours'), { recursive: true, force: true });
  await cp(path.join(root, 'tours'), path.join(dist, 'tours'), { recursive: true });
  await chmod(path.join(dist, 'daemon/cli.js'), 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildAll();
