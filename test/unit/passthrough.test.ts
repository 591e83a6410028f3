import fc from 'fast-check';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Opcode } from '../../daemon/fuse/opcodes';
import { decodeOctal, mountPointOf, unconfinedView } from '../../daemon/passthrough/hostView';
import { Peer, joined, text, words } from './fusePeer';

const EINVAL = 22;
const EBADF = 9;

let peer: Peer;
beforeEach(() => {
  peer = new Peer();
  expect(peer.init().errno).toBe(0);
});
afterEach(() => {
  peer.end();
});

describe('a request', () => {
  it('gets EINVAL for a name that is no directory entry', () => {
    for (const name of ['', '.', '..', 'a/b', '/etc']) {
      expect(peer.ask(Opcode.LOOKUP, 1, text(name)).errno, name).toBe(EINVAL);
      expect(peer.ask(Opcode.UNLINK, 1, text(name)).errno, name).toBe(EINVAL);
      expect(peer.ask(Opcode.MKDIR, 1, joined(words(0o755, 0), text(name))).errno).toBe(EINVAL);
      const rename = joined(words(1, 0), text('a', name));
      expect(peer.ask(Opcode.RENAME, 1, rename).errno).toBe(EINVAL);
    }
    expect(peer.ask(Opcode.LOOKUP, 1, text('n'.repeat(256))).errno).toBe(36);
  });

  it('gets EBADF for a node id that was never handed out', () => {
    for (const nodeid of [0, 7, 0xffffffff]) {
      expect(peer.ask(Opcode.GETATTR, nodeid, words(0, 0, 0, 0)).errno).toBe(EBADF);
      expect(peer.ask(Opcode.LOOKUP, nodeid, text('x')).errno).toBe(EBADF);
      expect(peer.ask(Opcode.OPEN, nodeid, words(0, 0)).errno).toBe(EBADF);
    }
  });

  it('gets EBADF for an open file of another node', () => {
    fs.writeFileSync(path.join(peer.shared, 'a'), 'a');
    fs.writeFileSync(path.join(peer.shared, 'b'), 'b');
    const a = peer.lookup('a');
    const b = peer.lookup('b');
    const fh = peer.ask(Opcode.OPEN, a, words(2, 0)).body.getUint32(0, true);
    const io = words(fh, 0, 0, 0, 1, 0, 0, 0, 0, 0);
    expect(peer.ask(Opcode.READ, b, io).errno).toBe(EBADF);
    expect(peer.ask(Opcode.WRITE, b, joined(io, text('x'))).errno).toBe(EBADF);
    expect(peer.ask(Opcode.RELEASE, b, words(fh, 0, 0, 0, 0, 0)).errno).toBe(EBADF);
    expect(peer.ask(Opcode.READ, a, io).errno).toBeNull();
    expect(peer.ask(Opcode.RELEASE, a, words(fh, 0, 0, 0, 0, 0)).errno).toBe(0);
    expect(peer.ask(Opcode.RELEASE, a, words(fh, 0, 0, 0, 0, 0)).errno).toBe(EBADF);
  });

  it('gets EINVAL when it is shorter than its kind, or lies about its length', () => {
    expect(peer.ask(Opcode.SETATTR, 1, words(0)).errno).toBe(EINVAL);
    expect(peer.raw(Opcode.GETATTR, 1, words(0, 0, 0, 0), 4000, 56).errno).toBe(EINVAL);
    expect(peer.raw(Opcode.GETATTR, 1, words(0, 0, 0, 0), 8, 56).errno).toBe(EINVAL);
    expect(peer.raw(Opcode.GETATTR, 1, words(), 0xffffffff, 56).errno).toBe(12);
    expect(peer.raw(Opcode.GETATTR, 1, words(), 39, 39).errno).toBeNull();
    // A WRITE that promises more than it carries.
    fs.writeFileSync(path.join(peer.shared, 'f'), '');
    const node = peer.lookup('f');
    const fh = peer.ask(Opcode.OPEN, node, words(2, 0)).body.getUint32(0, true);
    expect(peer.ask(Opcode.WRITE, node, words(fh, 0, 0, 0, 99, 0, 0, 0, 0, 0)).errno).toBe(EINVAL);
  });

  it('gets ENOSYS for what virtiofsd does not answer', () => {
    for (const opcode of [31, 37, 39, 40, 51, 52, 63, 64, 4096, 0xffffffff]) {
      expect(peer.ask(opcode, 1, words(0, 0, 0, 0)).errno, String(opcode)).toBe(38);
    }
  });

  it('is refused before INIT', () => {
    const early = new Peer();
    expect(early.ask(Opcode.GETATTR, 1, words(0, 0, 0, 0)).errno).toBe(5);
    expect(early.ask(Opcode.FORGET, 1, words(1, 0)).errno).toBeNull();
    expect(early.ask(Opcode.INIT, 0, words(7, 20, 0, 0)).errno).toBe(71);
    expect(early.ask(Opcode.INIT, 0, words(6, 45, 0, 0)).errno).toBe(71);
    const newer = early.ask(Opcode.INIT, 0, words(8, 0, 0, 0));
    expect([newer.errno, newer.body.getUint32(0, true)]).toEqual([0, 7]);
    expect(early.init().errno).toBe(0);
    early.end();
  });
});

describe('lookups', () => {
  it('are reported with their operation, also the inner ones', () => {
    const { reports } = peer;
    reports.length = 0;
    peer.ask(Opcode.MKDIR, 1, joined(words(0o755, 0), text('d')));
    peer.ask(Opcode.SYMLINK, 1, text('s', 'target'));
    peer.ask(Opcode.LOOKUP, 1, text('none'));
    peer.ask(Opcode.RENAME, 1, joined(words(1, 0), text('s', 't')));
    peer.ask(Opcode.RMDIR, 1, text('d'));
    expect(reports).toEqual([
      'MKDIR d 2 0',
      'SYMLINK s 3 0',
      'LOOKUP none 0 2',
      'RENAME s 3 0',
      'forget 3 1 RENAME',
      'RENAME t 0 2',
      'RMDIR d 2 0',
      'forget 2 1 RMDIR',
    ]);
  });

  it('of entries listed with attributes are counted, those of dots are not', () => {
    for (const name of ['a', 'b']) fs.writeFileSync(path.join(peer.shared, name), '');
    const fh = peer.ask(Opcode.OPENDIR, 1, words(0, 0)).body.getUint32(0, true);
    peer.reports.length = 0;
    const listing = words(fh, 0, 0, 0, 4096, 0, 0, 0, 0, 0);
    const { body } = peer.ask(Opcode.READDIRPLUS, 1, listing);
    expect(body.byteLength).toBe(4 * 160);
    expect(peer.reports.map((line) => line.split(' ')[1]).sort()).toEqual(['a', 'b']);
    expect(peer.tables.size).toBe(3);
    // From the start again, in a buffer for one entry: nothing is counted that was not sent.
    const one = words(fh, 0, 0, 0, 200, 0, 0, 0, 0, 0);
    peer.reports.length = 0;
    expect(peer.ask(Opcode.READDIRPLUS, 1, one).body.byteLength).toBe(160);
    expect(peer.reports.length).toBeLessThanOrEqual(1);
  });

  it('are undone when CREATE fails after them', () => {
    fs.mkdirSync(path.join(peer.shared, 'd'));
    const create = joined(
      words(fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644, 0, 0),
      text('d'),
    );
    expect(peer.ask(Opcode.CREATE, 1, create).errno).toBe(21);
    expect(peer.tables.size).toBe(1);
    const { reports } = peer;
    expect(reports.at(-1)).toBe('forget 2 1 CREATE');
  });

  it('end with their entries at FORGET, and give the descriptor back', () => {
    fs.writeFileSync(path.join(peer.shared, 'f'), '');
    const before = fs.readdirSync('/proc/self/fd').length;
    const node = peer.lookup('f');
    expect(peer.lookup('f')).toBe(node);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before + 1);
    expect(peer.ask(Opcode.FORGET, node, words(1, 0)).errno).toBeNull();
    expect(peer.tables.size).toBe(2);
    peer.ask(Opcode.BATCH_FORGET, 0, words(1, 0, node, 0, 1, 0));
    expect(peer.tables.size).toBe(1);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('begin anew at INIT, with node ids never used before', () => {
    fs.writeFileSync(path.join(peer.shared, 'f'), '');
    const before = fs.readdirSync('/proc/self/fd').length;
    const node = peer.lookup('f');
    peer.ask(Opcode.OPEN, node, words(0, 0));
    expect(peer.init().errno).toBe(0);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
    expect(peer.tables.size).toBe(1);
    expect(peer.lookup('f')).toBeGreaterThan(node);
    expect(peer.reports.filter((line) => line === 'init').length).toBe(2);
    expect(peer.ask(Opcode.DESTROY, 0, words()).errno).toBeNull();
    expect(peer.tables.size).toBe(0);
  });
});

describe('a listing', () => {
  // The host is read in pieces, and the reply is full at another place than the piece.
  it.each([
    ['READDIR', Opcode.READDIR, 0],
    ['READDIRPLUS', Opcode.READDIRPLUS, 128],
  ] as const)('by %s has each name once, whatever room the replies have', (_, opcode, entryAt) => {
    const names = Array.from({ length: 700 }, (_unused, i) => `${i}-`.padEnd(1 + (i % 240), 'x'));
    for (const name of names) fs.writeFileSync(path.join(peer.shared, name), '');
    for (const room of [1024, 4096, 5000, 32_768, 70_000, 131_072]) {
      const fh = peer.ask(Opcode.OPENDIR, 1, words(0, 0)).body.getUint32(0, true);
      const listed: string[] = [];
      for (let offset: readonly [number, number] = [0, 0]; ;) {
        const request = words(fh, 0, ...offset, room, 0, 0, 0, 0, 0);
        const { body } = peer.ask(opcode, 1, request);
        if (body.byteLength === 0) break;
        let at = 0;
        while (at < body.byteLength) {
          const dirent = at + entryAt;
          const length = body.getUint32(dirent + 16, true);
          const name = new Uint8Array(body.buffer, body.byteOffset + dirent + 24, length);
          listed.push(Buffer.from(name).toString());
          offset = [body.getUint32(dirent + 8, true), body.getUint32(dirent + 12, true)];
          at = dirent + ((24 + length + 7) & ~7);
        }
      }
      expect(listed.sort(), String(room)).toEqual(['.', '..', ...names].sort());
      peer.ask(Opcode.RELEASEDIR, 1, words(fh, 0, 0, 0, 0, 0));
    }
  });
});

describe('special files', () => {
  it('are never opened on the host', () => {
    const mknod = joined(words(0o010644, 0, 0, 0), text('fifo'));
    const node = peer.ask(Opcode.MKNOD, 1, mknod).body.getUint32(0, true);
    expect(peer.ask(Opcode.OPEN, node, words(0, 0)).errno).toBe(EBADF);
    const truncate = joined(words(8), new Uint8Array(84));
    expect(peer.ask(Opcode.SETATTR, node, truncate).errno).toBe(EBADF);
  });
});

/** Requests that need not make sense; FALLOCATE and SYNCFS would keep the disk busy. */
const REQUESTS = fc.record({
  opcode: fc.oneof(
    fc.constantFrom(...Object.values(Opcode)).filter((op) => op !== 43 && op !== 50 && op !== 26),
    fc.nat(80).filter((op) => op !== 43 && op !== 50 && op !== 26),
  ),
  nodeid: fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.nat()),
  body: fc.oneof(
    fc.uint8Array({ maxLength: 128 }),
    fc
      .tuple(fc.array(fc.constantFrom(0, 1, 2, 8, 64, 4096), { maxLength: 12 }), fc.string())
      .map(([numbers, name]) => joined(words(...numbers), text(name, 'x', name))),
  ),
  cut: fc.integer({ min: -64, max: 64 }),
});

describe('malformed requests', () => {
  it('never break the daemon', () => {
    fc.assert(
      fc.property(fc.array(REQUESTS, { maxLength: 30 }), (requests) => {
        for (const { opcode, nodeid, body, cut } of requests) {
          const real = 40 + body.length;
          peer.raw(opcode, nodeid, body, Math.max(0, real + cut), real);
        }
        expect(peer.log.filter((line) => line.includes('failed inside'))).toEqual([]);
        // It still works.
        expect(peer.init().errno).toBe(0);
        expect(peer.ask(Opcode.GETATTR, 1, words(0, 0, 0, 0)).errno).toBe(0);
      }),
      { numRuns: 300 },
    );
    expect(fs.existsSync(path.dirname(peer.shared))).toBe(true);
  });
});

it('decodes mount points as proc(5) describes', () => {
  expect(decodeOctal('/a\\040b\\011c\\012d\\134e')).toBe('/a b\tc\nd\\e');
  expect(decodeOctal('/plain\\9')).toBe('/plain\\9');
});

describe('where a mount is', () => {
  const [, id = '', point = ''] =
    /^([0-9]+) \S+ \S+ \S+ (\/\S+)/m.exec(fs.readFileSync('/proc/self/mountinfo', 'latin1')) ?? [];
  const mntId = Number(id);

  function seen(prefix: string): string | undefined {
    const mountInfoFd = fs.openSync('/proc/self/mountinfo', 'r');
    try {
      const view = { root: '/', proc: { procSelfFd: -1, mountInfoFd }, prefix };
      // Read twice: the position of the descriptor does not matter.
      mountPointOf(view, mntId);
      return mountPointOf(view, mntId)?.toString();
    } finally {
      fs.closeSync(mountInfoFd);
    }
  }

  it('is read through a descriptor that was kept', () => {
    expect(point).toMatch(/^\/./);
    expect(seen('')).toBe(decodeOctal(point));
    expect(mountPointOf(unconfinedView('/'), mntId)?.toString()).toBe(decodeOctal(point));
    expect(mountPointOf(unconfinedView('/'), 2 ** 31 - 1)).toBeUndefined();
  });

  it('is told from within a new root', () => {
    const parent = path.dirname(decodeOctal(point));
    expect(seen(decodeOctal(point))).toBe('/');
    expect(seen('/elsewhere')).toBe('/');
    // A name that only begins alike is outside.
    expect(seen(decodeOctal(point).slice(0, -1))).toBe('/');
    if (parent !== '/') expect(seen(parent)).toBe(`/${path.basename(decodeOctal(point))}`);
  });
});
