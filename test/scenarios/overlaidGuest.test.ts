/** The host's own kernel as the guest that stacks an overlayfs on the share (H34). */

import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Daemon } from './share';
import { errnoOf, hazardOf, makeFileSystem, newFolder, run, scenario, serve } from './share';

/** What an editor does: the name never stops leading to a file. */
function atomicSave(file: string, content: string): void {
  fs.writeFileSync(`${file}.new`, content);
  fs.renameSync(`${file}.new`, file);
}

scenario('names that lead elsewhere', { fileSystems: ['ext4', 'overlay', 'tmpfs'] }, () => {
  let daemon: Daemon;
  let overlay: string | null = null;
  beforeEach(async () => {
    daemon = await serve(newFolder(await makeFileSystem('ext4')));
  });
  afterEach(async () => {
    if (overlay !== null) run('umount', [overlay]);
    overlay = null;
    await daemon.stop();
  });

  it('are a lasting ESTALE below an overlayfs, which no reply carried', async () => {
    fs.writeFileSync(daemon.host('doc'), 'v0');
    const upper = await makeFileSystem('tmpfs');
    for (const name of ['upper', 'work', 'merged']) fs.mkdirSync(path.join(upper, name));
    const layers = [
      `lowerdir=${daemon.mount}`,
      `upperdir=${path.join(upper, 'upper')}`,
      `workdir=${path.join(upper, 'work')}`,
    ];
    const merged = path.join(upper, 'merged');
    run('mount', ['-t', 'overlay', 'overlay', '-o', layers.join(','), merged]);
    overlay = merged;
    const doc = path.join(merged, 'doc');
    expect(fs.readFileSync(doc, 'utf8')).toBe('v0');

    atomicSave(daemon.host('doc'), 'v1');
    expect(fs.readFileSync(daemon.guest('doc'), 'utf8')).toBe('v1');
    expect(errnoOf(() => fs.readFileSync(doc))).toBe('ESTALE');
    expect(errnoOf(() => fs.readFileSync(doc))).toBe('ESTALE');
    await daemon.settle();

    const change = await daemon.waitFor(({ type }) => type === 'name_changed');
    expect(change).toMatchObject({ parent: '1', name: 'doc', from: '2', to: '3' });
    expect(await daemon.hazard('H34')).toMatchObject({
      severity: 'information',
      nodeids: ['2'],
      evidence: { name: 'doc', before: '2', now: '3', staleReplies: 0 },
    });
    expect(daemon.lookups().filter(({ errno }) => errno === 'ESTALE')).toEqual([]);
    expect(daemon.events.filter(({ type }) => type === 'open_by_handle')).toEqual([]);
    // The overlay keeps the old node: it stays open.
    expect((await daemon.snapshot()).hazards.map(({ id }) => id)).toContain('H34');

    run('umount', [merged]);
    overlay = null;
    expect((await daemon.hazard('H34', 'closed')).nodeids).toEqual(['2']);
  });

  it('are over at once without one: the guest forgets the old node', async () => {
    const names = Array.from({ length: 50 }, (_, i) => `file-${i}`);
    for (const name of names) fs.writeFileSync(daemon.host(name), 'v0');
    for (const name of names) fs.readFileSync(daemon.guest(name));
    for (const name of names) atomicSave(daemon.host(name), 'v1');
    for (const name of names) {
      expect(fs.readFileSync(daemon.guest(name), 'utf8')).toBe('v1');
    }
    await daemon.settle();
    for (const name of names) {
      await daemon.waitFor((event) => hazardOf(event, 'H34', 'closed')?.evidence['name'] === name);
    }
    expect((await daemon.snapshot()).hazards).toEqual([]);
    expect(daemon.hazards().every(({ severity }) => severity === 'information')).toBe(true);
  });

  it('change nothing when the guest itself moves, removes and makes them', async () => {
    for (let version = 0; version < 20; version++) {
      atomicSave(daemon.guest('doc'), `v${version}`);
      expect(fs.readFileSync(daemon.guest('doc'), 'utf8')).toBe(`v${version}`);
      fs.writeFileSync(daemon.guest('log'), 'a line');
      fs.rmSync(daemon.guest('log'));
    }
    await daemon.settle();
    expect(daemon.events.filter(({ type }) => type === 'name_changed')).toEqual([]);
    expect(daemon.hazards().filter(({ id }) => id === 'H34')).toEqual([]);
  });
});
