/**
 * A share that is itself a FUSE mount, served by another daemon of ours: it passes its files'
 * numbers on (S6), and the kernel can open its handles only as long as it remembers the inode (S15).
 */

import * as fs from 'node:fs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { Daemon } from './share';
import { errnoOf, hostFile, makeFileSystem, newFolder, scenario, serve } from './share';

scenario('a share on FUSE', { fileSystems: ['ext4'] }, () => {
  let disk: string;
  let inner: Daemon;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(async () => {
    await daemon.stop();
    await inner.stop();
  });

  async function start(handles: 'never' | 'prefer'): Promise<void> {
    inner = await serve(newFolder(disk), { handles: 'mandatory' });
    daemon = await serve(inner.mount, { handles });
  }

  const alarms = () =>
    daemon.hazards().filter(({ severity }) => ['data', 'error', 'identity'].includes(severity));

  it('never: a deleted file answers for the next one that has its number (S6)', async () => {
    await start('never');
    fs.writeFileSync(daemon.host('f.txt'), 'OLD');
    const before = hostFile(daemon.host('f.txt'));
    const old = await daemon.hold('f.txt');
    fs.rmSync(daemon.host('f.txt'));
    fs.writeFileSync(daemon.host('g.txt'), 'BRANDNEW');
    expect(hostFile(daemon.host('g.txt')).ids).toEqual(before.ids);

    const found = await daemon.lookup('g.txt');
    expect(found.nodeid).toBe(old.nodeid);
    // FUSE keeps no birth time: the handles tell the two apart.
    expect(found.lookups[0]).toMatchObject({
      hit: 'handleless_hit',
      probe: 'different',
      probed: { fields: expect.arrayContaining(['handle']) as unknown },
      spare: { btime: null, fsType: 'fuse' },
    });
    expect(errnoOf(() => fs.readFileSync(daemon.guest('g.txt')))).not.toBeNull();
    expect(await daemon.hazard('H11')).toMatchObject({
      severity: 'data',
      nodeids: [old.nodeid],
      evidence: { name: 'g.txt', node: old.nodeid },
    });
  });

  it('prefer: the handle tells them apart, which is a reuse and no lost handle', async () => {
    await start('prefer');
    fs.writeFileSync(daemon.host('f.txt'), 'OLD');
    const before = hostFile(daemon.host('f.txt'));
    const old = await daemon.hold('f.txt');
    fs.rmSync(daemon.host('f.txt'));
    fs.writeFileSync(daemon.host('g.txt'), 'BRANDNEW');
    expect(hostFile(daemon.host('g.txt')).ids).toEqual(before.ids);
    const found = await daemon.lookup('g.txt');
    expect(found.nodeid).not.toBe(old.nodeid);
    expect(fs.readFileSync(daemon.guest('g.txt'), 'utf8')).toBe('BRANDNEW');
    expect(await daemon.hazard('H1')).toMatchObject({ nodeids: [found.nodeid, old.nodeid] });
    expect(daemon.hazards().map(({ id }) => id)).not.toContain('H14');
  });

  it('prefer: memory pressure takes the handle of an untouched file away (S15)', async () => {
    await start('prefer');
    fs.writeFileSync(daemon.host('f.txt'), 'untouched');
    const before = hostFile(daemon.host('f.txt'));
    const old = await daemon.hold('f.txt');
    // As memory pressure does, for this mount alone.
    inner.dropCaches();
    await inner.waitFor((event) => event.type === 'remove');
    expect(errnoOf(() => fs.readFileSync(old.path))).toBe('ESTALE');
    expect(await daemon.hazard('H2')).toMatchObject({
      severity: 'error',
      nodeids: [old.nodeid],
      advice: expect.stringContaining('H14') as string,
    });

    const found = await daemon.lookup('f.txt');
    expect(found.nodeid).not.toBe(old.nodeid);
    const after = hostFile(daemon.host('f.txt'));
    expect(after.ids).toEqual(before.ids);
    expect(after.handle?.bytes).not.toBe(before.handle?.bytes);
    expect(await daemon.hazard('H14')).toMatchObject({
      severity: 'error',
      nodeids: [old.nodeid],
      evidence: {
        name: 'f.txt',
        newNode: found.lookups[0]?.nodeid,
        fsType: 'fuse',
        probe: 'ESTALE',
        guestSaw: 'ESTALE',
      },
    });
    expect(daemon.hazards().map(({ id }) => id)).not.toContain('H1');
  });

  it('never: memory pressure changes nothing, and there is nothing to tell', async () => {
    await start('never');
    fs.writeFileSync(daemon.host('f.txt'), 'untouched');
    fs.linkSync(daemon.host('f.txt'), daemon.host('link'));
    const old = await daemon.hold('f.txt');
    inner.dropCaches();
    for (const name of ['f.txt', 'link', 'f.txt']) {
      const found = await daemon.lookup(name);
      expect(found.nodeid).toBe(old.nodeid);
      expect(found.lookups[0]).toMatchObject({ hit: 'handleless_hit', probe: 'same' });
    }
    expect(fs.readFileSync(old.path, 'utf8')).toBe('untouched');
    expect(alarms()).toEqual([]);
  });
});
