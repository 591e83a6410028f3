/**
 * Handles that fail now and then: one file under two node ids and a lost key, with strace making
 * name_to_handle_at fail at chosen calls.
 */

import * as fs from 'node:fs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { Daemon, ServeOptions } from './share';
import {
  CALLS_BEFORE_LOOKUPS,
  hostFile,
  makeFileSystem,
  newFolder,
  scenario,
  serve,
} from './share';

const needs = { fileSystems: ['ext4'], programs: ['strace'] };

/** `when=` of strace for the nth LOOKUP of the daemon. */
const atLookup = (n: number) => String(CALLS_BEFORE_LOOKUPS + n);

scenario('handles that fail', needs, () => {
  let disk: string;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(() => daemon.stop());

  const start = (inject: ServeOptions['inject']) =>
    serve(newFolder(disk), { handles: 'prefer', ...(inject === undefined ? {} : { inject }) });

  const open = async () =>
    (await daemon.snapshot()).hazards.map(({ id, severity }) => `${id} ${severity}`).sort();

  it('EOPNOTSUPP once: two nodes for one file with two names (seed scenario, S2)', async () => {
    daemon = await start({ errno: 'EOPNOTSUPP', when: atLookup(2) });
    fs.writeFileSync(daemon.host('foo'), 'content');
    fs.linkSync(daemon.host('foo'), daemon.host('foo-link'));
    const file = hostFile(daemon.host('foo'));

    const foo = await daemon.hold('foo');
    expect(foo.nodeid).toBe('2');
    const link = await daemon.hold('foo-link');
    expect(link.nodeid).toBe('3');
    expect(daemon.lookups().at(-1)).toMatchObject({
      ids: file.ids,
      handleErrno: 'EOPNOTSUPP',
      byHandle: null,
      byIds: '2',
      hit: 'fallback_rejected',
      nodeid: '3',
      spare: { nlink: 2 },
    });
    expect(await daemon.hazard('H4')).toMatchObject({
      severity: 'identity',
      nodeids: ['3'],
      evidence: { errno: 'EOPNOTSUPP', name: 'foo-link', otherEntriesHaveHandles: true },
    });
    expect(await daemon.hazard('H5')).toMatchObject({
      severity: 'identity',
      nodeids: ['3', '2'],
      evidence: { nodes: '2, 3', handleErrno: 'EOPNOTSUPP' },
    });
    expect(await daemon.hazard('H7')).toMatchObject({
      severity: 'information',
      nodeids: ['2', '3'],
    });

    // The two tables name different nodes for one file.
    const { entries, inodes_by_ids, inodes_by_handle, counters } = await daemon.snapshot();
    expect(entries.slice(1)).toEqual([
      expect.objectContaining({ nodeid: '2', kind: 'handle', ...file, fd: null }),
      expect.objectContaining({ nodeid: '3', kind: 'file', ids: file.ids, handle: null }),
    ]);
    expect(inodes_by_ids).toContainEqual({ ids: file.ids, nodeid: '3' });
    expect(inodes_by_handle).toContainEqual({ handle: file.handle, nodeid: '2' });
    expect(counters).toMatchObject({ entries: { file: '1', handle: '2' }, fds: { used: '1' } });
    const fd = entries[2]?.fd ?? -1;
    expect(fs.readlinkSync(`/proc/${daemon.pid}/fd/${fd}`)).toMatch(/\/foo(-link)?$/);

    // Handles work again: the name flips back.
    await daemon.unlearn('foo-link');
    expect((await daemon.lookup('foo-link')).lookups).toEqual([
      expect.objectContaining({ hit: 'handle_hit', byHandle: '2', byIds: '3', nodeid: '2' }),
    ]);
    expect(await daemon.hazard('H6')).toMatchObject({
      severity: 'identity',
      nodeids: ['2', '3'],
      evidence: { name: 'foo-link', before: '3', now: '2' },
    });
    expect(await daemon.hazard('H10')).toMatchObject({
      severity: 'identity',
      nodeids: ['2', '3'],
      evidence: { byHandle: '2', byIds: '3' },
    });
    expect(await open()).toEqual([
      'H10 identity',
      'H4 identity',
      'H5 identity',
      'H6 identity',
      'H7 information',
    ]);

    await link.release();
    for (const id of ['H4', 'H5', 'H6', 'H7', 'H10']) await daemon.hazard(id, 'closed');
    expect(await open()).toEqual([]);
  });

  it('ENOMEM once: the guest is told so, and the retry ends it', async () => {
    daemon = await start({ errno: 'ENOMEM', when: atLookup(2) });
    fs.writeFileSync(daemon.host('foo'), '');
    fs.linkSync(daemon.host('foo'), daemon.host('foo-link'));
    expect((await daemon.lookup('foo')).nodeid).toBe('2');
    const refused = await daemon.lookup('foo-link');
    expect(refused).toMatchObject({ errno: 'ENOMEM', nodeid: null });
    expect(refused.lookups).toEqual([
      expect.objectContaining({ hit: 'error', handleErrno: 'ENOMEM', errno: 'ENOMEM' }),
    ]);
    expect(await daemon.hazard('H22')).toMatchObject({
      severity: 'error',
      evidence: { name: 'foo-link', parent: '1', errno: 'ENOMEM', guestSaw: 'ENOMEM' },
    });
    expect(await open()).toEqual(['H22 error']);
    expect((await daemon.lookup('foo-link')).lookups).toEqual([
      expect.objectContaining({ hit: 'handle_hit', nodeid: '2' }),
    ]);
    await daemon.hazard('H22', 'closed');
    expect(await open()).toEqual([]);
  });

  it('EOVERFLOW once: the lookup goes on without a handle', async () => {
    daemon = await start({ errno: 'EOVERFLOW', when: atLookup(2) });
    fs.writeFileSync(daemon.host('a'), '');
    fs.writeFileSync(daemon.host('b'), '');
    await daemon.lookup('a');
    const held = await daemon.hold('b');
    expect(daemon.lookups().at(-1)).toMatchObject({
      hit: 'miss',
      handleErrno: 'EOVERFLOW',
      nodeid: '3',
      errno: null,
    });
    expect(await daemon.hazard('H22')).toMatchObject({
      severity: 'identity',
      nodeids: ['3'],
      evidence: { errno: 'EOVERFLOW', guestSaw: null },
    });
    expect(await daemon.hazard('H4')).toMatchObject({ severity: 'identity', nodeids: ['3'] });
    // With a handle again the held descriptor answers: the same node.
    expect((await daemon.lookup('b')).lookups).toEqual([
      expect.objectContaining({ hit: 'fallback_hit', byIds: '3', nodeid: '3', probe: 'same' }),
    ]);
    await daemon.hazard('H22', 'closed');
    await daemon.unlearn('b');
    await held.release();
    expect(await open()).toEqual([]);
  });

  it('EOPNOTSUPP from the second lookup on: stolen, lost, found twice (S4)', async () => {
    daemon = await start({ errno: 'EOPNOTSUPP', when: `${atLookup(2)}+` });
    const file = daemon.host('v');
    fs.writeFileSync(file, 'OLD');
    const before = hostFile(file);
    const old = await daemon.hold('v');
    fs.rmSync(file);
    await daemon.lookup('v');
    fs.writeFileSync(file, 'NEW');
    expect(hostFile(file).ids).toEqual(before.ids);

    // The file entry takes the key of the handle entry.
    const third = await daemon.hold('v');
    expect([old.nodeid, third.nodeid]).toEqual(['2', '3']);
    expect(await daemon.hazard('H7')).toMatchObject({
      severity: 'information',
      nodeids: ['2', '3'],
    });
    // Without a handle in hand, the stale old entry is known as such, but not as a reuse.
    expect(await daemon.hazard('H2')).toMatchObject({ severity: 'information', nodeids: ['2'] });
    expect((await daemon.lookup('v')).lookups).toEqual([
      expect.objectContaining({ hit: 'handleless_hit', byIds: '3', nodeid: '3' }),
    ]);

    // Forgetting the old one takes the key along, which now matters: its owner has no other.
    await old.release();
    expect(await daemon.hazard('H8')).toMatchObject({
      severity: 'identity',
      nodeids: ['3'],
      evidence: { lostWith: '2', victimHoldsDescriptor: true },
    });
    await daemon.unlearn('v');
    const fourth = await daemon.hold('v');
    expect(daemon.lookups().at(-1)).toMatchObject({ hit: 'miss', byIds: null, nodeid: '4' });
    expect(await daemon.hazard('H5')).toMatchObject({ severity: 'identity', nodeids: ['4', '3'] });
    const { entries, inodes_by_ids } = await daemon.snapshot();
    expect(entries.slice(1).map(({ nodeid, kind, ids }) => ({ nodeid, kind, ids }))).toEqual(
      expect.arrayContaining([
        { nodeid: '3', kind: 'file', ids: before.ids },
        { nodeid: '4', kind: 'file', ids: before.ids },
      ]),
    );
    expect(inodes_by_ids).toContainEqual({ ids: before.ids, nodeid: '4' });
    expect(fs.readFileSync(third.path, 'utf8')).toBe('NEW');
    expect(fs.readFileSync(fourth.path, 'utf8')).toBe('NEW');

    // And once more: forgetting 3 takes 4's key.
    await third.release();
    await daemon.hazard('H5', 'closed');
    await daemon.waitFor(
      (event) => event.type === 'key_lost' && event['nodeid'] === '4' && event['with'] === '3',
    );
    await daemon.settle();
    expect(await open()).toContain('H8 identity');
  });

  it('EOPNOTSUPP at the first lookup only: a benign fallback (S3)', async () => {
    daemon = await start({ errno: 'EOPNOTSUPP', when: atLookup(1) });
    fs.writeFileSync(daemon.host('f'), '');
    const file = hostFile(daemon.host('f'));
    const held = await daemon.hold('f');
    expect((await daemon.lookup('f')).lookups).toEqual([
      expect.objectContaining({
        ...file,
        byHandle: null,
        byIds: '2',
        hit: 'fallback_hit',
        nodeid: '2',
        probe: 'same',
      }),
    ]);
    expect(await daemon.hazard('H3')).toMatchObject({ severity: 'information', nodeids: ['2'] });
    // The entry stays as it was made.
    const { entries, inodes_by_handle, counters } = await daemon.snapshot();
    expect(entries[1]).toMatchObject({ nodeid: '2', kind: 'file', handle: null });
    expect(inodes_by_handle.map(({ nodeid }) => nodeid)).toEqual(['1']);
    expect(counters.lookups).toMatchObject({ miss: '1', fallback_hit: '1' });
    await daemon.unlearn('f');
    await held.release();
    await daemon.hazard('H3', 'closed');
  });

  it('mandatory: the guest gets EOPNOTSUPP, and no node is made without a handle', async () => {
    daemon = await serve(newFolder(disk), {
      handles: 'mandatory',
      inject: { errno: 'EOPNOTSUPP', when: atLookup(1) },
    });
    fs.writeFileSync(daemon.host('f'), '');
    expect(await daemon.lookup('f')).toMatchObject({ errno: 'EOPNOTSUPP', nodeid: null });
    expect(await daemon.hazard('H22')).toMatchObject({ severity: 'error' });
    expect((await daemon.lookup('f')).nodeid).toBe('2');
    await daemon.hazard('H22', 'closed');
    expect((await daemon.snapshot()).counters.entries.file).toBe('0');
  });
});
