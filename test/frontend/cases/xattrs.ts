/** Extended attributes. */

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { Case } from '../compare';
import { requests as r } from '../fuse';
import { someOfEverything } from './names';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const bytes = (text: string) => Buffer.from(text);

function withAttributes(folder: string): void {
  someOfEverything(folder);
  const set = (file: string, name: string, value: string) => {
    const done = spawnSync('setfattr', ['-h', '-n', name, '-v', value, path.join(folder, file)]);
    if (done.status !== 0) throw new Error(`setfattr: ${String(done.stderr)}`);
  };
  set('a', 'user.one', 'first');
  set('a', 'user.two', '');
  set('a', 'trusted.three', 'third');
  set('link', 'trusted.onlink', 'on the link');
  set('d', 'user.dir', 'directory');
}

export const xattrCases: readonly Case[] = [
  {
    name: 'read extended attributes',
    prepare: withAttributes,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      for (const name of ['user.one', 'user.two', 'trusted.three', 'user.none', 'nonsense', '']) {
        await s.try(r.getxattr(nodeid, name, 0));
        await s.try(r.getxattr(nodeid, name, 100));
      }
      await s.try(r.getxattr(nodeid, 'user.one', 2));
      await s.try(r.getxattr(nodeid, 'security.capability', 100));
      await s.try(r.getxattr(nodeid, 'system.posix_acl_access', 100));
      await s.try(r.getxattr(nodeid, `user.${'n'.repeat(300)}`, 100));
      await s.try(r.getxattr(nodeid, 'user.one', 2 * 1024 * 1024));
      await s.try(r.listxattr(nodeid, 0));
      await s.try(r.listxattr(nodeid, 1));
      await s.try(r.listxattr(nodeid, 1000));
      await s.try(r.listxattr(nodeid, 2 * 1024 * 1024));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.getxattr(link.nodeid, 'trusted.onlink', 100));
      await s.try(r.listxattr(link.nodeid, 100));
      const b = await s.must(r.lookup(dir, 'b'));
      await s.try(r.listxattr(b.nodeid, 0));
      await s.try(r.listxattr(b.nodeid, 100));
      await s.try(r.getxattr(98_765n, 'user.one', 100));
      await s.try(r.listxattr(98_765n, 100));
    },
  },
  {
    name: 'write extended attributes',
    prepare: withAttributes,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.setxattr(nodeid, 'user.new', bytes('new')));
      await s.try(r.setxattr(nodeid, 'user.new', bytes('other')));
      await s.try(r.setxattr(nodeid, 'user.new', bytes('create'), XATTR_CREATE));
      await s.try(r.setxattr(nodeid, 'user.new', bytes('replace'), XATTR_REPLACE));
      await s.try(r.setxattr(nodeid, 'user.newer', bytes('replace'), XATTR_REPLACE));
      await s.try(r.setxattr(nodeid, 'user.newer', bytes('create'), XATTR_CREATE));
      await s.try(r.setxattr(nodeid, 'user.flags', bytes('x'), 64));
      await s.try(r.setxattr(nodeid, 'user.empty', bytes('')));
      await s.try(r.setxattr(nodeid, 'user.long', Buffer.alloc(2000, 'v')));
      await s.try(r.setxattr(nodeid, 'user.huge', Buffer.alloc(70_000, 'v')));
      await s.try(r.setxattr(nodeid, 'trusted.new', bytes('t')));
      await s.try(r.setxattr(nodeid, 'unknown.new', bytes('t')));
      await s.try(r.setxattr(nodeid, 'system.posix_acl_access', bytes('t')));
      await s.try(r.setxattr(nodeid, '', bytes('t')));
      await s.try(r.removexattr(nodeid, 'user.new'));
      await s.try(r.removexattr(nodeid, 'user.new'));
      await s.try(r.removexattr(nodeid, 'system.posix_acl_access'));
      await s.try(r.getxattr(nodeid, 'user.newer', 100));
      await s.try(r.listxattr(nodeid, 1000));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.setxattr(link.nodeid, 'user.onlink', bytes('x')));
      await s.try(r.setxattr(link.nodeid, 'trusted.other', bytes('x')));
      await s.try(r.removexattr(link.nodeid, 'trusted.onlink'));
      const d = await s.must(r.lookup(dir, 'd'));
      await s.try(r.setxattr(d.nodeid, 'user.more', bytes('x')));
      await s.try(r.getxattr(d.nodeid, 'user.more', 10));
      await s.try(r.setxattr(98_765n, 'user.x', bytes('x')));
      await s.try(r.removexattr(98_765n, 'user.x'));
    },
  },
];
