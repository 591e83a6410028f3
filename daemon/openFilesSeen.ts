/**
 * What the guest has open, noted where its requests come in and their answers go out: a debugger may
 * come long after the files were opened. On the file system's thread.
 */

import { REPLY, REQUEST } from '../native/index';
import type { OpenFile, OpenFilesPage } from './debug/spec';
import { Opcode } from './fuse/opcodes';
import type { WireMemory } from './fuse/wire';
import { ENTRY_OUT, IN_HEADER, IN_NODEID, IN_OPCODE, OUT_HEADER, readU64 } from './fuse/wire';
import type { Nodeid } from './tables/identity';

const O_DIRECTORY = 0o200000;
/** Where the errno stands in fuse_out_header. */
const OUT_ERRNO = 4;
const BODY = REQUEST + IN_HEADER;
const ANSWER = REPLY + OUT_HEADER;

export class OpenFilesSeen {
  // By fh, in the order in which they were opened.
  readonly #nodeOf = new Map<number, number>();
  /** Of open(2), and O_DIRECTORY for what was opened by OPENDIR. */
  readonly #flagsOf = new Map<number, number>();

  constructor(private readonly memory: WireMemory) {}

  /** Looks at a request that was handled. @param length of its answer, 0: it has none */
  answered(length: number): void {
    const { memory } = this;
    switch (memory.u32[(REQUEST + IN_OPCODE) >> 2] ?? 0) {
      case Opcode.OPEN:
        if (this.#succeeded(length)) this.#opened(ANSWER, readU64(memory, REQUEST + IN_NODEID), 0);
        return;
      case Opcode.OPENDIR:
        if (this.#succeeded(length)) {
          this.#opened(ANSWER, readU64(memory, REQUEST + IN_NODEID), O_DIRECTORY);
        }
        return;
      case Opcode.CREATE:
        if (this.#succeeded(length)) this.#opened(ANSWER + ENTRY_OUT, readU64(memory, ANSWER), 0);
        return;
      case Opcode.RELEASE:
      case Opcode.RELEASEDIR:
        if (this.#succeeded(length)) {
          const fh = readU64(memory, BODY);
          this.#nodeOf.delete(fh);
          this.#flagsOf.delete(fh);
        }
        return;
      case Opcode.INIT:
      case Opcode.DESTROY:
        this.clear();
    }
  }

  /** @param from how many to leave out, the oldest first */
  page(from: number, count: number): OpenFilesPage {
    const files: OpenFile[] = [];
    let left = from;
    for (const [fh, nodeid] of this.#nodeOf) {
      if (left-- > 0) continue;
      if (files.length === count) break;
      const flags = this.#flagsOf.get(fh) ?? 0;
      files.push({ fh, nodeid: nodeid as Nodeid, flags, isDirectory: (flags & O_DIRECTORY) !== 0 });
    }
    return { total: this.#nodeOf.size, files };
  }

  clear(): void {
    this.#nodeOf.clear();
    this.#flagsOf.clear();
  }

  #succeeded(length: number): boolean {
    return length >= OUT_HEADER && this.memory.i32[(REPLY + OUT_ERRNO) >> 2] === 0;
  }

  /** @param fhAt where the answer has the fh; the request's body begins with the flags */
  #opened(fhAt: number, nodeid: number, more: number): void {
    const fh = readU64(this.memory, fhAt);
    this.#nodeOf.set(fh, nodeid);
    this.#flagsOf.set(fh, (this.memory.u32[BODY >> 2] ?? 0) | more);
  }
}
