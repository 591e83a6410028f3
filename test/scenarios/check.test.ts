/**
 * `check` on real file systems: what it finds is what these are known to do, and it leaves them as
 * they were. NFS cannot be had here: what it says of NFS is not verified, and it says so.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import type { CheckedMount, CheckReport, HandleMode, Numbers } from '../../daemon/check/report';
import { daemonProgram, makeFileSystem, native, newFolder, run, scenario, serve } from './share';

const NOBODY = 65_534;

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command, run to its end; `identity` runs it as another user. */
async function command(
  words: readonly string[],
  identity: { uid?: number; gid?: number } = {},
  node: readonly string[] = [],
): Promise<Ended> {
  const args = [...node, await daemonProgram(), 'check', ...words];
  // Not spawnSync: a daemon of this test may be the file system.
  const child = spawn(process.execPath, args, { ...identity, cwd: '/' });
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => (out.stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (out.stderr += data.toString()));
  await once(child, 'close');
  return { status: child.exitCode, signal: child.signalCode, ...out };
}

async function check(
  folder: string,
  identity?: { uid: number; gid: number },
): Promise<CheckReport> {
  const before = listing(folder);
  const { status, stdout, stderr } = await command([folder, '--json'], identity);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(listing(folder)).toEqual(before);
  return JSON.parse(stdout) as CheckReport;
}

/** Everything below a folder with its times of change, the folder's own among them. */
function listing(folder: string): string[] {
  const names = fs.readdirSync(folder, { recursive: true, encoding: 'latin1' });
  return ['.', ...names]
    .map((name) => {
      const file = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
      const { ino, mode, nlink, size, mtimeNs } = fs.lstatSync(file, { bigint: true });
      return `${name} ${ino} ${mode} ${nlink} ${size} ${mtimeNs}`;
    })
    .sort();
}

function mountAt(report: CheckReport, place: string): CheckedMount {
  const mount = report.mounts.find(
    ({ path: at, reach }) => at === place && reach.state === 'reached',
  );
  if (mount === undefined) throw new Error(`${place} is not in the report.`);
  return mount;
}

function measured(mount: CheckedMount): Extract<Numbers, { state: 'measured' }> {
  if (mount.numbers.state !== 'measured') throw new Error(JSON.stringify(mount.numbers));
  return mount.numbers;
}

/** `H11 data never` */
function found({ findings }: Pick<CheckReport, 'findings'>): string[] {
  return findings.map(({ hazard, severity, modes }) =>
    [hazard ?? '-', severity, ...(modes.length === 3 ? [] : [modes.join('+')])].join(' '),
  );
}

function modesOf({ recommended }: CheckReport): Record<string, HandleMode> {
  const option = '--inode-file-handles=';
  return Object.fromEntries(
    recommended
      .filter((one) => one.option.startsWith(option))
      .flatMap((one) =>
        one.programs.map((program) => [program, one.option.slice(option.length) as HandleMode]),
      ),
  );
}

const both = (mode: HandleMode) => ({ virtiofsd: mode, 'virtiofsd-inspector': mode });

// --- file systems -------------------------------------------------------------------------------

/** What 1000 files, made and removed one after the other, are known to use (and handle types). */
const KNOWN = {
  ext4: { type: 1, bytes: 8, few: true, subvolume: false },
  xfs: { type: 0x81, bytes: 12, few: true, subvolume: false },
  btrfs: { type: 0x4d, bytes: 20, few: false, subvolume: true },
  tmpfs: { type: 1, bytes: 12, few: false, subvolume: false },
} as const;

for (const fileSystem of ['ext4', 'xfs', 'btrfs', 'tmpfs'] as const) {
  scenario(`check on ${fileSystem}`, { fileSystems: [fileSystem] }, () => {
    it('sees handles, reuse and spare identity as they are, and leaves no trace', async () => {
      const folder = newFolder(await makeFileSystem(fileSystem));
      fs.mkdirSync(path.join(folder, 'a/b'), { recursive: true });
      fs.writeFileSync(path.join(folder, 'a/file'), 'x');
      // A time that no rounding to microseconds would survive.
      const fd = fs.openSync(folder, 'r');
      expect(native.setModificationTime(fd, 1_600_000_000n, 123_456_789)).toBe(0);
      fs.closeSync(fd);

      const report = await check(folder);
      expect(fs.statSync(folder, { bigint: true }).mtimeNs).toBe(1_600_000_000_123_456_789n);
      const mount = mountAt(report, folder);
      const { type, bytes, few, subvolume } = KNOWN[fileSystem];
      expect(mount).toMatchObject({
        type: fileSystem,
        handles: { state: 'yes', type, bytes },
        zeroGeneration: false,
        identity: { mountId: true, btime: true, subvolume, uniqueMountId: true },
        files: { counted: 4, complete: true, unreadableDirectories: 0 },
      });
      const numbers = measured(mount);
      expect(numbers).toMatchObject({ reusedWhileHeld: false, timeRestored: true });
      expect(numbers.roundsWhileHeld).toBeGreaterThan(50);
      expect(numbers.rounds).toBeGreaterThanOrEqual(200);
      // Each file has a handle of its own, whatever its number.
      expect(numbers.distinctHandles).toBe(numbers.rounds);
      if (fileSystem === 'ext4') expect(numbers.distinctNumbers).toBe(1);
      else if (few) expect(numbers.distinctNumbers).toBeLessThan(numbers.rounds);
      else expect(numbers.distinctNumbers).toBe(numbers.rounds);
      expect(found(mount)).toEqual([
        ...(few ? ['H1 information prefer+mandatory'] : []),
        ...(fileSystem === 'btrfs' ? ['H11 data never'] : []),
      ]);
      expect(report.verdict.level).toBe('good');
      expect(modesOf(report)).toEqual(both('prefer'));
      if (fileSystem !== 'btrfs') return;

      const volume = path.join(folder, 'sub');
      run('btrfs', ['subvolume', 'create', volume]);
      const ofSubvolume = await check(volume);
      expect(found(mountAt(ofSubvolume, volume))).toEqual(['H11 data never']);
      expect(ofSubvolume.recommended[0]?.hazards).toEqual(['H11']);
    });
  });
}

scenario('check of overlays', { fileSystems: ['ext4', 'overlay'] }, () => {
  let disk: string;
  beforeAll(async () => {
    disk = await makeFileSystem('ext4');
  });

  it.each([
    { options: '', handles: 'no', level: 'bad', mode: 'never', h12: true },
    { options: ',index=on', handles: 'no', level: 'good', mode: 'never', h12: false },
    {
      options: ',index=on,nfs_export=on',
      handles: 'yes',
      level: 'good',
      mode: 'prefer',
      h12: false,
    },
  ] as const)('with hard links below$options', async ({ options, handles, level, mode, h12 }) => {
    const base = newFolder(disk);
    const [lower, upper, work, point] = ['lower', 'upper', 'work', 'ov'].map((name) =>
      path.join(base, name),
    ) as [string, string, string, string];
    for (const folder of [lower, upper, work, point]) fs.mkdirSync(folder);
    fs.writeFileSync(path.join(lower, 'a'), 'base');
    fs.linkSync(path.join(lower, 'a'), path.join(lower, 'b'));
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}${options}`;
    run('mount', ['-t', 'overlay', 'overlay', '-o', layers, point]);

    const report = await check(point);
    const mount = mountAt(report, point);
    expect(mount.handles.state).toBe(handles);
    // OVL_FILEID_V1 (fs/overlayfs/overlayfs.h)
    if (handles === 'yes') expect(mount.handles).toMatchObject({ type: 0xf8 });
    else expect(mount.handles).toMatchObject({ errno: 'EOPNOTSUPP' });
    expect(mount.files?.hardLinked).toBe(2);
    expect(found(mount).includes('H12 data prefer+never')).toBe(h12);
    expect(report.verdict.level).toBe(level);
    expect(modesOf(report)).toEqual(both(mode));
  });
});

scenario(
  'check of an image',
  { fileSystems: ['tmpfs', 'squashfs'], programs: ['mksquashfs'] },
  () => {
    it('tries nothing in it, and warns of its handles', async () => {
      const disk = await makeFileSystem('tmpfs');
      const [tree, image, point] = ['tree', 'image', 'mnt'].map((name) =>
        path.join(disk, name),
      ) as [string, string, string];
      for (const folder of [tree, point]) fs.mkdirSync(folder);
      fs.writeFileSync(path.join(tree, 'f'), 'ONE');
      run('mksquashfs', [tree, image, '-quiet', '-no-progress']);
      run('mount', ['-o', 'loop,ro', image, point]);
      const report = await check(point);
      const mount = mountAt(report, point);
      expect(mount).toMatchObject({
        readOnly: true,
        handles: { state: 'yes' },
        zeroGeneration: true,
        identity: { btime: false, uniqueMountId: true },
        numbers: { state: 'not_tried', why: 'it is read-only' },
        files: { counted: 2, complete: true },
      });
      expect(found(mount)).toEqual(['H15 information prefer+mandatory']);
      expect(modesOf(report)).toEqual(both('prefer'));
    });
  },
);

// --- mounts below -------------------------------------------------------------------------------

scenario('check of mounts below a directory', { fileSystems: ['ext4', 'tmpfs'] }, () => {
  it('a bind mount, a path with a space, one mount over another, the kernel’s own', async () => {
    const folder = newFolder(await makeFileSystem('ext4'));
    const at = (name: string): string => path.join(folder, name);
    for (const name of ['a', 'twin', 'my data', 'covered', 'proc']) fs.mkdirSync(at(name));
    fs.writeFileSync(at('a/file'), '');
    run('mount', ['--bind', at('a'), at('twin')]);
    run('mount', ['-o', 'remount,bind,ro', at('twin')]);
    for (const name of ['my data', 'covered', 'covered']) {
      run('mount', ['-t', 'tmpfs', 'tmpfs', at(name)]);
    }
    run('mount', ['-t', 'proc', 'proc', at('proc')]);

    // The listing would list the host's processes.
    const before = listing(at('a'));
    const { status, stdout } = await command([folder, '--json']);
    expect(status).toBe(0);
    expect(listing(at('a'))).toEqual(before);
    const report = JSON.parse(stdout) as CheckReport;
    expect(found(mountAt(report, folder))).toContain('H18 information');
    const twin = mountAt(report, at('twin'));
    expect(twin).toMatchObject({ readOnly: true, files: { counted: 2 } });
    expect(found(twin)).toEqual([
      'H1 information prefer+mandatory',
      'H18 information',
      'H19 information',
    ]);
    // It cannot be tried through the read-only mount; it was, through the other one.
    expect(measured(twin).in).toBe(folder);
    const spaced = mountAt(report, at('my data'));
    expect(spaced.mountPointEscaped).toBe(`${folder}/my\\040data`);
    expect(found(spaced)).toEqual(['H19 information', 'H20 error prefer+mandatory']);
    const covered = report.mounts.filter((mount) => mount.path === at('covered'));
    expect(covered.map(({ reach }) => reach.state)).toEqual(['covered', 'reached']);
    expect(covered[0]?.reach).toEqual({ state: 'covered', by: covered[1]?.mntId });
    expect(mountAt(report, at('proc'))).toMatchObject({
      numbers: { state: 'not_tried' },
      files: null,
    });
    // The directories below mount points are not counted twice: five folders, itself, the file.
    expect(mountAt(report, folder).files?.counted).toBe(7);
    expect(modesOf(report)).toEqual({ virtiofsd: 'never', 'virtiofsd-inspector': 'prefer' });
    expect(report.recommended.map(({ option }) => option)).toContain('--announce-submounts');
    expect(report.commands.virtiofsd.join(' ')).toContain(
      `--shared-dir ${folder} --socket-path SOCKET --inode-file-handles=never`,
    );
  });

  it('what is never used again through a daemon depends on what that daemon holds', async () => {
    const disk = await makeFileSystem('ext4');
    for (const handles of ['mandatory', 'never'] as const) {
      const daemon = await serve(newFolder(disk), { handles });
      const report = await check(daemon.mount);
      const mount = mountAt(report, daemon.mount);
      expect(mount.type).toBe('fuse.virtiofsd-inspector');
      expect(mount.handles).toMatchObject({ state: 'volatile', type: 0x81 });
      // The one that holds handles lets ext4 give away the numbers of files that a guest holds.
      expect(measured(mount).reusedWhileHeld).toBe(handles === 'mandatory');
      expect(found(mount)).toEqual(
        handles === 'mandatory'
          ? ['H11 data never', 'H14 error prefer+mandatory']
          : ['H14 error prefer+mandatory'],
      );
      expect(modesOf(report)).toEqual(both(handles === 'mandatory' ? 'prefer' : 'never'));
      await daemon.stop();
    }
  });
});

// --- users, signals, the command itself ---------------------------------------------------------

scenario('check as a command', { fileSystems: ['ext4'] }, () => {
  let folder: string;
  beforeAll(async () => {
    const disk = await makeFileSystem('ext4');
    // The test's own folders are closed to others; the program must be readable, too.
    for (let at = disk; at !== '/'; at = path.dirname(at)) {
      if (fs.statSync(at).uid === 0 && at !== '/tmp') fs.chmodSync(at, 0o755);
    }
    run('mount', ['-o', 'remount,strictatime', disk]);
    folder = newFolder(disk);
    fs.mkdirSync(path.join(folder, 'a'));
    fs.writeFileSync(path.join(folder, 'a/file'), '');
  });

  it('does not even touch access times', async () => {
    const times = () =>
      ['.', 'a', 'a/file'].map(
        (name) => fs.statSync(path.join(folder, name), { bigint: true }).atimeNs,
      );
    const before = times();
    expect((await command([folder, '--json'])).status).toBe(0);
    expect(times()).toEqual(before);
  });

  it('an ordinary user is told what handles need, and nothing is tried where it may not', async () => {
    const identity = { uid: NOBODY, gid: NOBODY };
    const report = await check(folder, identity);
    expect(mountAt(report, folder)).toMatchObject({
      handles: { state: 'not_openable', errno: 'EPERM' },
      numbers: { state: 'not_tried', why: 'it is not writable for this user' },
    });
    expect(report.host.missingCapabilities).toContain('CAP_DAC_READ_SEARCH');
    expect(modesOf(report)).toEqual(both('never'));

    // Writable, but its time could not be put back by this user.
    fs.chmodSync(folder, 0o777);
    expect(mountAt(await check(folder, identity), folder).numbers).toEqual({
      state: 'not_tried',
      why: 'its time of change could not be put back afterwards',
    });
    fs.chownSync(folder, NOBODY, NOBODY);
    expect(measured(mountAt(await check(folder, identity), folder)).timeRestored).toBe(true);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'removes what it made when it meets %s',
    async (signal) => {
      // Inside the program, in the middle of its trial.
      const script = path.join(path.dirname(folder), `${signal}.cjs`);
      fs.writeFileSync(
        script,
        `const fs = require('node:fs');
      const unlink = fs.unlinkSync;
      let calls = 0;
      fs.unlinkSync = (file) => {
        unlink(file);
        if (++calls !== 10) return;
        process.stdout.write(fs.readdirSync(${JSON.stringify(folder)}).join());
        process.kill(process.pid, '${signal}');
      };`,
      );
      const before = listing(folder);
      const ended = await command([folder], {}, ['--require', script]);
      expect(ended.stdout).toMatch(/^\.virtiofsd-inspector-check-\w+,a$/);
      expect(ended).toMatchObject({ status: null, signal, stderr: '' });
      expect(listing(folder)).toEqual(before);
    },
  );

  it('prints a report of 80 columns, or JSON alone', async () => {
    const { status, stdout, stderr } = await command([folder]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Good: It can be shared, with --inode-file-handles=prefer\.\n/);
    expect(stdout).toMatch(/used again: ([\d,]+) files had 1 number and \1 handles/);
    expect(stdout).toContain('Nothing in it was changed.');
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  it('says why it could not check, and what it wants', async () => {
    const missing = await command([path.join(folder, 'nothing')]);
    expect(missing).toMatchObject({ status: 1, stdout: '' });
    expect(missing.stderr).toMatch(
      /cannot be checked \(ENOENT\): give a directory that exists\.\n$/,
    );
    const file = await command([path.join(folder, 'a/file')]);
    expect(file).toMatchObject({ status: 1, stdout: '' });
    expect(file.stderr).toContain('is not a directory');
    expect(await command([])).toMatchObject({ status: 2, stdout: '' });
    expect(await command([folder, '--yaml'])).toMatchObject({ status: 2, stdout: '' });
  });

  it('works under a reader that has seen enough', async () => {
    const cli = await daemonProgram();
    const line = `"$0" "$1" check "$2" | head -1; exit \${PIPESTATUS[0]}`;
    const done = spawnSync('bash', ['-c', line, process.execPath, cli, folder], {
      encoding: 'utf8',
    });
    expect(done).toMatchObject({ status: 0, stderr: '' });
  });
});
