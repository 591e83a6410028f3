/** The hazards that a probe finds: H11, H12, H14, H15, H16, H21, H30, H31, H33. */

import { describe, expect, it } from 'vitest';
import { LiveModel } from '../../daemon/inspector/liveModel';
import type { HeldIdentity, ProbeField, ProbeFinding } from '../../daemon/tables/held';
import type { Nodeid } from '../../daemon/tables/identity';
import { ROOT_NODEID } from '../../daemon/tables/identity';
import { EOPNOTSUPP, ESTALE, Source } from './inspectorSource';
import { targetOf } from './target';

const OVERLAY = 0x794c7630;
const FUSE = 0x65735546;
const EXT4 = 0xef53;
const EPERM = 1;
const node = (nodeid: number) => nodeid as Nodeid;

const byId = ({ model }: Source, id: string) =>
  model.hazards.list(Infinity).filter((hazard) => hazard.id === id);

const alarms = ({ model }: Source) =>
  model.hazards
    .list(Infinity)
    .filter(({ severity }) => ['data', 'error', 'identity'].includes(severity))
    .map(({ id }) => id);

function held(ino: number, minor = 0, mntId = 74): HeldIdentity {
  return {
    ids: { ino: BigInt(ino), dev: { major: 7, minor }, mntId },
    mode: 0o100644,
    handle: null,
    nlink: 1,
    btime: { seconds: 5, nanoseconds: 7 },
    subvol: null,
  };
}

const finding = (fields: readonly ProbeField[], ino = 12): ProbeFinding => ({
  errno: 0,
  fields,
  held: held(ino),
});

const FILE = { ino: 12, generation: null };

describe('H11: unpinned alias', () => {
  it('is wrong data, with the values of both, until the entry is forgotten', () => {
    const source = new Source('never');
    source.lookup('f', FILE);
    source.lookup('g', FILE, { probe: 'different', probed: finding(['dev', 'btime']), btime: 9 });
    expect(byId(source, 'H11')).toMatchObject([
      {
        severity: 'data',
        nodeids: [2],
        evidence: {
          name: 'g',
          asked: '12/7:0/74',
          held: '12/7:0/74',
          differs: 'dev, btime',
          askedBtime: '9.000000000',
          heldBtime: '5.000000007',
        },
      },
    ]);
    source.forget(node(2), 2);
    expect(byId(source, 'H11')).toEqual([]);
  });

  it('tells of a file that is gone for its own server, and not of one that may change its links', () => {
    const source = new Source('never');
    source.lookup('f', FILE);
    source.lookup('f', FILE, { probe: 'same', probed: finding(['nlink']) });
    expect(alarms(source)).toEqual([]);
    source.lookup('g', FILE, {
      probe: 'different',
      probed: { errno: ESTALE, fields: [], held: null },
    });
    expect(byId(source, 'H11')).toMatchObject([{ evidence: { heldErrno: 'ESTALE', held: null } }]);
  });

  it('is found by a probe before anybody is answered wrongly, and gets worse then', () => {
    const source = new Source('never');
    source.lookup('f', FILE);
    source.model.probed({ nodeid: node(2), errno: 0, because: null, held: held(12) });
    expect(byId(source, 'H11')).toEqual([]);
    source.model.probed({ nodeid: node(2), errno: 0, because: null, held: held(12, 9) });
    expect(byId(source, 'H11')).toMatchObject([
      { severity: 'identity', evidence: { key: '12/7:0/74', held: '12/7:9/74' } },
    ]);
    source.lookup('g', FILE, { probe: 'different', probed: finding(['dev']) });
    expect(byId(source, 'H11')).toMatchObject([{ severity: 'data' }]);
  });
});

describe('H12: hard links of an overlay', () => {
  const linked = (fields: readonly ProbeField[], different: boolean) => ({
    probe: different ? ('different' as const) : ('same' as const),
    probed: finding(fields),
    fsType: OVERLAY,
    nlink: 2,
  });

  it('is another inode on an overlay; elsewhere that is H11', () => {
    const source = new Source('never');
    source.lookup('a', FILE);
    source.lookup('b', FILE, linked(['inode'], true));
    expect(byId(source, 'H12')).toMatchObject([{ severity: 'data', evidence: { name: 'b' } }]);
    expect(byId(source, 'H11')).toEqual([]);

    const elsewhere = new Source('never');
    elsewhere.lookup('a', FILE);
    elsewhere.lookup('b', FILE, { ...linked(['inode'], true), fsType: EXT4 });
    expect(byId(elsewhere, 'H11')).toHaveLength(1);
    expect(byId(elsewhere, 'H12')).toEqual([]);
  });

  it('is only information, and only for another name, where inodes cannot be compared', () => {
    const source = new Source('never');
    source.lookup('a', FILE);
    source.lookup('a', FILE, linked(['inode-unknown'], false));
    expect(byId(source, 'H12')).toEqual([]);
    source.lookup('b', FILE, linked(['inode-unknown'], false));
    expect(byId(source, 'H12')).toMatchObject([{ severity: 'information', nodeids: [2] }]);
  });
});

describe('H14: volatile handles', () => {
  function replaced(name: string, fsType: number): Source {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 }, { fsType });
    source.lookup(name, { ino: 12, generation: 9 }, { fsType });
    return source;
  }

  it('is no reuse when the name is the same, on FUSE', () => {
    const source = replaced('f', FUSE);
    source.answerProbes(ESTALE);
    expect(byId(source, 'H14')).toMatchObject([
      { severity: 'identity', nodeids: [2], evidence: { oldNode: '2', newNode: '3', name: 'f' } },
    ]);
    expect([...byId(source, 'H1'), ...byId(source, 'H2')]).toEqual([]);
  });

  it('is an error once the guest has met it', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 }, { fsType: FUSE });
    source.openByHandleFailed(node(2), ESTALE);
    expect(byId(source, 'H2')).toMatchObject([
      { severity: 'error', advice: expect.stringContaining('H14') as string },
    ]);
    source.lookup('f', { ino: 12, generation: 9 }, { fsType: FUSE });
    source.answerProbes(ESTALE);
    expect(byId(source, 'H14')).toMatchObject([{ severity: 'error' }]);
  });

  it.each([
    ['another name', 'g', FUSE, ESTALE],
    ['another file system', 'f', EXT4, ESTALE],
    ['a handle that opens', 'f', FUSE, 0],
  ])('is none with %s', (_what, name, fsType, errno) => {
    const source = replaced(name, fsType);
    source.answerProbes(errno);
    expect(byId(source, 'H14')).toEqual([]);
    expect(byId(source, 'H1')).toHaveLength(errno === 0 ? 0 : 1);
  });
});

describe('H15: handles without generation', () => {
  it('is told once a mount, by the first that is no directory, and not of FUSE', () => {
    const source = new Source();
    source.lookup('lost+found', { ino: 11, generation: 0, mode: 0o040700 });
    source.lookup('f', { ino: 12, generation: 3 });
    expect(byId(source, 'H15')).toEqual([]);
    source.lookup('g', { ino: 13, generation: 0 });
    source.lookup('h', { ino: 14, generation: 0 });
    source.lookup('i', { ino: 15, generation: 0, mntId: 80 }, { fsType: FUSE });
    expect(byId(source, 'H15')).toMatchObject([
      {
        severity: 'information',
        nodeids: [ROOT_NODEID],
        evidence: { mntId: '74', node: '4', generation: '0', handle: '0d00000000000000' },
      },
    ]);
  });
});

describe('H16: recycled mounts', () => {
  const volume = (mntIdUnique: number | null) => ({ mntId: 74, mntIdUnique, fsType: EXT4 });

  it('is told by the first lookup on the new mount', () => {
    const source = new Source();
    source.model.volume(volume(900));
    source.lookup('f', { ino: 12, generation: 1 });
    source.model.volume(volume(900));
    source.lookup('f', { ino: 12, generation: 1 });
    expect(byId(source, 'H16')).toEqual([]);
    source.model.volume(volume(901));
    source.lookup('g', { ino: 13, generation: 1 });
    source.lookup('h', { ino: 14, generation: 1 });
    expect(byId(source, 'H16')).toMatchObject([
      {
        severity: 'information',
        nodeids: [3],
        evidence: { name: 'g', mntId: '74', uniqueBefore: '900', uniqueNow: '901' },
      },
    ]);
    source.forget(node(3));
    source.lookup('i', { ino: 15, generation: 1 });
    expect(byId(source, 'H16')).toEqual([]);
  });

  it('is unknown where the kernel knows no unique ids', () => {
    const source = new Source();
    source.model.volume(volume(null));
    source.model.volume(volume(901));
    source.lookup('f', { ino: 12, generation: 1 });
    expect(byId(source, 'H16')).toEqual([]);
  });
});

describe('H21: handles that may not be opened', () => {
  it.each([EPERM, 13])('is an error for the guest, and for a probe (errno %i)', (errno) => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 1 });
    source.openByHandleFailed(node(2), errno);
    expect(byId(source, 'H21')).toMatchObject([{ severity: 'error', nodeids: [2] }]);
    const probed = new Source();
    probed.lookup('f', { ino: 12, generation: 1 });
    probed.lookup('g', { ino: 13, generation: null }, { handleErrno: EOPNOTSUPP });
    probed.model.probed({ nodeid: node(2), errno, because: null });
    probed.model.probed({ nodeid: node(3), errno, because: null });
    expect(byId(probed, 'H21')).toMatchObject([{ severity: 'error', nodeids: [2] }]);
  });

  it('is information at the start, when handles were asked for and could be made', () => {
    for (const [call, told] of [
      ['open_by_handle_at', true],
      ['name_to_handle_at', false],
    ] as const) {
      const target = targetOf('never', 'handle-then-fd');
      const refused = { call, errno: told ? 'EPERM' : 'EOPNOTSUPP' };
      const model = new LiveModel(
        {
          ...target,
          inodeFileHandles: { requested: 'prefer', effective: 'never', refused },
        },
        { event: () => undefined, probe: () => undefined },
      );
      const stamp = () => ({ seq: model.nextSeq++, time: 1 });
      model.fold({ ...stamp(), type: 'init' });
      model.fold({
        ...stamp(),
        type: 'insert',
        nodeid: ROOT_NODEID,
        kind: 'file',
        lookups: 2,
        mode: 0o040755,
        ids: { ino: 2n, dev: { major: 7, minor: 0 }, mntId: 74 },
        handle: null,
        fd: 20,
      });
      const found = model.hazards.list(Infinity).filter(({ id }) => id === 'H21');
      expect(found.map(({ severity }) => severity)).toEqual(told ? ['information'] : []);
    }
  });
});

describe('H30 and H31: two objects in one entry', () => {
  it('another type under the same node is an error', () => {
    const source = new Source('never');
    source.lookup('f', FILE);
    source.lookup('f', { ...FILE, mode: 0o100600 });
    expect(alarms(source)).toEqual([]);
    source.lookup('f', { ...FILE, mode: 0o040755 });
    expect(byId(source, 'H30')).toMatchObject([
      { severity: 'error', nodeids: [2], evidence: { was: 'regular file', is: 'directory' } },
    ]);
  });

  it('a handle that opens another number is a race, of a new entry or of one that answers', () => {
    const made = new Source();
    made.lookup(
      'f',
      { ino: 12, generation: 1 },
      { probe: 'different', probed: finding(['ino'], 13) },
    );
    expect(byId(made, 'H31')).toMatchObject([
      { severity: 'identity', nodeids: [2], evidence: { asked: '12/7:0/74', held: '13/7:0/74' } },
    ]);
    const answers = new Source();
    answers.lookup('f', { ino: 12, generation: 1 });
    answers.lookup('f', { ino: 12, generation: 1 }, { probe: 'same', probed: finding(['nlink']) });
    expect(byId(answers, 'H31')).toEqual([]);
    answers.lookup(
      'f',
      { ino: 12, generation: 1 },
      { probe: 'different', probed: finding(['dev']) },
    );
    expect(byId(answers, 'H31')).toMatchObject([{ severity: 'data' }]);
    const asked = new Source();
    asked.lookup('f', { ino: 12, generation: 1 });
    asked.model.probed({ nodeid: node(2), errno: 0, because: null, held: held(12) });
    expect(byId(asked, 'H31')).toEqual([]);
    asked.model.probed({ nodeid: node(2), errno: 0, because: null, held: held(13) });
    expect(byId(asked, 'H31')).toMatchObject([{ severity: 'identity' }]);
    expect(byId(asked, 'H11')).toEqual([]);
  });
});

describe('H33: handles that outlive their mount', () => {
  it.each([
    ['opens, and its mount is gone', 1, 0, false, true],
    ['opens, and its mount is there', 1, 0, true, false],
    ['does not open', 1, ESTALE, false, false],
    ['is a descriptor', null, 0, false, false],
  ])('%s', (_what, generation, errno, mounted, told) => {
    const source = new Source();
    source.lookup(
      'f',
      { ino: 12, generation },
      generation === null ? { handleErrno: EOPNOTSUPP } : {},
    );
    source.model.probed({ nodeid: node(2), errno, because: null, held: held(12), mounted });
    expect(byId(source, 'H33').map(({ severity }) => severity)).toEqual(told ? ['resource'] : []);
  });
});
