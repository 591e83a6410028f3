/** Inode numbers that come back: H1, H2, H7 of the catalogue. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Daemon, HostFile } from './share';
import {
  errnoOf,
  FILE_SYSTEMS,
  generation,
  hazardOf,
  hostFile,
  makeFileSystem,
  newFolder,
  scenario,
  serve,
} from './share';

/** Files made until one gets the number; xfs frees numbers in the background. */
const TRIES = 5_000;

/**
 * Makes a file that has a given inode number.
 *
 * @returns false when the file system did not give the number away again
 */
function makeWithNumber(file: string, ino: string, content: string): boolean {
  const tries: string[] = [];
  let found: string | undefined;
  while (found === undefined && tries.length < TRIES) {
    const attempt = `${file}.try-${tries.length}`;
    fs.writeFileSync(attempt, content);
    if (hostFile(attempt).ids.ino === ino) found = attempt;
    tries.push(attempt);
  }
  if (found !== undefined) fs.renameSync(found, file);
  for (const attempt of tries) fs.rmSync(attempt, { force: true });
  return found !== undefined;
}

const idsKeys = async (daemon: Daemon, { ids }: HostFile) =>
  (await daemon.snapshot()).inodes_by_ids.filter((key) => key.ids.ino === ids.ino);

for (const fileSystem of FILE_SYSTEMS) {
  const reuses = fileSystem === 'ext4' || fileSystem === 'xfs';

  scenario(`number reuse on ${fileSystem}`, { fileSystems: [fileSystem] }, () => {
    let disk: string;
    let daemon: Daemon;
    beforeAll(async () => {
      disk = await makeFileSystem(fileSystem);
    });
    afterEach(() => daemon.stop());

    describe.runIf(reuses).each(['mandatory', 'prefer'] as const)('handles %s', (handles) => {
      it('is caught by the generation; who still uses the old node gets ESTALE', async () => {
        daemon = await serve(newFolder(disk), { handles });
        const file = daemon.host('f');
        fs.writeFileSync(file, 'OLD');
        const before = hostFile(file);
        const old = await daemon.hold('f');
        expect(old.nodeid).toBe('2');

        fs.rmSync(file);
        expect((await daemon.lookup('f')).errno).toBe('ENOENT');
        expect(makeWithNumber(file, before.ids.ino, 'NEW')).toBe(true);
        const after = hostFile(file);
        expect(after.ids).toEqual(before.ids);
        expect(after.handle).not.toEqual(before.handle);

        const { lookups } = await daemon.lookup('f');
        expect(lookups).toEqual([
          expect.objectContaining({
            op: 'LOOKUP',
            name: 'f',
            ids: after.ids,
            handle: after.handle,
            byHandle: null,
            byIds: '2',
            hit: 'fallback_rejected',
            nodeid: '3',
            errno: null,
          }),
        ]);

        expect(await daemon.hazard('H1')).toMatchObject({
          severity: 'information',
          nodeids: ['3', '2'],
          evidence: {
            oldNode: '2',
            newNode: '3',
            oldGeneration: generation(before, fileSystem),
            newGeneration: generation(after, fileSystem),
            probe: 'ESTALE',
          },
        });
        expect(await daemon.hazard('H2')).toMatchObject({
          severity: 'information',
          nodeids: ['2'],
          evidence: { guestSaw: null },
        });
        expect(await daemon.hazard('H7')).toMatchObject({
          severity: 'information',
          nodeids: ['2', '3'],
          evidence: { from: '2', by: '3', victimHoldsDescriptor: false },
        });

        // One ids key, two handles, two nodes.
        const snapshot = await daemon.snapshot();
        expect(snapshot.entries.slice(1)).toEqual([
          expect.objectContaining({ nodeid: '2', kind: 'handle', ...before, path: 'f' }),
          expect.objectContaining({ nodeid: '3', kind: 'handle', ...after, path: 'f' }),
        ]);
        expect(await idsKeys(daemon, after)).toEqual([{ ids: after.ids, nodeid: '3' }]);
        expect(await daemon.lanes(after.ids.ino)).toMatchObject([
          {
            ids: after.ids,
            class: 'held',
            owners: 2,
            bars: [
              { nodeid: '2', generation: generation(before, fileSystem), to: null, owner: 0 },
              { nodeid: '3', generation: generation(after, fileSystem), to: null, owner: 1 },
            ],
          },
        ]);
        expect(snapshot.inodes_by_handle).toEqual(
          expect.arrayContaining([
            { handle: before.handle, nodeid: '2' },
            { handle: after.handle, nodeid: '3' },
          ]),
        );
        expect(snapshot.counters.lookups).toMatchObject({
          fallback_rejected: '1',
          handle_hit: '0',
        });

        // The new name gives the new file, the old node nothing.
        expect(fs.readFileSync(daemon.guest('f'), 'utf8')).toBe('NEW');
        expect(errnoOf(() => fs.readFileSync(old.path))).toBe('ESTALE');
        await daemon.waitFor(
          (event) =>
            event.type === 'open_by_handle' &&
            event['nodeid'] === '2' &&
            event['errno'] === 'ESTALE',
        );
        await daemon.settle();
        const worst = (await daemon.snapshot()).hazards;
        expect(worst.map(({ id, severity }) => `${id} ${severity}`).sort()).toEqual([
          'H1 information',
          'H2 error',
          'H7 information',
        ]);
        expect(worst[0]).toMatchObject({ id: 'H2', evidence: { guestSaw: 'ESTALE' } });

        // The key goes with the node that it was stolen from; the file is found by its handle.
        await old.release();
        expect(await daemon.hazard('H8')).toMatchObject({
          severity: 'information',
          nodeids: ['3'],
          evidence: { lostWith: '2' },
        });
        expect((await daemon.lookup('f')).lookups).toEqual([
          expect.objectContaining({ hit: 'handle_hit', nodeid: '3', byIds: null }),
        ]);
        expect(await idsKeys(daemon, after)).toEqual([]);
        expect((await daemon.snapshot()).hazards.map(({ id }) => id)).toEqual(['H8']);
        for (const id of ['H1', 'H2', 'H7']) await daemon.hazard(id, 'closed');
      });

      it('is reported also when the guest forgets the old node at once', async () => {
        daemon = await serve(newFolder(disk), { handles });
        const file = daemon.host('f');
        fs.writeFileSync(file, 'OLD');
        const before = hostFile(file);
        await daemon.lookup('f');
        fs.rmSync(file);
        expect(makeWithNumber(file, before.ids.ino, 'NEW')).toBe(true);
        const after = hostFile(file);

        expect(fs.readFileSync(daemon.guest('f'), 'utf8')).toBe('NEW');
        expect(await daemon.hazard('H1')).toMatchObject({
          severity: 'information',
          evidence: {
            oldGeneration: generation(before, fileSystem),
            newGeneration: generation(after, fileSystem),
          },
        });
        await daemon.hazard('H1', 'closed');
        await daemon.waitFor((event) => event.type === 'remove' && event['nodeid'] === '2');
        await daemon.settle();
        const { entries, hazards } = await daemon.snapshot();
        expect(entries.slice(1)).toEqual([expect.objectContaining({ ...after, path: 'f' })]);
        expect(hazards.filter(({ severity }) => severity !== 'information')).toEqual([]);
      });
    });

    it.runIf(reuses)('does not happen while the guest has the old file open', async () => {
      daemon = await serve(newFolder(disk));
      const file = daemon.host('f');
      fs.writeFileSync(file, 'OLD');
      const { ids } = hostFile(file);
      const open = fs.openSync(daemon.guest('f'), 'r');
      expect(fs.readFileSync(open, 'utf8')).toBe('OLD');
      fs.rmSync(file);
      fs.writeFileSync(file, 'NEW');
      expect(hostFile(file).ids.ino).not.toBe(ids.ino);
      expect(fs.readFileSync(daemon.guest('f'), 'utf8')).toBe('NEW');
      const again = Buffer.alloc(8);
      const read = fs.readSync(open, again, 0, 8, 0);
      expect(again.toString('utf8', 0, read)).toBe('OLD');
      fs.closeSync(open);
      await daemon.hazard('H34', 'closed');
      // The name led elsewhere while the guest still had the old file: that, and nothing more.
      expect(daemon.hazards()).toMatchObject([
        { id: 'H34', state: 'open', severity: 'information' },
        { id: 'H34', state: 'closed' },
      ]);
    });

    it.runIf(!reuses)('never happens: a new file has a new number', async () => {
      daemon = await serve(newFolder(disk), { handles: 'mandatory' });
      const file = daemon.host('f');
      fs.writeFileSync(file, 'OLD');
      const before = hostFile(file);
      const old = await daemon.hold('f');
      for (let round = 0; round < 100; round++) {
        fs.rmSync(file);
        await daemon.lookup('f');
        fs.writeFileSync(file, `NEW ${round}`);
        expect((await daemon.lookup('f')).lookups).toEqual([
          expect.objectContaining({ hit: 'miss', byIds: null, ...hostFile(file) }),
        ]);
      }
      expect(await idsKeys(daemon, before)).toEqual([{ ids: before.ids, nodeid: old.nodeid }]);
      expect(daemon.hazards()).toEqual([]);
      // The old entry is stale all the same: its file is gone.
      expect(errnoOf(() => fs.readFileSync(old.path))).toBe('ESTALE');
      expect(await daemon.hazard('H2')).toMatchObject({ severity: 'error', nodeids: ['2'] });
      await old.release();
      await daemon.hazard('H2', 'closed');
    });

    it('gives ESTALE to a program whose directory was removed and made again', async () => {
      daemon = await serve(newFolder(disk));
      fs.mkdirSync(daemon.host('d'));
      fs.writeFileSync(daemon.host('d/inside'), '');
      const shell = spawn('sh', ['-c', 'cd "$0" && echo in && read -r _ && ls', daemon.guest('d')]);
      await once(shell.stdout, 'data');
      fs.rmSync(daemon.host('d'), { recursive: true });
      expect((await daemon.lookup('d')).errno).toBe('ENOENT');
      fs.mkdirSync(daemon.host('d'));
      expect((await daemon.lookup('d')).nodeid).not.toBe('2');
      expect(fs.readdirSync(daemon.guest('d'))).toEqual([]);

      let said = '';
      shell.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
      shell.stdin.end('\n');
      await once(shell, 'close');
      expect(said).toContain('Stale file handle');
      const stale = await daemon.waitFor((event) => hazardOf(event, 'H2')?.severity === 'error');
      expect(hazardOf(stale)).toMatchObject({ nodeids: ['2'], evidence: { guestSaw: 'ESTALE' } });
      await daemon.hazard('H2', 'closed');
    });
  });
}
