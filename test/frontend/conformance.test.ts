/** The same requests to our daemon and to both virtiofsd: every difference is listed, or a bug. */

import { afterAll, describe, expect, it } from 'vitest';
import { daemonProgram, ext4 } from '../filesystem/harness';
import { GROUPS } from './cases/groups';
import type { Difference } from './compare';
import { judge, runGroup } from './compare';
import { DIFFERENCES } from './differences';
import { stopDaemons } from './daemons';

const found: Difference[] = [];

afterAll(stopDaemons);

describe('replies like virtiofsd', () => {
  for (const group of GROUPS) {
    it(`${group.name}, beside ${group.peers.join(' and ')}`, async () => {
      const differences = await runGroup(group, await ext4(), await daemonProgram());
      found.push(...differences);
      expect(judge(differences, DIFFERENCES).unlisted).toEqual([]);
    });
  }

  it('lists no difference that is gone', () => {
    expect(judge(found, DIFFERENCES).unused).toEqual([]);
  });
});
