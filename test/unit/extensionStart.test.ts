/** Starting, waiting for, and ending a daemon. A script stands in for the daemon's program. */

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Daemons } from '../../extension/core/daemons';
import { daemonArguments, daemonEnvironment } from '../../extension/core/launch';
import { logDaemonLine } from '../../extension/core/logLine';
import {
  cleanUpMountpoints,
  makeMountpoint,
  mountRoots,
  noteMount,
  removeMountpoint,
} from '../../extension/core/mountpoints';
import { platformObstacle } from '../../extension/core/platform';
import { RuntimeFiles } from '../../extension/core/runtimeFiles';
import type { Exit } from '../../extension/core/launch';
import type { StartRequest } from '../../extension/core/started';
import { StartedDaemons } from '../../extension/core/started';
import type { Peer } from './extensionPeer';
import { keepingLog, startPeer } from './extensionPeer';

let folder: string;
let peer: Peer;
let files: RuntimeFiles;
let daemons: Daemons;
let started: StartedDaemons;
const log = keepingLog();

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'start-'));
  await mkdir(path.join(folder, 'runtime'));
  peer = await startPeer();
  files = new RuntimeFiles([path.join(folder, 'runtime')], log);
  daemons = new Daemons(files, 'test', log);
  started = new StartedDaemons(daemons, { ...process.env, NODE_OPTIONS: '--bogus' }, log);
  log.lines.length = 0;
});

afterEach(async () => {
  await started.stopAll();
  daemons.dispose();
  files.dispose();
  await peer.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What a program that serves does: says where it is, and ends on SIGTERM. */
const SERVES = `
  const fs = require('node:fs');
  const start = fs.readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1).split(' ')[19];
  const file = process.env.RUNTIME + '/' + process.pid + '.json';
  fs.writeFileSync(file + '.new', JSON.stringify({ protocol: 1, pid: process.pid, startTime: start,
    url: process.env.URL, token: process.env.TOKEN, kind: 'serve', implementation: 'script',
    sharedDir: '/srv/share', transport: process.argv.join(' ') }));
  console.error('warning: it is only a script');
  process.on('SIGTERM', () => { fs.rmSync(file); process.exit(0); });
  // Last: from now on it is found, and may be told to stop at once.
  fs.renameSync(file + '.new', file);
  setInterval(() => undefined, 1000);`;

async function request(program: string): Promise<StartRequest> {
  const script = path.join(folder, 'program.js');
  const environment = {
    RUNTIME: path.join(folder, 'runtime'),
    ...peer.address,
    URL: peer.address.url,
  };
  await writeFile(
    script,
    `Object.assign(process.env, ${JSON.stringify({ ...environment, TOKEN: peer.address.token })});\n${program}`,
  );
  return {
    node: process.execPath,
    program: script,
    sharedDir: '/srv/share',
    inodeFileHandles: 'prefer',
    cache: 'auto',
    mountRoots: [path.join(folder, 'mounts')],
  };
}

const never = new AbortController().signal;
const mounts = (): Promise<string[]> => readdir(path.join(folder, 'mounts'));

test('a daemon is started, found by its runtime file, and stopped without a trace', async () => {
  const daemon = await started.start(await request(SERVES), never);
  expect(started.has(daemon.key)).toBe(true);
  expect(started.sharing('/srv/share')?.key).toBe(daemon.key);
  expect(await mounts()).toEqual(['share-1', 'share-1.json']);
  const { transport } = (daemon.origin as { file: { transport: string } }).file;
  expect(transport).toContain(
    `serve --shared-dir /srv/share --mount ${folder}/mounts/share-1 --inode-file-handles=prefer --cache auto --inspect`,
  );
  await started.stop(daemon.key);
  expect(await mounts()).toEqual([]);
  expect(started.size).toBe(0);
  await files.rescan();
  expect(daemons.list).toEqual([]);
  expect(log.lines.find((line) => line.includes('only a script'))).toMatch(/^warn: \[\d+\] /);
});

test('a daemon that fails is reported in its own words, and leaves nothing', async () => {
  const fails = `console.error('virtiofsd-inspector: /dev/fuse is missing; load the module.'); process.exitCode = 1;`;
  await expect(started.start(await request(fails), never)).rejects.toThrow(
    'exit status 1: virtiofsd-inspector: /dev/fuse is missing; load the module.',
  );
  expect(await mounts()).toEqual([]);
  expect(log.lines.some((line) => line.startsWith('error: [') && line.includes('/dev/fuse'))).toBe(
    true,
  );
});

test('a program that cannot be run is reported, and leaves nothing', async () => {
  const impossible = { ...(await request(SERVES)), node: path.join(folder, 'no-node') };
  await expect(started.start(impossible, never)).rejects.toThrow(/no-node cannot be run.*nodePath/);
  expect(await mounts()).toEqual([]);
});

test('a start can be cancelled', async () => {
  const cancel = new AbortController();
  const begun = started.start(await request('setInterval(() => undefined, 1000);'), cancel.signal);
  cancel.abort(new Error('You cancelled it.'));
  await expect(begun).rejects.toThrow('You cancelled it.');
  expect(await mounts()).toEqual([]);
  expect(started.size).toBe(0);
});

test('an end that nobody asked for is told', async () => {
  const dies = `process.on('SIGUSR2', () => process.exit(7));${SERVES}`;
  const daemon = await started.start(await request(dies), never);
  const failed = new Promise<{ exit: Exit }>((resolve) => started.failed.on(resolve));
  process.kill((daemon.origin as { file: { pid: number } }).file.pid, 'SIGUSR2');
  expect((await failed).exit.message).toMatch(/exit status 7/);
  await started.stopAll();
  expect(await mounts()).toEqual([]);
});

test('the environment is scrubbed', () => {
  expect(
    daemonEnvironment({
      PATH: '/bin',
      HOME: '/root',
      NODE_OPTIONS: '--require x',
      VSCODE_PID: '1',
      ELECTRON_NO_ATTACH_CONSOLE: '1',
    }),
  ).toEqual({ PATH: '/bin', HOME: '/root', ELECTRON_RUN_AS_NODE: '1' });
});

test('each mount gets a folder of its own, never inside what it shows', async () => {
  const roots = [path.join(folder, 'home', 'mounts'), path.join(folder, 'run')];
  expect(await makeMountpoint(roots, '/srv/my share')).toBe(`${roots[0]}/my_share-1`);
  expect(await makeMountpoint(roots, '/srv/my share')).toBe(`${roots[0]}/my_share-2`);
  expect(await makeMountpoint(roots, path.join(folder, 'home'))).toBe(`${roots[1]}/home-1`);
  await expect(makeMountpoint(roots, '/')).rejects.toThrow(/no place to mount \/.*further down/);
});

test('where mountpoints are made', () => {
  expect(mountRoots({ XDG_RUNTIME_DIR: '/run/user/7' }, 7, '/storage')).toEqual([
    '/run/user/7/virtiofsd-inspector/mounts',
    '/storage/mounts',
  ]);
  expect(mountRoots({}, 0, '/storage')[0]).toBe('/run/virtiofsd-inspector/mounts');
  expect(mountRoots({}, 7, '/storage')).toEqual(['/storage/mounts']);
});

test('what a crashed window left is cleaned up, what a living one uses is not', async () => {
  const root = path.join(folder, 'mounts');
  const living = await makeMountpoint([root], '/srv/living');
  await noteMount(living, process.pid);
  const left = await makeMountpoint([root], '/srv/left');
  await noteMount(left, process.pid);
  const note = JSON.parse(await readFile(`${left}.json`, 'utf8')) as Record<string, unknown>;
  await writeFile(
    `${left}.json`,
    JSON.stringify({
      host: { pid: 1, startTime: 'x' },
      daemon: { ...(note['daemon'] as object), startTime: 'y' },
    }),
  );
  await cleanUpMountpoints([root], log);
  expect(existsSync(living)).toBe(true);
  expect(existsSync(left)).toBe(false);
  expect(existsSync(`${left}.json`)).toBe(false);
});

test('a mountpoint that is in use is kept, with a sentence', async () => {
  const mountpoint = await makeMountpoint([path.join(folder, 'mounts')], '/srv/share');
  await writeFile(path.join(mountpoint, 'precious'), '');
  await removeMountpoint(mountpoint, log);
  expect(existsSync(path.join(mountpoint, 'precious'))).toBe(true);
  expect(log.lines.at(-1)).toMatch(/could not be removed .*fusermount3 -uz/);
});

test.each([
  ['error: bad', 'error'],
  ['[warning] odd', 'warn'],
  ['virtiofsd-inspector: no', 'error'],
  ['debug: detail', 'debug'],
  ['serving', 'info'],
  ['', undefined],
])('the level of the line %j', (line, level) => {
  expect(logDaemonLine(log, 1, line)).toBe(level);
});

test('tokens do not get into the log', () => {
  logDaemonLine(log, 1, 'info: The Key Map is at http://127.0.0.1:7/?token=abc now');
  expect(log.lines.at(-1)).toBe('info: [1] The Key Map is at http://127.0.0.1:7/?token=… now');
});

test('a platform without the daemon is named', async () => {
  await mkdir(path.join(folder, 'prebuilds', 'linux-x64'), { recursive: true });
  expect(platformObstacle(folder, 'linux', 'x64')).toBeUndefined();
  expect(platformObstacle(folder, 'linux', 'arm64')).toMatch(/linux-arm64/);
  expect(platformObstacle(folder, 'darwin', 'arm64')).toMatch(/runs on Linux, and this is darwin/);
});

test('what is passed to the daemon', () => {
  expect(
    daemonArguments({
      node: 'node',
      program: '/x/cli.js',
      sharedDir: '/srv',
      place: ['--mount', '/m'],
      inodeFileHandles: 'mandatory',
      cache: 'always',
    }),
  ).toEqual(
    '/x/cli.js serve --shared-dir /srv --mount /m --inode-file-handles=mandatory --cache always --inspect'.split(
      ' ',
    ),
  );
});
