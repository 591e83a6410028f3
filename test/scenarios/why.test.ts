/** «Why?» about what really happened: reuse, a handle that failed, errnos, overlapping lookups. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { WhyJson } from '../../daemon/protocol/why';
import { reproduction } from '../../daemon/why/reproduce';
import type { Daemon } from './share';
import {
  CALLS_BEFORE_LOOKUPS,
  daemonProgram,
  errnoOf,
  generation,
  hostFile,
  makeFileSystem,
  newFolder,
  run,
  scenario,
  serve,
} from './share';

const verdicts = ({ traces }: WhyJson, at = 0) =>
  Object.fromEntries(
    (traces[at]?.rules ?? []).map(({ rule, nodeid, verdict }) => [
      rule,
      `${nodeid ?? 'new'} ${verdict}`,
    ]),
  );

/** What the command line says: what it prints, or the sentence of its refusal with its status. */
async function whyCommand(...words: string[]): Promise<{ status: number | null; text: string }> {
  const child = spawn(process.execPath, [await daemonProgram(), 'why', ...words]);
  let text = '';
  child.stdout.on('data', (part: Buffer) => (text += String(part)));
  child.stderr.on('data', (part: Buffer) => (text += String(part)));
  await once(child, 'close');
  return { status: child.exitCode, text };
}

/** The programs of the reproductions, as a user has them. */
async function programFolder(disk: string): Promise<string> {
  const folder = path.join(disk, 'bin');
  const program = path.join(folder, 'virtiofsd-inspector');
  if (fs.existsSync(program)) return folder;
  fs.mkdirSync(folder);
  const command = `exec '${process.execPath}' '${await daemonProgram()}' "$@"`;
  fs.writeFileSync(program, `#!/bin/sh\n${command}\n`, { mode: 0o755 });
  return folder;
}

scenario('why', { fileSystems: ['ext4'], programs: ['strace', 'mountpoint'] }, () => {
  let disk: string;
  let daemon: Daemon | undefined;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });
  afterEach(async () => {
    await daemon?.stop();
    daemon = undefined;
  });

  it('a reused number: the trace, other rules, and the same on the command line', async () => {
    daemon = await serve(newFolder(disk));
    const file = daemon.host('f');
    fs.writeFileSync(file, '');
    const before = hostFile(file);
    await daemon.hold('f');
    fs.rmSync(file);
    await daemon.lookup('f');
    fs.writeFileSync(file, '');
    expect(hostFile(file).ids).toEqual(before.ids);
    const { nodeid } = await daemon.lookup('f');
    expect(nodeid).toBe('3');
    await daemon.hazard('H1');

    const said = await daemon.why({ nodeid: '3' });
    const { ino, dev, mntId } = before.ids;
    expect(said.traces[0]?.steps).toEqual([
      expect.stringContaining(`found ids ${ino}/${dev}/${mntId} and made handle ${mntId}·`),
      'inodes_by_handle has no such key.',
      'inodes_by_ids leads to node 2, which holds only a handle: rejected, its number may have been reused.',
      'Node 3 was inserted, and took the ids key of node 2.',
    ]);
    expect(verdicts(said)).toEqual({
      'handle-then-fd': 'new new_node',
      strict: 'new new_node',
      'ids-first': '2 wrong_file',
      v2: 'new new_node',
      'ids-only': '2 wrong_file',
    });
    expect(await daemon.why({ hazard: 'H1' })).toMatchObject({
      title: expect.stringContaining('INODE-NUMBER REUSE') as string,
    });

    const pid = String(daemon.pid);
    const { status, text } = await whyCommand(pid, '3');
    expect([status, text]).toEqual([0, expect.stringContaining('took the ids key of node 2')]);
    const prose = text.slice(0, text.indexOf('See it yourself'));
    expect(prose.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(await whyCommand(pid, 'f')).toEqual({
      status: 1,
      text: expect.stringContaining('nodes 2, 3; ask for one by its node id') as string,
    });
    expect((await whyCommand(pid, 'seq=99999')).status).toBe(1);
    expect((await whyCommand(pid, 'too', 'much')).status).toBe(2);
    const json = JSON.parse((await whyCommand(pid, '3', '--json')).text) as WhyJson;
    expect(json.traces[0]?.seq).toBe(said.traces[0]?.seq);
  });

  it('the seed scenario: a second name without a handle gets a second node', async () => {
    daemon = await serve(newFolder(disk), {
      handles: 'prefer',
      inject: { errno: 'EOPNOTSUPP', when: String(CALLS_BEFORE_LOOKUPS + 2) },
    });
    fs.writeFileSync(daemon.host('foo'), '');
    fs.linkSync(daemon.host('foo'), daemon.host('foo-link'));
    await daemon.hold('foo');
    await daemon.hold('foo-link');
    const said = await daemon.why({ path: 'foo-link' });
    expect(said.traces[0]?.steps[0]).toContain('name_to_handle_at failed with EOPNOTSUPP');
    // ext4 keeps the time of birth, so that one knows: it is the same file.
    expect(verdicts(said)).toEqual({
      'handle-then-fd': 'new second_node',
      strict: 'new second_node',
      'ids-first': '2 right',
      v2: '2 right',
      'ids-only': '2 right',
    });
    expect(said.reproduce).toContain('name_to_handle_at=EOPNOTSUPP@foo-link');
    expect(await daemon.judged('fuse-backend-rs')).toMatchObject({ totals: {} });
    expect(await daemon.judged('virtiofsd')).toMatchObject({ totals: { H5: 1 } });
  });

  it('under the rule v2 a reused number without a handle is the old node (H13)', async () => {
    daemon = await serve(newFolder(disk), {
      handles: 'prefer',
      lookupRule: 'v2',
      inject: { errno: 'EOPNOTSUPP', when: String(CALLS_BEFORE_LOOKUPS + 2) },
    });
    const file = daemon.host('f');
    fs.writeFileSync(file, '');
    const before = hostFile(file);
    const held = await daemon.hold('f');
    fs.rmSync(file);
    fs.writeFileSync(file, '');
    expect(hostFile(file).ids).toEqual(before.ids);
    const { lookups } = await daemon.lookup('f');
    const wrong = lookups[0];
    expect(wrong).toMatchObject({ hit: 'handleless_hit', nodeid: held.nodeid });
    expect(await daemon.hazard('H13')).toMatchObject({
      severity: 'data',
      nodeids: [held.nodeid],
      evidence: { name: 'f', oldGeneration: generation(before, 'ext4') },
    });
    const said = await daemon.why({ seq: wrong?.seq ?? '0' });
    // The times of birth tell.
    expect(verdicts(said)).toMatchObject({
      v2: `${held.nodeid} wrong_file`,
      'handle-then-fd': 'new new_node',
    });
    expect(await daemon.why({ hazard: 'H13' })).toMatchObject({ nodeid: held.nodeid });
  });

  it('ESTALE after rm, and ESTALE that nobody answered', async () => {
    daemon = await serve(newFolder(disk));
    fs.mkdirSync(daemon.host('d'));
    const held = await daemon.hold('d');
    expect((await daemon.why({ errno: 'ESTALE' })).cause).toMatchObject({ kind: 'guest_made' });
    fs.rmdirSync(daemon.host('d'));
    expect(errnoOf(() => fs.readdirSync(held.path))).toBe('ESTALE');
    await daemon.waitFor(({ type }) => type === 'open_by_handle');
    const said = await daemon.why({ errno: 'ESTALE' });
    expect(said).toMatchObject({ nodeid: held.nodeid, cause: { kind: 'deleted' } });
    expect(said.cause?.evidence[0]).toContain(`for node ${held.nodeid}`);
  });

  it('ENFILE: the descriptors are used up', async () => {
    const folder = newFolder(disk);
    daemon = await serve(folder, { handles: 'never', rlimitNofile: 640 });
    let refused: string | null = null;
    for (let i = 0; i < 100 && refused === null; i++) {
      fs.writeFileSync(daemon.host(`f${i}`), '');
      refused = (await daemon.lookup(`f${i}`)).errno;
    }
    expect(refused).toBe('ENFILE');
    const { cause, advice } = await daemon.why({ errno: 'ENFILE' });
    expect(cause?.kind).toBe('too_many_files');
    expect(cause?.evidence.at(-1)).toMatch(/of 30 descriptors are in use; \d+ entries hold one/);
    expect(advice.join()).toContain('--rlimit-nofile');
  });

  it('bind mounts are one node where the key has no mount id (H17)', async () => {
    const folder = newFolder(disk);
    for (const name of ['rw', 'ro']) fs.mkdirSync(path.join(folder, name));
    fs.writeFileSync(path.join(folder, 'rw', 'x'), '');
    run('mount', ['--bind', path.join(folder, 'rw'), path.join(folder, 'ro')]);
    try {
      daemon = await serve(folder);
      await daemon.lookup('rw/x');
      expect(await daemon.judged('crosvm')).toMatchObject({ totals: {} });
      await daemon.lookup('ro/x');
      const { totals, findings } = await daemon.judged('crosvm');
      expect(totals['H17']).toBeGreaterThan(0);
      expect(findings.map(({ evidence }) => evidence['name'])).toContain('x');
      expect(await daemon.judged('virtiofsd')).toMatchObject({ totals: {} });
    } finally {
      await daemon?.stop();
      run('umount', [path.join(folder, 'ro')]);
    }
  });

  it.each([
    ['reuse', { kind: 'reuse', rule: 'handle-then-fd' }, 'took the ids key of node 2'],
    [
      'handle_fails',
      { kind: 'handle_fails', rule: 'handle-then-fd', errno: 'EOPNOTSUPP' },
      'a debugger made name_to_handle_at fail with EOPNOTSUPP',
    ],
    ['stale', { kind: 'stale' }, 'ESTALE (deleted)'],
    ['too_many_files', { kind: 'too_many_files' }, 'ENFILE (too many files)'],
  ] as const)('the commands to reproduce %s do', async (_name, scene, expected) => {
    const folder = newFolder(disk);
    const end = 'kill $(jobs -p); wait; umount share';
    const child = spawn('bash', ['-c', `trap '${end}' EXIT\n${reproduction(scene)}`], {
      env: {
        ...process.env,
        TMPDIR: folder,
        PATH: `${await programFolder(disk)}:${process.env['PATH'] ?? ''}`,
      },
    });
    let said = '';
    child.stdout.on('data', (part: Buffer) => (said += String(part)));
    child.stderr.on('data', (part: Buffer) => (said += String(part)));
    await once(child, 'close');
    expect(said.replaceAll(/\s+/g, ' ')).toContain(expected);
  });
});
