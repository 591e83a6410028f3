/** What every reply must be like, whatever was asked. */

import { FUSE_MAJOR, FUSE_MINOR_MIN } from '../../../daemon/fuse/init';
import { Opcode } from '../../../daemon/fuse/opcodes';
import {
  ATTR_OUT,
  ENTRY_OUT,
  IN_HEADER,
  OPEN_OUT,
  OUT_HEADER,
  direntSize,
  readU64,
} from '../../../daemon/fuse/wire';
import type { Scratch } from '../../../native/index';
import { REPLY, REPLY_SIZE, REQUEST } from '../../../native/index';
import { Finding, must } from '../kind';
import type { Guest } from './guest';
import { SECRET } from './playground';

const BODY = REPLY + OUT_HEADER;
const S_IFMT = 0o170000;
const SLASH = 0x2f;
/** Put where a reply is to come: what is still there afterwards was not written for the guest. */
const STALE = 0xa5;
const STALE_BYTES = 512;
const PATH_MAX = 4096;
/** ENOMEM and EINVAL: a request of a length that cannot be, which changes nothing. */
const MALFORMED: ReadonlySet<number> = new Set([12, 22]);
const SECRET_BYTES = Buffer.from(SECRET);

/** Bodies of replies that always have the same size. */
const FIXED: ReadonlyMap<number, number> = new Map([
  ...[Opcode.LOOKUP, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.LINK].map(
    (opcode) => [opcode, ENTRY_OUT] as const,
  ),
  [Opcode.CREATE, ENTRY_OUT + OPEN_OUT],
  [Opcode.GETATTR, ATTR_OUT],
  [Opcode.SETATTR, ATTR_OUT],
  [Opcode.OPEN, OPEN_OUT],
  [Opcode.OPENDIR, OPEN_OUT],
  [Opcode.STATFS, 80],
  [Opcode.INIT, 64],
  [Opcode.WRITE, 8],
  [Opcode.COPY_FILE_RANGE, 8],
  [Opcode.LSEEK, 8],
  ...[
    ...[Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME, Opcode.RENAME2, Opcode.RELEASE],
    ...[Opcode.RELEASEDIR, Opcode.FSYNC, Opcode.FSYNCDIR, Opcode.FLUSH, Opcode.SETXATTR],
    ...[Opcode.REMOVEXATTR, Opcode.ACCESS, Opcode.FALLOCATE, Opcode.SYNCFS],
  ].map((opcode) => [opcode, 0] as const),
]);
const SILENT: ReadonlySet<number> = new Set([
  Opcode.FORGET,
  Opcode.BATCH_FORGET,
  Opcode.INTERRUPT,
  Opcode.DESTROY,
]);
/** The fixed parts of those whose effect the guest must know. */
const SILENT_BODY: ReadonlyMap<number, number> = new Map([
  [Opcode.FORGET, 8],
  [Opcode.BATCH_FORGET, 8],
  [Opcode.INTERRUPT, 8],
  [Opcode.DESTROY, 0],
]);
const LONGEST_REQUEST = (1 << 20) + 4096;

export class Replies {
  readonly #memory: Scratch;
  readonly #guest: Guest;
  readonly #outside: ReadonlySet<bigint>;
  /** Bytes that the data channel put behind the header, or -1. */
  channelBytes = -1;

  constructor(memory: Scratch, guest: Guest, outside: ReadonlySet<bigint>) {
    this.#memory = memory;
    this.#guest = guest;
    this.#outside = outside;
  }

  prepare(): void {
    this.#memory.u8.fill(STALE, REPLY, REPLY + STALE_BYTES);
    this.channelBytes = -1;
  }

  /**
   * Checks the reply to the request that stands in the scratch, and lets the guest learn from it.
   *
   * @param received bytes of the request
   * @param length what `handle` returned
   */
  check(received: number, length: number): void {
    const { u32 } = this.#memory;
    const opcode = u32[(REQUEST + 4) >> 2] ?? 0;
    const declared = u32[REQUEST >> 2] ?? 0;
    if (received < IN_HEADER) {
      must(length === 0, () => 'A request without a header was answered.');
      return;
    }
    if (SILENT.has(opcode)) {
      must(length === 0, () => `Opcode ${opcode} was answered.`);
      const wellFormed =
        declared <= received &&
        declared <= LONGEST_REQUEST &&
        declared >= IN_HEADER + (SILENT_BODY.get(opcode) ?? 0);
      if (wellFormed && this.#guest.initialized) this.#silent(opcode, declared);
      return;
    }
    if (length === 0) {
      must(this.channelBytes >= 0, () => `Opcode ${opcode} was not answered.`);
      this.#read();
      return;
    }
    this.#answer(opcode, length);
  }

  #answer(opcode: number, length: number): void {
    const { u32, i32 } = this.#memory;
    const said = u32[REPLY >> 2] ?? 0;
    must(said === length, () => `The reply says ${said} bytes and has ${length}.`);
    must(length >= OUT_HEADER && length <= REPLY_SIZE, () => `A reply of ${length} bytes.`);
    for (const word of [2, 3]) {
      must(u32[(REPLY >> 2) + word] === u32[(REQUEST >> 2) + word], () => 'The unique differs.');
    }
    const error = i32[(REPLY + 4) >> 2] ?? 0;
    must(error <= 0 && error > -512, () => `The reply's error is ${error}.`);
    if (error !== 0) {
      must(length === OUT_HEADER, () => `An error of ${length} bytes.`);
      if (opcode === Opcode.INIT && !MALFORMED.has(-error)) this.#refusedInit();
      return;
    }
    this.#success(opcode, length - OUT_HEADER);
  }

  /** An INIT of a version that is spoken ends the session before, also when it is refused then. */
  #refusedInit(): void {
    const { u32 } = this.#memory;
    const word = (REQUEST + IN_HEADER) >> 2;
    if (u32[word] === FUSE_MAJOR && (u32[word + 1] ?? 0) >= FUSE_MINOR_MIN) this.#guest.end();
  }

  #success(opcode: number, bytes: number): void {
    const fixed = FIXED.get(opcode);
    if (fixed !== undefined) {
      must(bytes === fixed, () => `Opcode ${opcode}: ${bytes} bytes instead of ${fixed}.`);
      this.#noStaleWords(opcode, bytes);
    }
    const { u32 } = this.#memory;
    const bodyAt = REQUEST + IN_HEADER;
    const nodeid = readU64(this.#memory, REQUEST + 16);
    switch (opcode) {
      case Opcode.INIT:
        // A newer major version only gets ours told.
        if (u32[bodyAt >> 2] === FUSE_MAJOR) this.#guest.begin();
        break;
      case Opcode.LOOKUP:
      case Opcode.SYMLINK:
      case Opcode.MKNOD:
      case Opcode.MKDIR:
      case Opcode.LINK:
        this.#entry(BODY);
        break;
      case Opcode.CREATE:
        this.#entry(BODY);
        this.#guest.opened(readU64(this.#memory, BODY + ENTRY_OUT), readU64(this.#memory, BODY));
        break;
      case Opcode.OPEN:
      case Opcode.OPENDIR:
        this.#guest.opened(readU64(this.#memory, BODY), nodeid);
        break;
      case Opcode.GETATTR:
      case Opcode.SETATTR:
        this.#attributes(nodeid, BODY + 16);
        break;
      case Opcode.RELEASE:
      case Opcode.RELEASEDIR:
        this.#guest.open.delete(readU64(this.#memory, bodyAt));
        break;
      case Opcode.WRITE: {
        const asked = u32[(bodyAt + 16) >> 2] ?? 0;
        const written = u32[BODY >> 2] ?? 0;
        must(written <= asked, () => `${written} bytes written of ${asked}.`);
        break;
      }
      case Opcode.READLINK:
        must(bytes <= PATH_MAX, () => `A link of ${bytes} bytes.`);
        break;
      case Opcode.GETXATTR:
      case Opcode.LISTXATTR: {
        const asked = u32[bodyAt >> 2] ?? 0;
        must(asked === 0 ? bytes === 8 : bytes <= asked, () => `${bytes} bytes for ${asked}.`);
        break;
      }
      case Opcode.READDIR:
      case Opcode.READDIRPLUS:
        this.#listing(opcode, bytes);
        break;
      default:
        must(fixed !== undefined, () => `Opcode ${opcode} succeeded.`);
    }
  }

  #noStaleWords(opcode: number, bytes: number): void {
    const { u32 } = this.#memory;
    for (let at = BODY; at < BODY + bytes; at += 4) {
      must(u32[at >> 2] !== 0xa5a5a5a5, () => {
        return `Opcode ${opcode}: the reply's word at ${at - REPLY} was not written.`;
      });
    }
  }

  #read(): void {
    const { u8, u32 } = this.#memory;
    const asked = u32[(REQUEST + IN_HEADER + 16) >> 2] ?? 0;
    const bytes = this.channelBytes;
    must(bytes <= asked, () => `READ of ${asked} bytes was answered with ${bytes}.`);
    const found = Buffer.from(u8.buffer, u8.byteOffset + BODY, Math.min(bytes, 256));
    must(!found.includes(SECRET_BYTES), () => 'A file outside the share was read.');
  }

  #entry(at: number): void {
    const nodeid = readU64(this.#memory, at);
    must(Number.isSafeInteger(nodeid) && nodeid > 0, () => `An entry with node id ${nodeid}.`);
    must(readU64(this.#memory, at + 8) === 0, () => 'An entry with a generation.');
    this.#guest.entry(nodeid);
    this.#attributes(nodeid, at + 40);
  }

  #attributes(nodeid: number, at: number): void {
    const { u32 } = this.#memory;
    const word = at >> 2;
    const ino = BigInt(u32[word] ?? 0) | (BigInt(u32[word + 1] ?? 0) << 32n);
    must(!this.#outside.has(ino), () => `Node ${nodeid} is outside the share.`);
    must((u32[word + 3] ?? 0) >>> 31 === 0, () => `Node ${nodeid} has a negative size.`);
    const type = (u32[word + 15] ?? 0) & S_IFMT;
    must(TYPES.has(type), () => `Node ${nodeid} has type ${type.toString(8)}.`);
    const known = this.#guest.types.get(nodeid);
    must(known === undefined || known === type, () => `Node ${nodeid} changed its type.`);
    if (this.#guest.lookups.has(nodeid)) this.#guest.types.set(nodeid, type);
  }

  #listing(opcode: number, bytes: number): void {
    const { u8, u32 } = this.#memory;
    const asked = u32[(REQUEST + IN_HEADER + 16) >> 2] ?? 0;
    must(bytes <= asked, () => `A listing of ${bytes} bytes for ${asked}.`);
    const end = BODY + bytes;
    let at = BODY;
    while (at < end) {
      if (opcode === Opcode.READDIRPLUS) {
        must(at + ENTRY_OUT <= end, () => 'A listing ends inside an entry.');
        if (readU64(this.#memory, at) !== 0) this.#entry(at);
        at += ENTRY_OUT;
      }
      const length = u32[(at + 16) >> 2] ?? 0;
      must(length > 0 && length <= 255, () => `A name of ${length} bytes in a listing.`);
      must(at + direntSize(length) <= end, () => 'A listing ends inside a name.');
      const padding = at + direntSize(length);
      for (let i = at + 24; i < padding; i++) {
        const isName = i < at + 24 + length;
        const wrong = isName ? u8[i] === 0 || u8[i] === SLASH : u8[i] !== 0;
        must(!wrong, () => 'A name or its padding is malformed in a listing.');
      }
      at = padding;
    }
  }

  #silent(opcode: number, declared: number): void {
    const guest = this.#guest;
    const bodyAt = REQUEST + IN_HEADER;
    if (opcode === Opcode.DESTROY) {
      guest.end();
    } else if (opcode === Opcode.FORGET) {
      guest.forget(readU64(this.#memory, REQUEST + 16), readU64(this.#memory, bodyAt));
    } else if (opcode === Opcode.BATCH_FORGET) {
      const count = this.#memory.u32[bodyAt >> 2] ?? 0;
      const room = Math.floor((declared - IN_HEADER - 8) / 16);
      for (let i = 0; i < Math.min(count, room); i++) {
        const at = bodyAt + 8 + i * 16;
        guest.forget(readU64(this.#memory, at), readU64(this.#memory, at + 8));
      }
    }
  }
}

const TYPES: ReadonlySet<number> = new Set([
  ...[0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000],
]);

/** Compares what the daemon holds with what the guest was given. */
export function checkCounts(
  guest: Guest,
  entries: Iterable<{ readonly nodeid: number; readonly lookups: number }>,
): void {
  let count = 0;
  for (const { nodeid, lookups } of entries) {
    count++;
    const known = guest.lookups.get(nodeid);
    if (known !== lookups) {
      throw new Finding(
        `Node ${nodeid} has ${lookups} lookups; the guest was given ${known ?? 'none'}.`,
      );
    }
  }
  must(count === guest.lookups.size, () => {
    return `The tables have ${count} entries; the guest was given ${guest.lookups.size}.`;
  });
}
