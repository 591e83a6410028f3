/** INIT, DESTROY, forgets, stale nodes, and requests that are malformed. */

import * as fs from 'node:fs';
import type { Case } from '../compare';
import { GUEST_6_1, GUEST_6_12, concat, names, requests as r, struct } from '../fuse';
import { Opcode } from '../../../daemon/fuse/opcodes';
import { someOfEverything } from './names';

const { O_RDONLY, O_RDWR } = fs.constants;

/** 4096 is CUSE_INIT, which no FUSE server has. */
const STRANGE_OPCODES = [0, 7, 19, 4096, 0xffff_ffff];

export const protocolCases: readonly Case[] = [
  {
    name: 'INIT of a 6.12 guest',
    run: (s) => s.try(r.init(GUEST_6_12)),
  },
  {
    name: 'INIT of a 6.1 guest',
    run: (s) => s.try(r.init(GUEST_6_1)),
  },
  {
    name: 'INIT that offers little',
    async run(s) {
      await s.try(r.init({ flags: 0n }));
      await s.try(r.init({ flags: 1n << 30n }));
      await s.try(r.init({ flags: 0x3bff_fffbn, length: 16 }));
      await s.try(r.init({ minor: 31, flags: 0x1bff_fffbn, maxReadahead: 0 }));
      await s.try(r.init());
    },
  },
  {
    name: 'INIT of another major version',
    async run(s) {
      await s.try(r.init({ major: 8, minor: 1 }));
      await s.try(r.init({ major: 6, minor: 50 }));
      await s.try(r.init());
    },
  },
  {
    name: 'INIT of an old minor version',
    async run(s) {
      await s.try(r.init({ minor: 26 }));
      await s.try(r.init());
    },
  },
  {
    name: 'a reboot without DESTROY',
    prepare: someOfEverything,
    async run(s, dir) {
      const before = await s.must(r.lookup(dir, 'a'));
      const opened = await s.must(r.open(before.nodeid, O_RDONLY));
      const again = await s.reboot();
      await s.try(r.getattr(before.nodeid));
      await s.try(r.read(before.nodeid, opened.fh, 0, 10));
      const after = await s.must(r.lookup(again, 'a'));
      s.note('node ids', { used: after.nodeid === before.nodeid ? 'again' : 'once' });
    },
  },
  {
    name: 'DESTROY',
    prepare: someOfEverything,
    async run(s, dir) {
      const before = await s.must(r.lookup(dir, 'a'));
      await s.try(r.destroy());
      const again = await s.reboot();
      await s.try(r.getattr(before.nodeid));
      await s.try(r.lookup(again, 'a'));
    },
  },
  {
    name: 'forgets',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      const b = await s.must(r.lookup(dir, 'b'));
      await s.try(r.forget(424_242n, 1));
      await s.try(r.forget(a.nodeid, 0));
      await s.try(r.getattr(a.nodeid));
      await s.try(
        r.batchForget([
          [a.nodeid, 1],
          [b.nodeid, 1],
          [424_242n, 5],
        ]),
      );
      await s.try(r.getattr(a.nodeid));
      await s.try(r.getattr(b.nodeid));
      await s.try(r.getattr(1n));
      const d = await s.must(r.lookup(dir, 'd'));
      await s.try(r.forget(d.nodeid, 1), { queue: 1 });
      await s.try(r.getattr(d.nodeid));
    },
  },
  {
    name: 'an interrupt',
    run: (s) => s.must(r.interrupt(2n)),
  },
  {
    name: 'more forgets than lookups',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      await s.try(r.forget(a.nodeid, 1000));
      await s.try(r.getattr(a.nodeid));
    },
  },
  {
    name: 'an open file outlives its node',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      await s.try(r.forget(nodeid, 1));
      await s.try(r.read(nodeid, fh, 0, 100));
      await s.try(r.getattr(nodeid, fh));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'a file removed on the host',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      const d = await s.must(r.lookup(dir, 'd'));
      const opened = await s.must(r.open(a.nodeid, O_RDWR));
      fs.rmSync(s.host('a'));
      fs.rmSync(s.host('d'), { recursive: true });
      await s.try(r.getattr(a.nodeid));
      await s.try(r.setattr(a.nodeid, { mode: 0o600 }));
      await s.try(r.setattr(a.nodeid, { size: 1 }));
      await s.try(r.read(a.nodeid, opened.fh, 0, 10));
      await s.try(r.open(a.nodeid, O_RDONLY));
      await s.try(r.lookup(dir, 'a'));
      await s.try(r.lookup(d.nodeid, 'inner'));
      await s.try(r.opendir(d.nodeid));
      await s.try(r.link(a.nodeid, dir, 'again'));
      await s.try(r.release(a.nodeid, opened.fh));
    },
  },
  {
    name: 'a file removed on the host that nobody has open',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      fs.rmSync(s.host('a'));
      await s.try(r.getattr(a.nodeid));
      await s.try(r.open(a.nodeid, O_RDONLY));
      await s.try(r.setattr(a.nodeid, { mode: 0o600 }));
      await s.try(r.forget(a.nodeid, 1));
      await s.try(r.lookup(dir, 'a'));
    },
  },
  {
    name: 'an inode number used again on the host',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      const old = fs.statSync(s.host('a')).ino;
      fs.rmSync(s.host('a'));
      // ext4 takes the lowest free number of the directory's group, so one of these gets it.
      const files: string[] = [];
      do {
        files.push(`again${files.length}`);
        fs.writeFileSync(s.host(files.at(-1) ?? ''), 'another file');
      } while (files.length < 50 && fs.statSync(s.host(files.at(-1) ?? '')).ino !== old);
      const reused = files.pop() ?? '';
      for (const file of files) fs.rmSync(s.host(file));
      fs.renameSync(s.host(reused), s.host('again'));
      const again = await s.must(r.lookup(dir, 'again'));
      await s.try(r.getattr(again.nodeid));
      await s.try(r.getattr(a.nodeid));
      const opened = await s.try(r.open(again.nodeid, O_RDONLY));
      if (opened !== null) {
        await s.try(r.read(again.nodeid, opened.fh, 0, 100));
        await s.try(r.release(again.nodeid, opened.fh));
      }
      await s.try(r.forget(a.nodeid, 1));
      await s.try(r.getattr(again.nodeid));
      await s.try(r.lookup(dir, 'again'));
    },
  },
  {
    name: 'a file replaced on the host',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      fs.writeFileSync(s.host('new'), 'replaced');
      fs.renameSync(s.host('new'), s.host('a'));
      await s.try(r.lookup(dir, 'a'));
      await s.try(r.getattr(a.nodeid));
    },
  },
  {
    name: 'a directory that became a file',
    prepare: someOfEverything,
    async run(s, dir) {
      const d = await s.must(r.lookup(dir, 'd'));
      fs.rmSync(s.host('d'), { recursive: true });
      fs.writeFileSync(s.host('d'), 'a file by now');
      await s.try(r.lookup(d.nodeid, 'inner'));
      await s.try(r.lookup(dir, 'd'));
    },
  },
  {
    name: 'opcodes that nobody implements',
    async run(s, dir) {
      const body = new Uint8Array(64);
      for (const opcode of [31, 32, 33, 37, 39, 40, 41, 48, 49, 51, 52, 53, 63, 64]) {
        await s.try(r.raw(opcode, dir, body));
      }
    },
  },
  {
    name: 'opcodes that do not exist',
    async run(s, dir) {
      for (const opcode of STRANGE_OPCODES) await s.try(r.raw(opcode, dir, new Uint8Array(64)));
    },
  },
];

/** Each of these may end a peer, so each is a case of its own. */
export const malformedCases: readonly Case[] = (
  [
    ['LOOKUP without a NUL', Opcode.LOOKUP, new TextEncoder().encode('a')],
    ['LOOKUP without a name', Opcode.LOOKUP, new Uint8Array(0)],
    ['GETATTR cut short', Opcode.GETATTR, new Uint8Array(8)],
    ['SETATTR cut short', Opcode.SETATTR, new Uint8Array(40)],
    ['OPEN cut short', Opcode.OPEN, new Uint8Array(4)],
    ['READ cut short', Opcode.READ, new Uint8Array(16)],
    ['MKDIR without a name', Opcode.MKDIR, new Uint8Array(8)],
    ['MKNOD without a name', Opcode.MKNOD, new Uint8Array(16)],
    ['SYMLINK with one name', Opcode.SYMLINK, names('one')],
    ['RENAME with one name', Opcode.RENAME, concat(struct(['u64', 1n]), names('one'))],
    ['RENAME2 cut short', Opcode.RENAME2, new Uint8Array(8)],
    ['CREATE without a name', Opcode.CREATE, new Uint8Array(16)],
    ['SETXATTR cut short', Opcode.SETXATTR, struct(['u32', 4], ['u32', 0])],
    ['STATFS with a body', Opcode.STATFS, new Uint8Array(100)],
    ['INIT cut short', Opcode.INIT, new Uint8Array(8)],
  ] as const
).map(([name, opcode, body]) => ({
  name,
  prepare: someOfEverything,
  silences: ['rust'],
  async run(s, dir) {
    await s.try(r.raw(opcode, opcode === Opcode.INIT ? 0n : dir, body));
    await s.try(r.lookup(dir, 'a'));
  },
}));
