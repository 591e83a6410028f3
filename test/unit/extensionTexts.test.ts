/** What the extension's views say: pure functions from the daemon's values to words. */

import { expect, test } from 'vitest';
import { factsOf, mountpointOf } from '../../extension/core/daemonFacts';
import {
  closedText,
  evidenceLines,
  findingTexts,
  groupHazards,
} from '../../extension/core/hazardGroups';
import { counted, grouped, summarize } from '../../extension/core/words';
import { hazard, statusAt, targetOn } from './extensionPeer';

test('numbers are grouped exactly, whatever their length', () => {
  expect(grouped('18446744073709551615')).toBe('18,446,744,073,709,551,615');
  expect(grouped(999)).toBe('999');
  expect(counted('1', 'entry', 'entries')).toBe('1 entry');
  expect(counted('1204', 'entry', 'entries')).toBe('1,204 entries');
});

const target = targetOn('/srv/share');

test('the status bar counts hazards, and keeps information quiet', () => {
  expect(summarize('share', target, statusAt('1'))).toMatchObject({
    text: 'prefer · 1,204 entries',
    background: undefined,
  });
  expect(summarize('share', target, statusAt('1', { information: 425 }))).toMatchObject({
    text: 'prefer · 1,204 entries · 425 notes',
    background: undefined,
  });
  expect(
    summarize('share', target, statusAt('1', { identity: 2, information: 425 })),
  ).toMatchObject({ text: 'prefer · 1,204 entries · 2 hazards', background: undefined });
});

test('only what reaches the guest colours the status bar', () => {
  const background = (open: object): string | undefined =>
    summarize('share', target, statusAt('1', open)).background;
  expect(background({ error: 1, identity: 3 })).toBe('warning');
  expect(background({ data: 1, error: 1 })).toBe('error');
  expect(background({ resource: 9 })).toBeUndefined();
});

test('a mode that is not the requested one is said', () => {
  const fallen = {
    ...target,
    inodeFileHandles: { requested: 'prefer', effective: 'never' },
  } as const;
  const [mode] = factsOf(fallen, statusAt('1'));
  expect(mode).toMatchObject({ value: 'never, requested prefer', icon: 'warning' });
});

test('the facts of a daemon', () => {
  const facts = factsOf(target, statusAt('1'));
  expect(facts.map(({ label, value }) => `${label}: ${value}`)).toEqual([
    'File handles: prefer',
    'Entries: 1,204',
    'Lookups: 21',
    'Descriptors: 20 of 1,048,576',
    'Shared directory: /srv/share',
    'Mounted on: /run/a mount',
    `Daemon: peer 1.0, process ${process.pid}`,
  ]);
  const ids = facts.flatMap(({ id, parts }) => [id, ...parts.map((part) => part.id)]);
  expect(new Set(ids).size).toBe(ids.length);
  expect(mountpointOf({ transport: 'vhost-user /run/sock' })).toBeUndefined();
});

test('hazards are grouped by severity, the worst first, then by their number', () => {
  const listed = [
    hazard({ id: 'H11', name: 'UNPINNED ALIAS', severity: 'data' }),
    hazard({ id: 'H10', name: 'TABLES DISAGREE', severity: 'identity' }),
    hazard({ id: 'H5', name: 'DUPLICATE INODE', severity: 'identity' }),
    hazard(),
  ];
  const groups = groupHazards({ listed, totals: { H11: 1, H10: 1, H5: 1, H1: 425 } });
  expect(
    groups.map(({ severity, count, kinds }) => [
      severity,
      count,
      ...kinds.map(({ id, count }) => `${id} ${count}`),
    ]),
  ).toEqual([
    ['data', 1, 'H11 1'],
    ['identity', 2, 'H5 1', 'H10 1'],
    ['information', 425, 'H1 425'],
  ]);
});

test('hazards beyond the list are counted, with the name of the catalogue', () => {
  const groups = groupHazards({
    listed: [hazard({ id: 'H5', severity: 'identity' })],
    totals: { H5: 1, H8: 3 },
  });
  // Nothing is known of the severity of H8 here but that it is no worse than the last one listed.
  expect(groups).toMatchObject([
    {
      severity: 'identity',
      count: 4,
      kinds: [{ id: 'H5' }, { name: 'BY_IDS KEY LOST', count: 3 }],
    },
  ]);
  expect(groupHazards({ listed: [], totals: {} })).toEqual([]);
  expect(closedText({ closed: { H7: 1200, H1: 3, H2: 0 } })).toBe('Came and went: 3 H1, 1,200 H7.');
  expect(closedText({ closed: {} })).toBe('');
});

test('one hazard that is open in two severities is listed in both', () => {
  const listed = [
    hazard({ id: 'H7', severity: 'identity' }),
    hazard({ id: 'H7', severity: 'information' }),
  ];
  expect(groupHazards({ listed, totals: { H7: 9 } })).toMatchObject([
    { severity: 'identity', count: 1 },
    { severity: 'information', count: 8 },
  ]);
});

test('a finding is called by its path or name, else by its nodes; unknown evidence is left out', () => {
  expect(findingTexts(hazard(), undefined)).toEqual({ label: 'nodes 2, 3', detail: '12/7:0/74' });
  expect(findingTexts(hazard({ evidence: { name: 'a b' }, nodeids: ['9'] }), undefined)).toEqual({
    label: 'a b',
    detail: 'node 9',
  });
  expect(findingTexts(hazard({ evidence: { name: 'b' } }), 'a/b').label).toBe('a/b');
  expect(
    evidenceLines(hazard({ evidence: { oldGeneration: null, victimHoldsDescriptor: true } })),
  ).toEqual(['victim holds descriptor: yes']);
});
