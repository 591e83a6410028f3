/** What the budget is counted with, compared with counting everything anew. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GrowthSeries } from '../../daemon/inspector/growthSeries';
import { largest } from '../../daemon/inspector/largest';
import { MountTally } from '../../daemon/inspector/mountTally';
import { PathTable } from '../../daemon/inspector/pathTable';
import { ZombieBook } from '../../daemon/inspector/zombieBook';
import { Candidate, NO_HANDLE } from '../../daemon/tables/candidate';
import type { Nodeid } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import { Source } from './inspectorSource';

describe('the largest few', () => {
  it('are those that sorting finds', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 50 })), fc.integer({ min: 1, max: 10 }), (sizes, most) => {
        const sorted = sizes.filter((size) => size > 0).sort((a, b) => b - a);
        expect(largest(sizes, most, (size) => size)).toEqual(sorted.slice(0, most));
      }),
    );
  });
});

describe('growth', () => {
  it('keeps a minute of seconds and an hour of minutes', () => {
    const series = new GrowthSeries();
    for (let second = 0; second < 3 * 3600; second++) {
      series.add({ time: second * 1000, entries: second, descriptors: 0, forgets: 0 });
    }
    const last = 3 * 3600 - 1;
    expect(series.minute.map(({ entries }) => entries)).toEqual(
      Array.from({ length: 60 }, (_, i) => last - 59 + i),
    );
    expect(series.hour).toHaveLength(61);
    expect((series.hour.at(-1)?.time ?? 0) - (series.hour[0]?.time ?? 0)).toBe(3_600_000);
  });

  it('begins anew when the clock was set back', () => {
    const series = new GrowthSeries();
    for (const time of [1e9, 1e9 + 60_000, 5]) {
      series.add({ time, entries: 0, descriptors: 0, forgets: 0 });
    }
    expect(series.hour.map(({ time }) => time)).toEqual([5]);
  });
});

describe('zombies', () => {
  const look = fc.record({
    nodeid: fc.integer({ min: 2, max: 12 }),
    directory: fc.integer({ min: 0, max: 3 }),
    nlink: fc.integer({ min: 0, max: 1 }),
    bytes: fc.nat({ max: 9_000 }),
    forget: fc.boolean(),
  });

  it('are summed by directory as if counted anew', () => {
    fc.assert(
      fc.property(fc.array(look, { maxLength: 80 }), (all) => {
        const book = new ZombieBook();
        const known = new Map<number, { directory: number; bytes: number }>();
        all.forEach(({ nodeid, directory, nlink, bytes, forget }, time) => {
          if (forget) {
            book.drop(nodeid as Nodeid);
            known.delete(nodeid);
            return;
          }
          book.looked(nodeid as Nodeid, directory as Nodeid, nlink, bytes, time);
          const first = known.get(nodeid)?.directory ?? directory;
          if (nlink > 0) known.delete(nodeid);
          else known.set(nodeid, { directory: first, bytes });
        });
        const zombies = [...known.values()];
        const total = (of: typeof zombies) => of.reduce((sum, zombie) => sum + zombie.bytes, 0);
        expect(book.count).toBe(zombies.length);
        expect(book.bytes).toBe(total(zombies));
        const groups = book.largest(10, () => null);
        expect(book.directories).toBe(groups.length);
        for (const { directory, count, bytes } of groups) {
          const there = zombies.filter((zombie) => zombie.directory === directory);
          expect([count, bytes]).toEqual([there.length, total(there)]);
        }
        expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(zombies.length);
      }),
    );
  });
});

describe('mounts', () => {
  const step = fc.record({
    do: fc.constantFrom('look', 'look', 'look', 'forget'),
    ino: fc.integer({ min: 1, max: 4 }),
    mntId: fc.integer({ min: 70, max: 72 }),
    handle: fc.boolean(),
    nth: fc.nat({ max: 20 }),
  });

  it('are tallied, twins and all, as if counted anew', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
        const tally = new MountTally(tables);
        const candidate = new Candidate();
        let fd = 3;
        for (const now of steps) {
          if (now.do === 'look') {
            candidate.inoLow = now.ino;
            candidate.devMinor = 7;
            candidate.mntId = now.mntId;
            candidate.fd = now.handle ? -1 : fd++;
            candidate.handleLength = now.handle ? 8 : NO_HANDLE;
            candidate.handleType = now.handle ? 1 : 0;
            candidate.handleWords[0] = now.ino;
            if (tables.claim(candidate) !== 0) continue;
            // Equal ids of two living entries, one of which cannot be found, are no twins' matter.
            if (
              tables.ownerOfIds({
                ino: BigInt(now.ino),
                dev: { major: 0, minor: 7 },
                mntId: now.mntId,
              }) !== 0
            )
              continue;
            tally.came(tables.insert(candidate), now.mntId, now.handle ? 'handle' : 'file');
          } else {
            const living = [...tables.entries()];
            const entry = living[now.nth % Math.max(1, living.length)];
            if (entry === undefined) continue;
            tally.goes(entry.nodeid, entry.ids.mntId, entry.kind);
            tables.forget(entry.nodeid, entry.lookups);
          }
        }
        const anew = new MountTally(tables);
        anew.recount();
        const sorted = (all: readonly { mntId: number }[]) =>
          [...all].sort((a, b) => a.mntId - b.mntId);
        expect(sorted(tally.all())).toEqual(sorted(anew.all()));
        const pairs = (of: MountTally) =>
          of.twins().map(({ low, high, pairs: count }) => `${low}/${high} ${count}`);
        expect(pairs(tally).sort()).toEqual(pairs(anew).sort());
        const living = [...tables.entries()];
        const brute = living.flatMap((a) =>
          living.filter((b) => a.nodeid < b.nodeid && a.ids.ino === b.ids.ino && a.kind === b.kind),
        );
        expect(tally.twins().reduce((sum, { pairs: count }) => sum + count, 0)).toBe(brute.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe('names', () => {
  const NAMES = ['a', 'b', 'c', 'a name of more than eight bytes'];
  const step = fc.record({
    do: fc.constantFrom('note', 'note', 'note', 'drop', 'unname'),
    row: fc.integer({ min: 0, max: 9 }),
    parent: fc.integer({ min: 1, max: 2 }),
    name: fc.constantFrom(...NAMES),
  });

  it('lead to the row that had them last', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const paths = new PathTable();
        const nameOf = new Map<number, string>();
        const rowOf = new Map<string, number>();
        for (const { do: what, row, parent, name } of steps) {
          const key = `${parent}/${name}`;
          const bytes = Buffer.from(name);
          if (what === 'note') {
            paths.note(row, parent as Nodeid, bytes);
            const before = nameOf.get(row);
            if (before !== key && before !== undefined && rowOf.get(before) === row) {
              rowOf.delete(before);
            }
            rowOf.set(key, row);
            nameOf.set(row, key);
          } else if (what === 'drop') {
            paths.drop(row);
            const before = nameOf.get(row);
            if (before !== undefined && rowOf.get(before) === row) rowOf.delete(before);
            nameOf.delete(row);
          } else {
            paths.unname(parent as Nodeid, bytes);
            rowOf.delete(key);
          }
        }
        for (const parent of [1, 2]) {
          for (const name of NAMES) {
            const row = rowOf.get(`${parent}/${name}`) ?? -1;
            expect(paths.rowNamed(parent as Nodeid, Buffer.from(name))).toBe(row);
          }
        }
      }),
    );
  });
});

describe('directories', () => {
  it('with most entries and descriptors come first', () => {
    const source = new Source();
    for (let directory = 0; directory < 30; directory++) {
      const nodeid = source.lookup(`d${directory}`, { ino: 100 + directory, generation: 1 });
      for (let file = 0; file <= directory; file++) {
        const ino = 1_000 + 100 * directory + file;
        source.lookup(`f${file}`, { ino, generation: null }, { parent: nodeid, handleErrno: 95 });
      }
    }
    const { directories, mounts, moreMounts } = source.model.budget.json();
    expect(directories.total).toBe(31);
    expect(directories.byDescriptors).toHaveLength(20);
    expect(directories.byDescriptors[0]).toMatchObject({ path: 'd29', descriptors: 30 });
    expect(directories.byEntries.map(({ entries }) => entries).slice(0, 2)).toEqual([30, 30]);
    expect(mounts).toHaveLength(1);
    expect(moreMounts).toBe(0);
  });
});
