/** Beginnings and ends: unmounting, dying, starting again, descriptors given back. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { listRuntimeFiles } from '../../daemon/inspector/runtimeFiles';
import { readMounts } from '../../daemon/transport/mountTable';
import type { Daemon } from './share';
import {
  daemonProgram,
  errnoOf,
  hostFile,
  makeFileSystem,
  newFolder,
  scenario,
  serve,
} from './share';

const pids = () => listRuntimeFiles(() => undefined).map(({ pid }) => pid);
const isMounted = (point: string) => readMounts().some((mount) => mount.point === point);

scenario('life of a daemon', { fileSystems: ['ext4'] }, () => {
  let disk: string;
  let daemon: Daemon;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(() => daemon.stop());

  it('unmounts with entries and leaves nothing', async () => {
    const folder = newFolder(disk);
    fs.writeFileSync(`${folder}/f`, 'kept');
    daemon = await serve(folder);
    await daemon.lookup('f');
    expect(pids()).toContain(daemon.pid);
    const runtimeFile = `/run/virtiofsd-inspector/${daemon.pid}.json`;
    expect(fs.statSync(runtimeFile).mode & 0o777).toBe(0o600);
    await daemon.stop();
    expect(daemon.exitCode).toBe(0);
    expect(isMounted(daemon.mount)).toBe(false);
    expect(fs.readdirSync(daemon.mount)).toEqual([]);
    expect(fs.existsSync(runtimeFile)).toBe(false);
    expect(fs.readFileSync(`${folder}/f`, 'utf8')).toBe('kept');
  });

  it('ends when it is told to, though a program still uses the mount', async () => {
    const folder = newFolder(disk);
    fs.writeFileSync(`${folder}/f`, 'content');
    daemon = await serve(folder);
    const open = fs.openSync(daemon.guest('f'), 'r');
    await daemon.stop();
    expect(daemon.exitCode).toBe(0);
    expect(isMounted(daemon.mount)).toBe(false);
    expect(errnoOf(() => fs.readSync(open, Buffer.alloc(8)))).toBe('ENOTCONN');
    expect(errnoOf(() => fs.closeSync(open))).toBe('ENOTCONN');
  });

  it('ends when somebody else unmounts', async () => {
    daemon = await serve(newFolder(disk));
    expect(spawnSync('umount', [daemon.mount]).status).toBe(0);
    await daemon.exited;
    expect(daemon.exitCode).toBe(0);
    expect(pids()).not.toContain(daemon.pid);
  });

  it('killed: its place can be used again at once, by fresh tables', async () => {
    const folder = newFolder(disk);
    fs.writeFileSync(`${folder}/f`, 'content');
    const first = await serve(folder);
    await first.lookup('f');
    await first.lookup('f');
    await first.kill();
    expect(pids()).not.toContain(first.pid);

    daemon = await serve(folder, { mount: first.mount });
    expect(daemon.pid).not.toBe(first.pid);
    expect((await daemon.lookup('f')).lookups).toEqual([
      expect.objectContaining({ hit: 'miss', nodeid: '2', ...hostFile(`${folder}/f`) }),
    ]);
    expect(fs.readFileSync(daemon.guest('f'), 'utf8')).toBe('content');
    await daemon.settle();
    expect(daemon.events.map(({ seq }) => Number(seq))).toEqual(daemon.events.map((_, i) => i + 1));
    const { counters } = await daemon.snapshot();
    expect(counters.lookups).toMatchObject({ miss: '1' });
    expect(daemon.hazards()).toEqual([]);
  });

  it('gives its descriptors back after drop_caches', async () => {
    daemon = await serve(newFolder(disk), { handles: 'never', cache: 'always' });
    const names = Array.from({ length: 200 }, (_, i) => `file-${i}`);
    for (const name of names) fs.writeFileSync(daemon.host(name), '');
    await daemon.settle();
    const start = daemon.descriptors();
    for (const name of names) fs.statSync(daemon.guest(name));
    await daemon.settle();
    expect(daemon.descriptors()).toBe(start + names.length);
    expect((await daemon.snapshot()).counters.fds.used).toBe(String(names.length + 1));

    const removed = () => daemon.events.filter(({ type }) => type === 'remove').length;
    // The kernel spares what was used a moment ago in the first round.
    for (let round = 0; removed() < names.length && round < 20; round++) {
      fs.writeFileSync('/proc/sys/vm/drop_caches', '2');
      await daemon.settle();
    }
    expect(removed()).toBe(names.length);
    expect(daemon.descriptors()).toBe(start);
    const { entries, inodes_by_ids, counters } = await daemon.snapshot();
    expect(entries.map(({ nodeid }) => nodeid)).toEqual(['1']);
    expect(inodes_by_ids).toHaveLength(1);
    expect(counters).toMatchObject({ forgets: String(names.length), fds: { used: '1' } });
    expect(daemon.hazards()).toEqual([]);
  });

  it('holds no descriptor for a handle entry', async () => {
    daemon = await serve(newFolder(disk), { handles: 'mandatory', cache: 'always' });
    const names = Array.from({ length: 200 }, (_, i) => `file-${i}`);
    for (const name of names) fs.writeFileSync(daemon.host(name), '');
    fs.statSync(daemon.guest(names[0] ?? ''));
    await daemon.settle();
    const start = daemon.descriptors();
    for (const name of names) fs.statSync(daemon.guest(name));
    await daemon.settle();
    expect(daemon.descriptors()).toBe(start);
    expect((await daemon.snapshot()).counters.entries.handle).toBe(String(names.length + 1));
  });

  it('tells the command line what it tells the inspector', async () => {
    daemon = await serve(newFolder(disk));
    fs.writeFileSync(daemon.host('f'), '');
    await daemon.lookup('f');
    const cli = await daemonProgram();
    const run = (...args: string[]) => {
      const done = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
      return { ...done, json: done.status === 0 ? (JSON.parse(done.stdout) as unknown) : null };
    };
    const pid = String(daemon.pid);
    const { time: _now, ...snapshot } = await daemon.snapshot();
    expect(run('snapshot', pid, '--json').json).toMatchObject(snapshot);
    expect(run('list', '--json').json).toContainEqual(
      expect.objectContaining({ pid: daemon.pid, sharedDir: daemon.sharedDir, kind: 'serve' }),
    );
    expect(JSON.stringify(run('list', '--json').json)).not.toContain('token');
    const lines = await daemon.commandLineEvents(daemon.events.length);
    expect(lines).toEqual(daemon.events);
  });
});
