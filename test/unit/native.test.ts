import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as face from '../../native/index';
import { NAME, REPLY, REQUEST, createScratch, loadAddon } from '../../native/index';

const native = loadAddon();
const EFAULT = 14;
const beforeAttach = native.close(-1);
const memory = createScratch(native);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'native-'));
afterAll(() => {
  fs.rmSync(folder, { recursive: true });
});

function putText(at: number, text: string): void {
  memory.u8.set(new TextEncoder().encode(`${text}\0`), at);
}

/** Points a slot at an O_PATH descriptor. */
function putSlot(slot: number, fd: number): void {
  memory.i32[slot >> 2] = fd;
}

function pathDescriptor(name: string): number {
  const fd = native.openPath(name, 0x200000);
  expect(fd).toBeGreaterThanOrEqual(0);
  return fd;
}

describe('the addon', () => {
  it('lays the scratch out as the TypeScript side believes', () => {
    const believed: Readonly<Record<string, unknown>> = { ...face };
    for (const [name, value] of Object.entries(native.layout)) {
      expect(believed[name], name).toBe(value);
    }
    expect(Object.keys(native.layout).length).toBeGreaterThan(30);
    expect(memory.u8.byteOffset % 8).toBe(0);
  });

  it('refuses hot calls before it has memory', () => {
    expect(beforeAttach).toBe(-EFAULT);
  });

  it('says what to do when it is missing', () => {
    expect(() => loadAddon('/nonexistent/place')).toThrow(/npm run build/);
  });

  it('makes a file as somebody else and is itself again afterwards', (context) => {
    if (process.geteuid?.() !== 0) context.skip('needs root');
    fs.chmodSync(folder, 0o777);
    const directory = pathDescriptor(folder);
    putSlot(face.SLOT_FIRST, directory);
    putText(NAME, 'theirs');
    memory.u32.set([4321, 8765, 1, 0], face.CREDS >> 2);
    const { SLOT_FIRST, RECORD, RESULT_OPEN_FD } = face;
    expect(native.create(SLOT_FIRST, NAME, fs.constants.O_RDWR, 0o600, 0, RECORD)).toBe(0);
    native.close(memory.i32[RESULT_OPEN_FD >> 2] ?? -1);
    native.close(memory.i32[(RECORD + face.RECORD_FD) >> 2] ?? -1);
    const { uid, gid } = fs.statSync(path.join(folder, 'theirs'));
    expect([uid, gid]).toEqual([4321, 8765]);
    expect([process.geteuid?.(), process.getegid?.()]).toEqual([0, 0]);

    // What somebody else may not do fails, and again nothing sticks.
    fs.chmodSync(folder, 0o700);
    putText(NAME, 'refused');
    expect(native.create(SLOT_FIRST, NAME, fs.constants.O_RDWR, 0o600, 0, RECORD)).toBe(-13);
    expect(process.geteuid?.()).toBe(0);
    native.closeDescriptor(directory);
  });

  it.each([
    ['small', 5000, 4096, 100],
    ['a whole pipe', 131072, 131072, 0],
    ['a file that ends early', 100_000, 131072, 0],
    ['at an odd offset', 131072, 65536, 4097],
    ['beyond the end', 1000, 131072, 5000],
  ])('answers a READ: %s', (_name, length, size, offset) => {
    const file = path.join(folder, 'data');
    const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    fs.writeFileSync(file, bytes);
    const fd = fs.openSync(file, 'r');
    const sockets = native.socketPair();
    if (typeof sockets === 'number') throw new Error(`socketpair: ${sockets}`);
    const [ours, theirs] = sockets;
    memory.u32.set([77, 0], (REQUEST + 8) >> 2);
    memory.u32.set([offset, 0], (REQUEST + 48) >> 2);
    expect(native.sendFile(theirs, fd, REQUEST + 48, size, REQUEST + 8)).toBe(0);
    native.closeDescriptor(theirs);
    const reply = fs.readFileSync(ours);
    native.closeDescriptor(ours);
    fs.closeSync(fd);
    const wanted = bytes.subarray(offset, offset + size);
    expect(reply.readUInt32LE(0)).toBe(16 + wanted.length);
    expect(reply.readInt32LE(4)).toBe(0);
    expect(reply.readUInt32LE(8)).toBe(77);
    expect(reply.subarray(16).equals(wanted)).toBe(true);
    expect(native.sendFile(0, -1, REQUEST + 48, size, REQUEST + 8)).toBe(-9);
  });

  it('wakes a waiting receive through the control descriptor', () => {
    const control = native.createEvent();
    const sockets = native.socketPair();
    if (typeof sockets === 'number') throw new Error(`socketpair: ${sockets}`);
    native.setNonblocking(sockets[0]);
    native.signalEvent(control);
    expect(native.receive(sockets[0], control)).toBe(0);
    native.signalEvent(control);
    native.stopEvent(control);
    expect(native.receive(sockets[0], control)).toBe(-125);
    for (const fd of [control, ...sockets]) native.closeDescriptor(fd);
  });

  it('tells identities of a path and of its descriptor alike', () => {
    const fd = pathDescriptor(folder);
    const byPath = native.identify(-1, folder);
    const byFd = native.identify(fd, '');
    expect(byPath).toEqual(byFd);
    if (typeof byPath === 'number') throw new Error(`identify: ${byPath}`);
    expect(byPath.ino).toBe(fs.statSync(folder, { bigint: true }).ino);
    expect(native.identify(-1, '/no/such')).toBe(-2);
    expect(native.fileSystemType(fd)).toBe(native.fileSystemType(folder));
    native.closeDescriptor(fd);
  });

  it('keeps requests and replies apart', () => {
    expect(REQUEST + face.REQUEST_SIZE).toBeLessThanOrEqual(REPLY);
    expect(face.BATCH + face.BATCH_RECORDS * face.RECORD_SIZE).toBeLessThanOrEqual(face.DIRENTS);
    expect(face.DIRENTS + face.DIRENTS_SIZE).toBeLessThanOrEqual(REQUEST);
    expect((REQUEST + 80) % 4096).toBe(0);
    expect((REPLY + 16) % 4096).toBe(0);
  });
});
