/**
 * Packs the extension: `npm run package` builds everything and writes
 * dist/virtiofsd-inspector-linux-x64.vsix.
 *
 * What is shipped is copied into a staging folder first: a list of what belongs in cannot forget to
 * leave something out, as an ignore file can.
 */

import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createVSIX } from '@vscode/vsce';
import { buildAll } from './build.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** The one target that the addon is built for. */
const TARGET = 'linux-x64';

const BUNDLES = ['dist/daemon', 'dist/extension', 'dist/webview'];
const FOLDERS = [...BUNDLES, 'dist/tours', `prebuilds/${TARGET}`, 'media', 'docs/hazards'];
const TEXTS = ['README.md', 'CHANGELOG.md', 'LICENSE'];

/** Keys of package.json that mean something to VS Code or to the command line. */
const MANIFEST_KEYS = [
  ...['name', 'displayName', 'description', 'version', 'publisher', 'license', 'engines', 'bin'],
  ...['repository', 'homepage', 'bugs', 'main', 'icon', 'categories', 'keywords', 'pricing'],
  ...['extensionKind', 'activationEvents', 'capabilities', 'contributes'],
];

/** Builds everything and packs it. @returns the path of the VSIX */
export async function packageExtension() {
  await buildAll();
  const staging = await mkdtemp(path.join(tmpdir(), 'vsix-'));
  try {
    await stage(staging);
    const packagePath = path.join(root, 'dist', `virtiofsd-inspector-${TARGET}.vsix`);
    await createVSIX({
      cwd: staging,
      packagePath,
      target: TARGET,
      dependencies: false,
      allowMissingRepository: true,
      rewriteRelativeLinks: false,
      skipLicense: true,
    });
    return packagePath;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** @param {string} staging */
async function stage(staging) {
  for (const folder of FOLDERS) {
    const from = path.join(root, folder);
    if (!existsSync(from)) throw new Error(`${folder} is missing; run npm run build.`);
    await cp(from, path.join(staging, folder), {
      recursive: true,
      filter: (source) => !source.endsWith('.map'),
    });
  }
  for (const text of TEXTS) {
    if (existsSync(path.join(root, text)))
      await cp(path.join(root, text), path.join(staging, text));
  }
  const manifest = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'));
  const kept = Object.fromEntries(
    MANIFEST_KEYS.filter((key) => key in manifest).map((key) => [key, manifest[key]]),
  );
  await mkdir(staging, { recursive: true });
  await writeFile(path.join(staging, 'package.json'), `${JSON.stringify(kept, null, 2)}\n`);
  await writeFile(path.join(staging, 'ThirdPartyNotices.txt'), await notices());
}

/** The licences of everything that the bundles contain, found by their source maps. */
async function notices() {
  const packages = new Set();
  for (const folder of BUNDLES) {
    for (const name of await readdir(path.join(root, folder))) {
      if (!name.endsWith('.map')) continue;
      const { sources } = JSON.parse(await readFile(path.join(root, folder, name), 'utf8'));
      for (const source of sources) {
        const found = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1];
        if (found !== undefined) packages.add(found);
      }
    }
  }
  const parts = await Promise.all([...packages].sort().map(noticeOf));
  return `virtiofsd Inspector contains these packages:\n\n${parts.join('\n')}`;
}

/** @param {string} name of a package under node_modules */
async function noticeOf(name) {
  const folder = path.join(root, 'node_modules', name);
  const { version, license } = JSON.parse(
    await readFile(path.join(folder, 'package.json'), 'utf8'),
  );
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file === undefined ? '' : await readFile(path.join(folder, file), 'utf8');
  return `${'='.repeat(80)}\n${name} ${version} (${license})\n${'-'.repeat(80)}\n${text.trim()}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(await packageExtension());
}
