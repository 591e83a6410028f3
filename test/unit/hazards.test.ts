import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HAZARD_RULES } from '../../daemon/hazards/hazardBook';
import { generationOf } from '../../daemon/hazards/generation';
import { SEVERITIES } from '../../daemon/hazards/hazard';
import type { Nodeid } from '../../daemon/tables/identity';
import { ENOENT, ENOMEM, EOPNOTSUPP, EOVERFLOW, ESTALE, Source } from './inspectorSource';

const open = ({ model }: Source) =>
  model.hazards.list(Infinity).map(({ id, severity, nodeids }) => ({ id, severity, nodeids }));

const byId = (source: Source, id: string) => open(source).filter((hazard) => hazard.id === id);

/** What was reported, in order: `+H1 information`, `-H1 information`. */
const reports = ({ events }: Source) =>
  events.flatMap((event) =>
    event.type === 'hazard' || event.type === 'hazard_closed'
      ? `${event.type === 'hazard' ? '+' : '-'}${event.hazard.id} ${event.hazard.severity}`
      : [],
  );

const WITHOUT = { handleErrno: EOPNOTSUPP };

describe('the catalogue', () => {
  it('has each number once, in order', () => {
    const numbers = HAZARD_RULES.map(({ id }) => Number(id.slice(1)));
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  });

  it('says nothing about handle hits, misses and names that are not there', () => {
    const source = new Source();
    for (let round = 0; round < 3; round++) {
      source.lookup('a', { ino: 12, generation: 1 });
      source.lookup('b', { ino: 13, generation: 1 });
      source.refuse('c', ENOENT);
    }
    source.answerProbes(0);
    expect(reports(source)).toEqual([]);
  });
});

describe('H1 and H2: number reuse and the stale entry', () => {
  it('opens both when the old handle is stale, and ends with the old entry', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    expect(source.probes).toMatchObject([{ nodeid: 2, because: { nodeid: 3, byIds: 2 } }]);
    expect(byId(source, 'H1')).toEqual([]);
    source.answerProbes(ESTALE);
    expect(open(source)).toEqual(
      expect.arrayContaining([
        { id: 'H1', severity: 'information', nodeids: [3, 2] },
        { id: 'H2', severity: 'information', nodeids: [2] },
        { id: 'H7', severity: 'information', nodeids: [2, 3] },
      ]),
    );
    expect(source.model.hazards.of(2 as Nodeid).find(({ id }) => id === 'H1')).toMatchObject({
      evidence: { ids: '12/7:0/74', oldGeneration: '7', newGeneration: '9', probe: 'ESTALE' },
      advice: expect.stringContaining('generation 7 → 9') as string,
    });
    source.forget(2 as Nodeid);
    expect(open(source)).toEqual([{ id: 'H8', severity: 'information', nodeids: [3] }]);
  });

  it('reports and ends it at once when the guest forgot an entry before the answer', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    source.forget(2 as Nodeid);
    source.answerProbes(ESTALE);
    expect(reports(source).filter((report) => report.includes('H1'))).toEqual([
      '+H1 information',
      '-H1 information',
    ]);
    expect(reports(source).filter((report) => report.includes('H2'))).toEqual([]);
    const reported = source.events.find(
      (event) => event.type === 'hazard' && event.hazard.id === 'H1',
    );
    expect(reported).toMatchObject({ hazard: { evidence: { oldGeneration: '7' } } });
    expect(byId(source, 'H1')).toEqual([]);
  });

  it('is no reuse when the old handle still opens, or fails otherwise', () => {
    for (const errno of [0, 1]) {
      const source = new Source();
      source.lookup('f', { ino: 12, generation: 7 });
      source.lookup('g', { ino: 12, generation: 9 });
      source.answerProbes(errno);
      expect([...byId(source, 'H1'), ...byId(source, 'H2')]).toEqual([]);
    }
  });

  it('becomes an error when the guest meets it, and does not become less again', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    source.openByHandleFailed(2 as Nodeid, 24);
    expect(byId(source, 'H2')).toEqual([]);
    const [probe] = source.probes;
    source.answerProbes(ESTALE);
    source.openByHandleFailed(2 as Nodeid, ESTALE);
    expect(byId(source, 'H2')).toEqual([{ id: 'H2', severity: 'error', nodeids: [2] }]);
    source.openByHandleFailed(2 as Nodeid, ESTALE);
    if (probe !== undefined) source.model.probed({ ...probe, errno: ESTALE });
    expect(reports(source).filter((report) => report.includes('H2'))).toEqual([
      '+H2 information',
      '-H2 information',
      '+H2 error',
    ]);
    expect(source.model.hazards.worstOf(2 as Nodeid)).toBe('error');
    // An errno for an entry that is gone concerns nobody.
    source.forget(2 as Nodeid);
    source.openByHandleFailed(2 as Nodeid, ESTALE);
    expect(byId(source, 'H2')).toEqual([]);
  });
});

describe('H3: benign fallback', () => {
  it.each(['same', 'different', 'not-probed'] as const)('descriptor probed: %s', (probe) => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: null }, WITHOUT);
    source.lookup('f', { ino: 12, generation: 7 }, { probe });
    source.lookup('f', { ino: 12, generation: 7 }, { probe });
    expect(byId(source, 'H3')).toEqual(
      probe === 'same' ? [{ id: 'H3', severity: 'information', nodeids: [2] }] : [],
    );
    source.forget(2 as Nodeid, 3);
    expect(byId(source, 'H3')).toEqual([]);
  });
});

describe('H4: handle-less lookups', () => {
  it('is information once a mount where nothing has handles', () => {
    const source = new Source();
    for (const mntId of [80, 81]) {
      for (let ino = 1; ino < 10; ino++) {
        source.lookup(`f${ino}`, { ino, generation: null, mntId }, WITHOUT);
      }
    }
    expect(byId(source, 'H4').map(({ severity }) => severity)).toEqual([
      'information',
      'information',
    ]);
  });

  it.each([EOPNOTSUPP, EOVERFLOW])('is identity where others have handles (errno %i)', (errno) => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: null }, { handleErrno: errno });
    expect(byId(source, 'H4')).toEqual([{ id: 'H4', severity: 'identity', nodeids: [2] }]);
  });

  it('gets worse when the mount turns out to make handles', () => {
    const source = new Source();
    source.lookup('a', { ino: 1, generation: null, mntId: 80 }, WITHOUT);
    source.lookup('b', { ino: 2, generation: 5, mntId: 80 });
    source.lookup('c', { ino: 3, generation: null, mntId: 80 }, WITHOUT);
    expect(reports(source).filter((report) => report.includes('H4'))).toEqual([
      '+H4 information',
      '-H4 information',
      '+H4 identity',
    ]);
  });

  it('is no news in never mode', () => {
    const source = new Source('never');
    source.lookup('a', { ino: 12, generation: null }, WITHOUT);
    source.lookup('a', { ino: 12, generation: null });
    expect(reports(source)).toEqual([]);
  });
});

describe('H5, H6, H10: one file, two nodes', () => {
  /** The seed scenario of the thread: the second lookup of a linked file makes no handle. */
  function seed(): Source {
    const source = new Source();
    source.lookup('foo', { ino: 12, generation: 7 });
    source.lookup('foo-link', { ino: 12, generation: null }, WITHOUT);
    return source;
  }

  it('asks the old handle before it calls it a duplicate', () => {
    const source = seed();
    expect(byId(source, 'H5')).toEqual([]);
    source.answerProbes(0);
    expect(byId(source, 'H5')).toEqual([{ id: 'H5', severity: 'identity', nodeids: [3, 2] }]);
    const stale = seed();
    stale.answerProbes(ESTALE);
    expect(byId(stale, 'H5')).toEqual([]);
  });

  it('flips when handles work again; the tables disagree', () => {
    const source = seed();
    source.answerProbes(0);
    expect(source.lookup('foo-link', { ino: 12, generation: 7 })).toBe(2);
    expect(byId(source, 'H6')).toEqual([{ id: 'H6', severity: 'identity', nodeids: [2, 3] }]);
    expect(byId(source, 'H10')).toEqual([{ id: 'H10', severity: 'identity', nodeids: [2, 3] }]);
    source.forget(3 as Nodeid);
    expect(open(source)).toEqual([]);
  });

  it('another name of the file is no flip', () => {
    const source = seed();
    source.lookup('foo', { ino: 12, generation: 7 });
    expect(byId(source, 'H6')).toEqual([]);
    expect(byId(source, 'H10')).toHaveLength(1);
  });

  it('an entry that lost its key gets a double (S4)', () => {
    const source = new Source();
    source.lookup('v', { ino: 13, generation: 1 });
    source.lookup('v', { ino: 13, generation: null }, WITHOUT);
    source.answerProbes(ESTALE);
    source.forget(2 as Nodeid);
    expect(byId(source, 'H8')).toEqual([{ id: 'H8', severity: 'identity', nodeids: [3] }]);
    expect(source.lookup('v', { ino: 13, generation: null }, WITHOUT)).toBe(4);
    expect(byId(source, 'H5')).toEqual([{ id: 'H5', severity: 'identity', nodeids: [4, 3] }]);
    source.forget(3 as Nodeid);
    expect(byId(source, 'H5')).toEqual([]);
    // Its double lost the key with it, and so on.
    expect(byId(source, 'H8')).toEqual([{ id: 'H8', severity: 'identity', nodeids: [4] }]);
    source.forget(4 as Nodeid);
    source.lookup('v', { ino: 13, generation: null }, WITHOUT);
    expect(byId(source, 'H5')).toEqual([]);
  });
});

describe('H7 and H8: stolen and lost keys', () => {
  it('weigh as much as their victim needs the key', () => {
    const handles = new Source();
    handles.lookup('f', { ino: 12, generation: 1 });
    handles.lookup('f', { ino: 12, generation: 2 });
    expect(byId(handles, 'H7')).toEqual([{ id: 'H7', severity: 'information', nodeids: [2, 3] }]);
    handles.forget(2 as Nodeid);
    expect(byId(handles, 'H8')).toEqual([{ id: 'H8', severity: 'information', nodeids: [3] }]);

    // Under the strict rule a handle entry takes the key of one that holds a descriptor.
    const files = new Source('prefer', 'strict');
    files.lookup('f', { ino: 12, generation: null }, WITHOUT);
    files.lookup('f', { ino: 12, generation: 2 });
    expect(byId(files, 'H7')).toEqual([{ id: 'H7', severity: 'identity', nodeids: [2, 3] }]);
  });
});

describe('H22: handles that fail', () => {
  it.each([
    ['ENOMEM', ENOMEM],
    ['EIO', 5],
  ])('%s reaches the guest and ends when the name is found', (_name, errno) => {
    const source = new Source();
    source.refuse('f', errno, { handleErrno: errno });
    expect(byId(source, 'H22')).toEqual([{ id: 'H22', severity: 'error', nodeids: [1] }]);
    const d = source.lookup('d', { ino: 20, generation: 1, mode: 0o040755 });
    source.lookup('f', { ino: 12, generation: 1 }, { parent: d });
    source.lookup('ff', { ino: 13, generation: 1 });
    source.refuse('f', ENOENT);
    expect(byId(source, 'H22')).toHaveLength(1);
    source.lookup('f', { ino: 14, generation: 1 });
    expect(byId(source, 'H22')).toEqual([]);
  });

  it('EOVERFLOW goes on without a handle; other errors of the lookup are none of it', () => {
    const source = new Source();
    source.refuse('gone', ENOENT);
    source.lookup('f', { ino: 12, generation: null }, WITHOUT);
    expect(byId(source, 'H22')).toEqual([]);
    source.lookup('g', { ino: 13, generation: null }, { handleErrno: EOVERFLOW });
    expect(byId(source, 'H22')).toEqual([{ id: 'H22', severity: 'identity', nodeids: [3] }]);
    source.forget(3 as Nodeid);
    expect(byId(source, 'H22')).toEqual([]);
  });

  it('is bounded: the newest thousand stay', () => {
    const source = new Source();
    for (let i = 0; i < 1_500; i++) source.refuse(`f${i}`, ENOMEM, { handleErrno: ENOMEM });
    const names = source.model.hazards.list(Infinity).map(({ evidence }) => evidence['name']);
    expect(names).toHaveLength(1_000);
    expect(names).toContain('f1499');
    expect(names).toContain('f500');
    expect(names).not.toContain('f499');
    expect(source.model.hazards.totals).toEqual({ H22: 1_000 });
    source.lookup('f700', { ino: 12, generation: 1 });
    expect(source.model.hazards.totals).toEqual({ H22: 999 });
  });
});

describe('the book', () => {
  it('closes everything when the session begins or ends', () => {
    for (const end of ['init', 'destroy'] as const) {
      const source = new Source();
      source.lookup('f', { ino: 12, generation: 1 });
      source.lookup('f', { ino: 12, generation: 2 });
      source.refuse('x', ENOMEM, { handleErrno: ENOMEM });
      source.answerProbes(ESTALE);
      expect(open(source)).toHaveLength(5);
      source[end]();
      expect(open(source)).toEqual([]);
      expect(source.model.hazards.totals).toEqual({});
    }
  });

  it('lists the worst first, then the newest', () => {
    const source = new Source();
    source.lookup('a', { ino: 12, generation: 1 });
    source.lookup('a', { ino: 12, generation: 2 });
    source.lookup('b', { ino: 13, generation: 1 });
    source.lookup('b', { ino: 13, generation: null }, WITHOUT);
    source.refuse('x', ENOMEM, { handleErrno: ENOMEM });
    source.answerProbes(ESTALE);
    const listed = source.model.hazards.list(Infinity);
    const ranks = listed.map(({ severity }) => SEVERITIES.indexOf(severity));
    expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
    const calm = listed.filter(({ severity }) => severity === 'information');
    expect(calm.map(({ seq }) => seq)).toEqual(calm.map(({ seq }) => seq).sort((a, b) => b - a));
    expect(source.model.hazards.list(2)).toEqual(listed.slice(0, 2));
    expect(source.model.hazards.list(2, 1)).toEqual(listed.slice(1, 3));
  });

  it('keeps its counts, and no hazard outlives its entries', () => {
    const file = fc.record({
      name: fc.integer({ min: 0, max: 3 }),
      ino: fc.integer({ min: 10, max: 12 }),
      generation: fc.option(fc.integer({ min: 1, max: 3 })),
    });
    const step = fc.oneof(
      file.map((lookup) => ({ do: 'lookup' as const, ...lookup })),
      fc.nat(30).map((nth) => ({ do: 'forget' as const, nth })),
      fc.constantFrom(0, ESTALE, 1).map((errno) => ({ do: 'probe' as const, errno })),
      fc.nat(30).map((nth) => ({ do: 'stale' as const, nth })),
    );
    const rules = fc.constantFrom('handle-then-fd' as const, 'strict' as const, 'v2' as const);
    fc.assert(
      fc.property(rules, fc.array(step, { maxLength: 80 }), (rule, steps) => {
        const source = new Source('prefer', rule);
        const living = () => [...source.tables.entries()].slice(1).map(({ nodeid }) => nodeid);
        const nth = (n: number) => living()[n % Math.max(1, living().length)];
        for (const now of steps) {
          if (now.do === 'lookup') {
            const { name, ino, generation } = now;
            source.lookup(`f${name}`, { ino, generation }, generation === null ? WITHOUT : {});
          } else if (now.do === 'probe') source.answerProbes(now.errno);
          else {
            const nodeid = nth(now.nth);
            if (nodeid === undefined) continue;
            if (now.do === 'forget') source.forget(nodeid);
            else source.openByHandleFailed(nodeid, ESTALE);
          }
          const { hazards, tables } = source.model;
          const listed = hazards.list(Infinity);
          for (const { nodeids } of listed) {
            for (const nodeid of nodeids) expect(tables.has(nodeid)).toBe(true);
          }
          const counted = Object.values(hazards.totals).reduce((sum, count) => sum + count, 0);
          const weighed = Object.values(hazards.bySeverity).reduce((sum, count) => sum + count, 0);
          expect([counted, weighed]).toEqual([listed.length, listed.length]);
        }
        for (const nodeid of living()) source.forget(nodeid, 1_000);
        source.answerProbes(ESTALE);
        expect(open(source)).toEqual([]);
        // Each opening has its closing.
        const opened = reports(source).filter((report) => report.startsWith('+'));
        const closed = reports(source).filter((report) => report.startsWith('-'));
        expect(closed.length).toBe(opened.length);
      }),
      { numRuns: 200 },
    );
  });
});

describe('generations', () => {
  const handle = (type: number, hex: string) => ({
    mntId: 1,
    type,
    bytes: new Uint8Array(Buffer.from(hex, 'hex')),
  });
  it.each([
    ['ext4', 1, '0c00000022ea51a9', 2840717858n],
    ['ext4 with parent', 2, '0c00000022ea51a90200000000000000', 2840717858n],
    ['tmpfs', 1, 'aa9bc68d0300000000000000', 0x8dc69baan],
    ['xfs', 0x81, '840000000000000045762c7c', 0x7c2c7645n],
    ['btrfs', 0x4d, '0201000000000000050000000000000007000000', 7n],
    ['unknown type', 0xf8, '0102030405060708', null],
    ['too short', 1, '0c0000', null],
    ['empty', 0x4d, '', null],
  ])('%s', (_name, type, bytes, generation) => {
    expect(generationOf(handle(type, bytes))).toBe(generation);
  });
});
