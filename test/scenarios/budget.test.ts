/** What a share costs its host: descriptors, deleted files, growth (H23, H24, H25). */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Daemon } from './share';
import { daemonProgram, errnoOf, makeFileSystem, newFolder, run, scenario, serve } from './share';

const MEGABYTE = 1_000_000;

function makeFiles(folder: string, count: number, size: number): string[] {
  const names = Array.from({ length: count }, (_, i) => `file-${i}`);
  for (const name of names) fs.writeFileSync(path.join(folder, name), Buffer.alloc(size, 1));
  return names;
}

/** Looks a name up, and leaves it to the guest's cache. */
function look(daemon: Daemon, name: string): string | null {
  return errnoOf(() => fs.statSync(daemon.guest(name)));
}

scenario('the descriptors of a guest', { fileSystems: ['ext4'] }, () => {
  let daemon: Daemon;
  let folder: string;
  beforeEach(async () => {
    folder = newFolder(await makeFileSystem('ext4'));
  });
  afterEach(() => daemon.stop());

  it('are nearly used up, and let go of again (H23)', async () => {
    const names = makeFiles(folder, 75, 1);
    daemon = await serve(folder, { handles: 'never', rlimitNofile: 700 });
    for (const name of names) expect(look(daemon, name)).toBeNull();
    // 610 are the daemon's own; the root's entry takes one.
    expect(await daemon.hazard('H23')).toMatchObject({
      severity: 'resource',
      evidence: { used: 76, limit: 90, refused: 0, guestSaw: null },
    });
    const { descriptors, directories } = await daemon.budget(() => true);
    expect(descriptors).toMatchObject({ used: 76, limit: 90, reserved: 610, entries: 76 });
    expect(directories.byDescriptors).toEqual([
      { nodeid: '1', path: '.', entries: 75, descriptors: 75 },
    ]);
    const shown = run(process.execPath, [await daemonProgram(), 'status', String(daemon.pid)]);
    expect(shown).toMatch(/^descriptors +76 of 90 \(84 %\): 76 of entries, 0 of open files/);
    expect(shown).toMatch(/ext4 .*: handles off, 76 entries with a descriptor, 0 with a handle/);
    expect(shown).toMatch(/H23 FD EXHAUSTION \[resource\]: The guest holds 76 of the 90/);
    daemon.dropCaches();
    await daemon.hazard('H23', 'closed');
    expect(daemon.hazards()).toHaveLength(2);
  });

  it('are used up: the guest gets ENFILE (H23)', async () => {
    const names = makeFiles(folder, 120, 1);
    daemon = await serve(folder, { handles: 'never', rlimitNofile: 700 });
    const seen = names.map((name) => look(daemon, name));
    expect(seen.filter((errno) => errno === null)).toHaveLength(89);
    expect(seen.filter((errno) => errno === 'ENFILE')).toHaveLength(31);
    await daemon.waitFor(
      (event) => event.type === 'hazard' && JSON.stringify(event['hazard']).includes('ENFILE'),
    );
    const [hazard] = (await daemon.snapshot()).hazards;
    expect(hazard).toMatchObject({
      id: 'H23',
      severity: 'error',
      evidence: { used: 90, limit: 90, refused: 31, guestSaw: 'ENFILE' },
    });
  });

  it('are not needed for entries with handles', async () => {
    const names = makeFiles(folder, 300, 1);
    daemon = await serve(folder, { rlimitNofile: 700 });
    for (const name of names) expect(look(daemon, name)).toBeNull();
    const { descriptors, growth, mounts } = await daemon.budget(
      ({ growth: shown }) => (shown.minute.at(-1)?.entries ?? 0) === 301,
    );
    expect(descriptors).toMatchObject({ used: 0, entries: 0, mounts: 1 });
    expect(mounts).toMatchObject([{ handles: 'yes', entries: { file: 0, handle: 301 } }]);
    expect(growth.hour.length).toBeGreaterThan(0);
    expect(daemon.hazards()).toEqual([]);
  });
});

scenario('files that the host deletes', { fileSystems: ['ext4'] }, () => {
  const COUNT = 200;
  const SIZE = 109_000;
  let disk: string;
  let folder: string;
  let daemon: Daemon;
  beforeEach(async () => {
    disk = await makeFileSystem('ext4');
    folder = newFolder(disk);
  });
  afterEach(() => daemon.stop());

  const free = () => {
    run('sync', ['-f', disk]);
    const { bfree, bsize } = fs.statfsSync(disk);
    return bfree * bsize;
  };

  /** How much room deleting files that the guest knows makes, in MB, and once it forgot them. */
  function freed(): { atOnce: number; forgotten: () => number } {
    const names = makeFiles(folder, COUNT, SIZE);
    for (const name of names) expect(look(daemon, name)).toBeNull();
    const before = free();
    for (const name of names) fs.rmSync(path.join(folder, name));
    const room = () => (free() - before) / MEGABYTE;
    return { atOnce: room(), forgotten: room };
  }

  it('stay on the disk until the guest forgets them, without handles (H24)', async () => {
    daemon = await serve(folder, { handles: 'never' });
    const { atOnce, forgotten } = freed();
    expect(atOnce).toBeCloseTo(0, 1);
    const hazard = await daemon.hazard('H24');
    expect(hazard).toMatchObject({
      severity: 'resource',
      evidence: { directory: '.', count: COUNT },
    });
    expect(Number(hazard.evidence['bytes'])).toBeGreaterThanOrEqual(COUNT * SIZE);
    const { zombies } = await daemon.budget(() => true);
    expect(zombies).toMatchObject({ count: COUNT, bytes: hazard.evidence['bytes'] });
    expect(zombies.directories).toMatchObject([{ nodeid: '1', path: '.', count: COUNT }]);
    daemon.dropCaches();
    await daemon.hazard('H24', 'closed');
    expect(forgotten()).toBeGreaterThan((COUNT * SIZE) / MEGABYTE - 1);
  });

  it('make room at once, with handles', async () => {
    daemon = await serve(folder, { handles: 'mandatory' });
    const { atOnce } = freed();
    expect(atOnce).toBeGreaterThan((COUNT * SIZE) / MEGABYTE - 1);
    const { zombies } = await daemon.budget(({ zombies: { sweptAt } }) => sweptAt !== null);
    expect(zombies).toMatchObject({ count: 0, bytes: '0' });
    expect(daemon.hazards()).toEqual([]);
  });

  it('one that a program in the guest still uses is counted, and no hazard', async () => {
    daemon = await serve(folder, { handles: 'never' });
    const fd = fs.openSync(daemon.guest('scratch'), 'w+');
    fs.writeSync(fd, Buffer.alloc(64 * 1024, 1));
    fs.fsyncSync(fd);
    fs.rmSync(daemon.guest('scratch'));
    const { zombies } = await daemon.budget(({ zombies: { count } }) => count === 1);
    expect(zombies.directories).toMatchObject([{ nodeid: '1', path: '.', count: 1 }]);
    fs.closeSync(fd);
    await daemon.budget(({ zombies: { count } }) => count === 0);
    expect(daemon.hazards()).toEqual([]);
  });
});
