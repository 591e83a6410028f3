import { describe, expect, test } from 'vitest';
import type { LookupJson } from '../../daemon/protocol/json';
import { explain } from '../../webview/explain';

const LOOKUP: LookupJson = {
  seq: '1',
  time: '2026-11-22T06:24:41.113Z',
  type: 'lookup',
  op: 'LOOKUP',
  unique: '4',
  parent: '1',
  name: 'f',
  ids: { ino: '12', dev: '7:0', mntId: '74' },
  handle: { mntId: '74', type: 1, bytes: '0c00000022ea51a9' },
  byHandle: null,
  byIds: null,
  hit: 'miss',
  nodeid: '3',
  errno: null,
  durationNs: 1,
  probe: null,
  spare: null,
};

const unknown = () => undefined;
const sentence = (
  change: Partial<LookupJson>,
  kindOf: Parameters<typeof explain>[2] = unknown,
  rule: Parameters<typeof explain>[1] = 'handle-then-fd',
): string => {
  const { what, why } = explain({ ...LOOKUP, ...change }, rule, kindOf);
  return `${what}: ${why}`;
};

describe('a lookup in words', () => {
  test('that found the handle', () => {
    expect(sentence({ hit: 'handle_hit', byHandle: '3', byIds: '3' })).toBe(
      'LOOKUP “f” in node 1 → node 3: the handle belongs to node 3.',
    );
    expect(sentence({ hit: 'handle_hit', byHandle: '3', byIds: '7' })).toContain(
      'the handle belongs to node 3; the ids lead to node 7: the tables disagree.',
    );
  });

  test('that was refused, with the reason as far as it is known', () => {
    const change = { hit: 'fallback_rejected', byIds: '2' } as const;
    expect(sentence(change, () => 'handle')).toBe(
      'LOOKUP “f” in node 1 → node 3: handle unknown; ids 12/7:0/74 belong to node 2, which holds only a handle, so it is refused; new entry.',
    );
    expect(sentence(change)).toContain('which holds no descriptor, so it is refused');
    expect(sentence(change, () => 'invalid')).toContain('which holds nothing, so it is refused');
    expect(sentence(change, () => 'file', 'strict')).toContain(
      'but this rule believes only the handle, so it is refused',
    );
  });

  test('that fell back to the ids', () => {
    expect(sentence({ hit: 'fallback_hit', byIds: '3' }, () => 'file')).toContain(
      'handle unknown; ids 12/7:0/74 belong to node 3, which holds a descriptor, so it is taken.',
    );
    const { handle: _handle, ...bare } = LOOKUP;
    const handleless: LookupJson = {
      ...bare,
      handleErrno: 'EOPNOTSUPP',
      hit: 'handleless_hit',
      byIds: '3',
      probe: 'different',
    };
    expect(explain(handleless, 'handle-then-fd', unknown).why).toBe(
      'no handle (EOPNOTSUPP); ids 12/7:0/74 belong to node 3, which holds a descriptor, so it is taken, but that descriptor is another file.',
    );
    expect(explain({ ...handleless, probe: 'same' }, 'v2', () => 'handle').why).toContain(
      `which this daemon's rule takes without a descriptor (checked: the same file).`,
    );
  });

  test('that found nothing, or failed', () => {
    expect(sentence({})).toBe(
      'LOOKUP “f” in node 1 → node 3: handle unknown; ids 12/7:0/74 unknown; new entry.',
    );
    expect(sentence({ hit: 'error', errno: 'ENOENT', nodeid: null, ids: null })).toBe(
      'LOOKUP “f” in node 1 → ENOENT: the guest gets ENOENT (no such file or directory).',
    );
  });

  test('names the tables in the order in which the rule asks them', () => {
    const tables = (rule: Parameters<typeof explain>[1], hit: LookupJson['hit']) =>
      explain({ ...LOOKUP, hit, byIds: '3' }, rule, unknown).steps.map(({ table }) => table);
    expect(tables('handle-then-fd', 'fallback_hit')).toEqual(['inodes_by_handle', 'inodes_by_ids']);
    expect(tables('ids-first', 'fallback_hit')).toEqual(['inodes_by_ids']);
    expect(tables('ids-first', 'miss')).toEqual(['inodes_by_ids', 'inodes_by_handle']);
    expect(tables('ids-only', 'fallback_hit')).toEqual(['inodes_by_ids']);
  });
});
