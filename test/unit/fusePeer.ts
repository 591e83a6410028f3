/** A file system in this process, spoken to as a kernel would. */

import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import type { DataChannel } from '../../daemon/fuse/dataChannel';
import { Opcode } from '../../daemon/fuse/opcodes';
import { createFileSystem } from '../../daemon/passthrough/fileSystem';
import type { FileSystem } from '../../daemon/passthrough/fileSystem';
import type { PassthroughOptions } from '../../daemon/passthrough/options';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import type { Recorder } from '../../daemon/tables/recorder';
import { REPLY, REQUEST, loadAddon } from '../../native/index';

const native = loadAddon();

export interface Answer {
  /** 0 or the positive errno; null when there was no reply. */
  readonly errno: number | null;
  readonly body: DataView;
}

/** A file system on a new directory, spoken to as a kernel would. */
export class Peer {
  readonly shared = fs.mkdtempSync(path.join(os.tmpdir(), 'passthrough-'));
  readonly reports: string[] = [];
  readonly log: string[] = [];
  readonly tables = new InodeTables(LOOKUP_RULES['handle-then-fd']);
  readonly fileSystem: FileSystem;
  /** Who asks. */
  caller = { uid: 0, gid: 0 };
  #unique = 2;

  constructor(options: Partial<PassthroughOptions> = {}) {
    const { reports } = this;
    const recorder: Recorder = {
      init: () => reports.push('init'),
      destroy: () => reports.push('destroy'),
      lookup: (trace) => {
        const name = trace.nameBuffer.subarray(trace.nameAt, trace.nameAt + trace.nameLength);
        reports.push(
          `${trace.op} ${new TextDecoder().decode(name)} ${trace.nodeid} ${trace.errno}`,
        );
      },
      forget: (nodeid, count, op) => reports.push(`forget ${nodeid} ${count} ${op}`),
      overForget: (nodeid, count, lookups) =>
        reports.push(`over-forget ${nodeid} ${count} ${lookups}`),
      openByHandleFailed: (nodeid, errno) => reports.push(`stale ${nodeid} ${errno}`),
      volume: () => reports.push('volume'),
    };
    this.fileSystem = createFileSystem(
      {
        sharedDir: this.shared,
        inodeFileHandles: 'never',
        lookupRule: LOOKUP_RULES['handle-then-fd'],
        cache: 'auto',
        xattr: true,
        readonly: false,
        writeback: false,
        readdirplus: true,
        allowDirectIo: false,
        preserveNoatime: false,
        announceSubmounts: true,
        rlimitNofile: 0,
        ...options,
      },
      native,
      this.tables,
      recorder,
      (level, text) => this.log.push(`${level} ${text}`),
    );
  }

  /** Offers what a new kernel does, or less. */
  init(flags = 0x73fffffb, flags2 = 0x5fd): Answer {
    return this.ask(Opcode.INIT, 0, words(7, 45, 0x20000, flags, flags2, ...zeros(11)));
  }

  ask(opcode: number, nodeid: number, body: Uint8Array): Answer {
    return this.raw(opcode, nodeid, body, 40 + body.length, 40 + body.length);
  }

  /** With lengths of its own: as declared in the header, and as received. */
  raw(
    opcode: number,
    nodeid: number,
    body: Uint8Array,
    declared: number,
    received: number,
  ): Answer {
    const { u8, u32 } = this.fileSystem.memory;
    u32.fill(0, REQUEST >> 2, (REQUEST + 40) >> 2);
    u8.fill(0xa5, REPLY, REPLY + 256);
    const { uid, gid } = this.caller;
    u32.set([declared, opcode, this.#unique, 0, nodeid, 0, uid, gid], REQUEST >> 2);
    u8.set(body, REQUEST + 40);
    this.#unique += 2;
    const length = this.fileSystem.handle(received, CHANNEL);
    const view = new DataView(u8.buffer, u8.byteOffset + REPLY, Math.max(length, 16));
    if (length === 0) return { errno: null, body: view };
    expect(view.getUint32(0, true)).toBe(length);
    expect(view.getUint32(8, true)).toBe(this.#unique - 2);
    const bodyView = new DataView(u8.buffer, u8.byteOffset + REPLY + 16, length - 16);
    return { errno: Math.abs(view.getInt32(4, true)), body: bodyView };
  }

  /** The node id of a name, which is then counted once more. */
  lookup(name: string, parent = 1): number {
    const { errno, body } = this.ask(Opcode.LOOKUP, parent, text(name));
    expect(errno).toBe(0);
    return body.getUint32(0, true);
  }

  end(): void {
    this.fileSystem.close();
    fs.rmSync(this.shared, { recursive: true });
  }
}

const CHANNEL: DataChannel = {
  sendFile: (fd, offsetAt, size) => Math.min(0, native.readFile(fd, REPLY + 16, size, offsetAt)),
  writeFile: (fd, dataAt, size, offsetAt, append) =>
    native.writeFile(fd, dataAt, size, offsetAt, append ? 1 : 0),
  serveOthers: () => undefined,
};

export function words(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

export function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

export function text(...strings: string[]): Uint8Array {
  return new TextEncoder().encode(strings.map((string) => `${string}\0`).join(''));
}

export function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
