/** Files that are replaced by a rename, as editors save (S13 of the catalogue). */

import * as fs from 'node:fs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { Daemon } from './share';
import { FILE_SYSTEMS, hostFile, makeFileSystem, newFolder, scenario, serve } from './share';

/** Writes beside the file and renames over it. */
function save(file: string, content: string): void {
  fs.writeFileSync(`${file}.new`, content);
  fs.renameSync(`${file}.new`, file);
}

scenario('atomic saves on ext4', { fileSystems: ['ext4'] }, () => {
  let disk: string;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(() => daemon.stop());

  it('lose a key of the second save, and make no second node for it', async () => {
    daemon = await serve(newFolder(disk));
    const doc = daemon.host('doc');
    fs.writeFileSync(doc, 'zero');
    const first = hostFile(doc);
    const old = await daemon.hold('doc');
    expect(old.nodeid).toBe('2');

    save(doc, 'one');
    const second = hostFile(doc);
    expect(second.ids).not.toEqual(first.ids);
    await daemon.unlearn('doc');
    expect((await daemon.lookup('doc')).lookups).toEqual([
      expect.objectContaining({ hit: 'miss', nodeid: '3', ...second }),
    ]);

    // ext4 gives the number of the first version to the third.
    save(doc, 'two');
    const third = hostFile(doc);
    expect(third.ids).toEqual(first.ids);
    await daemon.unlearn('doc');
    const newest = await daemon.hold('doc');
    expect(newest.nodeid).toBe('4');
    expect(await daemon.hazard('H7')).toMatchObject({
      severity: 'information',
      nodeids: ['2', '4'],
    });
    expect(await daemon.hazard('H1')).toMatchObject({ nodeids: ['4', '2'] });

    // Forgetting the first version takes the third's key along.
    await old.release();
    expect(await daemon.hazard('H8')).toMatchObject({
      severity: 'information',
      nodeids: ['4'],
      evidence: { node: '4', lostWith: '2', victimHoldsDescriptor: false },
    });
    expect(daemon.events.find(({ type }) => type === 'key_lost')).toMatchObject({
      table: 'inodes_by_ids',
      nodeid: '4',
      with: '2',
    });
    await daemon.unlearn('doc');
    expect((await daemon.lookup('doc')).lookups).toEqual([
      expect.objectContaining({ hit: 'handle_hit', byHandle: '4', byIds: null, nodeid: '4' }),
    ]);
    const { entries, inodes_by_ids, inodes_by_handle, hazards } = await daemon.snapshot();
    expect(entries.filter(({ path }) => path === 'doc')).toEqual([
      expect.objectContaining({ nodeid: '4', ...third }),
    ]);
    expect(inodes_by_ids.filter(({ ids }) => ids.ino === third.ids.ino)).toEqual([]);
    expect(inodes_by_handle).toContainEqual({ handle: third.handle, nodeid: '4' });
    expect(hazards.map(({ id, severity }) => `${id} ${severity}`)).toEqual(['H8 information']);
    await daemon.unlearn('doc');
    await newest.release();
    await daemon.hazard('H8', 'closed');
  });
});

for (const fileSystem of FILE_SYSTEMS) {
  scenario(`rename over on ${fileSystem}`, { fileSystems: [fileSystem] }, () => {
    let daemon: Daemon;
    afterEach(() => daemon.stop());

    it('the open file stays the old one, the name is the new one', async () => {
      daemon = await serve(newFolder(await makeFileSystem(fileSystem)));
      const doc = daemon.host('doc');
      fs.writeFileSync(doc, 'old');
      const before = hostFile(doc);
      const open = fs.openSync(daemon.guest('doc'), 'r');
      await daemon.settle();
      save(doc, 'new');
      const after = hostFile(doc);
      const looked = await daemon.doing(() => {
        expect(fs.readFileSync(daemon.guest('doc'), 'utf8')).toBe('new');
      });
      expect(fs.readFileSync(open, 'utf8')).toBe('old');
      expect(looked.lookups.at(-1)).toMatchObject({ errno: null, ...after });
      const { entries } = await daemon.snapshot();
      expect(entries.slice(1)).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ nodeid: '2', kind: 'handle', ...before }),
          expect.objectContaining({ nodeid: looked.nodeid, kind: 'handle', ...after }),
        ]),
      );
      fs.closeSync(open);
      await daemon.waitFor((event) => event.type === 'remove' && event['nodeid'] === '2');
      await daemon.hazard('H34', 'closed');
      // The name led elsewhere while the guest still had the old file: that, and nothing more.
      expect(daemon.hazards()).toMatchObject([
        { id: 'H34', state: 'open', severity: 'information' },
        { id: 'H34', state: 'closed' },
      ]);
    });

    it('the guest renames over a name that it knows', async () => {
      daemon = await serve(newFolder(await makeFileSystem(fileSystem)), { handles: 'prefer' });
      fs.writeFileSync(daemon.host('doc'), 'old');
      await daemon.lookup('doc');
      const looked = await daemon.doing(() => save(daemon.guest('doc'), 'new'));
      // The rename looks both names up in passing (virtiofsd's before_invalidating_path).
      expect(looked.lookups.filter(({ op }) => op === 'RENAME').map(({ name }) => name)).toEqual(
        expect.arrayContaining(['doc', 'doc.new']),
      );
      expect(fs.readFileSync(daemon.host('doc'), 'utf8')).toBe('new');
      await daemon.waitFor((event) => event.type === 'remove' && event['nodeid'] === '2');
      await daemon.lookup('doc');
      const { entries } = await daemon.snapshot();
      expect(entries.filter(({ path }) => path === 'doc')).toEqual([
        expect.objectContaining(hostFile(daemon.host('doc'))),
      ]);
      expect(daemon.hazards().filter(({ severity }) => severity !== 'information')).toEqual([]);
    });
  });
}
