/** The Key Map's windows: what stands where, folded, searched and revealed. */

import { describe, expect, it } from 'vitest';
import { KeyMapView } from '../../daemon/inspector/keyMap';
import type { MapRequest, MapRow, MapWindow } from '../../daemon/protocol/map';
import type { Nodeid } from '../../daemon/tables/identity';
import { EOPNOTSUPP, ESTALE, Source } from './inspectorSource';

const ALL: MapRequest = { offset: 0, count: 120, query: '', unfolded: [] };

const show = (row: MapRow) =>
  row.row === 'entry' ? row.entry.nodeid : `${row.path}/ (${row.healthy})`;
const rows = (window: MapWindow) => window.rows.map(show);
const look = (source: Source, request: Partial<MapRequest> = {}) =>
  new KeyMapView(source.model, source.history, { ...ALL, ...request }).window();

/** Two directories with three files each; a.txt of the first is replaced, c gets two nodes. */
function tree(): { source: Source; one: Nodeid; two: Nodeid } {
  const source = new Source();
  const one = source.lookup('one', { ino: 20, generation: 1, mode: 0o040755 });
  const two = source.lookup('two', { ino: 21, generation: 1, mode: 0o040755 });
  for (const [i, name] of ['a.txt', 'b.txt', 'c.txt'].entries()) {
    source.lookup(name, { ino: 30 + i, generation: 1 }, { parent: one });
    source.lookup(name, { ino: 40 + i, generation: 1 }, { parent: two });
  }
  return { source, one, two };
}

describe('the order of rows', () => {
  it('folds healthy entries into their directories, by path', () => {
    const { source } = tree();
    const window = look(source);
    expect(rows(window)).toEqual(['./ (2)', 'one/ (3)', 'two/ (3)']);
    expect(window).toMatchObject({ total: 3, attention: 0, entries: 9, revealed: null });
  });

  it('puts groups that need attention first: the worst, then the newest, owners before victims', () => {
    const { source, one, two } = tree();
    const a = source.lookup('a.txt', { ino: 30, generation: 2 }, { parent: one });
    const b = source.lookup('b.txt', { ino: 41, generation: 2 }, { parent: two });
    source.answerProbes(ESTALE);
    // Both are information; b is newer.
    expect(rows(look(source)).slice(0, 4)).toEqual([`${b}`, '7', `${a}`, '4']);
    expect(look(source).attention).toBe(4);

    // The guest meets the old a: an error, which goes first.
    source.openByHandleFailed(4 as Nodeid, ESTALE);
    expect(rows(look(source)).slice(0, 4)).toEqual([`${a}`, '4', `${b}`, '7']);
    expect(rows(look(source)).slice(4)).toEqual(['./ (2)', 'one/ (2)', 'two/ (2)']);

    // Forgotten: the group shrinks to the entry whose key was lost with it.
    source.forget(4 as Nodeid);
    expect(look(source).rows[0]).toMatchObject({
      entry: { nodeid: String(a) },
      idsKey: { state: 'lost', with: '4' },
    });
  });

  it('unfolds directories, sorted by name, without those that stand above', () => {
    const { source, one } = tree();
    source.lookup('a.txt', { ino: 30, generation: 2 }, { parent: one });
    const window = look(source, { unfolded: [String(one)] });
    expect(rows(window).slice(window.attention)).toEqual([
      './ (2)',
      // The new a.txt is healthy, but stands above with the entry whose key it took.
      'one/ (2)',
      '6',
      '8',
      'two/ (3)',
    ]);
    expect(window.rows[window.attention + 1]).toMatchObject({ row: 'directory', unfolded: true });
  });

  it('shows a window of them and stays inside', () => {
    const { source, one } = tree();
    const unfolded = [String(one)];
    expect(rows(look(source, { offset: 1, count: 2, unfolded }))).toEqual(['one/ (3)', '4']);
    const end = look(source, { offset: 1_000, count: 2, unfolded });
    expect(end.offset).toBe(4);
    expect(rows(end)).toEqual(['8', 'two/ (3)']);
    expect(rows(look(new Source(), { offset: 5 }))).toEqual([]);
  });

  it('moves with the entry when it is found in another directory', () => {
    const { source, two } = tree();
    source.lookup('a.txt', { ino: 30, generation: 1 }, { parent: two });
    expect(rows(look(source))).toEqual(['./ (2)', 'one/ (2)', 'two/ (4)']);
    source.forget(4 as Nodeid, 2);
    expect(rows(look(source))).toEqual(['./ (2)', 'one/ (2)', 'two/ (3)']);
  });

  it('says so when a directory was forgotten before its entries', () => {
    const { source, one } = tree();
    source.forget(one);
    const window = look(source);
    expect(window.rows.map(show)).toContainEqual(`(directory of node ${one}, forgotten)/ (3)`);
    expect(source.model.path(4 as Nodeid)).toBe('…/a.txt');
  });

  it('marks what changed since the last window, once', () => {
    const { source, one } = tree();
    const view = new KeyMapView(source.model, source.history, { ...ALL, unfolded: [String(one)] });
    view.window();
    source.lookup('b.txt', { ino: 31, generation: 1 }, { parent: one });
    const fresh = (window: MapWindow) =>
      window.rows.flatMap((row) => (row.row === 'entry' && row.fresh ? row.entry.nodeid : []));
    const window = view.window();
    expect(fresh(window)).toEqual(['6']);
    expect(window.lastLookup).toMatchObject({ name: 'b.txt', nodeid: '6', hit: 'handle_hit' });
    expect(fresh(view.window())).toEqual([]);
  });
});

describe('reveal', () => {
  it('unfolds the directory and scrolls, once', () => {
    const { source, two } = tree();
    for (let i = 0; i < 300; i++) {
      source.lookup(
        `x${String(i).padStart(3, '0')}`,
        { ino: 100 + i, generation: 1 },
        { parent: two },
      );
    }
    const wanted = '200';
    const view = new KeyMapView(source.model, source.history, {
      ...ALL,
      count: 20,
      reveal: wanted,
    });
    const window = view.window();
    const at = (window.revealed ?? -1) - window.offset;
    expect(window.rows[at]).toMatchObject({ row: 'entry', entry: { nodeid: wanted } });
    expect(window.rows).toHaveLength(20);
    expect(at).toBe(10);
    expect(view.window().revealed).toBeNull();
  });

  it('finds those that stand above, and says when there is none', () => {
    const { source, one } = tree();
    source.lookup('a.txt', { ino: 30, generation: 2 }, { parent: one });
    expect(look(source, { reveal: '4' }).revealed).toBe(1);
    expect(look(source, { reveal: '999' }).revealed).toBeNull();
    expect(look(source, { reveal: '18446744073709551615' }).revealed).toBeNull();
  });
});

describe('searching', () => {
  const { source, one } = tree();
  source.lookup('handleless', { ino: 50, generation: null }, { handleErrno: EOPNOTSUPP });
  source.lookup(new Uint8Array([0x62, 0xff, 0x64]), { ino: 51, generation: 1 }, { parent: one });
  source.lookup('with\\backslash', { ino: 52, generation: 1, mntId: 80 });
  const handleOf4 = '1e00000001000000';

  it.each([
    ['a.txt', ['4', '5']],
    ['A.TXT', ['4', '5']],
    ['one/a', ['4']],
    ['ino 31', ['6']],
    ['inode=31', ['6']],
    ['node 6', ['6']],
    ['nodeid: 6', ['6']],
    ['31', ['6']],
    ['6', ['6']],
    [`handle ${handleOf4}`, ['4']],
    [handleOf4.toUpperCase(), ['4']],
    ['handle 1e00 0000…', ['4']],
    ['mount 80', ['12']],
    ['kind file', ['10']],
    ['\\xff', ['11']],
    ['b\\xffd', ['11']],
    ['\\\\back', ['12']],
    ['node x', []],
    ['nowhere', []],
    ['99999999999999999999', []],
  ])('%s', (query, found) => {
    const window = look(source, { query });
    expect(rows(window)).toEqual(found);
    expect(window).toMatchObject({ total: found.length, attention: 0 });
  });

  it('shows names that are no UTF-8 without loss', () => {
    const [row] = look(source, { query: 'node 11' }).rows;
    expect(row).toMatchObject({ entry: { path: 'one/b\\xffd' } });
  });

  it('an empty query is no query', () => {
    expect(rows(look(source, { query: '   ' }))).toEqual(rows(look(source)));
  });
});
