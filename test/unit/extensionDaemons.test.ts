/** How the extension finds daemons, connects to them, and follows what they say. */

import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseAddress, urlWithToken } from '../../extension/core/address';
import type { Daemon } from '../../extension/core/daemons';
import { Daemons } from '../../extension/core/daemons';
import { processStartTime } from '../../extension/core/processTime';
import { RuntimeFiles, runtimeDirectories } from '../../extension/core/runtimeFiles';
import type { Signal } from '../../extension/core/signal';
import type { Peer } from './extensionPeer';
import { hazard, keepingLog, startPeer, statusAt, targetOn } from './extensionPeer';

let folder: string;
let peer: Peer;
const disposables: { dispose(): void }[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'runtime-'));
  peer = await startPeer();
});

afterEach(async () => {
  for (const one of disposables.splice(0)) one.dispose();
  await peer.stop();
  await rm(folder, { recursive: true, force: true });
});

function next<T>(signal: Signal<T>, wanted: (value: T) => boolean = () => true): Promise<T> {
  return new Promise((resolve) => {
    const stop = signal.on((value) => {
      if (!wanted(value)) return;
      stop();
      resolve(value);
    });
  });
}

async function writeRuntimeFile(directory: string, overrides: object = {}): Promise<string> {
  const { address } = peer;
  const content = {
    protocol: 1,
    pid: process.pid,
    startTime: await processStartTime(process.pid),
    ...address,
    kind: 'serve',
    implementation: 'peer 1.0',
    sharedDir: '/srv/share',
    transport: targetOn('').transport,
    ...overrides,
  };
  const file = path.join(directory, `${content.pid}.json`);
  await writeFile(`${file}.new`, JSON.stringify(content));
  await rename(`${file}.new`, file);
  return file;
}

function follow(directory: string): RuntimeFiles {
  const files = new RuntimeFiles([directory], keepingLog());
  disposables.push(files);
  return files;
}

function register(files: RuntimeFiles): Daemons {
  const daemons = new Daemons(files, 'test', keepingLog());
  disposables.push(daemons);
  return daemons;
}

test('a daemon shows up and goes away by its runtime file, in a folder that was not there', async () => {
  const directory = path.join(folder, 'not', 'there', 'yet');
  const files = follow(directory);
  await files.rescan();
  expect(files.files).toEqual([]);

  await mkdir(directory, { recursive: true });
  const appeared = next(files.changed, (list) => list.length === 1);
  const file = await writeRuntimeFile(directory);
  expect((await appeared)[0]).toMatchObject({ pid: process.pid, sharedDir: '/srv/share' });

  const gone = next(files.changed);
  await rm(file);
  expect(await gone).toEqual([]);
});

test('the folder may be removed and made again', async () => {
  const directory = path.join(folder, 'sub');
  await mkdir(directory);
  await writeRuntimeFile(directory);
  const files = follow(directory);
  await files.rescan();
  expect(files.files).toHaveLength(1);
  const gone = next(files.changed);
  await rm(directory, { recursive: true });
  expect(await gone).toEqual([]);
  const back = next(files.changed);
  await mkdir(directory);
  await writeRuntimeFile(directory);
  expect(await back).toHaveLength(1);
});

test('files of dead or recycled processes and files that are none are ignored', async () => {
  await writeRuntimeFile(folder, { startTime: '1' });
  await writeFile(path.join(folder, '99999999.json'), '{"pid":');
  await writeFile(path.join(folder, 'notes.json'), '{}');
  const files = follow(folder);
  await files.rescan();
  expect(files.files).toEqual([]);
});

test('where daemons are looked for', () => {
  expect(runtimeDirectories({ XDG_RUNTIME_DIR: '/run/user/7' }, 7)).toEqual([
    '/run/user/7/virtiofsd-inspector',
    '/run/virtiofsd-inspector',
  ]);
  expect(runtimeDirectories({}, 7)[0]).toBe('/tmp/virtiofsd-inspector-7');
});

test('a local daemon is connected to, and its counters and hazards are followed', async () => {
  await writeRuntimeFile(folder);
  const files = follow(folder);
  await files.rescan();
  const daemons = register(files);
  const daemon = await next(daemons.updated, ({ link }) => link?.state.state === 'open');
  expect(daemon.name).toBe('share');
  expect(daemons.current?.key).toBe(daemon.key);
  expect(peer.asked.map(({ method }) => method)).toEqual(['hello', 'status.watch', 'hazards']);

  peer.hazards = { hazards: [hazard()], totals: { H1: 1 } };
  const listed = next(daemons.updated, (one) => hazardsOf(one).length === 1);
  peer.notify('status', statusAt('2', { information: 1 }));
  expect(hazardsOf(await listed)[0]?.id).toBe('H1');

  const gone = next(daemons.changed);
  await rm(path.join(folder, `${process.pid}.json`));
  await gone;
  expect(daemons.list).toEqual([]);
});

function hazardsOf({ link }: Daemon): readonly { id: string }[] {
  return link?.state.state === 'open' ? link.state.hazards.listed : [];
}

test('a broken connection to a living daemon is made again', async () => {
  await writeRuntimeFile(folder);
  const files = follow(folder);
  await files.rescan();
  const daemons = register(files);
  await next(daemons.updated, ({ link }) => link?.state.state === 'open');
  const closed = next(daemons.updated, ({ link }) => link?.state.state === 'closed');
  peer.hangUp(4008, 'This client reads too slowly.');
  const state = (await closed).link?.state;
  expect(state).toEqual({ state: 'closed', reason: 'This client reads too slowly.' });
  await next(daemons.updated, ({ link }) => link?.state.state === 'open');
  expect(peer.connections()).toBe(2);
});

test('disconnect keeps a local daemon listed, and connect takes it up again', async () => {
  await writeRuntimeFile(folder);
  const files = follow(folder);
  await files.rescan();
  const daemons = register(files);
  const { key } = await next(daemons.updated, ({ link }) => link?.state.state === 'open');
  daemons.disconnect(key);
  expect(daemons.get(key)?.link).toBeUndefined();
  daemons.connect(key);
  await next(daemons.updated, ({ link }) => link?.state.state === 'open');
});

test('a daemon by URL is listed once it answers, and gone when disconnected', async () => {
  const daemons = register(follow(folder));
  const daemon = await daemons.connectUrl(peer.address);
  expect(daemon.name).toBe('share');
  expect(daemons.list).toHaveLength(1);
  daemons.disconnect(daemon.key);
  expect(daemons.list).toEqual([]);
});

test('a wrong token, or nobody there, is said in a sentence, and nothing is listed', async () => {
  const daemons = register(follow(folder));
  await expect(daemons.connectUrl({ ...peer.address, token: 'other' })).rejects.toThrow(
    /refused the token/,
  );
  await peer.stop();
  await expect(daemons.connectUrl(peer.address)).rejects.toThrow(/Nothing listens at/);
  expect(daemons.list).toEqual([]);
});

test.each([
  ['ws://127.0.0.1:7/inspector?token=t', { url: 'ws://127.0.0.1:7/inspector', token: 't' }],
  ['  ws://localhost:7?token=t ', { url: 'ws://localhost:7/inspector', token: 't' }],
  ['wss://host/inspector?token=t%2B', { url: 'wss://host/inspector', token: 't+' }],
  ['ws+unix:/run/x:/inspector?token=t', { url: 'ws+unix:/run/x:/inspector', token: 't' }],
  ['ws://127.0.0.1:7/inspector', /token is missing/],
  ['ws://10.0.0.1:7/inspector?token=t', /would show the token/],
  ['http://127.0.0.1:7/?token=t', /should begin with ws/],
  ['ws://me@127.0.0.1:7/?token=t', /no user name/],
  ['nonsense', /no URL/],
])('the address %s', (text, expected) => {
  const address = parseAddress(text);
  if (expected instanceof RegExp) expect(address).toMatch(expected);
  else {
    expect(address).toEqual(expected);
    expect(parseAddress(urlWithToken(expected))).toEqual(expected);
  }
});
