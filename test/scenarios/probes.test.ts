/** Probes on demand, and `--probe=always`, on files that nobody has replaced. */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { Daemon } from './share';
import { daemonProgram, makeFileSystem, newFolder, scenario, serve } from './share';

scenario('probes', { fileSystems: ['ext4'] }, () => {
  let disk: string;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(() => daemon.stop());

  it.each(['never', 'mandatory'] as const)(
    'of an entry, a directory and all, of what is there and what is not (%s)',
    async (handles) => {
      daemon = await serve(newFolder(disk), { handles });
      fs.mkdirSync(daemon.host('d'));
      for (let i = 0; i < 150; i++) fs.writeFileSync(daemon.host(`d/f${i}`), '');
      fs.writeFileSync(daemon.host('beside'), '');
      const directory = await daemon.hold('d');
      const beside = await daemon.hold('beside');
      for (let i = 0; i < 150; i++) await daemon.hold(`d/f${i}`);
      fs.rmSync(daemon.host('beside'));

      const quiet = { state: 'done', failed: 0, different: 0 };
      expect(await daemon.probe({ nodeid: directory.nodeid })).toEqual({
        ...quiet,
        done: 1,
        of: 1,
      });
      expect(await daemon.probe({ directory: directory.nodeid })).toEqual({
        ...quiet,
        done: 150,
        of: 150,
      });
      // A descriptor keeps the deleted file, a handle does not.
      const failed = handles === 'never' ? 0 : 1;
      const expected = { ...quiet, done: 153, of: 153, failed };
      expect(await daemon.probe({ all: true })).toEqual(expected);
      const program = await daemonProgram();
      const said = execFileSync(
        process.execPath,
        [program, 'probe', '--all', '--json', String(daemon.pid)],
        { encoding: 'utf8' },
      );
      expect(JSON.parse(said)).toEqual(expected);
      if (handles === 'mandatory') {
        expect(await daemon.hazard('H2')).toMatchObject({ nodeids: [beside.nodeid] });
      }
      const alarms = daemon
        .hazards()
        .filter(({ severity }) => ['data', 'error', 'identity'].includes(severity));
      expect(alarms).toEqual([]);
      await expect(daemon.probe({ nodeid: '99999' })).rejects.toThrow(/not in the tables/);
    },
  );

  it('--probe=always tries new handles and those that answer, and finds nothing wrong', async () => {
    daemon = await serve(newFolder(disk), { handles: 'mandatory', probe: 'always' });
    fs.writeFileSync(daemon.host('f'), 'content');
    fs.linkSync(daemon.host('f'), daemon.host('link'));
    for (const name of ['f', 'link', 'f']) await daemon.lookup(name);
    fs.writeFileSync(daemon.guest('made'), 'by the guest');
    await daemon.settle();
    const found = daemon.lookups().filter(({ nodeid }) => nodeid !== null);
    expect(found.map(({ hit }) => hit)).toEqual(expect.arrayContaining(['miss', 'handle_hit']));
    expect(found.every(({ probe }) => probe === 'same')).toBe(true);
    expect(daemon.hazards()).toEqual([]);
  });
});
