/** The lanes' geometry and words, and the budget's words: pure parts of the page. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bytesText,
  gaugeText,
  growthText,
  pinnedText,
  refusedText,
  twinsText,
  zombiesText,
} from '../../webview/budgetWords';
import {
  barAt,
  clampDomain,
  LANE_HEIGHT,
  overlapsOf,
  placeBars,
  spanOf,
} from '../../webview/laneGeometry';
import { barLines, durationText, laneSentence, laneText } from '../../webview/laneWords';
import { emptyBudget, someBudget } from '../webview/budgetScenes';
import { bar, lane, LANES_NOW, someLanes } from '../webview/laneScenes';

const NOW = 1_000;

const anyLane = fc
  .array(
    fc.record({
      from: fc.option(fc.integer({ min: 0, max: 900 })),
      length: fc.option(fc.integer({ min: 0, max: 300 })),
      owner: fc.option(fc.integer({ min: 0, max: 3 })),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((parts) =>
    lane(
      12,
      'held',
      parts
        .sort((a, b) => (a.from ?? -1) - (b.from ?? -1))
        .map(({ from, length, owner }, index) =>
          bar(index + 2, {
            from,
            to: length === null ? null : Math.min(NOW, (from ?? 0) + length),
            owner,
          }),
        ),
    ),
  );

describe('the geometry of a lane', () => {
  it('never draws two bars over each other, and keeps all of them in the lane', () => {
    fc.assert(
      fc.property(anyLane, (one) => {
        const placed = placeBars(one, NOW);
        expect(placed).toHaveLength(one.bars.length);
        placed.forEach((a, at) => {
          expect(a.y).toBeGreaterThanOrEqual(0);
          expect(a.y + a.height).toBeLessThanOrEqual(LANE_HEIGHT);
          for (const b of placed.slice(at + 1)) {
            const crossTime = a.span.from < b.span.to && b.span.from < a.span.to;
            const crossPlace = a.y < b.y + b.height && b.y < a.y + a.height;
            expect(crossTime && crossPlace).toBe(false);
          }
        });
      }),
    );
  });

  it('marks the times in which two files lived, and no other', () => {
    fc.assert(
      fc.property(anyLane, fc.integer({ min: 0, max: NOW - 1 }), (one, millisecond) => {
        const time = millisecond + 0.5;
        const living = one.bars.filter((b) => {
          const { from, to } = spanOf(b, NOW);
          return from < time && time < to;
        });
        const differ = living.some((a, at) =>
          living.slice(at + 1).some((b) => a.owner === null || a.owner !== b.owner),
        );
        const marked = overlapsOf(one, NOW).some(({ from, to }) => from < time && time < to);
        expect(marked).toBe(differ);
      }),
    );
  });

  it('finds the bar under the pointer, or the nearest beside it', () => {
    const one = lane(12, 'sequential', [
      bar(2, { from: 100, to: 200 }),
      bar(3, { from: 400, to: 400 }),
    ]);
    const placed = placeBars(one, NOW);
    const x = (time: number) => time;
    const hit = (at: number, y = LANE_HEIGHT / 2) => barAt(placed, x, { x: at, y })?.bar.nodeid;
    expect([hit(150), hit(203), hit(210), hit(399), hit(403)]).toEqual([
      '2',
      '2',
      undefined,
      '3',
      '3',
    ]);
    expect(hit(150, 0)).toBeUndefined();
  });

  it('keeps the time that is shown inside the whole', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -5_000, max: 5_000, noNaN: true }),
        fc.double({ min: 0, max: 9_000, noNaN: true }),
        (from, width) => {
          const shown = clampDomain({ from, to: from + width }, { from: 0, to: NOW });
          expect(shown.from).toBeGreaterThanOrEqual(0);
          expect(shown.to).toBeLessThanOrEqual(NOW + 1e-6);
          expect(shown.to - shown.from).toBeGreaterThan(0.99);
        },
      ),
    );
  });
});

describe('lanes in words', () => {
  it('says how long', () => {
    expect([0.2, 40, 3_240, 45_000, 250_000, 7_500_000].map(durationText)).toEqual([
      'less than 1 ms',
      '40 ms',
      '3.2 s',
      '45 s',
      '4 min 10 s',
      '2 h 5 min',
    ]);
  });

  it('says what each kind of lane shows', () => {
    expect(
      someLanes()
        .slice(0, 5)
        .map((one) => laneText(one, LANES_NOW)),
    ).toEqual([
      '2 wrong answers',
      'reused, old file held 5 min 0 s',
      'reused while held, 1 min 0 s',
      'two entries for one file',
      '3 files, one after the other',
    ]);
    expect(someLanes()[2] && laneSentence(someLanes()[2]!, LANES_NOW)).toBe(
      'ids 14/7:0/74: reused while held, 1 min 0 s, 3 entries, 4 older entries are no longer kept.',
    );
  });

  it('says everything about a bar, also what is not known', () => {
    const wrong = Array.from({ length: 5 }, (_, i) => ({
      time: LANES_NOW - i,
      hazard: 'H11 UNPINNED ALIAS',
      asked: i === 4 ? null : 't2/f',
    }));
    const lines = barLines(
      bar(31, { kind: 'file', path: null, from: null, owner: null, wrong, wrongAnswers: 40 }),
      LANES_NOW,
    );
    expect(lines[0]).toBe('Node 31 (name unknown), file: holds an O_PATH descriptor');
    expect(lines).toContain('Came before the daemon was watched, lives');
    expect(lines.filter((line) => line.includes('answered a lookup'))).toHaveLength(3);
    expect(lines.at(-2)).toContain('answered a lookup of another file, which it is not');
    expect(lines.at(-1)).toBe('40 wrong answers in all');
    expect(lines.join()).toContain('cannot be told');
  });
});

describe('budget in words', () => {
  it('says what keeps a mount, and where its twins are', () => {
    const { mounts } = someBudget();
    expect(mounts.map(pinnedText)).toEqual([
      '3 O_PATH + its handles’ descriptor',
      'its handles’ descriptor',
      '41 O_PATH',
      'its handles’ descriptor',
      'nothing',
      '604 O_PATH',
    ]);
    expect(mounts.map(twinsText).slice(0, 3)).toEqual(['12 with 78', '12 with 74', '']);
  });

  it('says how much is used and left', () => {
    const { descriptors, zombies } = someBudget();
    expect(gaugeText(descriptors)).toBe(
      '89 % of what the guest may make the daemon hold; 102 left.',
    );
    expect(refusedText(descriptors)).toMatch(
      /^3 requests got ENFILE .*, the last at \d\d:28:50\.$/,
    );
    expect(zombiesText(zombies)).toBe(
      '206 deleted files on the disk until the guest forgets: 21.8 MiB.',
    );
    const empty = emptyBudget();
    expect(gaugeText(empty.descriptors)).toBe('0 held for the guest; the limit is not known.');
    expect(refusedText(empty.descriptors)).toBeNull();
    expect(zombiesText(empty.zombies)).toMatch(/being looked at/);
    expect(zombiesText({ ...empty.zombies, sweptAt: 'then' })).toMatch(/^No entry keeps/);
  });

  it('says how a number went', () => {
    expect([[], [5], [5, 5], [5, 1_500], [1_500, 5]].map(growthText)).toEqual([
      'no sample yet',
      '5 (unchanged)',
      '5 (unchanged)',
      '1,500 (+1,495)',
      '5 (−1,495)',
    ]);
  });

  it('shows bytes exactly up to where nobody counts', () => {
    expect(['0', '1023', '1024', '22860186', '18446744073709551615'].map(bytesText)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '21.8 MiB',
      '16.0 EiB',
    ]);
  });
});
