/**
 * Lookups by ids that are answered with another file, because an open descriptor does not pin the
 * number everywhere (H11, H12). The tables look healthy; only the probe tells.
 */

import * as fs from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { IdsJson } from '../../daemon/protocol/json';
import type { Daemon, Held } from './share';
import { errnoOf, hostFile, makeFileSystem, newFolder, run, scenario, serve } from './share';

/** A file's content, or why it cannot be read. */
function read(file: string): string {
  let content = '';
  return errnoOf(() => (content = fs.readFileSync(file, 'utf8'))) ?? content;
}

scenario('a btrfs subvolume deleted and made anew', { fileSystems: ['btrfs'] }, () => {
  let disk: string;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('btrfs');
  });
  afterEach(() => daemon.stop());

  async function start(handles: 'never' | 'mandatory', probe: 'hits' | 'never'): Promise<void> {
    daemon = await serve(newFolder(disk), { handles, probe });
  }

  interface Replaced {
    /** Of the deleted subvolume, and of the new one as well. */
    readonly ids: IdsJson;
    readonly project: Held;
    /** The new one's name. */
    readonly name: string;
  }

  /**
   * Makes a subvolume, lets the guest hold it, deletes it and makes another, which gets its device
   * number: the lowest that is free. Whoever else mounts something may be faster.
   */
  async function replaceSubvolume(): Promise<Replaced> {
    for (let round = 0; round < 50; round++) {
      const [from, name] = [`old-${round}`, `new-${round}`];
      makeSubvolume(from, 'OLD-PROJECT');
      const { ids } = hostFile(daemon.host(from));
      const project = await daemon.hold(from);
      await daemon.lookup(`${from}/f`);
      run('btrfs', ['subvolume', 'delete', '-C', daemon.host(from)]);
      makeSubvolume(name, 'NEW-PROJECT');
      if (isDeepStrictEqual(hostFile(daemon.host(name)).ids, ids)) return { ids, project, name };
    }
    throw new Error('No device number came back in 50 rounds.');
  }

  function makeSubvolume(name: string, content: string): void {
    run('btrfs', ['subvolume', 'create', daemon.host(name)]);
    fs.writeFileSync(path.join(daemon.host(name), 'f'), content);
  }

  const alarms = () =>
    daemon.hazards().filter(({ severity }) => ['data', 'error', 'identity'].includes(severity));

  it('never: the deleted project is read under the name of the new one (S5)', async () => {
    await start('never', 'hits');
    const { ids, project, name } = await replaceSubvolume();
    const found = await daemon.lookup(name);
    expect(found.nodeid).toBe(project.nodeid);
    // The deleted directory is walked, whose names vanish when btrfs has cleaned up behind it.
    expect(read(daemon.guest(`${name}/f`))).toMatch(/^(OLD-PROJECT|ENOENT)$/);
    expect(read(daemon.host(`${name}/f`))).toBe('NEW-PROJECT');

    const [lookup] = found.lookups;
    expect(lookup).toMatchObject({ hit: 'handleless_hit', probe: 'different', ids });
    // The descriptor does not pin the anonymous device number: it answers 0 for it now.
    expect(lookup?.probed).toMatchObject({
      errno: null,
      fields: expect.arrayContaining(['dev', 'btime', 'subvol']) as unknown,
      held: { ids: { ...ids, dev: '0:0' } },
    });
    expect(lookup?.probed?.held?.subvol).not.toBe(lookup?.spare?.subvol);
    expect(await daemon.hazard('H11')).toMatchObject({
      severity: 'data',
      nodeids: [project.nodeid],
      evidence: {
        name,
        node: project.nodeid,
        asked: `256/${ids.dev}/${ids.mntId}`,
        held: `256/0:0/${ids.mntId}`,
      },
    });
    const open = (await daemon.snapshot()).hazards.filter(({ id }) => id === 'H11');
    expect(open).toHaveLength(1);
    // The lane of the number says which lookup got the wrong file.
    const lanes = (await daemon.lanes(ids.ino)).filter((lane) => lane.ids.dev === ids.dev);
    expect(lanes).toMatchObject([{ class: 'wrong', ids }]);
    expect(lanes[0]?.bars[0]).toMatchObject({
      nodeid: project.nodeid,
      wrong: expect.arrayContaining([
        expect.objectContaining({ hazard: 'H11 UNPINNED ALIAS', asked: name }) as unknown,
      ]) as unknown,
    });
    // What the guest forgot is history.
    const released = project.release();
    daemon.dropCaches();
    await released;
    expect(await daemon.hazard('H11', 'closed')).toMatchObject({ nodeids: [project.nodeid] });
  });

  it('mandatory: the handle tells the two apart', async () => {
    await start('mandatory', 'hits');
    const { name } = await replaceSubvolume();
    expect(fs.readFileSync(daemon.guest(`${name}/f`), 'utf8')).toBe('NEW-PROJECT');
    expect(await daemon.hazard('H1')).toMatchObject({ severity: 'information' });
    expect(daemon.hazards().filter(({ severity }) => severity === 'data')).toEqual([]);
  });

  it('says nothing with --probe=never, and nothing about two subvolumes that live', async () => {
    await start('never', 'never');
    const { project, name } = await replaceSubvolume();
    const { lookups } = await daemon.lookup(name);
    expect(lookups).toEqual([
      expect.objectContaining({ nodeid: project.nodeid, hit: 'handleless_hit', probe: null }),
    ]);
    expect(alarms()).toEqual([]);
    await daemon.stop();

    await start('never', 'hits');
    makeSubvolume('t1', 'OLD-PROJECT');
    run('btrfs', ['subvolume', 'snapshot', daemon.host('t1'), daemon.host('t3')]);
    for (const name of ['t1/f', 't3/f', 't1/f', 't3/f']) {
      expect(fs.readFileSync(daemon.guest(name), 'utf8')).toBe('OLD-PROJECT');
    }
    await daemon.settle();
    const hits = daemon.lookups().filter(({ hit }) => hit === 'handleless_hit');
    expect(hits.length).toBeGreaterThan(3);
    expect(hits.every(({ probe }) => probe === 'same')).toBe(true);
    expect(alarms()).toEqual([]);
  });
});

scenario('hard links in an overlay', { fileSystems: ['ext4', 'overlay'] }, () => {
  let disk: string;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(() => daemon.stop());

  /** Two names of one file in the lower layer. */
  async function start(options: string): Promise<void> {
    const folder = newFolder(disk);
    for (const name of ['lower', 'upper', 'work', 'merged']) fs.mkdirSync(path.join(folder, name));
    fs.writeFileSync(path.join(folder, 'lower/a'), 'base');
    fs.linkSync(path.join(folder, 'lower/a'), path.join(folder, 'lower/b'));
    fs.writeFileSync(path.join(folder, 'lower/alone'), 'base');
    const layers = ['lower', 'upper', 'work'].map(
      (name) => `${name}dir=${path.join(folder, name)}`,
    );
    const merged = path.join(folder, 'merged');
    run('mount', ['-t', 'overlay', 'overlay', '-o', [...layers, options].join(','), merged]);
    daemon = await serve(merged, { handles: 'prefer' });
  }

  it('without an index: what the guest writes to one lands in the other (S7)', async () => {
    await start('index=off,nfs_export=off');
    const [a, b] = [hostFile(daemon.host('a')), hostFile(daemon.host('b'))];
    expect(a.ids).toEqual(b.ids);
    expect([a.handle, b.handle]).toEqual([null, null]);
    const first = await daemon.hold('a');
    const second = await daemon.lookup('b');
    expect(second.nodeid).toBe(first.nodeid);
    expect(second.lookups[0]).toMatchObject({
      hit: 'handleless_hit',
      probe: 'different',
      probed: { fields: ['inode'], held: { ids: b.ids, nlink: 2 } },
      spare: { fsType: 'overlay', nlink: 2 },
    });
    fs.writeFileSync(daemon.guest('b'), 'GUEST');
    expect(fs.readFileSync(daemon.host('a'), 'utf8')).toBe('GUEST');
    expect(fs.readFileSync(daemon.host('b'), 'utf8')).toBe('base');
    expect(await daemon.hazard('H12')).toMatchObject({
      severity: 'data',
      nodeids: [first.nodeid],
      evidence: { name: 'b', node: first.nodeid, differs: 'inode', askedLinks: 2, heldLinks: 2 },
    });
    expect(daemon.hazards().map(({ id }) => id)).not.toContain('H11');
  });

  it('with an index: handles, one node for two names, and nothing to tell', async () => {
    await start('index=on,nfs_export=on');
    const first = await daemon.hold('a');
    const second = await daemon.lookup('b');
    expect(second.nodeid).toBe(first.nodeid);
    expect(second.lookups[0]).toMatchObject({ hit: 'handle_hit' });
    fs.writeFileSync(daemon.guest('b'), 'GUEST');
    expect(fs.readFileSync(daemon.host('a'), 'utf8')).toBe('GUEST');
    expect(fs.readFileSync(daemon.host('b'), 'utf8')).toBe('GUEST');
    await daemon.settle();
    expect(daemon.hazards()).toEqual([]);
  });

  it('hard links made in the upper layer are one file, and so are names asked for again', async () => {
    await start('index=off,nfs_export=off');
    fs.writeFileSync(daemon.host('x'), 'upper');
    fs.linkSync(daemon.host('x'), daemon.host('y'));
    const first = await daemon.hold('x');
    for (const name of ['y', 'x', 'y']) {
      const { nodeid, lookups } = await daemon.lookup(name);
      expect(nodeid).toBe(first.nodeid);
      expect(lookups[0]).toMatchObject({ hit: 'handleless_hit', probe: 'same' });
    }
    fs.writeFileSync(daemon.guest('y'), 'GUEST');
    expect(fs.readFileSync(daemon.host('x'), 'utf8')).toBe('GUEST');
    // Its first write copies a lower file up; who holds it holds the same file as before.
    const lower = await daemon.hold('alone');
    fs.writeFileSync(daemon.guest('alone'), 'GUEST');
    expect((await daemon.lookup('alone')).nodeid).toBe(lower.nodeid);
    await daemon.settle();
    expect(daemon.hazards().filter(({ severity }) => severity === 'data')).toEqual([]);
  });
});
