import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExtensions } from '../../daemon/fuse/extensions';
import { FUSE_MINOR, InitBit, agree, has, writeInitOut } from '../../daemon/fuse/init';
import { checkName, stringLength } from '../../daemon/fuse/names';
import { BODY_SIZE, Opcode } from '../../daemon/fuse/opcodes';
import type { WireMemory } from '../../daemon/fuse/wire';
import {
  direntSize,
  encodeDevice,
  readU64,
  writeAttr,
  writeDirent,
  writeU64,
} from '../../daemon/fuse/wire';

function makeMemory(bytes = 4096): WireMemory {
  const buffer = new ArrayBuffer(bytes);
  return {
    u8: new Uint8Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
  };
}

describe('numbers', () => {
  it('carries integers below 2^53 through u64', () => {
    const memory = makeMemory();
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        writeU64(memory, 8, value);
        expect(readU64(memory, 8)).toBe(value);
        expect(new DataView(memory.u8.buffer).getBigUint64(8, true)).toBe(BigInt(value));
      }),
    );
  });

  it('encodes device numbers as the kernel does', () => {
    // mknod c 259 300000: MKDEV(259, 300000) through new_encode_dev.
    expect(encodeDevice(259, 300000) >>> 0).toBe(
      ((300000 & 0xff) | (259 << 8) | ((300000 & ~0xff) << 12)) >>> 0,
    );
    expect(encodeDevice(8, 1)).toBe(0x801);
    expect(encodeDevice(0, 0)).toBe(0);
  });

  it('keeps times before 1970 and sizes beyond 2^53', () => {
    const memory = makeMemory();
    const view = new DataView(memory.u8.buffer);
    const stat = 1024;
    view.setBigUint64(stat + 32, 0xfedcba9876543210n, true);
    view.setBigUint64(stat + 40, 0x7fffffffffffffffn, true);
    view.setBigInt64(stat + 112, -5n, true);
    view.setUint32(stat + 120, 123456789, true);
    view.setUint16(stat + 28, 0o100644, true);
    writeAttr(memory, 0, stat, 1);
    expect(view.getBigUint64(0, true)).toBe(0xfedcba9876543210n);
    expect(view.getBigUint64(8, true)).toBe(0x7fffffffffffffffn);
    expect(view.getBigInt64(32, true)).toBe(-5n);
    expect(view.getUint32(52, true)).toBe(123456789);
    expect(view.getUint32(60, true)).toBe(0o100644);
    expect(view.getUint32(84, true)).toBe(1);
  });
});

describe('names', () => {
  const memory = makeMemory();
  const check = (bytes: readonly number[], end = bytes.length): number => {
    memory.u8.fill(0xaa);
    memory.u8.set(bytes, 100);
    return checkName(memory, 100, stringLength(memory, 100, 100 + end));
  };
  const text = (name: string): number[] => [...new TextEncoder().encode(name), 0];

  it('refuses what is no directory entry', () => {
    for (const name of ['', '.', '..', '/', 'a/b', '../x', 'a/'])
      expect(check(text(name)), name).toBe(22);
    expect(check(text('a'.repeat(255)))).toBe(0);
    expect(check(text('a'.repeat(256)))).toBe(36);
    for (const name of ['...', '.a', '..a', 'a.', ' ']) expect(check(text(name)), name).toBe(0);
    expect(check([0xff, 0xfe, 0])).toBe(0);
  });

  it('refuses a name whose NUL is outside the request', () => {
    expect(check([97, 98, 0], 2)).toBe(22);
  });

  it('never accepts a slash or a NUL, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(255), { maxLength: 300 }), (bytes) => {
        memory.u8.set(bytes, 100);
        const length = stringLength(memory, 100, 100 + bytes.length);
        if (checkName(memory, 100, length) !== 0) return;
        const name = bytes.slice(0, length);
        expect(name.length).toBeGreaterThan(0);
        expect(name).not.toContain(0);
        expect(name).not.toContain(0x2f);
        expect(bytes[length]).toBe(0);
      }),
    );
  });
});

describe('INIT', () => {
  function offer(flags: number, flags2: number): WireMemory {
    const memory = makeMemory();
    memory.u32.set([7, 45, 131072, flags >>> 0, flags2], 0);
    return memory;
  }
  const wishes = {
    readdirplus: true,
    writeback: false,
    posixAcl: false,
    securityContext: false,
    killpriv: false,
    mmap: false,
  };

  it('grants what is offered and wanted, and nothing else', () => {
    // What Linux 6.1 offers to a guest, and what virtiofsd answers.
    const agreement = agree(offer(0x7bfffffb, 0xb), 0, 64, wishes);
    expect(agreement.flags.toString(16)).toBe('4844f829');
    expect(agreement.flags2).toBe(0);
    expect(has(agree(offer(0x7bfffffb, 0x1ff), 0, 64, wishes), InitBit.CREATE_SUPP_GROUP)).toBe(
      true,
    );
    expect(agree(offer(0x7bfffffb, 0x1ff), 0, 64, wishes).flags2).toBe(0x104);
  });

  it('grants no extended bits to a peer that has none', () => {
    expect(agree(offer(0x3bfffffb, 0x1ff), 0, 64, wishes).flags2).toBe(0);
    expect(agree(offer(0x7bfffffb, 0x1ff), 0, 16, wishes).flags2).toBe(0);
  });

  it('follows the wishes', () => {
    const off = { ...wishes, readdirplus: false };
    const agreement = agree(offer(-1, -1), 0, 64, off);
    const optional = [
      ...[InitBit.DO_READDIRPLUS, InitBit.WRITEBACK_CACHE, InitBit.POSIX_ACL, InitBit.DONT_MASK],
      ...[InitBit.SETXATTR_EXT, InitBit.HANDLE_KILLPRIV_V2, InitBit.SECURITY_CTX],
      InitBit.DIRECT_IO_ALLOW_MMAP,
    ];
    for (const bit of optional) expect(has(agreement, bit), `bit ${bit}`).toBe(false);
    const on = agree(offer(-1, -1), 0, 64, {
      readdirplus: true,
      writeback: true,
      posixAcl: true,
      securityContext: true,
      killpriv: true,
      mmap: true,
    });
    for (const bit of optional) expect(has(on, bit), `bit ${bit}`).toBe(true);
  });

  it('grants ACLs whole or not at all', () => {
    const wanted = { ...wishes, posixAcl: true };
    for (const missing of [InitBit.DONT_MASK, InitBit.POSIX_ACL, InitBit.SETXATTR_EXT]) {
      const agreement = agree(offer(~(1 << missing), -1), 0, 64, wanted);
      for (const bit of [InitBit.DONT_MASK, InitBit.POSIX_ACL, InitBit.SETXATTR_EXT]) {
        expect(has(agreement, bit)).toBe(false);
      }
    }
  });

  it('answers in virtiofsd 1.13s own numbers', () => {
    const memory = offer(0x7bfffffb, 0x1ff);
    writeInitOut(memory, 1024, agree(memory, 0, 64, wishes));
    const answer = new DataView(memory.u8.buffer, 1024, 64);
    expect([answer.getUint32(0, true), answer.getUint32(4, true)]).toEqual([7, FUSE_MINOR]);
    expect([answer.getUint16(16, true), answer.getUint16(18, true)]).toEqual([65535, 49149]);
    expect([answer.getUint32(20, true), answer.getUint16(28, true)]).toEqual([1 << 20, 256]);
  });
});

describe('extensions', () => {
  const out = new Uint32Array(64);
  const said = { groups: 0, nameAt: 0, nameLength: 0, valueAt: 0, valueSize: 0 };
  const GROUPS = [24, 0, 0, 0, 32, 0, 0, 0, 2, 0, 0, 0, 1, 2, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0];
  const NO_CONTEXT = [8, 0, 0, 0, 0, 0, 0, 0];

  /** A record with one security context, as fs/fuse/dir.c makes it. */
  function context(name: string, value: string): number[] {
    const text = [...new TextEncoder().encode(name), 0, ...new TextEncoder().encode(value)];
    const padding = new Array<number>((8 - (text.length % 8)) % 8).fill(0);
    const size = 16 + text.length + padding.length;
    return [size, 0, 0, 0, 1, 0, 0, 0, value.length, 0, 0, 0, 0, 0, 0, 0, ...text, ...padding];
  }

  /** Reads a request whose name ends at `nameEnd` and is followed by these bytes. */
  function read(bytes: readonly number[], agreed: 'groups' | 'context' | 'both', nameEnd = 61) {
    const memory = makeMemory(1024);
    memory.u8.set(bytes, nameEnd);
    return {
      memory,
      fine: readExtensions(
        memory,
        nameEnd,
        nameEnd + bytes.length,
        agreed !== 'context',
        agreed !== 'groups',
        out,
        4,
        60,
        said,
      ),
    };
  }

  it('finds groups at any address', () => {
    for (const nameEnd of [60, 61, 63]) {
      expect(read(GROUPS, 'groups', nameEnd).fine).toBe(true);
      expect([said.groups, out[4], out[5]]).toEqual([2, 0x201, 0x10003]);
    }
    expect(read([], 'groups').fine).toBe(true);
    expect(said.groups).toBe(-1);
  });

  it('finds the security context', () => {
    const { memory, fine } = read(
      [...context('security.selinux', 'system_u:object_r:tmp_t:s0\0'), ...GROUPS],
      'both',
    );
    expect(fine).toBe(true);
    const text = (at: number, length: number) =>
      new TextDecoder().decode(memory.u8.subarray(at, at + length));
    expect(text(said.nameAt, said.nameLength)).toBe('security.selinux');
    expect(memory.u8[said.nameAt + said.nameLength]).toBe(0);
    expect(text(said.valueAt, said.valueSize)).toBe('system_u:object_r:tmp_t:s0\0');
    expect(said.groups).toBe(2);
  });

  it('takes a record without a context for none', () => {
    expect(read(NO_CONTEXT, 'context').fine).toBe(true);
    expect(said.nameAt).toBe(0);
  });

  it('looks at nothing when nothing was agreed on', () => {
    const memory = makeMemory(1024);
    memory.u8.set([1, 2, 3], 60);
    expect(readExtensions(memory, 60, 63, false, false, out, 0, 60, said)).toBe(true);
    expect([said.groups, said.nameAt]).toEqual([-1, 0]);
  });

  it.each([
    ['a record that is too long', [255, 255, 255, 255, 32, 0, 0, 0], 'groups'],
    ['a record that is too short', [7, 0, 0, 0, 32, 0, 0, 0], 'groups'],
    ['half a header', [8, 0, 0, 0], 'groups'],
    ['too many groups', [16, 0, 0, 0, 32, 0, 0, 0, 61, 0, 0, 0, 0, 0, 0, 0], 'groups'],
    ['more groups than there are', [16, 0, 0, 0, 32, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], 'groups'],
    ['groups twice', [...GROUPS, ...GROUPS], 'groups'],
    ['groups that were not agreed on', [...NO_CONTEXT, ...GROUPS], 'context'],
    ['a context that was not agreed on', context('a', 'b'), 'groups'],
    ['no context record', GROUPS, 'both'],
    ['contexts twice', [...NO_CONTEXT, ...NO_CONTEXT], 'context'],
    ['two contexts in one record', [8, 0, 0, 0, 2, 0, 0, 0], 'context'],
    ['a type that nobody knows', [8, 0, 0, 0, 33, 0, 0, 0], 'both'],
    ['an empty context', context('security.selinux', ''), 'context'],
    ['a context that is cut off', context('security.selinux', 'abc').slice(0, 32), 'context'],
  ] as const)('refuses %s', (_, bytes, agreed) => {
    expect(read(bytes, agreed).fine).toBe(false);
  });

  it('stays inside the request, whatever it says', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(255), { maxLength: 96 }), (bytes) => {
        const { fine } = read(bytes, 'both');
        if (!fine) return;
        expect(said.groups * 4).toBeLessThanOrEqual(bytes.length);
        if (said.nameAt !== 0) {
          expect(said.valueAt + said.valueSize).toBeLessThanOrEqual(61 + bytes.length);
        }
      }),
    );
  });
});

it('pads directory entries with zeros', () => {
  const memory = makeMemory();
  memory.u8.fill(0xee);
  memory.u8.set([1, 2, 3], 512 + 19);
  expect(writeDirent(memory, 1024, 512, 3)).toBe(32);
  expect([...memory.u8.subarray(1024 + 24, 1024 + 32)]).toEqual([1, 2, 3, 0, 0, 0, 0, 0]);
  expect(direntSize(8)).toBe(32);
  expect(direntSize(9)).toBe(40);
});

it('knows the body of every opcode it names', () => {
  for (const [name, opcode] of Object.entries(Opcode)) {
    expect(BODY_SIZE[opcode], name).toBeGreaterThanOrEqual(0);
  }
});
