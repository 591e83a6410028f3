import { describe, expect, it } from 'vitest';
import {
  RefusedMessage,
  configSpace,
  decodeMessage,
  encodeConfig,
  encodeU64,
  encodeVringState,
  needsReply,
  requestName,
} from '../../daemon/transport/vhostMessages';

/** Words of 32 bits, as they stand in a payload. */
function words(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

function wide(...values: bigint[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(values).buffer);
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function decode(
  request: number,
  payload: Uint8Array = new Uint8Array(),
  fds: number[] = [],
  flags = 1,
) {
  return decodeMessage({ request, flags, payload, fds });
}

const HIGH = 0xffff_ffff_ffff_f000n;

describe('a message', () => {
  it('without a payload', () => {
    for (const [request, type] of [
      [1, 'GET_FEATURES'],
      [3, 'SET_OWNER'],
      [4, 'RESET_OWNER'],
      [15, 'GET_PROTOCOL_FEATURES'],
      [17, 'GET_QUEUE_NUM'],
      [34, 'RESET_DEVICE'],
      [36, 'GET_MAX_MEM_SLOTS'],
    ] as const) {
      expect(decode(request)).toEqual({ type });
      expect(requestName(request)).toBe(type);
      expect(() => decode(request, words(0))).toThrow(RefusedMessage);
      expect(() => decode(request, undefined, [3])).toThrow(RefusedMessage);
    }
  });

  it('with a number of 64 bits', () => {
    expect(decode(2, wide(0x1_7000_0000n))).toEqual({
      type: 'SET_FEATURES',
      value: 0x1_7000_0000n,
    });
    expect(decode(16, wide(HIGH))).toEqual({ type: 'SET_PROTOCOL_FEATURES', value: HIGH });
    expect(() => decode(2, words(1))).toThrow('it has 4 bytes instead of 8');
    expect(() => decode(2, wide(1n, 2n))).toThrow(RefusedMessage);
  });

  it('about a ring', () => {
    for (const [request, type] of [
      [8, 'SET_VRING_NUM'],
      [10, 'SET_VRING_BASE'],
      [11, 'GET_VRING_BASE'],
      [18, 'SET_VRING_ENABLE'],
    ] as const) {
      expect(decode(request, words(1, 128))).toEqual({ type, index: 1, num: 128 });
      expect(() => decode(request, words(1))).toThrow(RefusedMessage);
      expect(() => decode(request, words(1, 2, 3))).toThrow(RefusedMessage);
    }
  });

  it('with the addresses of a ring, the used one before the available one', () => {
    const payload = joined(words(2, 1), wide(0x1000n, HIGH, 0x3000n, 0x4000n));
    expect(decode(9, payload)).toEqual({
      type: 'SET_VRING_ADDR',
      index: 2,
      addresses: { descriptors: 0x1000n, used: HIGH, available: 0x3000n },
    });
    expect(() => decode(9, payload.subarray(8))).toThrow('it has 32 bytes instead of 40');
  });

  it('with a descriptor of a ring, or without', () => {
    for (const [request, type] of [
      [12, 'SET_VRING_KICK'],
      [13, 'SET_VRING_CALL'],
      [14, 'SET_VRING_ERR'],
    ] as const) {
      expect(decode(request, wide(5n), [9])).toEqual({ type, index: 5, fd: 9 });
      expect(decode(request, wide(0x105n))).toEqual({ type, index: 5, fd: null });
      expect(() => decode(request, wide(5n))).toThrow('it brings 0 descriptors instead of 1');
      expect(() => decode(request, wide(5n), [8, 9])).toThrow(RefusedMessage);
      expect(() => decode(request, wide(0x105n), [9])).toThrow(RefusedMessage);
    }
  });

  it('with a table of memory and a file for each region', () => {
    const first = wide(0n, 0xa0000n, 0x7f00_0000_0000n, 0n);
    const second = wide(0x1_0000_0000n, 0x4000_0000n, 0x7f01_0000_0000n, 0xc0000n);
    expect(decode(5, joined(words(2, 0), first, second), [7, 8])).toEqual({
      type: 'SET_MEM_TABLE',
      regions: [
        { guestAddress: 0n, size: 0xa0000n, userAddress: 0x7f00_0000_0000n, offset: 0n, fd: 7 },
        {
          guestAddress: 0x1_0000_0000n,
          size: 0x4000_0000n,
          userAddress: 0x7f01_0000_0000n,
          offset: 0xc0000n,
          fd: 8,
        },
      ],
    });
    expect(decode(5, words(0, 0))).toEqual({ type: 'SET_MEM_TABLE', regions: [] });
    expect(() => decode(5, joined(words(2, 0), first, second), [7])).toThrow(RefusedMessage);
    expect(() => decode(5, joined(words(2, 0), first), [7, 8])).toThrow(RefusedMessage);
    expect(() => decode(5, joined(words(0xffffffff, 0), first), [7])).toThrow(RefusedMessage);
    expect(() => decode(5, words(1))).toThrow(RefusedMessage);
  });

  it('with one region; one that goes may bring a file', () => {
    const payload = wide(0n, 0x1000n, 0x2000n, 0x3000n, 0x4000n);
    const region = {
      guestAddress: 0x1000n,
      size: 0x2000n,
      userAddress: 0x3000n,
      offset: 0x4000n,
    };
    expect(decode(37, payload, [6])).toEqual({ type: 'ADD_MEM_REG', region: { ...region, fd: 6 } });
    expect(() => decode(37, payload)).toThrow(RefusedMessage);
    expect(decode(38, payload)).toEqual({ type: 'REM_MEM_REG', region });
    expect(decode(38, payload, [6])).toEqual({ type: 'REM_MEM_REG', region });
    expect(() => decode(38, payload.subarray(8))).toThrow(RefusedMessage);
  });

  it('with a socket for requests in the other direction', () => {
    expect(decode(21, undefined, [4])).toEqual({ type: 'SET_BACKEND_REQ_FD', fd: 4 });
    expect(() => decode(21)).toThrow(RefusedMessage);
  });

  it('about the configuration space', () => {
    const payload = joined(words(36, 4, 1), new Uint8Array(4));
    expect(decode(24, payload)).toEqual({ type: 'GET_CONFIG', offset: 36, size: 4, flags: 1 });
    expect(() => decode(24, words(0, 4, 1))).toThrow(RefusedMessage);
    expect(() => decode(24, words(0))).toThrow(RefusedMessage);
    expect(decode(25, payload)).toEqual({ type: 'SET_CONFIG' });
  });

  it('that nobody knows', () => {
    for (const request of [0, 6, 19, 39, 99, 0xffffffff]) {
      expect(decode(request, words(1, 2, 3), [5])).toEqual({ type: 'unknown' });
    }
    expect(requestName(99)).toBe('message 99');
  });

  it('of another version, or that is a reply', () => {
    for (const flags of [0, 2, 3, 5]) {
      expect(() => decode(1, undefined, undefined, flags)).toThrow(RefusedMessage);
    }
    expect(decode(1, undefined, undefined, 9)).toEqual({ type: 'GET_FEATURES' });
    expect(needsReply(9)).toBe(true);
    expect(needsReply(1)).toBe(false);
  });
});

describe('a reply', () => {
  it('has flags of 5 and nothing else, as QEMU demands', () => {
    expect(encodeU64(1, 0x1_7000_0000n)).toEqual(joined(words(1, 5, 8), wide(0x1_7000_0000n)));
    expect(encodeVringState(11, 1, 40)).toEqual(words(11, 5, 8, 1, 40));
  });

  it('holds the asked-for part of the configuration space', () => {
    const space = configSpace('tag', 1);
    expect(space).toEqual(joined(Buffer.from('tag'.padEnd(36, '\0')), words(1)));
    const longest = 'ü'.repeat(18);
    expect(configSpace(longest, 1)).toEqual(joined(Buffer.from(longest), words(1)));
    const part = encodeConfig(24, { offset: 1, size: 2, flags: 1 }, space);
    expect(part).toEqual(joined(words(24, 5, 14, 1, 2, 1), Buffer.from('ag')));
    const behind = encodeConfig(24, { offset: 36, size: 8, flags: 0 }, space);
    expect(behind).toEqual(words(24, 5, 20, 36, 8, 0, 1, 0));
  });

  it('is empty for a part that no device has', () => {
    const space = configSpace('tag', 1);
    for (const asked of [
      { offset: 0, size: 0, flags: 0 },
      { offset: 0, size: 257, flags: 0 },
      { offset: 250, size: 7, flags: 0 },
      { offset: 0xffffffff, size: 4, flags: 0 },
    ]) {
      expect(encodeConfig(24, asked, space)).toEqual(words(24, 5, 0));
    }
  });
});
