/**
 * Everyday work that must alarm nobody. Number reuse happens in it by the hundred;
 * it is counted, and the count is compared with what the host's own handles say.
 */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { HandleJson } from '../../daemon/protocol/json';
import type { Daemon } from './share';
import {
  hazardOf,
  hostFile,
  makeFileSystem,
  native,
  newFolder,
  O_PATH,
  run,
  scenario,
  serve,
} from './share';

const ESTALE = 116;
const FILES = 425;

/** A repository whose two branches differ in every file. */
function makeRepository(folder: string): void {
  const git = (...args: string[]) =>
    run('git', ['-c', 'user.name=T', '-c', 'user.email=t@localhost', ...args], folder);
  const writeAll = (version: string) => {
    for (let i = 0; i < FILES; i++) {
      const directory = path.join(folder, `dir-${i % 17}`);
      fs.mkdirSync(directory, { recursive: true });
      fs.writeFileSync(path.join(directory, `file-${i}`), `${version} ${i}\n`);
    }
  };
  git('init', '-q', '-b', 'one');
  writeAll('one');
  git('add', '.');
  git('commit', '-q', '-m', 'one');
  git('checkout', '-q', '-b', 'two');
  writeAll('two');
  git('commit', '-q', '-a', '-m', 'two');
}

function filesBelow(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('/.git'))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

/** Whether the host still opens a handle. */
function isStale(mountFd: number, { type, bytes }: HandleJson): boolean {
  const fd = native.openByHandle(mountFd, type, Buffer.from(bytes, 'hex'), O_PATH);
  if (fd < 0) return fd === -ESTALE;
  native.closeDescriptor(fd);
  return false;
}

/**
 * How often a number came back, by the lookups that were answered and the host's own word on the
 * handles that they met: pairs of an old and a new node, each counted once.
 */
function reusesByHost(daemon: Daemon): number {
  const handles = new Map<unknown, HandleJson | null>();
  for (const event of daemon.events) {
    if (event.type === 'insert') handles.set(event['nodeid'], event['handle'] as HandleJson | null);
  }
  const mountFd = native.openPath(daemon.sharedDir, 0);
  const pairs = new Set(
    daemon
      .lookups()
      .filter(({ hit, byIds, handle }) => {
        const old = handles.get(byIds);
        return (
          hit === 'fallback_rejected' && handle != null && old != null && isStale(mountFd, old)
        );
      })
      .map(({ byIds, nodeid }) => `${byIds}/${nodeid}`),
  );
  native.closeDescriptor(mountFd);
  return pairs.size;
}

/**
 * Probes are answered in the order in which they were asked for: one more, and all are. The second
 * name is new to the guest, so that it is looked up whatever the cache policy.
 */
async function probesAnswered(daemon: Daemon): Promise<void> {
  fs.writeFileSync(daemon.host('sentinel-old'), '');
  const before = hostFile(daemon.host('sentinel-old'));
  const old = await daemon.hold('sentinel-old');
  fs.rmSync(daemon.host('sentinel-old'));
  fs.writeFileSync(daemon.host('sentinel-new'), '');
  expect(hostFile(daemon.host('sentinel-new')).ids).toEqual(before.ids);
  const { nodeid } = await daemon.lookup('sentinel-new');
  await daemon.waitFor((event) => {
    const hazard = hazardOf(event, 'H1');
    return hazard?.evidence['oldNode'] === old.nodeid && hazard.evidence['newNode'] === nodeid;
  });
}

const bad = (daemon: Daemon) =>
  daemon.hazards().filter(({ severity }) => ['data', 'error', 'identity'].includes(severity));

const openedH1 = (daemon: Daemon) =>
  daemon.hazards().filter(({ id, state }) => id === 'H1' && state === 'open');

const needs = { fileSystems: ['ext4'], programs: ['git', 'tar'] };

scenario('everyday work on ext4', needs, () => {
  let disk: string;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(() => daemon.stop());

  /** Nothing alarming, every reuse counted, all of it information, the tables those of the host. */
  async function expectQuiet(): Promise<void> {
    await probesAnswered(daemon);
    expect(bad(daemon)).toEqual([]);
    const reuses = openedH1(daemon);
    expect(reuses.length).toBe(reusesByHost(daemon));
    expect(reuses.every(({ severity }) => severity === 'information')).toBe(true);

    const { entries, inodes_by_handle } = await daemon.snapshot();
    const byHandle = new Map(inodes_by_handle.map((key) => [key.handle.bytes, key.nodeid]));
    const byNode = new Map(entries.map((entry) => [entry.nodeid, entry]));
    for (const name of filesBelow(daemon.sharedDir)) {
      const host = hostFile(name);
      const nodeid = byHandle.get(host.handle?.bytes ?? '');
      if (nodeid !== undefined) expect(byNode.get(nodeid)).toMatchObject(host);
    }
  }

  it.each(['mandatory', 'prefer'] as const)(
    'git checkout on the host, while the mount holds 425 files (%s)',
    async (handles) => {
      const folder = newFolder(disk);
      makeRepository(folder);
      daemon = await serve(folder, { handles });
      const relative = filesBelow(folder).map((name) => path.relative(folder, name));
      expect(relative).toHaveLength(FILES);
      for (const branch of ['one', 'two']) {
        for (const name of relative) fs.statSync(daemon.guest(name));
        await daemon.settle();
        run('git', ['checkout', '-q', branch], folder);
        // In another order than before, as editors and language servers do.
        for (const name of [...relative].reverse()) {
          expect(fs.readFileSync(daemon.guest(name), 'utf8')).toContain(branch);
        }
      }
      await expectQuiet();
      // On ext4 nearly every file gets a number that was somebody's before.
      expect(openedH1(daemon).length).toBeGreaterThan(FILES / 4);
    },
  );

  it('git checkout through the mount', async () => {
    const folder = newFolder(disk);
    makeRepository(folder);
    daemon = await serve(folder, { cache: 'auto' });
    for (const branch of ['one', 'two', 'one']) {
      run('git', ['checkout', '-q', branch], daemon.mount);
      for (const name of filesBelow(folder)) {
        const relative = path.relative(folder, name);
        expect(fs.readFileSync(daemon.guest(relative), 'utf8')).toContain(branch);
      }
    }
    expect(run('git', ['status', '--porcelain'], folder)).toBe('');
    await expectQuiet();
  });

  it('tar x through the mount and over it on the host', async () => {
    const folder = newFolder(disk);
    const source = newFolder(disk);
    makeRepository(source);
    run('tar', ['-cf', path.join(disk, 'all.tar'), '-C', source, '.']);
    daemon = await serve(folder, { cache: 'auto' });
    run('tar', ['-xf', path.join(disk, 'all.tar')], daemon.mount);
    expect(filesBelow(daemon.mount)).toHaveLength(FILES);
    run('tar', ['-xf', path.join(disk, 'all.tar')], folder);
    run('tar', ['-xf', path.join(disk, 'all.tar')], daemon.mount);
    for (const name of filesBelow(source)) {
      const relative = path.relative(source, name);
      expect(fs.readFileSync(daemon.guest(relative))).toEqual(fs.readFileSync(name));
    }
    await expectQuiet();
  });

  it.each(['the host', 'the guest'])('200 atomic saves by %s', async (who) => {
    daemon = await serve(newFolder(disk));
    fs.writeFileSync(daemon.host('doc'), 'version -1');
    const doc = who === 'the host' ? daemon.host('doc') : daemon.guest('doc');
    for (let i = 0; i < 200; i++) {
      fs.writeFileSync(`${doc}.new`, `version ${i}`);
      fs.renameSync(`${doc}.new`, doc);
      expect(fs.readFileSync(daemon.guest('doc'), 'utf8')).toBe(`version ${i}`);
    }
    await expectQuiet();
    const { entries } = await daemon.snapshot();
    expect(entries.filter((entry) => entry.path === 'doc')).toHaveLength(1);
  });

  it('a tree that is installed, removed and installed again, as npm does', async () => {
    daemon = await serve(newFolder(disk), { cache: 'auto' });
    const modules = daemon.guest('node_modules');
    for (let version = 0; version < 3; version++) {
      for (let i = 0; i < 40; i++) {
        const staging = `${modules}/.package-${i}`;
        fs.mkdirSync(`${staging}/lib`, { recursive: true });
        fs.writeFileSync(`${staging}/package.json`, JSON.stringify({ version }));
        for (let f = 0; f < 5; f++) fs.writeFileSync(`${staging}/lib/${f}.js`, `${version}`);
        fs.symlinkSync('lib/0.js', `${staging}/main.js`);
        fs.renameSync(staging, `${modules}/package-${i}`);
      }
      for (const name of filesBelow(modules)) fs.readFileSync(name);
      if (version < 2) fs.rmSync(modules, { recursive: true });
    }
    expect(filesBelow(daemon.sharedDir)).toHaveLength(40 * 6);
    await expectQuiet();
  });
});
