/** What identities mean after another image was mounted in a file system's place (H15, H16, H33). */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { Daemon } from './share';
import { hostFile, makeFileSystem, native, newFolder, run, scenario, serve } from './share';

/** Resolves when the daemon has nothing left of a directory and of what is below it. */
async function forgotten(daemon: Daemon, name: string): Promise<void> {
  const { entries } = await daemon.snapshot();
  daemon.dropCaches();
  for (const { path: known, nodeid } of entries) {
    if (known !== name && known?.startsWith(`${name}/`) !== true) continue;
    await daemon.waitFor((event) => event.type === 'remove' && event['nodeid'] === nodeid);
  }
  // What the forgotten entries held is let go before the next request is answered.
  await daemon.settle();
}

/** STATX_MNT_ID_UNIQUE of what is mounted somewhere. */
function uniqueOf(point: string): string {
  const identity = native.identify(AT_FDCWD, point);
  if (typeof identity === 'number') throw new Error(`statx of ${point} failed: ${identity}`);
  return String(identity.mntIdUnique);
}

const AT_FDCWD = -100;
const MAKERS = {
  squashfs: (tree: string, image: string) =>
    run('mksquashfs', [tree, image, '-quiet', '-no-progress', '-noappend']),
  erofs: (tree: string, image: string) => run('mkfs.erofs', ['--quiet', image, tree]),
} as const;

for (const type of ['squashfs', 'erofs'] as const) {
  const program = { squashfs: 'mksquashfs', erofs: 'mkfs.erofs' }[type];
  scenario(`${type} images in one place`, { fileSystems: [type], programs: [program] }, () => {
    let daemon: Daemon;
    afterEach(() => daemon.stop());

    it('have equal ids and equal handles: told as information, and again when swapped', async () => {
      const folder = newFolder(await makeFileSystem('tmpfs'));
      const point = path.join(folder, 'image');
      fs.mkdirSync(point);
      for (const [image, content] of [
        ['one', 'ONE'],
        ['two', 'TWO-other-content'],
      ] as const) {
        fs.mkdirSync(path.join(folder, image));
        fs.writeFileSync(path.join(folder, image, 'f'), content);
        MAKERS[type](path.join(folder, image), path.join(folder, `${image}.img`));
      }
      const mount = (image: string) =>
        run('mount', ['-o', 'loop', path.join(folder, `${image}.img`), point]);
      mount('one');
      const before = hostFile(path.join(point, 'f'));

      daemon = await serve(folder, { handles: 'prefer' });
      const old = await daemon.lookup('image/f');
      expect(fs.readFileSync(daemon.guest('image/f'), 'utf8')).toBe('ONE');
      expect(await daemon.hazard('H15')).toMatchObject({
        severity: 'information',
        evidence: {
          node: old.nodeid,
          mntId: before.ids.mntId,
          handleType: before.handle?.type,
          handle: before.handle?.bytes,
          generation: '0',
        },
      });
      // One for the mount, and none for the tmpfs around it.
      await daemon.lookup('image/f');
      await daemon.lookup('one/f');
      expect(daemon.hazards().filter(({ id }) => id === 'H15')).toHaveLength(1);

      // Mount ids are the lowest that are free. Whoever else mounts something meanwhile may get in
      // between, so that it may take some rounds until one comes back.
      const unique = new Map([[before.ids.mntId, uniqueOf(point)]]);
      for (let round = 0; round < 50; round++) {
        await forgotten(daemon, 'image');
        await daemon.hazard('H15', 'closed');
        run('umount', [point]);
        mount('two');
        const after = hostFile(path.join(point, 'f'));
        expect(after.handle?.bytes).toBe(before.handle?.bytes);
        expect(after.ids.ino).toBe(before.ids.ino);
        const found = await daemon.lookup('image/f');
        expect(found.nodeid).not.toBe(old.nodeid);
        expect(fs.readFileSync(daemon.guest('image/f'), 'utf8')).toBe('TWO-other-content');
        const { mntId } = after.ids;
        const recycled = daemon.hazards().filter(({ id }) => id === 'H16');
        const uniqueBefore = unique.get(mntId);
        unique.set(mntId, uniqueOf(point));
        if (uniqueBefore === undefined) {
          expect(recycled).toEqual([]);
          continue;
        }
        expect(recycled).toHaveLength(1);
        expect(recycled[0]).toMatchObject({
          severity: 'information',
          evidence: { mntId, name: 'image', uniqueBefore, uniqueNow: uniqueOf(point) },
        });
        return;
      }
      throw new Error('No mount id came back in 50 rounds.');
    });
  });
}

scenario('a mount taken out of the share', { fileSystems: ['tmpfs'] }, () => {
  let daemon: Daemon;
  afterEach(() => daemon.stop());

  it('is still reached by handles that the guest has (H33)', async () => {
    const folder = newFolder(await makeFileSystem('tmpfs'));
    const point = path.join(folder, 'mount');
    fs.mkdirSync(point);
    run('mount', ['-t', 'tmpfs', 'tmpfs', point]);
    fs.writeFileSync(path.join(point, 'f'), 'still there');
    fs.writeFileSync(path.join(folder, 'beside'), '');
    daemon = await serve(folder);
    const held = await daemon.hold('mount/f');
    const beside = await daemon.hold('beside');
    expect(await daemon.probe({ all: true })).toMatchObject({ done: 4, failed: 0, different: 0 });
    expect(daemon.hazards()).toEqual([]);

    run('umount', ['-l', point]);
    expect(fs.readFileSync(held.path, 'utf8')).toBe('still there');
    expect(await daemon.probe({ nodeid: beside.nodeid })).toMatchObject({ done: 1 });
    expect(daemon.hazards().map(({ id }) => id)).not.toContain('H33');
    expect(await daemon.probe({ nodeid: held.nodeid })).toEqual({
      state: 'done',
      done: 1,
      of: 1,
      failed: 0,
      different: 0,
    });
    expect(await daemon.hazard('H33')).toMatchObject({
      severity: 'resource',
      nodeids: [held.nodeid],
      evidence: { probe: 'opens' },
    });
  });
});

scenario(
  'a root without CAP_DAC_READ_SEARCH',
  { fileSystems: ['tmpfs'], programs: ['setpriv'] },
  () => {
    let daemon: Daemon;
    afterEach(() => daemon.stop());

    it('makes handles and cannot open them: the mode that works is told (H21)', async () => {
      const folder = newFolder(await makeFileSystem('tmpfs'));
      const through = [
        'setpriv',
        '--bounding-set',
        '-dac_read_search',
        '--inh-caps',
        '-dac_read_search',
      ];
      daemon = await serve(folder, { handles: 'prefer', through });
      const { target, hazards } = await daemon.snapshot();
      expect(target.inodeFileHandles).toEqual({
        requested: 'prefer',
        effective: 'never',
        refused: { call: 'open_by_handle_at', errno: 'EPERM' },
      });
      expect(hazards).toEqual([
        expect.objectContaining({
          id: 'H21',
          severity: 'information',
          nodeids: ['1'],
          evidence: { requested: 'prefer', effective: 'never', errno: 'EPERM' },
        }),
      ]);
    });

    it('says nothing when handles open, or were not asked for', async () => {
      const folder = newFolder(await makeFileSystem('tmpfs'));
      for (const handles of ['prefer', 'never'] as const) {
        daemon = await serve(folder, { handles });
        const { target } = await daemon.snapshot();
        expect(target.inodeFileHandles).toEqual({ requested: handles, effective: handles });
        expect(daemon.hazards()).toEqual([]);
        await daemon.stop();
      }
    });
  },
);
