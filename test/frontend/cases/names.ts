/** Names: looking up, making, removing, linking, renaming. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Case } from '../compare';
import { groupsExtension, requests as r } from '../fuse';
import type { Session } from '../transcript';

const { O_RDWR, O_RDONLY, O_WRONLY, O_EXCL, O_TRUNC, O_CREAT, O_APPEND } = fs.constants;
const S_IFREG = 0o100000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFDIR = 0o040000;

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const RENAME_WHITEOUT = 4;

export const LATIN_1 = Uint8Array.of(0xff, 0xfe, 0x41);
const LONGEST = 'n'.repeat(255);
const TOO_LONG = 'n'.repeat(256);
const USER = { uid: 1000, gid: 1000, pid: 7 };

/** Looks names up, as a guest does before it removes or renames them. */
async function know(s: Session, dir: bigint, ...known: readonly string[]): Promise<void> {
  for (const name of known) await s.must(r.lookup(dir, name));
}

/** Some of everything: a, b, empty, d/, d/inner, full/x, link -> a, dangling, fifo. */
export function someOfEverything(folder: string): void {
  fs.writeFileSync(path.join(folder, 'a'), 'the first file');
  fs.writeFileSync(path.join(folder, 'b'), 'the second');
  fs.writeFileSync(path.join(folder, 'empty'), '');
  fs.mkdirSync(path.join(folder, 'd'));
  fs.writeFileSync(path.join(folder, 'd', 'inner'), 'inside');
  fs.mkdirSync(path.join(folder, 'full'));
  fs.writeFileSync(path.join(folder, 'full', 'x'), '');
  fs.mkdirSync(path.join(folder, 'bare'));
  fs.symlinkSync('a', path.join(folder, 'link'));
  fs.symlinkSync('nowhere/at/all', path.join(folder, 'dangling'));
}

export const nameCases: readonly Case[] = [
  {
    name: 'lookup finds each type',
    prepare: someOfEverything,
    async run(s, dir) {
      for (const name of ['a', 'empty', 'd', 'link', 'dangling']) {
        await s.try(r.lookup(dir, name));
      }
    },
  },
  {
    name: 'lookup twice is one node with two references',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.must(r.lookup(dir, 'a'));
      await s.try(r.forget(nodeid, 1));
      await s.try(r.getattr(nodeid));
      await s.try(r.forget(nodeid, 1));
      await s.try(r.getattr(nodeid));
      await s.try(r.lookup(dir, 'a'));
    },
  },
  {
    name: 'lookup that cannot succeed',
    prepare: someOfEverything,
    async run(s, dir) {
      await s.try(r.lookup(dir, 'missing'));
      await s.try(r.lookup(dir, TOO_LONG));
      await s.try(r.lookup(99_999n, 'a'));
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.lookup(nodeid, 'below a file'));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.lookup(link.nodeid, 'below a link'));
    },
  },
  {
    name: 'lookup of names that are no names',
    prepare: someOfEverything,
    async run(s, dir) {
      await s.try(r.lookup(dir, ''));
      await s.try(r.lookup(dir, '.'));
      await s.try(r.lookup(dir, '..'));
      await s.try(r.lookup(1n, '..'));
      await s.try(r.lookup(dir, 'd/inner'));
      await s.try(r.lookup(dir, '/etc'));
    },
  },
  {
    name: 'the longest name, and names that are not UTF-8',
    async run(s, dir) {
      const created = await s.must(r.create(dir, LONGEST, O_RDWR, 0o644));
      await s.try(r.release(created.entry.nodeid, created.open.fh));
      await s.try(r.lookup(dir, LONGEST));
      await s.try(r.create(dir, TOO_LONG, O_RDWR, 0o644));
      await s.try(r.mkdir(dir, TOO_LONG, 0o755));
      await s.try(r.mkdir(dir, LATIN_1, 0o755));
      await s.try(r.lookup(dir, LATIN_1));
      await s.try(r.rename(dir, LATIN_1, dir, LONGEST.replace('n', 'm')));
      await s.try(r.rename(dir, LONGEST, dir, TOO_LONG));
      await s.try(r.unlink(dir, TOO_LONG));
      await s.try(r.unlink(dir, LONGEST));
    },
  },
  {
    name: 'mkdir',
    prepare: someOfEverything,
    async run(s, dir) {
      const made = await s.must(r.mkdir(dir, 'new', 0o755, { umask: 0o22 }));
      await s.try(r.mkdir(made.nodeid, 'below', 0o1777));
      await s.try(r.mkdir(dir, 'private', 0o700, {}), { caller: USER });
      await s.try(r.mkdir(dir, 'new', 0o755));
      await s.try(r.mkdir(dir, 'a', 0o755));
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      await s.try(r.mkdir(nodeid, 'below a file', 0o755));
      await s.try(r.mkdir(4321n, 'below nothing', 0o755));
    },
  },
  {
    name: 'as an ordinary user',
    prepare: (folder) => {
      fs.mkdirSync(path.join(folder, 'open'));
      fs.chmodSync(path.join(folder, 'open'), 0o777);
      fs.mkdirSync(path.join(folder, 'shut'));
      fs.chmodSync(path.join(folder, 'shut'), 0o755);
      fs.mkdirSync(path.join(folder, 'group'));
      fs.chownSync(path.join(folder, 'group'), 0, 4242);
      fs.chmodSync(path.join(folder, 'group'), 0o2775);
      fs.mkdirSync(path.join(folder, 'sticky'));
      fs.chmodSync(path.join(folder, 'sticky'), 0o1777);
      fs.writeFileSync(path.join(folder, 'sticky', 'of-root'), '');
    },
    async run(s, dir) {
      const travel = { caller: USER };
      const open = await s.must(r.lookup(dir, 'open'));
      const shut = await s.must(r.lookup(dir, 'shut'));
      const group = await s.must(r.lookup(dir, 'group'));
      const sticky = await s.must(r.lookup(dir, 'sticky'));
      await s.try(r.mkdir(open.nodeid, 'd', 0o755), travel);
      await s.try(r.mknod(open.nodeid, 'f', S_IFREG | 0o640), travel);
      await s.try(r.mknod(open.nodeid, 'p', S_IFIFO | 0o640), travel);
      await s.try(r.mknod(open.nodeid, 'c', S_IFCHR | 0o640, 0x103), travel);
      await s.try(r.symlink(open.nodeid, 'l', 'target'), travel);
      const created = await s.try(r.create(open.nodeid, 'created', O_RDWR, 0o600), travel);
      if (created !== null) await s.try(r.release(created.entry.nodeid, created.open.fh));
      await s.try(r.mkdir(shut.nodeid, 'd', 0o755), travel);
      await s.try(r.mknod(shut.nodeid, 'f', S_IFREG | 0o640), travel);
      await s.try(r.symlink(shut.nodeid, 'l', 'target'), travel);
      await s.try(r.create(shut.nodeid, 'created', O_RDWR, 0o600), travel);
      await s.try(r.mknod(group.nodeid, 'without the group', S_IFREG | 0o640), travel);
      await know(s, sticky.nodeid, 'of-root');
      await s.try(r.unlink(sticky.nodeid, 'of-root'), travel);
    },
  },
  {
    name: 'supplementary groups',
    prepare: (folder) => {
      fs.mkdirSync(path.join(folder, 'group'));
      fs.chownSync(path.join(folder, 'group'), 0, 4242);
      fs.chmodSync(path.join(folder, 'group'), 0o2770);
    },
    async run(s, dir) {
      const travel = { caller: USER };
      const { nodeid } = await s.must(r.lookup(dir, 'group'));
      const extension = groupsExtension([4242]);
      await s.try(r.mkdir(nodeid, 'd', 0o755, { extension }), travel);
      await s.try(r.mknod(nodeid, 'f', S_IFREG | 0o640, 0, { extension }), travel);
      await s.try(r.symlink(nodeid, 'l', 'target', extension), travel);
      const created = await s.try(r.create(nodeid, 'c', O_RDWR, 0o600, { extension }), travel);
      if (created !== null) await s.try(r.release(created.entry.nodeid, created.open.fh));
    },
  },
  {
    name: 'mknod',
    async run(s, dir) {
      await s.try(r.mknod(dir, 'file', S_IFREG | 0o644));
      await s.try(r.mknod(dir, 'setuid', S_IFREG | 0o6755));
      await s.try(r.mknod(dir, 'fifo', S_IFIFO | 0o600));
      await s.try(r.mknod(dir, 'socket', S_IFSOCK | 0o600));
      await s.try(r.mknod(dir, 'null', S_IFCHR | 0o666, 0x103));
      await s.try(r.mknod(dir, 'disk', S_IFBLK | 0o660, 0x12_0834));
      await s.try(r.mknod(dir, 'directory', S_IFDIR | 0o755));
      await s.try(r.mknod(dir, 'untyped', 0o644));
      await s.try(r.mknod(dir, 'file', S_IFREG | 0o644));
      await s.try(r.mknod(dir, 'strange', 0o170644));
    },
  },
  {
    name: 'special files are not opened',
    async run(s, dir) {
      const fifo = await s.must(r.mknod(dir, 'fifo', S_IFIFO | 0o600));
      const disk = await s.must(r.mknod(dir, 'null', S_IFCHR | 0o666, 0x103));
      const link = await s.must(r.symlink(dir, 'link', 'fifo'));
      for (const { nodeid } of [fifo, disk, link]) {
        await s.try(r.open(nodeid, O_RDONLY));
        await s.try(r.open(nodeid, O_RDWR));
        await s.try(r.opendir(nodeid));
        await s.try(r.setattr(nodeid, { size: 0 }));
        await s.try(r.setattr(nodeid, { mode: 0o640 }));
        await s.try(r.setattr(nodeid, { uid: 12, gid: 13 }));
        await s.try(r.setattr(nodeid, { mtime: [1_234_567_890n, 123_456_789] }));
        await s.try(r.getattr(nodeid));
      }
      await s.try(r.create(dir, 'fifo', O_RDWR, 0o600));
    },
  },
  {
    name: 'symlink and readlink',
    prepare: someOfEverything,
    async run(s, dir) {
      const made = await s.must(r.symlink(dir, 'new', 'some/where'));
      await s.try(r.readlink(made.nodeid));
      const link = await s.must(r.lookup(dir, 'dangling'));
      await s.try(r.readlink(link.nodeid));
      await s.try(r.symlink(dir, 'new', 'again'));
      await s.try(r.symlink(dir, 'void', ''));
      await s.try(r.symlink(dir, 'bytes', LATIN_1));
      const long = await s.try(r.symlink(dir, 'long', 't'.repeat(4095)));
      if (long !== null) await s.try(r.readlink(long.nodeid));
      await s.try(r.symlink(dir, 'longer', 't'.repeat(4096)));
      const file = await s.must(r.lookup(dir, 'a'));
      await s.try(r.readlink(file.nodeid));
      await s.try(r.readlink(dir));
      await s.try(r.readlink(777_777n));
    },
  },
  {
    name: 'unlink and rmdir',
    prepare: someOfEverything,
    async run(s, dir) {
      await know(s, dir, 'a', 'b', 'd', 'full', 'bare', 'link', 'dangling');
      await s.try(r.unlink(dir, 'a'));
      await s.try(r.unlink(dir, 'a'));
      await s.try(r.unlink(dir, 'd'));
      await s.try(r.rmdir(dir, 'b'));
      await s.try(r.rmdir(dir, 'full'));
      await s.try(r.rmdir(dir, 'bare'));
      await s.try(r.rmdir(dir, 'bare'));
      await s.try(r.unlink(dir, 'link'));
      await s.try(r.rmdir(dir, 'dangling'));
      await s.try(r.rmdir(dir, '.'));
      await s.try(r.rmdir(dir, '..'));
      await s.try(r.unlink(dir, 'd/inner'));
      await s.try(r.unlink(55_555n, 'a'));
      const { nodeid } = await s.must(r.lookup(dir, 'b'));
      await s.try(r.unlink(nodeid, 'a'));
    },
  },
  {
    name: 'an unlinked file lives as long as it is known',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      await s.try(r.unlink(dir, 'a'));
      await s.try(r.read(nodeid, fh, 0, 100));
      await s.try(r.write(nodeid, fh, 0, 'THE'));
      await s.try(r.getattr(nodeid, fh));
      await s.try(r.setattr(nodeid, { size: 3, fh }));
      await s.try(r.lookup(dir, 'a'));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'hard links',
    prepare: someOfEverything,
    async run(s, dir) {
      const file = await s.must(r.lookup(dir, 'a'));
      const d = await s.must(r.lookup(dir, 'd'));
      await s.try(r.link(file.nodeid, d.nodeid, 'other'));
      await s.try(r.getattr(file.nodeid));
      await s.try(r.lookup(d.nodeid, 'other'));
      await s.try(r.link(file.nodeid, dir, 'b'));
      await s.try(r.link(d.nodeid, dir, 'a directory'));
      await s.try(r.link(file.nodeid, file.nodeid, 'below a file'));
      await s.try(r.link(31_415n, dir, 'nothing'));
      await s.try(r.link(file.nodeid, 31_415n, 'nowhere'));
      await s.try(r.link(file.nodeid, dir, TOO_LONG));
      const link = await s.must(r.lookup(dir, 'link'));
      await s.try(r.link(link.nodeid, dir, 'link to a link'));
      await s.try(r.unlink(dir, 'a'));
      await s.try(r.getattr(file.nodeid));
    },
  },
  {
    name: 'rename',
    prepare: someOfEverything,
    async run(s, dir) {
      const file = await s.must(r.lookup(dir, 'a'));
      const d = await s.must(r.lookup(dir, 'd'));
      await know(s, dir, 'b', 'full', 'bare');
      await s.try(r.rename(dir, 'a', d.nodeid, 'moved'));
      await s.try(r.getattr(file.nodeid));
      await s.try(r.lookup(d.nodeid, 'moved'));
      await s.try(r.rename(d.nodeid, 'moved', dir, 'b'));
      await s.try(r.rename(dir, 'missing', dir, 'x'));
      await s.try(r.rename(dir, 'b', dir, 'd'));
      await s.try(r.rename(dir, 'd', dir, 'b'));
      await s.try(r.rename(dir, 'd', dir, 'full'));
      await s.try(r.rename(dir, 'd', dir, 'bare'));
      await s.try(r.rename(dir, 'bare', d.nodeid, 'into itself'));
      await s.try(r.rename(dir, 'b', dir, 'b'));
      await s.try(r.rename(dir, 'b', 9_999n, 'b'));
      await s.try(r.rename(9_999n, 'b', dir, 'b'));
      await s.try(r.rename(dir, '..', dir, 'x'));
      await s.try(r.rename(dir, 'b', dir, '..'));
    },
  },
  {
    name: 'rename2 and its flags',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      const d = await s.must(r.lookup(dir, 'd'));
      await know(s, dir, 'b', 'empty');
      await s.try(r.rename2(dir, 'a', dir, 'b', RENAME_NOREPLACE));
      await s.try(r.rename2(dir, 'a', dir, 'c', RENAME_NOREPLACE));
      await s.try(r.rename2(dir, 'c', dir, 'd', RENAME_EXCHANGE));
      await s.try(r.lookup(dir, 'c'));
      await s.try(r.lookup(dir, 'd'));
      await s.try(r.getattr(a.nodeid));
      await s.try(r.getattr(d.nodeid));
      await s.try(r.rename2(dir, 'c', dir, 'missing', RENAME_EXCHANGE));
      await s.try(r.rename2(dir, 'b', dir, 'white', RENAME_WHITEOUT));
      await s.try(r.lookup(dir, 'b'));
      await s.try(r.rename2(dir, 'c', dir, 'empty', RENAME_EXCHANGE | RENAME_NOREPLACE));
      await s.try(r.rename2(dir, 'c', dir, 'z', 0x80));
      await s.try(r.rename2(dir, 'z', dir, 'y', 0));
    },
  },
  {
    name: 'create',
    prepare: someOfEverything,
    async run(s, dir) {
      const created = await s.must(r.create(dir, 'new', O_CREAT | O_RDWR, 0o640));
      await s.try(r.write(created.entry.nodeid, created.open.fh, 0, 'content'));
      await s.try(r.read(created.entry.nodeid, created.open.fh, 0, 20));
      await s.try(r.getattr(created.entry.nodeid));
      await s.try(r.release(created.entry.nodeid, created.open.fh));
      for (const [name, flags] of [
        ['exclusive', O_RDWR | O_EXCL],
        ['read-only', O_RDONLY],
        ['write-only', O_WRONLY],
        ['append', O_WRONLY | O_APPEND],
      ] as const) {
        const made = await s.try(r.create(dir, name, O_CREAT | flags, 0o644));
        if (made === null) continue;
        await s.try(r.write(made.entry.nodeid, made.open.fh, 1, 'xyz', { flags }));
        await s.try(r.read(made.entry.nodeid, made.open.fh, 0, 20));
        await s.try(r.release(made.entry.nodeid, made.open.fh));
      }
      await s.try(r.create(dir, 'mode 0', O_RDWR, 0));
      await s.try(r.create(dir, 'all bits', O_RDWR, 0o7777));
      await s.try(r.create(dir, 'with a type', O_RDWR, S_IFREG | 0o644));
      await s.try(r.create(dir, '..', O_RDWR, 0o644));
      await s.try(r.create(dir, 'x/y', O_RDWR, 0o644));
      await s.try(r.create(dir, '', O_RDWR, 0o644));
      await s.try(r.create(8_888n, 'x', O_RDWR, 0o644));
    },
  },
  {
    name: 'create what exists',
    prepare: someOfEverything,
    async run(s, dir) {
      for (const [name, flags] of [
        ['a', O_RDWR | O_EXCL],
        ['a', O_RDWR],
        ['b', O_RDWR | O_TRUNC],
        ['empty', O_WRONLY | O_APPEND],
        ['d', O_RDWR],
        ['link', O_RDWR],
        ['dangling', O_RDWR],
      ] as const) {
        const made = await s.try(r.create(dir, name, O_CREAT | flags, 0o644));
        if (made === null) continue;
        await s.try(r.write(made.entry.nodeid, made.open.fh, 1, 'xyz', { flags }));
        await s.try(r.read(made.entry.nodeid, made.open.fh, 0, 20));
        await s.try(r.release(made.entry.nodeid, made.open.fh));
      }
    },
  },
];
