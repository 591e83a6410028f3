/** GETATTR, SETATTR, STATFS, ACCESS. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Case } from '../compare';
import { SetattrBit, requests as r } from '../fuse';
import { someOfEverything } from './names';

const { O_RDONLY, O_RDWR } = fs.constants;

export const attributeCases: readonly Case[] = [
  {
    name: 'getattr',
    prepare: someOfEverything,
    async run(s, dir) {
      await s.try(r.getattr(dir));
      for (const name of ['a', 'empty', 'd', 'link']) {
        const { nodeid } = await s.must(r.lookup(dir, name));
        await s.try(r.getattr(nodeid));
      }
      await s.try(r.getattr(123_123n));
      await s.try(r.getattr(0n));
      await s.try(r.getattr(-1n));
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.getattr(nodeid, fh));
      await s.try(r.release(nodeid, fh));
      await s.try(r.getattr(nodeid, 9_876n));
    },
  },
  {
    name: 'chmod and chown',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.setattr(nodeid, { mode: 0o600 }));
      await s.try(r.setattr(nodeid, { mode: 0o104755 }));
      await s.try(r.setattr(nodeid, { uid: 1234 }));
      await s.try(r.setattr(nodeid, { gid: 4321 }));
      await s.try(r.setattr(nodeid, { mode: 0o6777 }));
      await s.try(r.setattr(nodeid, { uid: 0, gid: 0, mode: 0o6640 }));
      const d = await s.must(r.lookup(dir, 'd'));
      await s.try(r.setattr(d.nodeid, { mode: 0o1700, uid: 7 }));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.setattr(link.nodeid, { uid: 9, gid: 9 }));
      await s.try(r.setattr(link.nodeid, { mode: 0o600 }));
      await s.try(r.setattr(nodeid, {}));
      await s.try(r.setattr(456_456n, { mode: 0o600 }));
      const { fh } = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.setattr(nodeid, { mode: 0o611, fh }));
      await s.try(r.setattr(nodeid, { uid: 3, fh }));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'truncate',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.setattr(nodeid, { size: 3 }));
      await s.try(r.setattr(nodeid, { size: 10_000 }));
      await s.try(r.setattr(nodeid, { size: 2n ** 45n }));
      await s.try(r.setattr(nodeid, { size: -1n }));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      await s.try(r.setattr(nodeid, { size: 77, fh }));
      await s.try(r.setattr(nodeid, { size: 5, fh: 404_404n }));
      await s.try(r.release(nodeid, fh));
      const reader = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.setattr(nodeid, { size: 6, fh: reader.fh }));
      await s.try(r.release(nodeid, reader.fh));
      const d = await s.must(r.lookup(dir, 'd'));
      await s.try(r.setattr(d.nodeid, { size: 0 }));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.setattr(link.nodeid, { size: 0 }));
    },
  },
  {
    name: 'truncate clears set-user-ID when asked to',
    prepare: (folder) => {
      fs.writeFileSync(path.join(folder, 's'), 'content');
      fs.chmodSync(path.join(folder, 's'), 0o6755);
    },
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 's'));
      await s.try(r.setattr(nodeid, { size: 3 }));
      await s.try(r.setattr(nodeid, { size: 2, valid: SetattrBit.KILL_SUIDGID }));
      await s.try(r.setattr(nodeid, { mode: 0o6755 }));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      await s.try(r.write(nodeid, fh, 0, 'x'));
      await s.try(r.getattr(nodeid));
      await s.try(r.write(nodeid, fh, 0, 'x', { writeFlags: 4 }));
      await s.try(r.getattr(nodeid));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'times',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.setattr(nodeid, { atime: [1_000_000_000n, 1], mtime: [2n, 999_999_999] }));
      await s.try(r.setattr(nodeid, { atime: 'now' }));
      await s.try(r.setattr(nodeid, { mtime: 'now' }));
      await s.try(r.setattr(nodeid, { mtime: [1_500_000_000n, 5] }));
      await s.try(r.setattr(nodeid, { mtime: [1n, 1_000_000_000] }));
      await s.try(r.setattr(nodeid, { atime: [-1n, 0] }));
      await s.try(r.setattr(nodeid, { mtime: [5_000_000_000n, 0] }));
      await s.try(r.setattr(nodeid, { valid: SetattrBit.CTIME }));
      const d = await s.must(r.lookup(dir, 'd'));
      await s.try(r.setattr(d.nodeid, { mtime: [1n, 0] }));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.setattr(link.nodeid, { mtime: [1n, 0] }));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      await s.try(r.setattr(nodeid, { mtime: [77n, 7], fh }));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'statfs',
    prepare: someOfEverything,
    async run(s, dir) {
      await s.try(r.statfs(1n));
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.statfs(nodeid));
      await s.try(r.statfs(66_667n));
    },
  },
  {
    name: 'access',
    prepare: (folder) => {
      someOfEverything(folder);
      fs.chmodSync(path.join(folder, 'a'), 0o640);
      fs.chownSync(path.join(folder, 'a'), 1000, 2000);
      fs.chmodSync(path.join(folder, 'b'), 0o700);
    },
    async run(s, dir) {
      const callers = [
        { uid: 0, gid: 0, pid: 1 },
        { uid: 1000, gid: 1, pid: 1 },
        { uid: 5, gid: 2000, pid: 1 },
        { uid: 5, gid: 5, pid: 1 },
      ];
      for (const name of ['a', 'b', 'd']) {
        const { nodeid } = await s.must(r.lookup(dir, name));
        for (const caller of callers) {
          for (let mask = 0; mask <= 7; mask++) await s.try(r.access(nodeid, mask), { caller });
        }
      }
      await s.try(r.access(9_090n, 0));
    },
  },
  {
    name: 'syncfs',
    prepare: someOfEverything,
    async run(s, dir) {
      await s.try(r.syncfs(dir));
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.syncfs(nodeid));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.syncfs(link.nodeid));
      await s.try(r.syncfs(100_100n));
    },
  },
];
