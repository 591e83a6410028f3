/** `--inode-file-handles=never`: every entry holds a descriptor, and every lookup is by ids. */

import * as fs from 'node:fs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { Daemon } from './share';
import { FILE_SYSTEMS, hostFile, makeFileSystem, newFolder, scenario, serve } from './share';

for (const fileSystem of FILE_SYSTEMS) {
  scenario(`handles never on ${fileSystem}`, { fileSystems: [fileSystem] }, () => {
    let disk: string;
    let daemon: Daemon;
    beforeAll(async () => {
      disk = await makeFileSystem(fileSystem);
    });
    afterEach(() => daemon.stop());

    it('answers by ids, counts descriptors, and raises nothing for it', async () => {
      daemon = await serve(newFolder(disk), { handles: 'never' });
      const names = Array.from({ length: 50 }, (_, i) => `file-${i}`);
      for (const name of names) fs.writeFileSync(daemon.host(name), name);
      for (const name of names) fs.closeSync(fs.openSync(daemon.guest(name), 'r'));
      for (const name of names) fs.closeSync(fs.openSync(daemon.guest(name), 'r'));
      await daemon.settle();

      const { entries, inodes_by_ids, inodes_by_handle, counters, hazards, target } =
        await daemon.snapshot();
      expect(target.inodeFileHandles).toEqual({ requested: 'never', effective: 'never' });
      expect(counters.lookups).toMatchObject({
        miss: '50',
        handleless_hit: '50',
        handle_hit: '0',
        fallback_hit: '0',
        fallback_rejected: '0',
      });
      expect(daemon.lookups().filter(({ ids }) => ids !== null)).toSatisfy(
        (lookups: { handle?: unknown; handleErrno?: unknown }[]) =>
          lookups.every(({ handle, handleErrno }) => handle === null && handleErrno === undefined),
      );
      for (const name of names) {
        const { ids } = hostFile(daemon.host(name));
        const entry = entries.find(({ path }) => path === name);
        expect(entry).toMatchObject({ kind: 'file', handle: null, generation: null, ids });
        expect(fs.readlinkSync(`/proc/${daemon.pid}/fd/${entry?.fd}`)).toMatch(`/${name}`);
        expect(inodes_by_ids).toContainEqual({ ids, nodeid: entry?.nodeid });
      }
      expect(inodes_by_handle).toEqual([]);
      expect(counters.entries).toEqual({ file: '51', handle: '0', invalid: '0' });
      expect(counters.fds.used).toBe('51');
      expect(hazards).toEqual([]);
      expect(daemon.hazards()).toEqual([]);
    });

    it('keeps a number from being used again for as long as the guest counts the file', async () => {
      daemon = await serve(newFolder(disk), { handles: 'never' });
      const file = daemon.host('f');
      fs.writeFileSync(file, 'OLD');
      const before = hostFile(file);
      const old = await daemon.hold('f');
      fs.rmSync(file);
      await daemon.lookup('f');
      for (let i = 0; i < 200; i++) {
        fs.writeFileSync(daemon.host(`new-${i}`), '');
        expect(hostFile(daemon.host(`new-${i}`)).ids.ino).not.toBe(before.ids.ino);
      }
      fs.writeFileSync(file, 'NEW');
      expect((await daemon.lookup('f')).lookups).toEqual([
        expect.objectContaining({ hit: 'miss', nodeid: '3', ids: hostFile(file).ids }),
      ]);
      expect(fs.readFileSync(old.path, 'utf8')).toBe('OLD');
      expect(fs.readFileSync(daemon.guest('f'), 'utf8')).toBe('NEW');
      expect(fs.fstatSync(old.fd).nlink).toBe(0);
      await old.release();
      expect(daemon.hazards()).toEqual([]);
      expect((await daemon.snapshot()).entries.map(({ path }) => path)).toEqual(['.', 'f']);
    });
  });
}
