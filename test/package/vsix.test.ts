/** The packed extension: what is in it, that everything it names is in it, and that it runs. */

import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageExtension } from '../../scripts/package.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const HAZARDS = /^(H[0-9]+)\.md$/;
const TOURS = /^(.+)\.jsonl$/;

/** Files of docs/hazards or tours, each under the name that it is shipped by. */
function named(pattern: RegExp, shipped: (name: string) => string): string[] {
  const names = readdirSync(path.join(root, pattern === TOURS ? 'tours' : 'docs/hazards'));
  return names.flatMap((file) => {
    const name = pattern.exec(file)?.[1];
    return name === undefined ? [] : [shipped(name)];
  });
}

let folder: string;
let extension: string;

beforeAll(async () => {
  const vsix = await packageExtension();
  folder = await mkdtemp(path.join(tmpdir(), 'vsix-test-'));
  // A VSIX is a zip file; Python's library is there wherever node-gyp works.
  await run('python3', ['-m', 'zipfile', '-e', vsix, folder]);
  extension = path.join(folder, 'extension');
  console.log(`${path.basename(vsix)}: ${(await stat(vsix)).size} bytes`);
}, 180_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('what is in it', async () => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
  expect(files).toEqual(
    [
      '[Content_Types].xml',
      'extension.vsixmanifest',
      'extension/LICENSE.txt',
      'extension/ThirdPartyNotices.txt',
      'extension/changelog.md',
      'extension/dist/daemon/cli.js',
      'extension/dist/daemon/worker.js',
      'extension/dist/extension/extension.js',
      ...named(TOURS, (tour) => `extension/dist/tours/${tour}.jsonl`),
      'extension/dist/webview/document.css',
      ...named(HAZARDS, (page) => `extension/dist/webview/hazards/${page}.html`),
      'extension/dist/webview/hazards/index.html',
      'extension/dist/webview/map.css',
      'extension/dist/webview/map.js',
      'extension/docs/hazards/README.md',
      ...named(HAZARDS, (page) => `extension/docs/hazards/${page}.md`),
      'extension/media/activityBar.svg',
      'extension/media/icon.png',
      'extension/media/keyMapDark.svg',
      'extension/media/keyMapLight.svg',
      'extension/media/lookupRule.language.json',
      'extension/media/lookupRule.tmLanguage.json',
      'extension/media/walkthrough/hazard.svg',
      'extension/media/walkthrough/start.svg',
      'extension/media/walkthrough/tour.svg',
      'extension/media/walkthrough/watch.svg',
      'extension/media/walkthrough/work.svg',
      'extension/package.json',
      'extension/prebuilds/linux-x64/virtiofsd-inspector.node',
      'extension/readme.md',
    ].sort(),
  );
});

test('everything that the manifest names is in it', async () => {
  const text = await readFile(path.join(extension, 'package.json'), 'utf8');
  const manifest = JSON.parse(text) as { main: string; bin: Record<string, string> };
  const named = [manifest.main, ...Object.values(manifest.bin)];
  for (const [, file] of text.matchAll(/"(media\/[^"]+)"/g))
    if (file !== undefined) named.push(file);
  expect(named.length).toBeGreaterThan(8);
  for (const file of named) expect(existsSync(path.join(extension, file)), file).toBe(true);
  expect(manifest).not.toHaveProperty('devDependencies');
  expect(manifest).not.toHaveProperty('scripts');
});

test('it says which target it is for', async () => {
  const manifest = await readFile(path.join(folder, 'extension.vsixmanifest'), 'utf8');
  expect(manifest).toContain('TargetPlatform="linux-x64"');
});

test('the licences of what is bundled are in it', async () => {
  const notices = await readFile(path.join(extension, 'ThirdPartyNotices.txt'), 'utf8');
  for (const name of ['ws', 'valibot', 'd3-selection', 'commander']) {
    expect(notices).toMatch(new RegExp(`^${name} \\d+\\.\\d+`, 'm'));
  }
  expect(notices).toContain('Permission is hereby granted');
});

test('the packed daemon runs under plain Node, away from the repository', async () => {
  const program = path.join(extension, 'dist/daemon/cli.js');
  const options = { cwd: folder, env: { PATH: process.env['PATH'] ?? '' } };
  const { version } = JSON.parse(await readFile(path.join(extension, 'package.json'), 'utf8')) as {
    version: string;
  };
  expect((await run(process.execPath, [program, '--version'], options)).stdout.trim()).toBe(
    version,
  );
  const help = await run(process.execPath, [program, 'serve', '--help'], options);
  expect(help.stdout).toContain('--shared-dir');
  const tours = await run(process.execPath, [program, 'tour', '--json'], options);
  expect((JSON.parse(tours.stdout) as { name: string }[]).map(({ name }) => name)).toContain('S1');
  // It gets as far as its own words about the folder, so the addon beside it was found.
  const refused = run(
    process.execPath,
    [program, 'serve', '--shared-dir', folder, '--mount', path.join(folder, 'missing')],
    options,
  );
  await expect(refused).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('missing') as unknown,
  });
});
