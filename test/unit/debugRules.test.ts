/** The debugger's pure parts: globs, conditions, when a breakpoint is looked at, words to breakpoints. */

import { describe, expect, it } from 'vitest';
import { compileExpression, compileTemplate } from '../../daemon/debug/expression';
import { KNOWN_AT } from '../../daemon/debug/facts';
import { compileGlob } from '../../daemon/debug/glob';
import { hashBytes, hashText } from '../../daemon/debug/ruleBook';
import { NOTHING_BEFORE, compileRule } from '../../daemon/debug/rules';
import type { Facts } from '../../daemon/debug/spec';
import { OFFERED_WORDS } from '../../daemon/adapter/breakpointWords';
import { parseHits } from '../../daemon/debugText';
import { parseBreakpoint } from '../../daemon/protocol/breakpointText';
import { NAMING } from '../../daemon/inspector/debugNaming';
import { readBreakpoint } from '../../daemon/inspector/debugSpecs';
import type { BreakpointJson } from '../../daemon/protocol/debug';
import { faultText, parseFault } from '../../daemon/protocol/faultText';
import type { Nodeid } from '../../daemon/tables/identity';

const bytes = (text: string) => new TextEncoder().encode(text);

const FACTS: Facts = {
  op: 'LOOKUP',
  unique: 82,
  point: 'reply',
  lookup: 1,
  node: 1 as Nodeid,
  uid: 1000,
  gid: 100,
  pid: 4711,
  parent: 1 as Nodeid,
  name: bytes('main.c'),
  newParent: null,
  newName: null,
  size: null,
  offset: null,
  path: bytes('src/daemon/main.c'),
  candidate: {
    ids: { ino: 18446744073709551615n, dev: { major: 7, minor: 0 }, mntId: 74 },
    handle: { mntId: 74, type: 1, bytes: Uint8Array.of(0x0c, 0, 0, 0, 0xff) },
    handleErrno: 0,
    mode: 0o100644,
    nlink: 2,
    btime: null,
    subvol: null,
  },
  byHandle: { node: null },
  byIds: { node: 3 as Nodeid },
  accepted: null,
  hit: 'fallback_rejected',
  answer: 4 as Nodeid,
  idsStolenFrom: 3 as Nodeid,
  handleStolenFrom: null,
  forgets: null,
  errno: 0,
  fds: { used: 81, limit: 100 },
};

describe('a glob', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['main.c', 'src/daemon/main.c', true],
    ['*.c', 'src/daemon/main.c', true],
    ['main', 'src/daemon/main.c', false],
    ['src/*.c', 'src/daemon/main.c', false],
    ['src/**/*.c', 'src/daemon/main.c', true],
    ['src/**/*.c', 'src/main.c', true],
    ['/src/**', 'src/daemon/main.c', true],
    ['**', '', true],
    ['**/main.c', 'main.c', true],
    ['src/**/x/**/y', 'src/a/x/b/c/y', true],
    ['src/**/x/**/y', 'src/a/b/c/y', false],
    ['[a-m]ain.[!h]', 'main.c', true],
    ['[!m]ain.c', 'main.c', false],
    ['ma?n.c', 'main.c', true],
    ['m\\*n', 'm*n', true],
    ['m\\*n', 'main', false],
    ['ü?', 'über/üß', true],
  ];
  for (const [glob, path, matches] of cases) {
    it(`${glob} ${matches ? 'matches' : 'does not match'} “${path}”`, () => {
      expect(compileGlob(glob).matches(path)).toBe(matches);
    });
  }

  it('is read in time that does not explode, whatever it says', () => {
    const since = performance.now();
    expect(compileGlob(`${'*a'.repeat(200)}b`).matches('a'.repeat(4_000))).toBe(false);
    expect(compileGlob(`${'**/a/'.repeat(200)}b`).matches('a/'.repeat(1_000))).toBe(false);
    expect(performance.now() - since).toBeLessThan(5_000);
  });

  it('knows its last name, by which most paths are told apart', () => {
    expect(compileGlob('src/**/main.c').lastName).toBe('main.c');
    expect(compileGlob('src/*.c').lastName).toBeNull();
    for (const text of ['main.c', 'über', '日本', '🙂']) {
      expect(hashText(text)).toBe(hashBytes(bytes(text)));
    }
  });
});

describe('a condition', () => {
  const value = (text: string) => compileExpression(text, NAMING).evaluate(FACTS);

  it('calculates and compares what is known', () => {
    expect(value('op == "LOOKUP" && nlink > 1 && path =~ "src/**"')).toBe(true);
    expect(value('ino == 0xffffffffffffffff')).toBe(true);
    expect(value('1 + 2 * 3 - -4 / 2 % 2')).toBe(7n);
    expect(value('(mode & 0xf000) == 0x8000 | 0')).toBe(true);
    expect(value('ids')).toBe('18446744073709551615/7:0/74');
    expect(value('handle == \'0c000000ff\' && dev != "8:0"')).toBe(true);
    expect(value('byHandle == null && byIds == 3 && answer == 4')).toBe(true);
    expect(value('hit == "fallback_rejected" || 1 / 0')).toBe(true);
    expect(value('errno')).toBeNull();
    expect(value('!name')).toBe(false);
    expect(value('name + "!"')).toBe('main.c!');
  });

  it('makes nothing of what makes no sense', () => {
    for (const text of [
      '"a" < 1',
      '1 / 0',
      '1 % 0',
      '-name',
      'size > 1',
      'null < null',
      '"a" * 2',
    ]) {
      expect(value(text), text).toBeNull();
    }
  });

  it('is refused with a sentence when it cannot be read', () => {
    const refused: readonly (readonly [string, string])[] = [
      ['constructor', 'nothing that a condition can speak of'],
      ['__proto__ == 1', 'nothing that a condition'],
      ['node.constructor', 'cannot be read at “.constructor”'],
      ['process.exit()', 'cannot be read'],
      ['node(1)', 'not understood'],
      ['', 'not understood at its end'],
      ['1 +', 'not understood at its end'],
      ['(1', 'not understood at its end'],
      ['name =~ op', 'pattern in quotes'],
      ['name =~ "["', '[ without its ]'],
      ['"open', 'cannot be read'],
      ['`x`', 'cannot be read'],
      ['('.repeat(100), 'nested too deeply'],
      ['!'.repeat(100), 'nested too deeply'],
      ['1'.repeat(501), 'at most 500'],
    ];
    for (const [text, sentence] of refused) expect(() => value(text), text).toThrow(sentence);
  });

  it('asks for what it looks at and no more', () => {
    const needs = (text: string) => compileExpression(text, NAMING).needs;
    expect(needs('op == "X" && uid == 0')).toBe(0);
    expect(needs('nlink > 1') & ~KNOWN_AT.identified).toBe(0);
    expect(needs('hit == "miss"') & ~KNOWN_AT.handle).not.toBe(0);
    expect(needs('errno == "EIO"') & ~KNOWN_AT.claimed).not.toBe(0);
  });

  it('stands in a log message', () => {
    const { text } = compileTemplate('{op} {name} -> {answer} ({errno})', NAMING);
    expect(text(FACTS)).toBe('LOOKUP main.c -> 4 (null)');
    expect(() => compileTemplate('{op', NAMING)).toThrow('{ without its }');
  });
});

describe('a breakpoint', () => {
  const rule = (json: Omit<BreakpointJson, 'id'>) =>
    compileRule(readBreakpoint({ ...json, id: 1 }), NAMING);
  const POINTS = ['parent', 'opened', 'identified', 'handle', 'by_handle', 'inserted'] as const;
  const dueAt = (json: Omit<BreakpointJson, 'id'>) => {
    const { isDue } = rule(json);
    const due: string[] = [];
    if (isDue('request', null, KNOWN_AT.parent, NOTHING_BEFORE)) due.push('request');
    let before: number = KNOWN_AT.parent;
    for (const point of [...POINTS, 'reply'] as const) {
      if (isDue(point, null, KNOWN_AT[point], before)) due.push(point);
      before = KNOWN_AT[point];
    }
    return due;
  };

  it('is looked at once, where all is known that it asks for', () => {
    expect(dueAt({ operation: 'LOOKUP' })).toEqual(['request']);
    expect(dueAt({ path: 'a' })).toEqual(['request']);
    expect(dueAt({ ids: { ino: '12' } })).toEqual(['identified']);
    expect(dueAt({ handle: { bytes: '00' }, path: 'a' })).toEqual(['handle']);
    expect(dueAt({ condition: 'byHandle == null' })).toEqual(['by_handle']);
    expect(dueAt({ hit: 'miss' })).toEqual(['inserted']);
    expect(dueAt({ errno: '*' })).toEqual(['reply']);
    expect(dueAt({ decision: 'opened', path: 'a' })).toEqual(['opened']);
    expect(dueAt({ entry: '3' })).toEqual(['inserted']);
  });

  it('wants all of its criteria', () => {
    const { matches } = rule({
      operation: 'LOOKUP',
      ids: { ino: '18446744073709551615', dev: '7:0' },
      handle: { bytes: '0c000000ff', type: 1 },
      path: 'src/**',
      node: '1',
    });
    expect(matches(FACTS)).toBe(true);
    expect(matches({ ...FACTS, node: 2 as Nodeid })).toBe(false);
    expect(matches({ ...FACTS, path: bytes('lib/main.c') })).toBe(false);
    expect(matches({ ...FACTS, candidate: null })).toBe(false);
  });

  it('on descriptors is hit each time the mark is passed', () => {
    const { matches } = rule({ fdsAbove: 80 });
    const at = (used: number) => matches({ ...FACTS, fds: { used, limit: 100 } });
    expect([at(80), at(81), at(90), at(80), at(95)]).toEqual([false, true, false, false, true]);
  });

  it('counts its hits', () => {
    const hits = (when: 'nth' | 'from' | 'every') => {
      const { counts } = rule({ operation: 'LOOKUP', hits: { when, count: 2 } });
      return [counts(), counts(), counts(), counts()];
    };
    expect(hits('nth')).toEqual([false, true, false, false]);
    expect(hits('from')).toEqual([false, true, true, true]);
    expect(hits('every')).toEqual([false, true, false, true]);
  });
});

describe('words of the command line', () => {
  it('make breakpoints', () => {
    expect(parseBreakpoint('LOOKUP src/**/*.c')).toEqual({
      operation: 'LOOKUP',
      path: 'src/**/*.c',
    });
    expect(parseBreakpoint('fallback_rejected ids=12/7:0/74')).toEqual({
      decision: 'fallback_rejected',
      ids: { ino: '12', dev: '7:0', mntId: '74' },
    });
    expect(parseBreakpoint('fallback_hit node=3 errno=* fds=80 hazard=H7')).toEqual({
      hit: 'fallback_hit',
      node: '3',
      errno: '*',
      fdsAbove: 80,
      hazard: 'H7',
    });
    expect(parseBreakpoint('key=ids:12/7:0/74').key).toEqual({
      table: 'inodes_by_ids',
      ids: { ino: '12', dev: '7:0', mntId: '74' },
    });
    expect(parseBreakpoint('key=handle:74/1/0c00').key).toEqual({
      table: 'inodes_by_handle',
      handle: { mntId: '74', type: 1, bytes: '0c00' },
    });
    for (const [spec, why] of [
      ['', 'Name an operation'],
      ['colour=red', 'is no criterion'],
      ['key=12', 'A key is'],
      ['ids=1/2/3/4', 'Ids are'],
      ['key=ids:12', 'A key is'],
      ['LOOKUP OPEN', 'one word too many'],
      ['a/b c/d', 'one word too many'],
      ['fds=', 'fdsAbove'],
      ['fds=101', 'fdsAbove'],
      ['node=x', 'node'],
      ['hit=hot', 'no hit kind'],
    ] as const) {
      expect(() => parseBreakpoint(spec), spec).toThrow(why);
    }
  });

  it('are offered only where they can be taken', () => {
    const values: Readonly<Record<string, string>> = {
      'path=': 'f',
      'node=': '3',
      'ids=': '12',
      'handle=': '0c00',
      'errno=': '*',
      'fds=': '80',
      'entry=': '3',
      'key=ids:': '12/7:0/74',
      'key=handle:': '74/1/0c00',
    };
    for (const { word } of OFFERED_WORDS) {
      const spec = `${word}${values[word] ?? ''}`;
      expect(() => readBreakpoint({ ...parseBreakpoint(spec), id: 1 }), spec).not.toThrow();
    }
    const words = OFFERED_WORDS.map(({ word }) => word);
    expect(words).toEqual([...new Set(words)]);
    expect(words).toEqual(expect.arrayContaining(['LOOKUP', 'fallback_rejected', 'hazard=H7']));
  });

  it('make faults', () => {
    expect(parseFault('name_to_handle_at=EOPNOTSUPP@a/**', 1)).toEqual({
      id: 1,
      call: 'name_to_handle_at',
      errno: 'EOPNOTSUPP',
      path: 'a/**',
      when: { kind: 'next' },
    });
    expect(parseFault('statx=EIO:3', 2).when).toEqual({ kind: 'nth', n: 3 });
    expect(faultText(parseFault('openat=EACCES:every@f', 3))).toBe(
      'openat fails with EACCES, every, for f',
    );
    for (const spec of ['unlink=EIO', 'statx', 'statx=5', 'statx=EIO:never']) {
      expect(() => parseFault(spec, 1), spec).toThrow('A fault is');
    }
    expect(parseHits('every:3')).toEqual({ when: 'every', count: 3 });
    expect(() => parseHits('3')).toThrow('nth:N');
  });
});
