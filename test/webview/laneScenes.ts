/** Hand-made lanes: what the daemon would send. */

import type {
  LaneBarJson,
  LaneClass,
  LaneJson,
  LanesRequest,
  LanesWindow,
} from '../../daemon/protocol/lanes';
import { LANE_CLASSES, STRIP_BINS } from '../../daemon/protocol/lanes';

export const LANES_NOW = Date.parse('2026-11-22T06:30:00.000Z');
const MINUTE = 60_000;

export function bar(nodeid: number, parts: Partial<LaneBarJson> = {}): LaneBarJson {
  return {
    nodeid: String(nodeid),
    kind: 'handle',
    path: `file-${nodeid}`,
    from: LANES_NOW - 5 * MINUTE,
    to: null,
    taken: null,
    stale: null,
    generation: null,
    owner: 0,
    wrong: [],
    wrongAnswers: 0,
    ...parts,
  };
}

export function lane(
  ino: number,
  laneClass: LaneClass,
  bars: LaneBarJson[],
  parts: Partial<LaneJson> = {},
): LaneJson {
  return {
    ids: { ino: String(ino), dev: '7:0', mntId: '74' },
    class: laneClass,
    owners: Math.max(0, ...bars.map(({ owner }) => owner ?? -1)) + 1,
    wrongAnswers: bars.reduce((sum, { wrongAnswers }) => sum + wrongAnswers, 0),
    overlap: 0,
    overlapSince: null,
    bars,
    barsDropped: 0,
    ...parts,
  };
}

const ago = (minutes: number): number => LANES_NOW - minutes * MINUTE;

/** The examples of the documentation: a wrong answer, a reuse while held, one that ended, harmless. */
export function someLanes(): LaneJson[] {
  return [
    lane(
      257,
      'wrong',
      [
        bar(31, {
          kind: 'file',
          path: 't1/f',
          from: ago(9),
          wrong: [
            { time: ago(4), hazard: 'H11 UNPINNED ALIAS', asked: 't2/f' },
            { time: ago(2.5), hazard: 'H11 UNPINNED ALIAS', asked: 't2/f' },
          ],
          wrongAnswers: 2,
        }),
      ],
      { ids: { ino: '257', dev: '0:46', mntId: '81' } },
    ),
    lane(
      12,
      'held',
      [
        bar(2, {
          path: 'f',
          from: ago(8),
          taken: ago(5),
          stale: { time: ago(4.2), errno: 'ESTALE' },
          generation: '3775877637',
        }),
        bar(3, { path: 'f', from: ago(5), generation: '2840717858', owner: 1 }),
      ],
      { overlapSince: ago(5) },
    ),
    lane(
      14,
      'was_held',
      [
        bar(40, {
          path: 'src/lib/old.ts',
          from: null,
          to: ago(6),
          taken: ago(7),
          generation: '11',
        }),
        bar(41, { path: 'src/lib/new.ts', from: ago(7), to: ago(3), generation: '12', owner: 1 }),
        bar(42, { path: 'src/lib/newest.ts', from: ago(2), generation: '13', owner: 2 }),
      ],
      { overlap: MINUTE, barsDropped: 4 },
    ),
    lane(20, 'twice', [
      bar(4, { path: 'foo.txt', from: ago(6), taken: ago(3), generation: '9' }),
      bar(5, { path: 'foo-link.txt', kind: 'file', from: ago(3) }),
    ]),
    lane(13, 'sequential', [
      bar(60, { path: 'tmp/a', from: ago(8), to: ago(6), generation: '1' }),
      bar(61, { path: 'tmp/b', from: ago(5.8), to: ago(4), generation: '2', owner: 1 }),
      bar(62, { path: 'tmp/c', from: ago(3.5), generation: '3', owner: 2 }),
    ]),
    lane(15, 'sequential', [
      bar(70, { path: 'tmp/x', kind: 'file', from: ago(7), to: ago(5) }),
      bar(71, { path: 'tmp/y', kind: 'file', from: ago(4.9), to: ago(4), owner: 1 }),
      bar(72, { path: null, kind: 'file', from: ago(3.9), owner: null }),
    ]),
    ...Array.from({ length: 24 }, (_, index) =>
      lane(100 + index, 'sequential', [
        bar(200 + 2 * index, {
          from: ago(8 - index / 10),
          to: ago(5 - index / 12),
          generation: '1',
        }),
        bar(201 + 2 * index, { from: ago(4.9 - index / 12), generation: '2', owner: 1 }),
      ]),
    ),
  ];
}

/** Some lanes of a checkout: as many as asked for. */
export function manyLanes(count: number): LaneJson[] {
  return [
    ...someLanes().slice(0, 5),
    ...Array.from({ length: count - 5 }, (_, index) => {
      const start = 9 - (index % 80) / 10;
      return lane(10_000 + index, index % 7 === 0 ? 'was_held' : 'sequential', [
        bar(20_000 + 3 * index, { from: ago(start), to: ago(start - 0.5), generation: '1' }),
        bar(20_001 + 3 * index, {
          from: ago(index % 7 === 0 ? start - 0.3 : start - 0.6),
          to: ago(start - 1),
          generation: '2',
          owner: 1,
        }),
        bar(20_002 + 3 * index, { from: ago(start - 1), generation: '3', owner: 2 }),
      ]);
    }),
  ];
}

/** The daemon's part of a window. */
export function lanesWindowOf(
  all: readonly LaneJson[],
  request: LanesRequest,
  version: number,
  seq: number,
  now = LANES_NOW,
): LanesWindow {
  const counts = Object.fromEntries(LANE_CLASSES.map((name) => [name, 0])) as LanesWindow['counts'];
  const matching = all.filter(
    ({ bars, ids }) =>
      request.query === '' ||
      ids.ino === request.query ||
      bars.some(({ path }) => path?.includes(request.query) === true),
  );
  for (const one of matching) counts[one.class]++;
  const inTime = ({ from, to }: LaneBarJson): boolean =>
    (to ?? now) >= (request.from ?? -Infinity) && (from ?? -Infinity) <= (request.to ?? Infinity);
  const lanes = matching.filter(
    (one) =>
      (request.classes.length === 0 || request.classes.includes(one.class)) &&
      one.bars.some(inTime),
  );
  if (request.order === 'newest') lanes.reverse();
  const offset = Math.min(request.offset, Math.max(0, lanes.length - request.count));
  const from = ago(9);
  const bins = (of: (one: LaneBarJson) => readonly number[]): number[] => {
    const counted = Array.from({ length: STRIP_BINS }, () => 0);
    for (const time of matching.flatMap(({ bars }) => bars.flatMap(of))) {
      const at = Math.min(STRIP_BINS - 1, Math.floor(((time - from) / (now - from)) * STRIP_BINS));
      counted[at] = (counted[at] ?? 0) + 1;
    }
    return counted;
  };
  return {
    version,
    seq: String(seq),
    now,
    offset,
    total: lanes.length,
    lanes: lanes.slice(offset, offset + request.count),
    counts,
    strip: {
      from,
      to: now,
      overlaps: bins(({ taken }) => (taken === null ? [] : [taken])),
      wrong: bins(({ wrong }) => wrong.map(({ time }) => time)),
      harmless: bins(({ to }) => (to === null ? [] : [to])),
    },
    dropped: { lanes: 0, bars: 4, former: 0 },
    revealed: null,
  };
}
