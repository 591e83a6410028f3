/**
 * Seeded sequences of requests to our daemon and to both virtiofsd, compared answer by answer. A
 * difference names its seed; SEED=n runs forty sequences from that seed on.
 */

import { afterAll, describe, expect, it } from 'vitest';
import { daemonProgram, ext4 } from '../filesystem/harness';
import { stopDaemons } from './daemons';
import { DIFFERENCES } from './differences';
import type { Sequences } from './generated';
import { runSequences } from './generated';

const FIRST = Number(process.env['SEED'] ?? 1);
const SEEDS = Array.from({ length: 40 }, (_, i) => FIRST + i);
const LENGTH = 200;

const ALL: readonly Omit<Sequences, 'seeds' | 'length'>[] = [
  { name: 'never', peers: ['c', 'rust'], options: { handles: 'never' } },
  { name: 'prefer', peers: ['rust'], options: { handles: 'prefer' } },
  {
    name: 'mandatory',
    peers: ['rust'],
    options: { handles: 'mandatory', cache: 'always', xattr: true },
  },
  { name: 'writeback', peers: ['rust'], options: { handles: 'never', writeback: true } },
];

afterAll(stopDaemons);

describe('replies like virtiofsd to what nobody thought of', () => {
  for (const sequences of ALL) {
    it(`${sequences.name}, beside ${sequences.peers.join(' and ')}`, async () => {
      const given = { ...sequences, seeds: SEEDS, length: LENGTH };
      const found = await runSequences(given, await ext4(), await daemonProgram(), DIFFERENCES);
      expect(found).toEqual([]);
    });
  }
});
