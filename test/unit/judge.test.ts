/** Streams judged under other implementations: H13, H17, H27, and the thread's scenarios. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Nodeid } from '../../daemon/tables/identity';
import type { LookupRuleName } from '../../daemon/tables/lookupRule';
import { LOOKUP_RULE_NAMES, LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import type { ImplementationName } from '../../daemon/tables/implementations';
import { IMPLEMENTATION_NAMES, IMPLEMENTATIONS } from '../../daemon/tables/implementations';
import { judge, Judge, MOST_FINDINGS } from '../../daemon/why/judge';
import type { LookupOptions } from './inspectorSource';
import { ENOMEM, EOPNOTSUPP, Source } from './inspectorSource';

const judged = (source: Source, name: ImplementationName) =>
  judge(source.events, IMPLEMENTATIONS[name], source.tables.rule);

/** The findings' numbers under each implementation. */
const verdicts = (source: Source) =>
  Object.fromEntries(
    IMPLEMENTATION_NAMES.map((name) => [
      name,
      judged(source, name).findings.map(({ id, severity }) => `${id} ${severity}`),
    ]),
  );

const NOTHING = {
  virtiofsd: [],
  'qemu-virtiofsd': [],
  'fuse-backend-rs': [],
  libkrun: [],
  crosvm: [],
};

const without = (errno: number, more: LookupOptions = {}): LookupOptions => ({
  handleErrno: errno,
  ...more,
});

describe('the scenarios of the 2021 thread', () => {
  it('A: reused number, second lookup without a handle: v2 gives the old file (H13)', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 }, { btime: 100 });
    source.lookup('f', { ino: 12, generation: null }, without(EOPNOTSUPP, { btime: 200 }));
    expect(verdicts(source)).toEqual({ ...NOTHING, 'fuse-backend-rs': ['H13 data'] });
    expect(judged(source, 'fuse-backend-rs').findings[0]).toMatchObject({
      name: 'STALE FALLBACK',
      nodeids: [2],
      evidence: { name: 'f', ids: '12/7:0/74', node: '2', oldGeneration: '7', sameFile: 'no' },
      advice: expect.stringContaining('the guest works with the wrong file') as string,
    });
    // Where descriptors are held, the number would not have been given away.
    expect(judged(source, 'qemu-virtiofsd')).toMatchObject({ prevented: 1, lookups: 2 });
  });

  it('A, where no time of birth tells: it says that it does not know', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: null }, without(EOPNOTSUPP));
    expect(judged(source, 'fuse-backend-rs').findings).toMatchObject([
      {
        id: 'H13',
        evidence: { sameFile: 'unknown' },
        advice: expect.stringContaining('may work with the wrong file') as string,
      },
    ]);
  });

  it('B: first without, then with a handle: every implementation finds the node', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: null }, without(EOPNOTSUPP, { btime: 100 }));
    source.time += 1;
    source.lookup('f', { ino: 12, generation: 7 }, { btime: 100 });
    expect(verdicts(source)).toEqual(NOTHING);
  });

  it('C: two names of one file, the second without a handle: here a duplicate, with v2 right', () => {
    const source = new Source();
    source.lookup('foo', { ino: 12, generation: 7 }, { btime: 100 });
    source.time += 1;
    source.lookup('foo-link', { ino: 12, generation: null }, without(ENOMEM, { btime: 100 }));
    expect(verdicts(source)).toEqual({ ...NOTHING, virtiofsd: ['H5 identity'] });
  });

  it('a reuse with handles is told apart by all that keep handles', () => {
    const source = new Source();
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: 9 });
    expect(verdicts(source)).toEqual(NOTHING);
  });
});

describe('H13 on a daemon that follows such a rule', () => {
  const found = (rule: LookupRuleName, second: number | null) => {
    const source = new Source('prefer', rule);
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: second }, second === null ? without(EOPNOTSUPP) : {});
    return source.model.hazards.list(10).filter(({ id }) => id === 'H13');
  };

  it('is found at once, and the rule handle-then-fd has none', () => {
    expect(found('v2', null)).toMatchObject([
      { severity: 'data', nodeids: [2], evidence: { sameFile: 'unknown' } },
    ]);
    expect(found('ids-only', 9)).toMatchObject([
      { evidence: { oldGeneration: '7', newGeneration: '9', sameFile: 'no' } },
    ]);
    expect(found('ids-only', 7)).toEqual([]);
    expect(found('handle-then-fd', null)).toEqual([]);
    expect(found('strict', null)).toEqual([]);
  });

  it('ends with the entry', () => {
    const source = new Source('prefer', 'v2');
    source.lookup('f', { ino: 12, generation: 7 });
    source.lookup('f', { ino: 12, generation: null }, without(EOPNOTSUPP));
    source.forget(2 as Nodeid, 2);
    expect(source.model.hazards.list(10)).toEqual([]);
  });
});

describe('H17: a key without the mount id', () => {
  it('gives one node to two mounts', () => {
    const source = new Source();
    source.lookup('rw', { ino: 21, generation: 1, mntId: 74 }, { btime: 100 });
    source.lookup('ro', { ino: 21, generation: 1, mntId: 78 }, { btime: 100 });
    expect(verdicts(source)).toEqual({ ...NOTHING, crosvm: ['H17 data'] });
    expect(judged(source, 'crosvm').findings[0]).toMatchObject({
      name: 'MOUNT-ID ALIAS',
      evidence: { madeOnMount: '74', askedOnMount: '78', node: '2' },
    });
  });

  it('is quiet with one mount', () => {
    const source = new Source();
    source.lookup('a', { ino: 21, generation: 1 });
    source.time += 1;
    source.lookup('b', { ino: 21, generation: 1 });
    expect(verdicts(source)).toEqual(NOTHING);
  });
});

describe('H27: lookups that overlap', () => {
  /** The second lookup takes so many milliseconds and ends two after the first. */
  const pair = (duration: number, generation: number | null = 7) => {
    const source = new Source();
    const more = generation === null ? without(EOPNOTSUPP) : {};
    source.time += 10;
    source.lookup('f', { ino: 12, generation }, { ...more, durationNs: 1e6 });
    source.time += 2;
    source.lookup('f', { ino: 12, generation }, { ...more, durationNs: duration * 1e6 });
    return source;
  };

  it('make two nodes where asking and inserting are apart', () => {
    for (const generation of [7, null]) {
      expect(verdicts(pair(2.5, generation))).toEqual({
        ...NOTHING,
        'qemu-virtiofsd': ['H27 identity'],
        libkrun: ['H27 identity'],
      });
    }
    expect(judged(pair(2.5), 'libkrun').findings[0]).toMatchObject({
      name: 'LOOKUP/INSERT RACE',
      nodeids: [3, 2],
      evidence: { nodes: '2, 3', underWayMs: 2.5 },
    });
  });

  it('a request that a debugger held was under way since then', () => {
    const source = new Source();
    const held = { op: 'LOOKUP', unique: 2, seq: 0, time: source.time } as const;
    source.events.push({ ...held, type: 'paused', point: 'opened', reason: 'breakpoint' });
    source.time += 10;
    source.lookup('g', { ino: 12, generation: 7 }, { unique: 3 });
    source.time += 10;
    source.lookup('f', { ino: 12, generation: 7 });
    expect(judged(source, 'qemu-virtiofsd').findings).toMatchObject([
      { id: 'H27', evidence: { underWayMs: 20 } },
    ]);
    expect(judged(source, 'virtiofsd').findings).toEqual([]);
  });

  it('is quiet when the second began after the first had ended', () => {
    expect(verdicts(pair(1.5))).toEqual(NOTHING);
  });

  it('the orphan takes the key of the survivor along, and the next lookup makes a third node', () => {
    const source = pair(2.5);
    source.time += 2;
    // The first of its two lookups: here node 2, there the one whose key was overwritten.
    source.forget(2 as Nodeid, 1);
    source.time += 2;
    source.lookup('f', { ino: 12, generation: 7 });
    expect(judged(source, 'qemu-virtiofsd').totals).toEqual({ H27: 1, H5: 1 });
  });
});

it('entries from before the first event are taken over, not made twice', () => {
  const source = new Source();
  source.lookup('f', { ino: 12, generation: 7 });
  const from = source.events.length;
  source.lookup('f', { ino: 12, generation: 7 });
  source.lookup('f', { ino: 12, generation: 7 });
  const { rule } = source.tables;
  const later = source.events.slice(from);
  expect(judge(later, IMPLEMENTATIONS.virtiofsd, rule)).toMatchObject({ lookups: 2, totals: {} });
});

it('keeps the first findings and counts the others', () => {
  const source = new Source();
  for (let i = 0; i < MOST_FINDINGS + 5; i++) {
    source.lookup('rw', { ino: 100 + i, generation: 1, mntId: 74 });
    source.lookup('ro', { ino: 100 + i, generation: 1, mntId: 78 });
  }
  const { findings, totals } = judged(source, 'crosvm');
  expect([findings.length, totals]).toEqual([MOST_FINDINGS, { H17: MOST_FINDINGS + 5 }]);
});

it('under its own rule a stream gets the answers that it had', () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        ino: fc.integer({ min: 10, max: 14 }),
        generation: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(1, 2) }, fc.constant(null)),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        forget: fc.integer({ min: 2, max: 20 }),
        count: fc.integer({ min: 1, max: 3 }),
      }),
    },
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom(...LOOKUP_RULE_NAMES),
      (steps, name) => {
        const source = new Source('prefer', name);
        const rule = LOOKUP_RULES[name];
        for (const now of steps) {
          if (!('forget' in now)) {
            source.lookup('f', now, now.generation === null ? without(EOPNOTSUPP) : {});
          } else if (source.tables.has(now.forget as Nodeid)) {
            source.forget(now.forget as Nodeid, now.count);
          }
        }
        const same = {
          rule,
          holds: 'as-made',
          keyHasMount: true,
          atomic: true,
          summary: '',
        } as const;
        const court = new Judge(same, rule);
        for (const event of source.events) {
          const answered = court.fold(event);
          if (event.type !== 'lookup') continue;
          expect(answered).toMatchObject({ hit: event.hit, nodeid: event.nodeid });
        }
      },
    ),
    { numRuns: 60 },
  );
});
