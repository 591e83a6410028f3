/** Mounts below the shared directory: twins, submounts, odd mount points, no handles (H4, H18, H20). */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Daemon, HostFile } from './share';
import { hostFile, makeFileSystem, newFolder, run, scenario, serve } from './share';

scenario('mounts below the share', { fileSystems: ['ext4', 'tmpfs'] }, () => {
  let disk: string;
  let folder: string;
  let daemon: Daemon;
  beforeEach(async () => {
    disk = await makeFileSystem('ext4');
    folder = newFolder(disk);
  });
  afterEach(() => daemon.stop());

  const entryOf = async (name: string) =>
    (await daemon.snapshot()).entries.find((entry) => entry.path === name);

  it('a bind mount makes twins: equal numbers and handles, other mount, other node', async () => {
    fs.mkdirSync(path.join(folder, 'a'));
    fs.mkdirSync(path.join(folder, 'b'));
    fs.writeFileSync(path.join(folder, 'a/x'), 'one file');
    run('mount', ['--bind', path.join(folder, 'a'), path.join(folder, 'b')]);
    daemon = await serve(folder);
    const a = await daemon.lookup('a/x');
    const b = await daemon.lookup('b/x');
    expect(a.nodeid).not.toBe(b.nodeid);
    const [hostA, hostB] = [hostFile(daemon.host('a/x')), hostFile(daemon.host('b/x'))];
    expect(hostA.ids.ino).toBe(hostB.ids.ino);
    expect(hostA.ids.mntId).not.toBe(hostB.ids.mntId);
    expect(hostA.handle?.bytes).toBe(hostB.handle?.bytes);
    expect(await entryOf('a/x')).toMatchObject({ kind: 'handle', nodeid: a.nodeid, ...hostA });
    expect(await entryOf('b/x')).toMatchObject({ kind: 'handle', nodeid: b.nodeid, ...hostB });
    fs.writeFileSync(daemon.guest('b/x'), 'written as b');
    expect(fs.readFileSync(daemon.guest('a/x'), 'utf8')).toBe('written as b');
    await daemon.settle();
    const twins = await daemon.hazard('H18');
    const mounts = [hostA.ids.mntId, hostB.ids.mntId].sort((x, y) => Number(x) - Number(y));
    expect(twins).toMatchObject({
      severity: 'information',
      // The directory is its own twin, too.
      evidence: { mounts: mounts.join(', '), pairs: 2 },
    });
    expect(daemon.hazards()).toEqual([twins]);
    const { mounts: inPlay } = await daemon.budget(({ mounts: shown }) =>
      shown.every(({ mounted }) => mounted === true),
    );
    expect(inPlay.map(({ mntId }) => mntId).sort()).toEqual([...mounts].sort());
    expect(inPlay.find(({ mntId }) => mntId === hostB.ids.mntId)).toMatchObject({
      fsType: 'ext4',
      point: daemon.host('b'),
      handles: 'yes',
      entries: { file: 0, handle: 2, invalid: 0 },
      descriptors: 1,
      twins: [{ mntId: hostA.ids.mntId, pairs: 2 }],
    });
  });

  it('a tmpfs below it has handles of its own', async () => {
    fs.mkdirSync(path.join(folder, 't'));
    run('mount', ['-t', 'tmpfs', 'tmpfs', path.join(folder, 't')]);
    fs.writeFileSync(path.join(folder, 't/x'), 'in memory');
    fs.writeFileSync(path.join(folder, 'y'), 'on disk');
    daemon = await serve(folder);
    await daemon.lookup('t/x');
    await daemon.lookup('y');
    for (const name of ['t', 't/x', 'y']) {
      expect(await entryOf(name)).toMatchObject({
        kind: 'handle',
        ...hostFile(daemon.host(name)),
      });
    }
    expect((await entryOf('t'))?.ids.mntId).not.toBe((await entryOf('y'))?.ids.mntId);
    expect(daemon.lookups().find(({ name }) => name === 'x')?.spare?.fsType).toBe('tmpfs');
    expect(fs.readFileSync(daemon.guest('t/x'), 'utf8')).toBe('in memory');
    expect(daemon.hazards()).toEqual([]);
  });

  it.each(['my data', 'tab\there', 'back\\slash', 'line\nbreak'])(
    'a mount point called %j works with handles (virtiofsd: ENOENT)',
    async (name) => {
      const point = path.join(folder, name);
      fs.mkdirSync(point);
      run('mount', ['-t', 'tmpfs', 'tmpfs', point]);
      fs.writeFileSync(path.join(point, 'x'), 'reachable');
      daemon = await serve(folder);
      const looked = await daemon.lookup(`${name}/x`);
      expect(looked.errno).toBeNull();
      const host: HostFile = hostFile(daemon.host(`${name}/x`));
      const { entries } = await daemon.snapshot();
      expect(entries.find(({ nodeid }) => nodeid === looked.nodeid)).toMatchObject({
        kind: 'handle',
        ...host,
      });
      expect(fs.readFileSync(daemon.guest(`${name}/x`), 'utf8')).toBe('reachable');
      expect(daemon.hazards()).toEqual([]);
    },
  );

  it('unmounted lazily while the guest counts its files: they are served until it forgets them', async () => {
    const point = path.join(folder, 'gone');
    fs.mkdirSync(point);
    run('mount', ['-t', 'tmpfs', 'tmpfs', point]);
    fs.writeFileSync(path.join(point, 'x'), 'old mount');
    daemon = await serve(folder);
    const held = await daemon.hold('gone/x');
    // The daemon's descriptor pins the mount as long as it has an entry there (H19).
    const { mntId } = hostFile(daemon.host('gone/x')).ids;
    expect(() => run('umount', [point])).toThrow(/busy/);
    await daemon.budget(({ mounts }) =>
      mounts.some((mount) => mount.mntId === mntId && mount.mounted === true),
    );
    run('umount', ['-l', point]);
    expect((await daemon.lookup('gone/x')).errno).toBe('ENOENT');
    expect(fs.readFileSync(held.path, 'utf8')).toBe('old mount');
    const pinned = await daemon.hazard('H19');
    expect(pinned).toMatchObject({ severity: 'resource', evidence: { mntId, point, files: 0 } });
    expect(await daemon.waitFor(({ type }) => type === 'mount_changed')).toMatchObject({
      mntId,
      mounted: false,
      point,
    });
    const released = held.release();
    daemon.dropCaches();
    await released;
    expect((await daemon.hazard('H19', 'closed')).evidence['mntId']).toBe(mntId);
  });

  it('unmounted after the guest forgot it, it is nobody’s concern', async () => {
    const point = path.join(folder, 'done');
    fs.mkdirSync(point);
    run('mount', ['-t', 'tmpfs', 'tmpfs', point]);
    fs.writeFileSync(path.join(point, 'x'), 'old mount');
    daemon = await serve(folder);
    await daemon.lookup('done/x');
    const { mntId } = hostFile(daemon.host('done/x')).ids;
    const knows = (mounts: readonly { mntId: string }[]) =>
      mounts.some((mount) => mount.mntId === mntId);
    await daemon.budget(({ mounts }) => knows(mounts));
    daemon.dropCaches();
    await daemon.budget(({ mounts }) => !knows(mounts));
    run('umount', [point]);
    await daemon.budget(({ growth }) => growth.minute.length >= 5);
    expect(daemon.hazards()).toEqual([]);
  });
});

scenario('a mount that handles cannot be opened on', { fileSystems: ['ext4', 'tmpfs'] }, () => {
  let daemon: Daemon;
  let above: string;
  beforeEach(async () => {
    const disk = await makeFileSystem('ext4');
    above = path.join(disk, 'above');
    fs.mkdirSync(path.join(above, 'share/m'), { recursive: true });
    run('mount', ['-t', 'tmpfs', 'tmpfs', path.join(above, 'share/m')]);
    fs.writeFileSync(path.join(above, 'share/m/x'), 'below');
    fs.writeFileSync(path.join(above, 'share/y'), 'beside');
  });
  afterEach(() => daemon.stop());

  it.each([
    { with: 'an empty mount', errno: 'ENOENT', inside: null },
    { with: 'the same path in another mount', errno: 'EIO', inside: 'share/m' },
  ])('a directory above it is covered by $with: $errno (H20)', async ({ errno, inside }) => {
    daemon = await serve(path.join(above, 'share'));
    await daemon.lookup('y');
    const { mntId } = hostFile(path.join(above, 'share/m')).ids;
    run('mount', ['-t', 'tmpfs', 'tmpfs', above]);
    if (inside !== null) fs.mkdirSync(path.join(above, inside), { recursive: true });
    expect((await daemon.lookup('m')).errno).toBe(errno);
    expect(await daemon.hazard('H20')).toMatchObject({
      severity: 'error',
      evidence: { mntId, errno, name: 'm', parent: '1' },
    });
    expect(fs.readFileSync(daemon.guest('y'), 'utf8')).toBe('beside');
    const { mounts } = await daemon.budget(() => true);
    expect(mounts.find((mount) => mount.mntId === mntId)).toMatchObject({
      handles: 'not_openable',
      refused: errno,
    });
    run('umount', [above]);
    expect((await daemon.lookup('m/x')).errno).toBeNull();
    expect((await daemon.hazard('H20', 'closed')).evidence['mntId']).toBe(mntId);
  });

  it('never opens a mount with descriptors: the same is served', async () => {
    daemon = await serve(path.join(above, 'share'), { handles: 'never' });
    run('mount', ['-t', 'tmpfs', 'tmpfs', above]);
    expect((await daemon.lookup('m/x')).errno).toBeNull();
    expect(fs.readFileSync(daemon.guest('m/x'), 'utf8')).toBe('below');
    expect(daemon.hazards()).toEqual([]);
    run('umount', [above]);
  });
});

scenario('an overlay without handles below the share', { fileSystems: ['ext4', 'overlay'] }, () => {
  let daemon: Daemon;
  afterEach(() => daemon.stop());

  it('is told once for the mount, as information', async () => {
    const disk = await makeFileSystem('ext4');
    const folder = newFolder(disk);
    for (const name of ['lower', 'upper', 'work']) fs.mkdirSync(path.join(disk, name));
    fs.mkdirSync(path.join(folder, 'ov'));
    const names = Array.from({ length: 20 }, (_, i) => `file-${i}`);
    for (const name of names) fs.writeFileSync(path.join(disk, 'lower', name), name);
    const layers = ['lower', 'upper', 'work'].map((name) => `${name}dir=${path.join(disk, name)}`);
    const point = path.join(folder, 'ov');
    run('mount', ['-t', 'overlay', 'overlay', '-o', layers.join(','), point]);
    expect(hostFile(path.join(point, 'file-0')).handle).toBeNull();

    daemon = await serve(folder, { handles: 'prefer' });
    fs.writeFileSync(daemon.host('plain'), '');
    await daemon.lookup('plain');
    for (const name of [...names, ...names]) {
      expect((await daemon.lookup(`ov/${name}`)).errno).toBeNull();
    }
    const { entries, hazards, counters } = await daemon.snapshot();
    const mntId = hostFile(daemon.host('ov/file-0')).ids.mntId;
    expect(hazards).toEqual([
      expect.objectContaining({
        id: 'H4',
        severity: 'information',
        evidence: expect.objectContaining({
          mntId,
          errno: 'EOPNOTSUPP',
          otherEntriesHaveHandles: false,
        }) as unknown,
      }),
    ]);
    expect(daemon.hazards()).toHaveLength(1);
    // The overlay's root and its files hold descriptors; the share's own entries hold handles.
    expect(counters.entries).toEqual({ file: '21', handle: '2', invalid: '0' });
    for (const name of names) {
      expect(entries.find((entry) => entry.path === `ov/${name}`)).toMatchObject({
        kind: 'file',
        ids: hostFile(daemon.host(`ov/${name}`)).ids,
      });
    }
    expect(fs.readFileSync(daemon.guest('ov/file-7'), 'utf8')).toBe('file-7');
  });
});
