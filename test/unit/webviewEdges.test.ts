import { describe, expect, test } from 'vitest';
import type { EntryRow, KeyState, MapRow } from '../../daemon/protocol/map';
import { edgesOf } from '../../webview/edges';

const COLUMNS = { idsEnd: 200, entryStart: 300, entryEnd: 700, handleStart: 800 };

function entry(nodeid: string, idsKey: KeyState, handleKey: KeyState): EntryRow {
  return {
    row: 'entry',
    entry: {
      nodeid,
      kind: 'handle',
      lookups: '1',
      mode: 0o100644,
      path: nodeid,
      ids: { ino: '1', dev: '7:0', mntId: '74' },
      handle: null,
      generation: null,
      fd: null,
    },
    idsKey,
    handleKey,
    attention: true,
    hazards: [],
    probeErrno: null,
    fresh: false,
  };
}

const OWNED: KeyState = { state: 'owned' };
const NONE: KeyState = { state: 'none', why: 'never' };
const stolenBy = (owner: string): KeyState => ({ state: 'stolen', owner, time: null });

function draw(rows: readonly MapRow[]) {
  return edgesOf(rows, COLUMNS, 30, 60);
}

/** Every pair of numbers in a path. */
function points(path: string): [x: number, y: number][] {
  const numbers = [...path.matchAll(/-?[\d.]+/g)].map(([text]) => Number(text));
  return numbers.flatMap((x, at) => (at % 2 === 0 ? [[x, numbers[at + 1] ?? NaN]] : []));
}

describe('edges', () => {
  test('of a healthy row are level and run from the keys to the entry', () => {
    const [ids, handle] = draw([entry('1', OWNED, OWNED)]);
    expect(ids).toMatchObject({ side: 'ids', shape: 'owned' });
    expect(handle).toMatchObject({ side: 'handle', shape: 'owned' });
    for (const edge of [ids, handle]) {
      expect(new Set(points(edge?.path ?? '').map(([, y]) => y))).toEqual(new Set([75]));
    }
    const xs = (path = '') => points(path).map(([x]) => x);
    expect(xs(ids?.path)[0]).toBeLessThan(xs(ids?.path)[1] ?? 0);
    expect(xs(handle?.path)[0]).toBeGreaterThan(xs(handle?.path)[1] ?? 0);
  });

  test('of a stolen key begin where its owner stands, above or below', () => {
    const rows = [
      entry('1', stolenBy('2'), OWNED),
      entry('2', OWNED, OWNED),
      entry('3', stolenBy('2'), OWNED),
    ];
    const ghosts = draw(rows).filter(({ shape }) => shape === 'ghost');
    expect(ghosts.map(({ nodeid }) => nodeid)).toEqual(['1', '3']);
    for (const ghost of ghosts) expect(points(ghost.path)[0]?.[1]).toBe(105);
    expect(points(ghosts[0]?.path ?? '').at(-1)).toEqual([297, 75]);
    expect(points(ghosts[1]?.path ?? '').at(-1)).toEqual([297, 135]);
  });

  test('are stubs with a label when the owner is out of sight, without one where room is short', () => {
    const rows = [entry('1', stolenBy('99'), stolenBy('98'))];
    const [ids, handle] = draw(rows);
    expect(ids).toMatchObject({ shape: 'stub', label: { text: '→ node 99' } });
    expect(handle).toMatchObject({ shape: 'stub', label: { text: 'node 98 ←' } });
    const narrow = edgesOf(rows, { ...COLUMNS, idsEnd: 260, handleStart: 740 }, 30, 0);
    expect(narrow.map(({ label }) => label)).toEqual([undefined, undefined]);
  });

  test('of a lost key are an empty socket, and of a missing handle nothing at all', () => {
    const edges = draw([entry('1', { state: 'lost', with: '9', time: null }, NONE)]);
    expect(edges).toHaveLength(1);
    expect(edges[0]).toMatchObject({ shape: 'lost', path: '', socket: { y: 75 } });
  });

  test('that pass each other keep apart, those of one owner share their way', () => {
    const rows = [
      entry('1', OWNED, OWNED),
      entry('2', OWNED, OWNED),
      entry('3', stolenBy('1'), OWNED),
      entry('4', stolenBy('2'), OWNED),
      entry('5', stolenBy('1'), OWNED),
    ];
    const trunk = (nodeid: string) => {
      const ghost = draw(rows).find((edge) => edge.nodeid === nodeid && edge.shape === 'ghost');
      return points(ghost?.path ?? '')[0]?.[0];
    };
    expect(trunk('3')).toBe(trunk('5'));
    expect(trunk('4')).not.toBe(trunk('3'));
  });

  test('skip directories, which still take their row', () => {
    const directory: MapRow = {
      row: 'directory',
      nodeid: '1',
      path: '',
      healthy: 1,
      unfolded: true,
    };
    const [ids] = draw([directory, entry('5', OWNED, NONE)]);
    expect(points(ids?.path ?? '')[0]?.[1]).toBe(105);
  });
});
