/** Opening, reading, writing, and what else is done with an open file. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Case } from '../compare';
import { requests as r } from '../fuse';
import { someOfEverything } from './names';

const {
  O_APPEND,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
} = fs.constants;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const O_PATH = 0o10000000;

const WRITE_CACHE = 1;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_COLLAPSE_RANGE = 8;
const FALLOC_ZERO_RANGE = 16;
const FALLOC_INSERT_RANGE = 32;
const [SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE] = [0, 1, 2, 3, 4] as const;
const MEBIBYTE = 1 << 20;

function pattern(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

function bigFiles(folder: string): void {
  someOfEverything(folder);
  fs.writeFileSync(path.join(folder, 'big'), pattern(MEBIBYTE + 4096 + 17));
  const sparse = fs.openSync(path.join(folder, 'sparse'), 'w');
  fs.writeSync(sparse, 'data', 256 * 1024);
  fs.ftruncateSync(sparse, MEBIBYTE);
  fs.closeSync(sparse);
}

export const dataCases: readonly Case[] = [
  {
    name: 'open with each flag',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      for (const flags of [
        O_RDONLY,
        O_WRONLY,
        O_RDWR,
        3,
        O_RDWR | O_APPEND,
        O_RDONLY | O_NONBLOCK,
        O_RDONLY | O_NOATIME,
        O_RDONLY | O_NOFOLLOW,
        O_RDONLY | O_DIRECT,
        O_RDWR | O_SYNC,
        O_RDONLY | O_DIRECTORY,
        O_PATH,
        O_RDWR | O_TMPFILE,
        O_RDONLY | O_TRUNC,
        O_RDWR | O_TRUNC,
      ]) {
        const opened = await s.try(r.open(nodeid, flags));
        if (opened === null) continue;
        await s.try(r.read(nodeid, opened.fh, 0, 64));
        await s.try(r.release(nodeid, opened.fh));
      }
      await s.try(r.getattr(nodeid));
    },
  },
  {
    name: 'open with flags that a kernel keeps to itself',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      for (const flags of [O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL]) {
        await s.try(r.open(nodeid, flags));
      }
    },
  },
  {
    name: 'open what cannot be opened',
    prepare: someOfEverything,
    async run(s, dir) {
      const d = await s.must(r.lookup(dir, 'd'));
      const a = await s.must(r.lookup(dir, 'a'));
      await s.try(r.open(d.nodeid, O_RDWR));
      const opened = await s.try(r.open(d.nodeid, O_RDONLY));
      if (opened !== null) await s.try(r.read(d.nodeid, opened.fh, 0, 10));
      await s.try(r.opendir(a.nodeid));
      await s.try(r.open(33_333n, O_RDONLY));
      await s.try(r.opendir(33_333n));
    },
  },
  {
    name: 'read at the edges',
    prepare: bigFiles,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'big'));
      const { fh } = await s.must(r.open(nodeid, O_RDONLY));
      const end = MEBIBYTE + 4096 + 17;
      for (const [offset, size] of [
        [0, 0],
        [0, 1],
        [0, 4096],
        [1, 4095],
        [4095, 2],
        [0, MEBIBYTE],
        [end - 5, 5],
        [end - 5, 6],
        [end - 5, 4096],
        [end, 10],
        [end + 1, 10],
        [2 ** 40, 10],
      ] as const) {
        await s.try(r.read(nodeid, fh, offset, size));
      }
      await s.try(r.read(nodeid, 123_456n, 0, 10));
      await s.try(r.read(dir, fh, 0, 10));
      await s.try(r.release(nodeid, fh));
      await s.try(r.read(nodeid, fh, 0, 10));
    },
  },
  {
    name: 'read at negative offsets',
    prepare: bigFiles,
    silences: ['rust'],
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'big'));
      const { fh } = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.read(nodeid, fh, 2n ** 63n - 1n, 10));
      await s.try(r.read(nodeid, fh, -1n, 10));
    },
  },
  {
    name: 'write at negative offsets',
    prepare: bigFiles,
    silences: ['rust'],
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'big'));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      await s.try(r.write(nodeid, fh, 2n ** 63n - 1n, 'x'));
      await s.try(r.write(nodeid, fh, -1n, 'x'));
    },
  },
  {
    name: 'read less room than asked for',
    prepare: bigFiles,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.read(nodeid, fh, 0, 4096), { room: 64 });
      await s.try(r.read(nodeid, fh, 0, 4096), { writable: [16, 1, 2, 3, 4] });
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'write',
    prepare: bigFiles,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      await s.try(r.write(nodeid, fh, 0, ''));
      await s.try(r.write(nodeid, fh, 4, 'FIRST'));
      await s.try(r.write(nodeid, fh, 100, 'beyond'));
      await s.try(r.write(nodeid, fh, 200_000, pattern(MEBIBYTE)));
      await s.try(r.write(nodeid, fh, 5, pattern(70_001)), { readable: [40, 40, 1, 4096, 13] });
      await s.try(r.read(nodeid, fh, 0, MEBIBYTE));
      await s.try(r.getattr(nodeid));
      await s.try(r.write(nodeid, fh, 2n ** 45n, 'too far for the file system'));
      await s.try(r.write(nodeid, 77_777n, 0, 'x'));
      await s.try(r.release(nodeid, fh));
      const reader = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.write(nodeid, reader.fh, 0, 'x'));
      await s.try(r.release(nodeid, reader.fh));
      const writer = await s.must(r.open(nodeid, O_WRONLY));
      await s.try(r.read(nodeid, writer.fh, 0, 10));
      await s.try(r.write(nodeid, writer.fh, 0, 'ok'));
      await s.try(r.release(nodeid, writer.fh));
    },
  },
  {
    name: 'append',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const flags = O_RDWR | O_APPEND;
      const { fh } = await s.must(r.open(nodeid, flags));
      await s.try(r.write(nodeid, fh, 0, ' appended', { flags }));
      await s.try(r.write(nodeid, fh, 0, 'BEGIN', { flags, writeFlags: WRITE_CACHE }));
      await s.try(r.write(nodeid, fh, 3, 'flag off'));
      await s.try(r.read(nodeid, fh, 0, 100));
      await s.try(r.getattr(nodeid));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'truncate when opening',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(nodeid, O_WRONLY | O_TRUNC));
      await s.try(r.getattr(nodeid));
      await s.try(r.write(nodeid, fh, 2, 'x'));
      await s.try(r.getattr(nodeid));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'lseek',
    prepare: bigFiles,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'sparse'));
      const { fh } = await s.must(r.open(nodeid, O_RDONLY));
      for (const [offset, whence] of [
        [0, SEEK_DATA],
        [0, SEEK_HOLE],
        [256 * 1024, SEEK_HOLE],
        [300 * 1024, SEEK_DATA],
        [MEBIBYTE, SEEK_DATA],
        [2 * MEBIBYTE, SEEK_HOLE],
        [100, SEEK_SET],
        [-5, SEEK_END],
        [1, SEEK_CUR],
        [-5, SEEK_SET],
        [0, 99],
      ] as const) {
        await s.try(r.lseek(nodeid, fh, offset, whence));
      }
      await s.try(r.lseek(nodeid, 4_444n, 0, 0));
      await s.try(r.release(nodeid, fh));
    },
  },
  {
    name: 'fallocate',
    prepare: bigFiles,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'big'));
      const { fh } = await s.must(r.open(nodeid, O_RDWR));
      for (const [mode, offset, length] of [
        [0, 0, 3 * MEBIBYTE],
        [FALLOC_KEEP_SIZE, 3 * MEBIBYTE, MEBIBYTE],
        [FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 4096, 8192],
        [FALLOC_PUNCH_HOLE, 4096, 8192],
        [FALLOC_ZERO_RANGE, 100, 50],
        [FALLOC_COLLAPSE_RANGE, 0, 4096],
        [FALLOC_INSERT_RANGE, 0, 4096],
        [0, 0, 0],
        [0x1000, 0, 4096],
      ] as const) {
        await s.try(r.fallocate(nodeid, fh, offset, length, mode));
        await s.try(r.getattr(nodeid));
      }
      await s.try(r.fallocate(nodeid, fh, -1n, 10));
      await s.try(r.read(nodeid, fh, 0, 16384));
      await s.try(r.release(nodeid, fh));
      await s.try(r.fallocate(nodeid, fh, 0, 10));
      const reader = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.fallocate(nodeid, reader.fh, 0, 10));
      await s.try(r.release(nodeid, reader.fh));
    },
  },
  {
    name: 'copy_file_range',
    prepare: bigFiles,
    async run(s, dir) {
      const from = await s.must(r.lookup(dir, 'big'));
      const to = await s.must(r.lookup(dir, 'b'));
      const source = await s.must(r.open(from.nodeid, O_RDONLY));
      const target = await s.must(r.open(to.nodeid, O_RDWR));
      const at = (offset: number | bigint) => ({ nodeid: from.nodeid, fh: source.fh, offset });
      const into = (offset: number | bigint) => ({ nodeid: to.nodeid, fh: target.fh, offset });
      await s.try(r.copyFileRange(at(10), into(0), 5000));
      await s.try(r.copyFileRange(at(0), into(10_000), 2 * MEBIBYTE));
      await s.try(r.copyFileRange(at(0), into(0), 0));
      await s.try(r.copyFileRange(at(2 ** 40), into(0), 10));
      await s.try(r.copyFileRange(at(0), into(0), 10, 1));
      await s.try(r.copyFileRange(into(0), at(0), 10));
      await s.try(r.copyFileRange(into(0), into(5), 100));
      await s.try(r.copyFileRange({ ...at(0), fh: 6_666n }, into(0), 10));
      await s.try(r.copyFileRange(at(0), { ...into(0), fh: 6_666n }, 10));
      await s.try(r.read(to.nodeid, target.fh, 0, MEBIBYTE));
      await s.try(r.getattr(to.nodeid));
      await s.try(r.release(from.nodeid, source.fh));
      await s.try(r.release(to.nodeid, target.fh));
    },
  },
  {
    name: 'flush, fsync and release',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      const b = await s.must(r.lookup(dir, 'b'));
      const { fh } = await s.must(r.open(a.nodeid, O_RDWR));
      await s.try(r.flush(a.nodeid, fh));
      await s.try(r.flush(a.nodeid, fh));
      await s.try(r.fsync(a.nodeid, fh));
      await s.try(r.fsync(a.nodeid, fh, 1));
      await s.try(r.fsync(b.nodeid, fh));
      await s.try(r.flush(b.nodeid, fh));
      await s.try(r.flush(a.nodeid, 70_707n));
      await s.try(r.fsync(a.nodeid, 70_707n));
      await s.try(r.release(a.nodeid, fh));
      await s.try(r.flush(a.nodeid, fh));
      await s.try(r.fsync(a.nodeid, fh));
    },
  },
  {
    name: 'release twice',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      const { fh } = await s.must(r.open(a.nodeid, O_RDWR));
      await s.try(r.release(a.nodeid, fh));
      await s.try(r.release(a.nodeid, fh));
      await s.try(r.release(a.nodeid, 5_432_100n));
    },
  },
  {
    name: 'release with the wrong node',
    prepare: someOfEverything,
    async run(s, dir) {
      const a = await s.must(r.lookup(dir, 'a'));
      const b = await s.must(r.lookup(dir, 'b'));
      const { fh } = await s.must(r.open(a.nodeid, O_RDWR));
      await s.try(r.release(b.nodeid, fh));
    },
  },
  {
    name: 'two handles of one file',
    prepare: someOfEverything,
    async run(s, dir) {
      const { nodeid } = await s.must(r.lookup(dir, 'a'));
      const one = await s.must(r.open(nodeid, O_RDWR));
      const two = await s.must(r.open(nodeid, O_RDONLY));
      await s.try(r.write(nodeid, one.fh, 0, 'seen by both'));
      await s.try(r.read(nodeid, two.fh, 0, 50));
      await s.try(r.release(nodeid, one.fh));
      await s.try(r.read(nodeid, two.fh, 0, 50));
      await s.try(r.release(nodeid, two.fh));
    },
  },
];
