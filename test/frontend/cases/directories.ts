/** Reading directories, whole and in pieces. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Case } from '../compare';
import { requests as r } from '../fuse';
import { LATIN_1, someOfEverything } from './names';

function manyFiles(folder: string): void {
  for (let i = 0; i < 60; i++) fs.writeFileSync(path.join(folder, `file-${'x'.repeat(i)}`), '');
  fs.mkdirSync(path.join(folder, 'directory'));
  fs.symlinkSync('x', path.join(folder, 'symlink'));
  fs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), LATIN_1]), '');
}

export const directoryCases: readonly Case[] = [
  {
    name: 'readdir in pieces of each size',
    prepare: manyFiles,
    async run(s, dir) {
      const { fh } = await s.must(r.opendir(dir));
      const all = await s.must(r.readdir(dir, fh, 0, 65_536));
      for (const size of [0, 8, 23, 24, 32, 63, 64, 100, 256, 1000, 4096]) {
        for (const at of [0n, all[2]?.off ?? 0n, all[40]?.off ?? 0n, all.at(-1)?.off ?? 0n]) {
          await s.try(r.readdir(dir, fh, at, size));
        }
      }
      await s.try(r.releasedir(dir, fh));
    },
  },
  {
    name: 'readdirplus in pieces of each size',
    prepare: manyFiles,
    async run(s, dir) {
      const { fh } = await s.must(r.opendir(dir));
      const all = await s.must(r.readdir(dir, fh, 0, 65_536));
      for (const size of [0, 24, 128, 152, 160, 300, 320, 1000, 4096]) {
        for (const at of [0n, all[2]?.off ?? 0n, all[40]?.off ?? 0n, all.at(-1)?.off ?? 0n]) {
          await s.try(r.readdirplus(dir, fh, at, size));
        }
      }
      await s.try(r.releasedir(dir, fh));
    },
  },
  {
    name: 'readdirplus to the end counts each entry once',
    prepare: someOfEverything,
    async run(s, dir) {
      const { fh } = await s.must(r.opendir(dir));
      let offset = 0n;
      for (;;) {
        const entries = await s.must(r.readdirplus(dir, fh, offset, 600));
        if (entries.length === 0) break;
        offset = entries.at(-1)?.off ?? 0n;
      }
      await s.try(r.releasedir(dir, fh));
      for (const node of s.nodes.slice(2)) {
        await s.try(r.forget(node, 1));
        await s.try(r.getattr(node));
      }
    },
  },
  {
    name: 'entries that did not fit are not counted',
    prepare: someOfEverything,
    async run(s, dir) {
      const { fh } = await s.must(r.opendir(dir));
      // Each of these stops at an entry that was looked up and did not fit.
      for (let i = 0; i < 5; i++) await s.must(r.readdirplus(dir, fh, 0, 500));
      const known = s.nodes.slice(2);
      for (const node of known) await s.try(r.forget(node, s.countOf(node)));
      for (const node of known) await s.try(r.getattr(node));
      await s.try(r.releasedir(dir, fh));
    },
  },
  {
    name: 'entries removed and added while reading',
    prepare: manyFiles,
    async run(s, dir) {
      const { fh } = await s.must(r.opendir(dir));
      const first = await s.must(r.readdirplus(dir, fh, 0, 2000));
      const off = first.at(-1)?.off ?? 0n;
      for (const name of fs.readdirSync(s.folder).filter((each) => each.startsWith('file-xx'))) {
        fs.rmSync(path.join(s.folder, name));
      }
      await s.try(r.readdirplus(dir, fh, off, 4096));
      await s.try(r.readdirplus(dir, fh, 0, 4096));
      await s.try(r.releasedir(dir, fh));
    },
  },
  {
    name: 'directory handles that are wrong',
    prepare: someOfEverything,
    async run(s, dir) {
      const d = await s.must(r.lookup(dir, 'd'));
      const a = await s.must(r.lookup(dir, 'a'));
      const file = await s.must(r.open(a.nodeid, fs.constants.O_RDONLY));
      const { fh } = await s.must(r.opendir(dir));
      await s.try(r.readdir(dir, 24_680n, 0, 4096));
      await s.try(r.readdirplus(dir, 24_680n, 0, 4096));
      await s.try(r.readdir(a.nodeid, file.fh, 0, 4096));
      await s.try(r.fsyncdir(dir, fh));
      await s.try(r.fsyncdir(dir, fh, 1));
      await s.try(r.fsyncdir(dir, 24_680n));
      await s.try(r.releasedir(dir, 24_680n));
      await s.try(r.releasedir(dir, fh));
      await s.try(r.readdir(dir, fh, 0, 4096));
      await s.try(r.release(a.nodeid, file.fh));
      await s.try(r.opendir(d.nodeid, fs.constants.O_RDWR));
    },
  },
  {
    name: 'readdir of what is gone, and of nothing',
    prepare: someOfEverything,
    async run(s, dir) {
      const bare = await s.must(r.lookup(dir, 'bare'));
      const { fh } = await s.must(r.opendir(bare.nodeid));
      await s.try(r.readdir(bare.nodeid, fh, 0, 4096));
      await s.try(r.rmdir(dir, 'bare'));
      await s.try(r.readdir(bare.nodeid, fh, 0, 4096));
      await s.try(r.readdirplus(bare.nodeid, fh, 0, 4096));
      await s.try(r.getattr(bare.nodeid));
      await s.try(r.mkdir(bare.nodeid, 'in the void', 0o755));
      await s.try(r.releasedir(bare.nodeid, fh));
    },
  },
  {
    name: 'offsets that no entry has',
    prepare: someOfEverything,
    async run(s, dir) {
      const { fh } = await s.must(r.opendir(dir));
      await s.try(r.readdir(dir, fh, 2n ** 63n - 1n, 4096));
      await s.try(r.readdir(dir, fh, -1n, 4096));
      await s.try(r.readdirplus(dir, fh, 2n ** 63n - 1n, 4096));
      await s.try(r.releasedir(dir, fh));
    },
  },
];
