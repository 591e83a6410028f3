import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGroups } from '../../daemon/fuse/extensions';
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
  const wishes = { readdirplus: true, writeback: false, submounts: true };

  it('grants what is offered and wanted, and nothing else', () => {
    // What Linux 6.1 offers to a guest, and what virtiofsd answers (virtio-fs.md 3.2).
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
    const none = { readdirplus: false, writeback: true, submounts: false };
    const agreement = agree(offer(-1, -1), 0, 64, none);
    expect(has(agreement, InitBit.DO_READDIRPLUS)).toBe(false);
    expect(has(agreement, InitBit.SUBMOUNTS)).toBe(false);
    expect(has(agreement, InitBit.WRITEBACK_CACHE)).toBe(true);
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

  /** A request that ends with these bytes as its extensions. */
  function request(extensions: readonly number[], nameEnd: number): [WireMemory, number] {
    const memory = makeMemory();
    memory.u8[36] = extensions.length / 8;
    memory.u8.set(extensions, nameEnd);
    return [memory, nameEnd + extensions.length];
  }

  it('finds groups at any address', () => {
    for (const nameEnd of [60, 61, 63]) {
      const groups = [24, 0, 0, 0, 32, 0, 0, 0, 2, 0, 0, 0, 1, 2, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0];
      const [memory, end] = request(groups, nameEnd);
      expect(readGroups(memory, 0, nameEnd, end, out, 4, 60)).toBe(2);
      expect([out[4], out[5]]).toEqual([0x201, 0x10003]);
    }
  });

  it('tells none from malformed', () => {
    const [plain, end] = request([], 60);
    expect(readGroups(plain, 0, 60, end, out, 0, 60)).toBe(-1);
    const [huge, hugeEnd] = request([255, 255, 255, 255, 32, 0, 0, 0], 60);
    expect(readGroups(huge, 0, 60, hugeEnd, out, 0, 60)).toBe(-2);
    const [many, manyEnd] = request([16, 0, 0, 0, 32, 0, 0, 0, 61, 0, 0, 0, 0, 0, 0, 0], 60);
    expect(readGroups(many, 0, 60, manyEnd, out, 0, 60)).toBe(-2);
  });

  it('stays inside the request, whatever it says', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(255), { maxLength: 96 }), fc.nat(20), (bytes, units) => {
        const memory = makeMemory(1024);
        memory.u8[36] = units;
        memory.u8.set(bytes, 60);
        const groups = readGroups(memory, 0, 60, 60 + bytes.length, out, 0, 60);
        expect(groups).toBeGreaterThanOrEqual(-2);
        expect(groups * 4).toBeLessThanOrEqual(bytes.length);
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
