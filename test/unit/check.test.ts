/** What `check` makes of the facts: which hazards, which mode, which words. */

import { expect, test } from 'vitest';
import { advise, shellWord } from '../../daemon/check/advise';
import { shown } from '../../daemon/check/examine';
import { judgeMount, limitFor } from '../../daemon/check/judge';
import { mountsBelow, parseMountInfo } from '../../daemon/check/mountInfo';
import type { HostFacts, MountFacts, Numbers } from '../../daemon/check/report';
import { reportText } from '../../daemon/check/reportText';
import { identityText, numbersText } from '../../daemon/check/words';
import { hostFactsOf, mountFactsOf, reportOf } from './checkFacts';

const root = hostFactsOf();
const user = hostFactsOf({
  uid: 1000,
  missingCapabilities: ['CAP_CHOWN', 'CAP_DAC_READ_SEARCH', 'CAP_SYS_ADMIN'],
  descriptors: { soft: 1024, hard: 4096, most: 1_048_576, mayRaise: false, daemonGets: 4096 },
});

const measured = (numbers: Partial<Extract<Numbers, { state: 'measured' }>>): Numbers => ({
  state: 'measured',
  in: '/srv/share',
  rounds: 1000,
  distinctNumbers: 1000,
  distinctHandles: 1000,
  roundsWhileHeld: 64,
  reusedWhileHeld: false,
  timeRestored: true,
  ...numbers,
});
const noHandles = { state: 'no', errno: 'EOPNOTSUPP' } as const;
const volatile = { state: 'volatile', type: 129, bytes: 12 } as const;
const below = { role: 'below', mntId: '75', device: '0:9' } as const;
const notOpenable = { state: 'not_openable', type: 1, bytes: 8, errno: 'EPERM' } as const;

/** `H11 data never`, for each finding about a mount. */
function found(mount: MountFacts, others: MountFacts[] = [], host: HostFacts = root): string[] {
  return judgeMount(mount, { host, mounts: [mount, ...others] }).map(
    ({ hazard, severity, modes }) =>
      [hazard ?? '-', severity, ...(modes.length === 3 ? [] : [modes.join('+')])].join(' '),
  );
}

/** The level, and the mode for each program. */
function advised(mounts: MountFacts[], host: HostFacts = root): string {
  const { verdict, recommended } = advise({ host, mounts }, '/srv/share');
  const modes = recommended
    .filter(({ option }) => option.startsWith('--inode-file-handles='))
    .map(({ option, programs }) => `${programs.join('+')} ${option.split('=')[1]}`);
  return [verdict.level, ...modes].join(', ');
}

const BOTH = 'virtiofsd+virtiofsd-inspector';

test('mountinfo: optional fields, escapes, both sorts of read-only', () => {
  const mounts = parseMountInfo(
    [
      '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard',
      '74 27 0:40 / /srv/my\\040data\\134x rw,relatime shared:1 master:2 - tmpfs tt rw,size=4k',
      '75 74 7:0 /sub /srv/my\\040data\\134x/ro ro - ext4 /dev/loop0 rw',
      '76 27 7:1 / /srvx rw - squashfs /dev/loop1 ro,errors=continue',
      '',
    ].join('\n'),
  );
  expect(mounts.map(({ mntId, point, type, readOnly }) => [mntId, point, type, readOnly])).toEqual([
    [27, '/', 'ext4', false],
    [74, '/srv/my data\\x', 'tmpfs', false],
    [75, '/srv/my data\\x/ro', 'ext4', true],
    [76, '/srvx', 'squashfs', true],
  ]);
  expect(mounts[1]?.options).toContain('size=4k');
  expect(mountsBelow(mounts, '/srv').map(({ mntId }) => mntId)).toEqual([74, 75]);
  expect(mountsBelow(mounts, '/srv/my data\\x').map(({ mntId }) => mntId)).toEqual([75]);
  expect(mountsBelow(mounts, '/').map(({ mntId }) => mntId)).toEqual([74, 75, 76]);
});

test('an ordinary disk is good, with handles, and its reuse is only to be known', () => {
  const disk = mountFactsOf({ numbers: measured({ distinctNumbers: 1 }) });
  expect(found(disk)).toEqual(['H1 information prefer+mandatory']);
  expect(advised([disk])).toBe(`good, ${BOTH} prefer`);
});

test('what pins no number asks for handles', () => {
  const btrfs = mountFactsOf({ type: 'btrfs' });
  expect(found(btrfs)).toEqual(['H11 data never']);
  expect(advised([btrfs])).toBe(`good, ${BOTH} prefer`);
  const nfs = mountFactsOf({ type: 'nfs4' });
  expect(found(nfs)).toEqual(['H11 data never', 'H26 error never']);
  expect(advise({ host: root, mounts: [nfs] }, '/srv').notVerified.join()).toMatch(/H11.*H26/);
});

test('FUSE asks for descriptors, unless those pin nothing either', () => {
  const fuse = mountFactsOf({ type: 'fuse.sshfs', handles: volatile });
  expect(found(fuse)).toEqual(['H14 error prefer+mandatory']);
  expect(advised([fuse])).toBe(`good, ${BOTH} never`);
  const reusing = { ...fuse, numbers: measured({ distinctNumbers: 1, reusedWhileHeld: true }) };
  expect(found(reusing)).toEqual(['H11 data never', 'H14 error prefer+mandatory']);
  expect(advised([reusing])).toBe(`care, ${BOTH} prefer`);
  const untried = { ...fuse, numbers: { state: 'not_tried', why: 'it is read-only' } } as const;
  expect(found(untried)).toEqual(['H11 information never', 'H14 error prefer+mandatory']);
  // Where there are no handles prefer holds descriptors, too.
  const bare = { ...reusing, ...below, handles: noHandles };
  expect(found(bare)).toContain('H11 data prefer+never');
  expect(advised([mountFactsOf(), bare])).toBe(`bad, ${BOTH} prefer`);
  expect(found(mountFactsOf({ type: 'virtiofs', handles: volatile }))).toContain(
    'H14 error prefer+mandatory',
  );
});

test('an overlay without index is bad where files have two names', () => {
  const files = { counted: 9, complete: true, unreadableDirectories: 0, inodesInUse: null };
  const overlay = (index: boolean, hardLinked: number, complete = true): MountFacts =>
    mountFactsOf({
      type: 'overlay',
      handles: noHandles,
      overlay: { index, nfsExport: false },
      files: { ...files, hardLinked, complete },
    });
  const h4 = ['H4 information prefer+never', 'H4 error mandatory'];
  expect(found(overlay(false, 2))).toEqual([...h4, 'H12 data prefer+never']);
  expect(advised([overlay(false, 2)])).toBe(`bad, ${BOTH} never`);
  expect(found(overlay(false, 0))).toEqual([...h4, 'H12 information prefer+never']);
  expect(advised([overlay(false, 0)])).toBe(`good, ${BOTH} never`);
  expect(found(overlay(false, 0, false))).toEqual([...h4, 'H12 data prefer+never']);
  expect(found(overlay(true, 2))).toEqual(h4);
  const exported = mountFactsOf({ type: 'overlay', overlay: { index: true, nfsExport: true } });
  expect(found(exported)).toEqual([]);
  expect(advised([exported])).toBe(`good, ${BOTH} prefer`);
});

test('a space in a mount path matters to virtiofsd alone', () => {
  const share = mountFactsOf();
  const below = mountFactsOf({
    role: 'below',
    path: '/srv/share/my data',
    mountPointEscaped: '/srv/share/my\\040data',
    escapes: { below: true, anywhere: true },
    ...{ mntId: '75', device: '0:41' },
  });
  expect(found(below, [share])).toEqual(['H19 information', 'H20 error prefer+mandatory']);
  expect(advised([share, below])).toBe('good, virtiofsd-inspector prefer, virtiofsd never');
  // Where descriptors are worse than ENOENT, virtiofsd keeps its handles.
  expect(advised([mountFactsOf({ type: 'btrfs' }), below])).toBe(`care, ${BOTH} prefer`);
  // In the part above the share it is gone in virtiofsd's own mount namespace.
  expect(found(mountFactsOf({ escapes: { below: false, anywhere: true } }))).toEqual([
    'H20 information prefer+mandatory',
  ]);
});

test('handles that this user cannot open', () => {
  const share = mountFactsOf({ handles: notOpenable });
  expect(found(share, [], user)).toEqual(['H21 information prefer', 'H21 error mandatory']);
  expect(advised([share], user)).toBe(`good, ${BOTH} never`);
  const below = mountFactsOf({ role: 'below', handles: notOpenable, mntId: '75', device: '7:1' });
  expect(found(below, [], user)).toEqual(['H19 information', 'H21 error prefer+mandatory']);
  expect(advise({ host: user, mounts: [share] }, '/srv').findings).toMatchObject([
    { name: 'ORDINARY USER', severity: 'information' },
  ]);
  const stripped = hostFactsOf({ missingCapabilities: ['CAP_MKNOD', 'CAP_SYS_ADMIN'] });
  const advice = advise({ host: stripped, mounts: [mountFactsOf()] }, '/srv');
  expect(advice.findings).toMatchObject([{ name: 'MISSING CAPABILITIES', severity: 'error' }]);
  expect(advice.verdict.level).toBe('care');
  expect(advice.recommended.map(({ option }) => option)).toContain('--sandbox=chroot');
});

test('mounts that mean nothing to the guest, or only their own', () => {
  const covered = { state: 'covered', by: '76' } as const;
  const unreachable = { state: 'unreachable', errno: 'EACCES' } as const;
  expect(found(mountFactsOf({ ...below, reach: covered }))).toEqual(['H20 information']);
  expect(found(mountFactsOf({ ...below, reach: unreachable }))).toEqual(['- information']);
  expect(found(mountFactsOf({ ...below, type: 'proc', handles: noHandles }))).toEqual([
    '- information',
  ]);
  expect(found(mountFactsOf({ ...below, type: 'autofs' }))).toEqual(['- information']);
  expect(found(mountFactsOf({ ...below, root: 'special' }))).toContain(
    'H20 error prefer+mandatory',
  );
});

test('twins, images, old kernels', () => {
  const share = mountFactsOf();
  const twin = mountFactsOf({ role: 'below', path: '/srv/share/b', mntId: '75' });
  expect(found(share, [twin])).toEqual(['H18 information']);
  const image = mountFactsOf({ type: 'squashfs', zeroGeneration: true });
  expect(found(image)).toEqual(['H15 information prefer+mandatory']);
  const identity = { mountId: false, btime: true, subvolume: false, uniqueMountId: false };
  expect(found(mountFactsOf({ identity }))).toEqual(['H17 information']);
  expect(found(mountFactsOf({ identity }), [{ ...twin, identity }])).toEqual([
    'H17 data',
    'H18 information',
  ]);
  expect(
    advise({ host: root, mounts: [mountFactsOf({ identity })] }, '/srv').findings,
  ).toMatchObject([{ hazard: 'H16', severity: 'information' }]);
});

test('descriptors are counted where entries hold them', () => {
  const files = {
    counted: 5_000,
    complete: true,
    ...{ unreadableDirectories: 0, inodesInUse: null, hardLinked: null },
  };
  const share = mountFactsOf({ files });
  const h23 = (mounts: MountFacts[]) =>
    advise({ host: user, mounts }, '/srv')
      .findings.filter(({ hazard }) => hazard === 'H23')
      .map(({ severity, modes }) => `${severity} ${modes.join()}`);
  expect(h23([share])).toEqual(['error never']);
  expect(h23([{ ...share, files: { ...files, counted: 3_000 } }])).toEqual(['resource never']);
  expect(h23([{ ...share, files: { ...files, counted: 1_000 } }])).toEqual([]);
  // No handles for this user: prefer ends as never.
  const without = { ...share, handles: notOpenable };
  expect(h23([without])).toEqual(['error prefer', 'error never']);
  const { recommended } = advise({ host: user, mounts: [without] }, '/srv');
  expect(recommended).toMatchObject([
    { option: '--inode-file-handles=never' },
    { option: '--rlimit-nofile=8192', reason: expect.stringContaining('ulimit -Hn') as unknown },
  ]);
  expect(limitFor(5_000)).toBe(8_192);
});

test('namespaces that an ordinary user does not get', () => {
  const userNamespaces = { possible: false, why: 'user.max_user_namespaces is 0' };
  const { recommended } = advise(
    { host: { ...user, userNamespaces }, mounts: [mountFactsOf()] },
    '/s',
  );
  expect(recommended.map(({ option }) => option)).toContain('--sandbox=none');
});

test('numbers and identities in words', () => {
  expect(numbersText(measured({ distinctNumbers: 1 }), '/srv/share')).toBe(
    'used again: 1,000 files had 1 number and 1,000 handles',
  );
  expect(
    numbersText(measured({ distinctHandles: null, reusedWhileHeld: true }), '/srv/share/x'),
  ).toBe(
    'not used again: 1,000 files had 1,000 numbers and no handles (tried in /srv/share); also ' +
      'while a descriptor is held on the removed file',
  );
  const identity = { mountId: true, btime: true, subvolume: false, uniqueMountId: true };
  expect(identityText(identity)).toBe('btime, unique mount id; no subvolume id');
  expect(identityText({ ...identity, mountId: false })).toContain('no subvolume id, mount id');
});

test('paths are shown without loss and without controls', () => {
  const bytes = Buffer.concat([Buffer.from('é\n\x1b[1m\\'), Buffer.from([0xff, 0x7f])]);
  expect(shown(bytes.toString('latin1'))).toBe('é\\x0a\\x1b[1m\\\\\\xff\\x7f');
});

test('shell words', () => {
  expect(['/srv/a-b', '/srv/my data', "/it's", '/srv/a\\x0ab'].map(shellWord)).toEqual([
    '/srv/a-b',
    "'/srv/my data'",
    `'/it'\\''s'`,
    "$'/srv/a\\x0ab'",
  ]);
});

test('the report fits a terminal of 80 columns and names what it found', () => {
  const report = reportOf([
    mountFactsOf({ type: 'btrfs' }),
    mountFactsOf({
      role: 'below',
      path: '/srv/share/my data',
      escapes: { below: true, anywhere: true },
      ...{ mntId: '75', device: '0:41' },
    }),
  ]);
  const text = reportText(report);
  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  expect(text.split('\n').filter((line) => line !== line.trimEnd())).toEqual([]);
  expect(text).toMatch(/^With care: It can be shared, best with --inode-file-handles=prefer/);
  expect(text).toContain('H11 UNPINNED ALIAS: wrong data, with never');
  expect(text).toContain(
    'H20 MOUNT FD UNRESOLVABLE: errors, with prefer and mandatory, in virtiofsd',
  );
  expect(text).toContain('Nothing in it was changed.');
});
