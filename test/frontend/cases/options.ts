/** What single options change: ACLs, labels, set-user-ID bits, whose files they are. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Case } from '../compare';
import { SetattrBit, requests as r, securityExtension, struct } from '../fuse';
import { someOfEverything } from './names';

const { O_RDONLY, O_RDWR, O_TRUNC } = fs.constants;
const OPEN_KILL_SUIDGID = 1;
const WRITE_KILL_SUIDGID = 4;
const USER = { uid: 1000, gid: 1000, pid: 7 };

/** linux/posix_acl_xattr.h: version 2, then {u16 tag, u16 perm, u32 id}. */
function acl(...entries: readonly (readonly [tag: number, perm: number, id?: number])[]) {
  return Buffer.concat([
    struct(['u32', 2]),
    ...entries.map(([tag, perm, id = 0xffff_ffff]) =>
      struct(['u16', tag], ['u16', perm], ['u32', id]),
    ),
  ]);
}

const [USER_OBJ, NAMED_USER, GROUP_OBJ, MASK, OTHER] = [1, 2, 4, 16, 32] as const;
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

const SOME_ACL = acl([USER_OBJ, 6], [NAMED_USER, 7, 1000], [GROUP_OBJ, 4], [MASK, 7], [OTHER, 0]);

export const aclCases: readonly Case[] = [
  {
    name: 'set, read and remove an ACL',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.setxattrExt(nodeid, ACCESS, SOME_ACL));
      await s.try(r.getattr(nodeid));
      await s.try(r.getxattr(nodeid, ACCESS, 0));
      await s.try(r.getxattr(nodeid, ACCESS, 200));
      await s.try(r.listxattr(nodeid, 200));
      await s.try(r.setxattrExt(nodeid, DEFAULT, SOME_ACL));
      await s.try(r.setxattrExt(nodeid, ACCESS, Buffer.from('nonsense')));
      await s.try(r.removexattr(nodeid, ACCESS));
      await s.try(r.getxattr(nodeid, ACCESS, 200));
      await s.try(r.getattr(nodeid));
    },
  },
  {
    name: 'an ACL clears set-group-ID when asked to',
    prepare: (folder) => {
      fs.writeFileSync(path.join(folder, 's'), '');
      fs.chmodSync(path.join(folder, 's'), 0o2755);
    },
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 's'));
      await s.try(r.setxattrExt(nodeid, ACCESS, SOME_ACL));
      await s.try(r.getattr(nodeid));
      await s.try(r.setattr(nodeid, { mode: 0o2755 }));
      await s.try(r.setxattrExt(nodeid, ACCESS, SOME_ACL, 0, 1));
      await s.try(r.getattr(nodeid));
    },
  },
  {
    name: 'the umask of each request, with and without a default ACL',
    prepare: someOfEverything,
    async run(s, dir) {
      const d = await s.must(r.lookup(dir, 'd'));
      const bare = await s.must(r.lookup(dir, 'bare'));
      await s.try(r.setxattrExt(d.nodeid, DEFAULT, SOME_ACL));
      for (const { nodeid } of [d, bare]) {
        for (const umask of [0, 0o22, 0o77]) {
          const name = `umask${umask}`;
          await s.try(r.mkdir(nodeid, `d${name}`, 0o777, { umask }));
          await s.try(r.mknod(nodeid, `n${name}`, 0o100666, 0, { umask }));
          const made = await s.try(r.create(nodeid, `c${name}`, O_RDWR, 0o666, { umask }));
          if (made !== null) await s.try(r.release(made.entry.nodeid, made.open.fh));
        }
      }
    },
  },
];

export const killprivCases: readonly Case[] = [
  {
    name: 'set-user-ID bits are cleared where the request says so',
    prepare: (folder) => {
      fs.writeFileSync(path.join(folder, 's'), 'content');
      fs.chmodSync(path.join(folder, 's'), 0o6755);
    },
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 's'));
      const again = () => s.try(r.setattr(nodeid, { mode: 0o6755 }));
      for (const openFlags of [0, OPEN_KILL_SUIDGID]) {
        const { fh } = await s.must(r.open(nodeid, O_RDWR | O_TRUNC, openFlags));
        await s.try(r.getattr(nodeid));
        await again();
        for (const writeFlags of [0, WRITE_KILL_SUIDGID]) {
          await s.try(r.write(nodeid, fh, 0, 'x', { writeFlags }));
          await s.try(r.getattr(nodeid));
          await again();
        }
        for (const valid of [0, SetattrBit.KILL_SUIDGID]) {
          await s.try(r.setattr(nodeid, { size: 1, fh, valid }));
          await again();
          await s.try(r.setattr(nodeid, { size: 2, valid }));
          await again();
          await s.try(r.setattr(nodeid, { uid: 0, valid }));
          await again();
        }
        await s.try(r.release(nodeid, fh));
      }
    },
  },
];

export const labelCases: readonly Case[] = [
  {
    name: 'objects are made with a security context',
    async run(s, dir) {
      const extension = securityExtension('security.selinux', Buffer.from('user_u:object_r:x_t\0'));
      const none = struct(['u32', 8], ['u32', 0]);
      await s.try(r.mkdir(dir, 'labelled', 0o755, { extension }));
      await s.try(r.mkdir(dir, 'unlabelled', 0o755, { extension: none }));
      await s.try(r.mknod(dir, 'node', 0o100644, 0, { extension }), { caller: USER });
      await s.try(r.symlink(dir, 'link', 'target', extension));
      const made = await s.try(r.create(dir, 'file', O_RDWR, 0o600, { extension }));
      if (made === null) return;
      await s.try(r.getxattr(made.entry.nodeid, 'security.selinux', 100));
      await s.try(r.release(made.entry.nodeid, made.open.fh));
    },
  },
];

export const translationCases: readonly Case[] = [
  {
    name: 'owners are translated both ways',
    prepare: (folder) => {
      someOfEverything(folder);
      fs.chownSync(path.join(folder, 'a'), 100_007, 100_008);
      fs.chownSync(path.join(folder, 'b'), 7, 8);
      fs.chmodSync(folder, 0o777);
    },
    async run(s, dir) {
      for (const name of ['a', 'b', 'd']) {
        const { nodeid } = await s.must(r.lookup(dir, name));
        await s.try(r.getattr(nodeid));
        await s.try(r.setattr(nodeid, { uid: 5, gid: 6 }));
        await s.try(r.setattr(nodeid, { uid: 70_000 }));
      }
      await s.try(r.mkdir(dir, 'mine', 0o755), { caller: USER });
      await s.try(r.mkdir(dir, 'beyond', 0o755), { caller: { uid: 70_000, gid: 70_000, pid: 1 } });
      await s.try(r.symlink(dir, 'roots', 'x'));
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.release(nodeid, fh));
    },
  },
];
