/** The Number Lanes: who owned a number and when, against every event looked at again. */

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FormerOwners } from '../../daemon/inspector/formerOwners';
import { LanesView } from '../../daemon/inspector/laneWindow';
import { NumberLanes } from '../../daemon/inspector/numberLanes';
import { PathTable } from '../../daemon/inspector/pathTable';
import type { LaneJson, LanesRequest, LanesWindow } from '../../daemon/protocol/lanes';
import { STRIP_BINS } from '../../daemon/protocol/lanes';
import { Candidate, NO_FD } from '../../daemon/tables/candidate';
import type { Nodeid } from '../../daemon/tables/identity';
import { NO_NODEID } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import { ESTALE, Source } from './inspectorSource';

const START = 1_795_000_000_000;
const ALL: LanesRequest = {
  offset: 0,
  count: 60,
  query: '',
  classes: [],
  order: 'overlap',
  from: null,
  to: null,
};

const look = (source: Source, request: Partial<LanesRequest> = {}): LanesWindow => {
  vi.setSystemTime(source.time);
  return new LanesView(source.model, { ...ALL, ...request }).window();
};

// Only the clock: what is awaited goes on.
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

/** `12: 2a 3b>`: the number, then each bar's node, its file, and whether it lives. */
function text({ ids, bars }: LaneJson): string {
  const show = ({ nodeid, owner, to }: LaneJson['bars'][number]) =>
    `${nodeid}${owner === null ? '?' : 'abcdefgh'[owner]}${to === null ? '>' : ''}`;
  return `${ids.ino}: ${bars.map(show).join(' ')}`;
}

const at = (source: Source, seconds: number): Source => {
  source.time = START + seconds * 1_000;
  return source;
};

describe('which numbers are lanes', () => {
  it('shows a number that was used again while its old file was held', () => {
    const source = new Source();
    const old = at(source, 1).lookup('f', { ino: 12, generation: 1 });
    const now = at(source, 3).lookup('f', { ino: 12, generation: 2 });
    at(source, 4).openByHandleFailed(old, ESTALE);
    at(source, 10);
    const [lane] = look(source).lanes;
    expect(lane).toMatchObject({ class: 'held', owners: 2, overlapSince: START + 3_000 });
    expect(lane?.bars).toMatchObject([
      {
        nodeid: String(old),
        path: 'f',
        from: START + 1_000,
        to: null,
        taken: START + 3_000,
        stale: { time: START + 4_000, errno: 'ESTALE' },
        generation: '1',
        owner: 0,
      },
      { nodeid: String(now), from: START + 3_000, taken: null, generation: '2', owner: 1 },
    ]);
    at(source, 11).forget(old);
    expect(look(source).lanes[0]).toMatchObject({
      class: 'was_held',
      overlap: 8_000,
      overlapSince: null,
    });
  });

  it('shows one file after the other as harmless, and the same file again not at all', () => {
    const source = new Source();
    at(source, 1).forget(source.lookup('a', { ino: 13, generation: 1 }));
    at(source, 2).lookup('a', { ino: 13, generation: 1 });
    expect(look(source).total).toBe(0);

    at(source, 3).forget(3 as Nodeid);
    const folder = source.lookup('d', { ino: 50, generation: 1, mode: 0o040755 });
    at(source, 4).lookup('b', { ino: 13, generation: 2 }, { parent: folder });
    const { lanes, counts } = look(source);
    expect(lanes.map(text)).toEqual(['13: 2a 3a 5b>']);
    expect(lanes[0]).toMatchObject({ class: 'sequential', overlap: 0, overlapSince: null });
    expect(lanes[0]?.bars.map(({ path }) => path)).toEqual(['a', 'a', 'd/b']);
    expect(counts).toMatchObject({ sequential: 1, held: 0 });
  });

  it('tells files without handles apart by their birth, and says when it cannot', () => {
    const source = new Source('never');
    at(source, 1).forget(source.lookup('a', { ino: 13, generation: null }, { btime: 5 }));
    at(source, 2).forget(source.lookup('a', { ino: 13, generation: null }, { btime: 6 }));
    at(source, 3).lookup('a', { ino: 13, generation: null });
    at(source, 3).forget(source.lookup('b', { ino: 14, generation: null }));
    at(source, 4).lookup('c', { ino: 14, generation: null });
    expect(look(source).lanes.map(text)).toEqual(['13: 2a 3b 4?>']);
  });

  it('shows two entries for one file as one colour', () => {
    const source = new Source();
    at(source, 1).lookup('foo', { ino: 12, generation: 1 }, { btime: 5 });
    at(source, 2).lookup('link', { ino: 12, generation: null }, { btime: 5, handleErrno: 95 });
    const [lane] = look(source).lanes;
    expect(lane === undefined ? '' : text(lane)).toBe('12: 2a> 3a>');
    expect(lane).toMatchObject({ class: 'twice', owners: 1, overlapSince: null });
  });

  it('does not take the changing handles of a FUSE server for other files', () => {
    const source = new Source();
    source.model.lanes.mounted({ mntId: 74, mntIdUnique: null, fsType: 0x65735546 });
    at(source, 1).forget(source.lookup('a', { ino: 13, generation: 1 }));
    at(source, 2).lookup('a', { ino: 13, generation: 2 });
    expect(look(source).total).toBe(0);
    at(source, 3).lookup('a', { ino: 13, generation: 3 });
    expect(look(source).lanes.map(text)).toEqual(['13: 2? 3?> 4?>']);
  });

  it('ends every bar when the guest leaves, and goes on from the tables after a gap', () => {
    const source = new Source();
    at(source, 1).lookup('f', { ino: 12, generation: 1 });
    at(source, 2).lookup('f', { ino: 12, generation: 2 });
    at(source, 3).destroy();
    expect(look(source).lanes).toMatchObject([
      { class: 'was_held', overlap: 1_000, bars: [{ to: START + 3_000 }, { to: START + 3_000 }] },
    ]);

    const other = new Source();
    at(other, 1).lookup('f', { ino: 12, generation: 1 });
    at(other, 2).lookup('f', { ino: 12, generation: 2 });
    const image = structuredClone(other.tables.image());
    other.tables.forget(2 as Nodeid, 1);
    const after = structuredClone(other.tables.image());
    at(other, 5).model.restore(image);
    expect(look(other).lanes).toMatchObject([
      { class: 'held', bars: [{ to: null }, { to: null }] },
    ]);
    at(other, 6).model.restore(after);
    const [lane] = look(other).lanes;
    expect(lane?.bars[0]?.to).not.toBeNull();
    expect(lane?.bars[1]).toMatchObject({ to: null, from: START + 2_000 });
  });
});

describe('windows of lanes', () => {
  function three(): Source {
    const source = new Source();
    for (const [ino, from, to] of [
      [20, 1, 9],
      [21, 2, 4],
      [22, 3, 3],
    ] as const) {
      const old = at(source, from).lookup(`old${ino}`, { ino, generation: 1 });
      if (from === to) source.forget(old);
      at(source, from + 0.5).lookup(`new${ino}`, { ino, generation: 2 });
      if (from !== to) at(source, to).forget(old);
    }
    return at(source, 20);
  }
  const inos = ({ lanes }: LanesWindow) => lanes.map(({ ids }) => Number(ids.ino));

  it('orders by class and overlap, or by what is new', () => {
    const source = three();
    expect(inos(look(source))).toEqual([20, 21, 22]);
    at(source, 30).lookup('again', { ino: 22, generation: 3 });
    expect(inos(look(source))).toEqual([22, 20, 21]);
    expect(inos(look(source, { order: 'newest' }))).toEqual([22, 20, 21]);
    at(source, 31).lookup('again', { ino: 21, generation: 3 });
    expect(inos(look(source))).toEqual([21, 22, 20]);
    expect(inos(look(source, { order: 'newest' }))).toEqual([21, 22, 20]);
  });

  it('cuts, searches, and keeps to classes and a time', () => {
    const source = three();
    expect(look(source, { offset: 2, count: 2 })).toMatchObject({ offset: 1, total: 3 });
    expect(inos(look(source, { classes: ['sequential'] }))).toEqual([22]);
    expect(inos(look(source, { query: 'OLD21' }))).toEqual([21]);
    expect(inos(look(source, { query: 'ino 20' }))).toEqual([20]);
    expect(inos(look(source, { query: '22' }))).toEqual([22]);
    expect(inos(look(source, { query: 'gen 2' }))).toEqual([20, 21, 22]);
    expect(inos(look(source, { query: 'mount 75' }))).toEqual([]);
    const early = look(source, { from: START, to: START + 1_900 });
    expect(inos(early)).toEqual([20]);
    expect(early.lanes[0]?.bars).toHaveLength(2);
    expect(early.counts).toMatchObject({ was_held: 2, sequential: 1 });
    expect(look(source, { reveal: '4' })).toMatchObject({ revealed: 1 });
    expect(look(source, { reveal: '999' })).toMatchObject({ revealed: null });
  });

  it('counts what began when, over all of the time', () => {
    const source = three();
    const { strip } = look(source);
    expect(strip).toMatchObject({ from: START + 1_000, to: START + 20_000 });
    const sum = (bins: readonly number[]) => bins.reduce((a, b) => a + b, 0);
    expect([strip.overlaps, strip.wrong, strip.harmless].map(sum)).toEqual([2, 0, 1]);
    expect(strip.overlaps[Math.floor((0.5 / 19) * STRIP_BINS)]).toBe(1);
  });
});

// --- against every event looked at again ---------------------------------------------------------

type Step =
  | { do: 'lookup'; ino: number; generation: number | null; birth: number | null }
  | { do: 'forget'; nth: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('lookup' as const),
      ino: fc.integer({ min: 10, max: 13 }),
      generation: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(1, 2, 3) }, fc.constant(null)),
      birth: fc.option(fc.constantFrom(100, 200)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('forget' as const), nth: fc.nat({ max: 100 }) }),
  },
);

interface Life {
  readonly nodeid: number;
  readonly handle: string | null;
  readonly birth: number | null;
  readonly from: number;
  to: number | null;
  owner: number | null;
}

const same = (a: Life, b: Life): boolean | null => {
  if (a.handle !== null && b.handle !== null) return a.handle === b.handle;
  if (a.birth !== null && b.birth !== null) return a.birth === b.birth;
  return null;
};

/** Lanes by what the whole stream of events says. */
function bruteForce(source: Source) {
  const lives = new Map<string, Life[]>();
  const living = new Map<number, Life>();
  let birth: number | null = null;
  for (const event of source.events) {
    if (event.type === 'lookup') birth = event.spare?.btime?.seconds ?? null;
    if (event.type === 'insert') {
      const key = String(event.ids.ino);
      const life: Life = {
        nodeid: event.nodeid,
        handle: event.handle === null ? null : String(event.handle.bytes),
        birth: event.nodeid === 1 ? null : birth,
        from: event.time,
        to: null,
        owner: null,
      };
      living.set(event.nodeid, life);
      lives.set(key, [...(lives.get(key) ?? []), life]);
    }
    if (event.type === 'remove') {
      const life = living.get(event.nodeid);
      if (life !== undefined) life.to = event.time;
    }
  }
  const lanes = new Map<string, { lives: Life[]; overlap: number; held: boolean }>();
  for (const [key, all] of lives) {
    const ends = (life: Life) => life.to ?? Infinity;
    const pairs = all.flatMap((a, i) => all.slice(i + 1).map((b) => [a, b] as const));
    const overlaps = pairs.filter(([a, b]) => b.from < ends(a));
    if (overlaps.length === 0 && !pairs.some(([a, b]) => same(a, b) === false)) continue;
    all.forEach((life, index) => {
      const before = all.slice(0, index);
      const twin = before.find((other) => same(other, life) === true && other.owner !== null);
      const known = life.handle !== null || life.birth !== null;
      const next = Math.max(-1, ...before.map(({ owner }) => owner ?? -1)) + 1;
      if (twin !== undefined) life.owner = twin.owner;
      else if (known && before.every((other) => same(other, life) !== null)) life.owner = next;
    });
    // The union of the times in which two of them live that are not known to be one file.
    const differ = overlaps.filter(([a, b]) => same(a, b) !== true);
    const times = [...new Set(all.flatMap(({ from, to }) => [from, to ?? source.time]))].sort(
      (a, b) => a - b,
    );
    let overlap = 0;
    times.forEach((time, index) => {
      const until = times[index + 1] ?? time;
      if (differ.some(([a, b]) => b.from <= time && Math.min(ends(a), ends(b)) >= until)) {
        overlap += until - time;
      }
    });
    const held = differ.some(([a, b]) => a.to === null && b.to === null);
    lanes.set(key, { lives: all, overlap, held });
  }
  return lanes;
}

it('folds to what every event looked at again says', () => {
  let seen = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 120 }), (steps) => {
      const source = new Source();
      for (const s of steps) {
        source.time += 10;
        if (s.do === 'lookup') {
          source.lookup(
            'name',
            { ino: s.ino, generation: s.generation },
            {
              ...(s.generation === null ? { handleErrno: 95 } : {}),
              ...(s.birth === null ? {} : { btime: s.birth }),
            },
          );
          continue;
        }
        const nodes = [...source.tables.entries()].filter(({ nodeid }) => nodeid !== 1);
        const node = nodes[s.nth % Math.max(1, nodes.length)];
        if (node !== undefined) source.forget(node.nodeid, node.lookups);
      }
      source.time += 10;
      const expected = bruteForce(source);
      const { lanes } = look(source);
      seen += lanes.length;
      expect(new Set(lanes.map(({ ids }) => ids.ino))).toEqual(new Set(expected.keys()));
      for (const lane of lanes) {
        const { lives, overlap, held } = expected.get(lane.ids.ino) ?? {};
        expect(lane.bars.map(({ nodeid, from, to, owner }) => [nodeid, from, to, owner])).toEqual(
          lives?.map(({ nodeid, from, to, owner }) => [String(nodeid), from, to, owner]),
        );
        const going = lane.overlapSince === null ? 0 : source.time - lane.overlapSince;
        expect(lane.overlap + going).toBe(overlap);
        expect(lane.overlapSince !== null).toBe(held);
      }
    }),
    // Each has a history of sixteen megabytes.
    { numRuns: 60 },
  );
  expect(seen).toBeGreaterThan(100);
}, 180_000);

// --- bounds ---------------------------------------------------------------------------------------

it('does not grow with a million reuses, keeps the newest, and counts what it dropped', () => {
  const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  const lanes = new NumberLanes(tables, new PathTable());
  const candidate = new Candidate();
  candidate.devMajor = 7;
  candidate.mntId = 74;
  candidate.handleType = 1;
  candidate.handleLength = 8;
  candidate.fd = NO_FD;
  const NUMBERS = 50_000;
  const ROUNDS = 20;
  for (let round = 0; round < ROUNDS; round++) {
    for (let number = 0; number < NUMBERS; number++) {
      const time = START + round * NUMBERS + number;
      candidate.inoLow = number;
      candidate.handleWords.set([number, round + 1]);
      const nodeid = tables.insert(candidate);
      lanes.inserted(tables.rowOf(nodeid), candidate, time, 0, NO_NODEID);
      const entry = tables.entry(nodeid);
      if (entry !== undefined) lanes.removed(tables.rowOf(nodeid), entry, time);
      tables.forget(nodeid, 1);
    }
  }
  expect(lanes.size).toBeLessThanOrEqual(20_000);
  expect(lanes.bars).toBeLessThanOrEqual(60_000);
  expect(lanes.bars).toBe([...lanes.lanes()].reduce((sum, { bars }) => sum + bars.length, 0));
  expect(lanes.byteLength).toBeLessThan(10_000_000);
  expect(lanes.lanesDropped).toBeGreaterThan(0);
  const newest = Math.max(...[...lanes.lanes()].map(({ changed }) => changed));
  expect(newest).toBeGreaterThan(START + (ROUNDS - 1) * NUMBERS);
}, 180_000);

it('keeps wrong answers and overlaps longer than what is harmless', () => {
  const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  const limits = { lanes: 4, bars: 100, barsOfLane: 3, former: 8 };
  const lanes = new NumberLanes(tables, new PathTable(), limits);
  const candidate = new Candidate();
  candidate.handleType = 1;
  candidate.handleLength = 8;
  let time = START;
  const insert = (ino: number, generation: number): Nodeid => {
    candidate.inoLow = ino;
    candidate.handleWords.set([ino, generation]);
    const nodeid = tables.insert(candidate);
    const { idsStolenFrom } = tables.inserted;
    lanes.inserted(tables.rowOf(nodeid), candidate, ++time, 0, idsStolenFrom);
    return nodeid;
  };
  const remove = (nodeid: Nodeid): void => {
    const entry = tables.entry(nodeid);
    if (entry !== undefined) lanes.removed(tables.rowOf(nodeid), entry, ++time);
    tables.forget(nodeid, 1);
  };
  const wrong = insert(1, 1);
  lanes.answeredWrongly(wrong, { time: ++time, hazard: 'H11 UNPINNED ALIAS', asked: 't2/f' });
  insert(2, 1);
  insert(2, 2);
  for (let ino = 10; ino < 40; ino++) {
    remove(insert(ino, 1));
    remove(insert(ino, 2));
  }
  expect([...lanes.lanes()].map(({ key }) => key.inoLow).sort((a, b) => a - b)).toEqual([
    1, 2, 38, 39,
  ]);
  expect(lanes.lanesDropped).toBe(28);
  // The oldest bars of one lane make room as well, those that have ended first.
  for (let generation = 3; generation < 9; generation++) remove(insert(2, generation));
  const lane = [...lanes.lanes()].find(({ key }) => key.inoLow === 2);
  expect(lane?.bars.map(({ generation }) => generation)).toEqual([1, 2, 8]);
  expect(lane?.barsDropped).toBe(5);
});

it('remembers the entries that were forgotten last', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 6 })), { maxLength: 60 }),
      (steps) => {
        const CAPACITY = 5;
        const former = new FormerOwners(CAPACITY);
        let kept: { ino: number; nodeid: number }[] = [];
        // A slot that was taken out stays empty until its turn comes.
        const slots: (number | null)[] = Array.from({ length: CAPACITY }, () => null);
        let next = 0;
        steps.forEach(([isAdded, ino], index) => {
          const key = { inoLow: ino, inoHigh: 0, devMajor: 7, devMinor: 0, mntId: 74 };
          const nodeid = (index + 2) as Nodeid;
          if (isAdded) {
            const gone = slots[next] ?? null;
            kept = kept.filter((one) => one.nodeid !== gone);
            slots[next] = nodeid;
            next = (next + 1) % CAPACITY;
            kept.push({ ino, nodeid });
            former.add(key, {
              nodeid,
              kind: 'handle',
              from: null,
              to: index,
              handle: index,
              birth: 0,
              generation: null,
              parent: 1 as Nodeid,
              name: Buffer.from('n'),
            });
            return;
          }
          const expected = kept.filter((one) => one.ino === ino).map((one) => one.nodeid);
          expect(former.has(key)).toBe(expected.length > 0);
          expect(former.take(key).map((owner) => owner.nodeid)).toEqual(expected);
          kept = kept.filter((one) => one.ino !== ino);
        });
      },
    ),
    { numRuns: 300 },
  );
});
