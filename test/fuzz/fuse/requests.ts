/** Requests as a guest could send them, and as none would. */

import { Opcode } from '../../../daemon/fuse/opcodes';
import { IN_HEADER } from '../../../daemon/fuse/wire';
import { ROOT_NODEID } from '../../../daemon/tables/identity';
import type { Scratch } from '../../../native/index';
import { REQUEST, REQUEST_SIZE } from '../../../native/index';
import type { Random } from '../random';
import type { Guest, Handle } from './guest';

const TWO_TO_32 = 4294967296;
const LARGEST_BODY = REQUEST_SIZE - IN_HEADER;

const PLAIN = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'sub', 'deep', 'hard', 'mnt', 'file', 'new'];
const LINKS = ['out', 'outfile', 'outabs', 'outroot', 'outproc', 'outfd', 'loop', 'inside', 'up'];
const HOSTILE: readonly Uint8Array[] = [
  ...['', '.', '..', '...', '..a', '/', 'a/b', '../beside', '../beside/secret', '/etc/passwd'],
  ...['d/../../beside/new', './a', 'a/', 'out/secret', 'a\0b', '..\0', '\0', '\u00e4\u00f6', '\n'],
  ...['n'.repeat(255), 'n'.repeat(256), 'n'.repeat(4095), 'n'.repeat(4096), '/'.repeat(300)],
].map((text) => new TextEncoder().encode(text));
const NOT_UTF8 = new Uint8Array([0xff, 0xfe, 0x80, 0xc0]);
const ATTRIBUTES = [
  ...['user.a', 'user.b', 'user.', 'trusted.a', 'trusted.b', 'security.capability', 'security.x'],
  ...['system.posix_acl_access', 'system.posix_acl_default', 'system.', 'system.x', 'a', ''],
  ...[
    `user.${'n'.repeat(250)}`,
    `user.${'n'.repeat(251)}`,
    'user.virtiofs.a',
    'user..',
    'trusted.',
  ],
];
const OPEN_FLAGS = [
  ...[0, 1, 2, 3, 0o100, 0o200, 0o300, 0o1000, 0o2000, 0o2001, 0o4000, 0o10000, 0o40000, 0o200000],
  ...[0o400000, 0o1000000, 0o2000000, 0o10000000, 0o20000000, 0o20200000, 0x7fffffff, 0xffffffff],
];
const TYPES = [0o100000, 0o100000, 0o010000, 0o140000, 0o020000, 0o060000, 0o040000, 0o120000, 0];
const MODES = [0, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o200, 0xffffffff];
const IDS = [0, 0, 0, 0, 1, 1000, 65534, 0x7fffffff, 0xfffffffe, 0xffffffff];

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

/** What each is mostly asked of; the others of anything. */
const MEANT_FOR: ReadonlyMap<number, number> = new Map([
  ...[
    ...[Opcode.LOOKUP, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME, Opcode.RENAME2, Opcode.LINK],
    ...[Opcode.CREATE, Opcode.MKDIR, Opcode.MKNOD, Opcode.SYMLINK, Opcode.OPENDIR],
  ].map((opcode) => [opcode, S_IFDIR] as const),
  [Opcode.OPEN, S_IFREG],
  [Opcode.READLINK, S_IFLNK],
]);

/** How often each is asked for; what is not here comes once in a while, by number. */
const WEIGHTS: readonly (readonly [number, number])[] = [
  [Opcode.LOOKUP, 16],
  [Opcode.FORGET, 4],
  [Opcode.BATCH_FORGET, 2],
  [Opcode.GETATTR, 4],
  [Opcode.SETATTR, 7],
  [Opcode.READLINK, 3],
  [Opcode.SYMLINK, 4],
  [Opcode.MKNOD, 4],
  [Opcode.MKDIR, 4],
  [Opcode.UNLINK, 5],
  [Opcode.RMDIR, 3],
  [Opcode.RENAME, 4],
  [Opcode.RENAME2, 4],
  [Opcode.LINK, 4],
  [Opcode.OPEN, 9],
  [Opcode.READ, 6],
  [Opcode.WRITE, 5],
  [Opcode.STATFS, 1],
  [Opcode.RELEASE, 2],
  [Opcode.RELEASEDIR, 1],
  [Opcode.FSYNC, 1],
  [Opcode.FSYNCDIR, 1],
  [Opcode.SETXATTR, 4],
  [Opcode.GETXATTR, 4],
  [Opcode.LISTXATTR, 3],
  [Opcode.REMOVEXATTR, 2],
  [Opcode.FLUSH, 2],
  [Opcode.OPENDIR, 3],
  [Opcode.READDIR, 4],
  [Opcode.READDIRPLUS, 4],
  [Opcode.ACCESS, 2],
  [Opcode.CREATE, 8],
  [Opcode.INTERRUPT, 1],
  [Opcode.FALLOCATE, 3],
  [Opcode.LSEEK, 3],
  [Opcode.COPY_FILE_RANGE, 3],
  [Opcode.SYNCFS, 1],
];
const CHOICES: readonly number[] = WEIGHTS.flatMap(([opcode, weight]) =>
  new Array<number>(weight).fill(opcode),
);

export class Requests {
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #random: Random;
  readonly #guest: Guest;
  /** Where the next byte goes. */
  #at = 0;

  constructor(memory: Scratch, random: Random, guest: Guest) {
    this.#u8 = memory.u8;
    this.#u32 = memory.u32;
    this.#random = random;
    this.#guest = guest;
  }

  /** Writes the next request to the scratch. Returns the bytes that arrived. */
  next(): number {
    const random = this.#random;
    // Without a session, or without its root, all else is refused soon.
    const lost = !this.#guest.initialized || !this.#guest.lookups.has(ROOT_NODEID);
    if (random.once(lost ? 4 : 800)) return this.#init();
    if (random.once(2000)) {
      this.#begin(Opcode.DESTROY, 0);
      return this.#finish();
    }
    const opcode = random.once(40) ? random.below(70) : random.pick(CHOICES);
    let node = this.#node(MEANT_FOR.get(opcode));
    // The root is forgotten rarely, because little works afterwards.
    if (opcode === Opcode.FORGET && node === ROOT_NODEID && !random.once(50)) node = 2;
    this.#begin(opcode, node);
    this.#body(opcode);
    if (random.once(24)) this.#extensions();
    const size = this.#finish();
    return random.once(2) ? size : this.#mutated(size);
  }

  /** One with lookups, or a forget, that goes well unless the host has changed. */
  lookingUp(): number {
    const random = this.#random;
    const guest = this.#guest;
    if (!guest.initialized || !guest.lookups.has(ROOT_NODEID)) return this.plainInit();
    const opened = guest.handles.at(-1);
    const known = guest.nodes.length === 0 ? ROOT_NODEID : random.pick(guest.nodes);
    const choice = random.below(12);
    if (choice === 0) {
      this.#begin(Opcode.OPENDIR, random.once(2) ? ROOT_NODEID : known);
      this.#words(0, 0);
    } else if (choice < 3 && opened !== undefined) {
      this.#begin(Opcode.READDIRPLUS, opened[1]);
      this.#wide(opened[0]);
      this.#wide(0);
      this.#words(4096, 0, 0, 0, 0, 0);
    } else if (choice < 5 && known !== ROOT_NODEID) {
      this.#begin(Opcode.FORGET, known);
      this.#wide(1);
    } else {
      this.#begin(Opcode.LOOKUP, random.once(2) ? ROOT_NODEID : known);
      this.#string(random.pick(PLAIN));
    }
    return this.#finish();
  }

  /** An INIT that no daemon refuses. */
  plainInit(): number {
    this.#begin(Opcode.INIT, 0);
    this.#words(7, 38, 0x20000, 0x73fffffb, 0x5fd);
    for (let i = 0; i < 11; i++) this.#words(0);
    return this.#finish();
  }

  #init(): number {
    const random = this.#random;
    this.#begin(Opcode.INIT, 0);
    this.#words(
      random.once(8) ? random.edge() : 7,
      random.once(8) ? random.edge() : 38,
      0x20000,
      random.once(3) ? random.u32() : 0x73fffffb,
      random.once(3) ? random.u32() : 0x5fd,
    );
    for (let i = 0; i < 11; i++) this.#words(0);
    const size = this.#finish();
    return random.once(4) ? this.#mutated(size) : size;
  }

  #begin(opcode: number, nodeid: number): void {
    const random = this.#random;
    this.#at = REQUEST;
    this.#words(0, opcode);
    this.#wide((random.u32() & 0xfffffffe) >>> 0);
    this.#wide(nodeid);
    this.#words(random.pick(IDS), random.pick(IDS), 77, 0);
  }

  /** Sets the length to what was written. */
  #finish(): number {
    const size = this.#at - REQUEST;
    this.#u32[REQUEST >> 2] = size;
    return size;
  }

  #words(...values: readonly number[]): void {
    for (const value of values) {
      this.#u8[this.#at++] = value;
      this.#u8[this.#at++] = value >>> 8;
      this.#u8[this.#at++] = value >>> 16;
      this.#u8[this.#at++] = value >>> 24;
    }
  }

  #wide(value: number): void {
    this.#words(value >>> 0, (value / TWO_TO_32) >>> 0);
  }

  #bytes(bytes: Uint8Array): void {
    this.#u8.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #string(text: string): void {
    for (let i = 0; i < text.length; i++) this.#u8[this.#at++] = text.charCodeAt(i);
    this.#u8[this.#at++] = 0;
  }

  #name(): void {
    const random = this.#random;
    const choice = random.below(16);
    if (choice < 11) {
      this.#string(random.pick(PLAIN));
    } else if (choice < 13) {
      this.#string(random.pick(LINKS));
    } else {
      this.#bytes(choice === 13 ? NOT_UTF8 : random.pick(HOSTILE));
      this.#u8[this.#at++] = 0;
    }
  }

  #attribute(): void {
    this.#string(this.#random.pick(ATTRIBUTES));
  }

  /** @param type of the file that the operation is meant for, S_IFMT, or 0 */
  #node(type = 0): number {
    const random = this.#random;
    const { nodes, types } = this.#guest;
    const choice = random.below(32);
    if (choice < 6 || nodes.length === 0) return ROOT_NODEID;
    if (choice < 30) {
      let node = random.pick(nodes);
      const suits = (): boolean => (type === 0 ? types.has(node) : types.get(node) === type);
      for (let again = 0; again < 8 && !suits(); again++) node = random.pick(nodes);
      return node;
    }
    return random.pick([0, 2, 3, 0xffffffff, 2 ** 32, 2 ** 32 + 1, 2 ** 53, 2 ** 64 - 2048]);
  }

  /** An fh; its node mostly becomes the request's. */
  #handle(): void {
    const random = this.#random;
    const { handles } = this.#guest;
    if (handles.length === 0 || random.once(16)) {
      this.#wide(random.pick([0, 1, 0xffffffff, 2 ** 53, 2 ** 64 - 2048]));
      return;
    }
    const [fh, nodeid] = this.#opened(handles);
    if (!random.once(16)) {
      this.#u32[(REQUEST + 16) >> 2] = nodeid;
      this.#u32[(REQUEST + 20) >> 2] = (nodeid / TWO_TO_32) >>> 0;
    }
    this.#wide(fh);
  }

  /** Most of the time one that is still open. */
  #opened(handles: readonly Handle[]): Handle {
    let handle = this.#random.pick(handles);
    for (let again = 0; again < 4 && !this.#guest.open.has(handle[0]); again++) {
      handle = this.#random.pick(handles);
    }
    return handle;
  }

  #openFlags(): number {
    const random = this.#random;
    return random.once(2) ? random.below(3) : random.pick(OPEN_FLAGS) | random.pick(OPEN_FLAGS);
  }

  #offset(): void {
    const random = this.#random;
    const choice = random.below(10);
    if (choice < 6) this.#wide(random.pick([0, 0, 1, 7, 100, 4096, 5000, 65536]));
    else this.#words(random.edge(), choice < 9 ? 0 : random.edge());
  }

  #ioSize(): number {
    const random = this.#random;
    return random.once(20) ? random.edge() : random.pick([0, 1, 16, 100, 200, 512, 4096, 8192]);
  }

  #io(size: number): void {
    const random = this.#random;
    this.#handle();
    this.#offset();
    this.#words(size, random.once(2) ? 0 : random.below(8), 0, 0, random.pick(OPEN_FLAGS), 0);
  }

  #body(opcode: number): void {
    const random = this.#random;
    switch (opcode) {
      case Opcode.LOOKUP:
      case Opcode.UNLINK:
      case Opcode.RMDIR:
        this.#name();
        break;
      case Opcode.FORGET:
        this.#wide(random.once(8) ? random.edge() : 1);
        break;
      case Opcode.BATCH_FORGET: {
        const count = random.below(5);
        this.#words(random.once(6) ? random.edge() : count, 0);
        for (let i = 0; i < count; i++) {
          const node = this.#node();
          this.#wide(node === ROOT_NODEID && !random.once(50) ? 2 : node);
          this.#wide(random.once(8) ? random.edge() : 1);
        }
        break;
      }
      case Opcode.GETATTR:
        this.#words(random.below(2), 0);
        this.#handle();
        break;
      case Opcode.SETATTR:
        this.#words(random.once(3) ? random.u32() & 0xfff : 1 << random.below(12), 0);
        this.#handle();
        this.#offset();
        for (let i = 0; i < 8; i++) this.#words(random.once(4) ? random.edge() : 0);
        this.#words(random.pick([0, 1, 999999999, 1000000000, 0x3fffffff, 0x3ffffffe]));
        this.#words(random.edge(), 0, random.pick(TYPES) | random.pick(MODES), 0);
        this.#words(random.pick(IDS), random.pick(IDS), 0);
        break;
      case Opcode.SYMLINK:
        this.#name();
        this.#string(random.pick(['../beside', '/', 'a', '/proc/self/fd/3', 'x'.repeat(4096), '']));
        break;
      case Opcode.MKNOD:
        this.#words(random.pick(TYPES) | random.pick(MODES), random.edge(), random.edge(), 0);
        this.#name();
        break;
      case Opcode.MKDIR:
        this.#words(random.pick(MODES), random.edge());
        this.#name();
        break;
      case Opcode.RENAME:
        this.#wide(this.#node(S_IFDIR));
        this.#name();
        this.#name();
        break;
      case Opcode.RENAME2:
        this.#wide(this.#node(S_IFDIR));
        this.#words(random.pick([0, 1, 2, 3, 4, 5, 8, 0xffffffff]), 0);
        this.#name();
        this.#name();
        break;
      case Opcode.LINK:
        this.#wide(this.#node());
        this.#name();
        break;
      case Opcode.OPEN:
      case Opcode.OPENDIR:
        this.#words(this.#openFlags(), random.below(4));
        break;
      case Opcode.READ:
      case Opcode.READDIR:
      case Opcode.READDIRPLUS:
        this.#io(this.#ioSize());
        break;
      case Opcode.WRITE: {
        const size = random.once(200) ? 0x100000 : random.pick([0, 1, 16, 100, 4096]);
        this.#io(random.once(10) ? random.edge() : size);
        this.#at = Math.min(this.#at + size, REQUEST + REQUEST_SIZE);
        break;
      }
      case Opcode.RELEASE:
      case Opcode.RELEASEDIR:
      case Opcode.FLUSH:
        this.#handle();
        this.#words(random.edge(), random.below(4));
        this.#wide(0);
        break;
      case Opcode.FSYNC:
      case Opcode.FSYNCDIR:
        this.#handle();
        this.#words(random.below(3), 0);
        break;
      case Opcode.SETXATTR: {
        const size = random.pick([0, 1, 8, 20, 44, 1000]);
        this.#words(random.once(8) ? random.edge() : size, random.below(4));
        if (random.once(2)) this.#words(random.below(3), 0);
        this.#attribute();
        this.#at += size;
        break;
      }
      case Opcode.GETXATTR:
        this.#words(random.once(4) ? random.edge() : random.pick([0, 8, 64, 4096]), 0);
        this.#attribute();
        break;
      case Opcode.LISTXATTR:
        this.#words(random.once(4) ? random.edge() : random.pick([0, 8, 64, 4096]), 0);
        break;
      case Opcode.REMOVEXATTR:
        this.#attribute();
        break;
      case Opcode.ACCESS:
        this.#words(random.below(9), 0);
        break;
      case Opcode.CREATE:
        this.#words(this.#openFlags(), random.pick(MODES));
        this.#words(random.edge(), random.below(4));
        this.#name();
        break;
      case Opcode.INTERRUPT:
        this.#wide(random.u32());
        break;
      case Opcode.FALLOCATE:
        this.#handle();
        this.#offset();
        this.#offset();
        this.#words(random.once(4) ? random.edge() : random.below(0x80), 0);
        break;
      case Opcode.LSEEK:
        this.#handle();
        this.#offset();
        this.#words(random.once(8) ? random.edge() : random.below(6), 0);
        break;
      case Opcode.COPY_FILE_RANGE: {
        this.#handle();
        this.#offset();
        const { handles } = this.#guest;
        const [fh, nodeid] = handles.length === 0 ? [0, 1] : this.#opened(handles);
        this.#wide(nodeid);
        this.#wide(fh);
        this.#offset();
        this.#offset();
        this.#wide(random.once(8) ? random.edge() : 0);
        break;
      }
      case Opcode.SYNCFS:
        this.#wide(0);
        break;
      default:
        for (let i = random.below(24); i > 0; i--) this.#words(random.edge());
        break;
    }
  }

  /** Extension records (fuse_ext_header) behind the last name, well-formed or not. */
  #extensions(): void {
    const random = this.#random;
    const start = this.#at;
    for (let records = 1 + random.below(3); records > 0; records--) {
      if (random.once(2)) {
        const groups = random.pick([0, 1, 1, 2, 4, 59, 60, 61, 100]);
        const size = (12 + groups * 4 + 7) & ~7;
        this.#words(random.once(6) ? random.edge() : size, 32);
        this.#words(random.once(6) ? random.edge() : groups);
        for (let i = 0; i < groups; i++) this.#words(random.pick(IDS));
        if (groups % 2 === 0) this.#words(0);
      } else {
        // One security context: {size, pad} name value.
        const name = random.pick(['security.selinux', 'security.x', '', 'user.a']);
        const from = this.#at;
        this.#words(0, random.below(3), random.once(4) ? random.edge() : 5, 0);
        this.#string(name);
        this.#string('value');
        while ((this.#at - from) % 8 !== 0) this.#u8[this.#at++] = 0;
        const size = random.once(6) ? random.edge() : this.#at - from;
        for (let i = 0; i < 4; i++) this.#u8[from + i] = size >>> (8 * i);
      }
    }
    const units = random.once(6) ? random.edge() : (this.#at - start) >> 3;
    this.#u8[REQUEST + 36] = units;
    this.#u8[REQUEST + 37] = units >>> 8;
  }

  /** Breaks the request that stands there. Returns the bytes that arrive of it. */
  #mutated(size: number): number {
    const random = this.#random;
    let received = size;
    for (let times = 1 + random.below(3); times > 0; times--) {
      const body = received - IN_HEADER;
      switch (random.below(12)) {
        case 0:
          // The header lies about the length.
          this.#u32[REQUEST >> 2] = random.once(2)
            ? random.edge()
            : received + random.below(17) - 8;
          break;
        case 1:
          // Less arrives than was said.
          received = random.below(received + 1);
          break;
        case 2:
          // Cut off, and the header knows.
          received = IN_HEADER + random.below(Math.max(1, body));
          this.#u32[REQUEST >> 2] = received;
          break;
        case 3: {
          // More than belongs there.
          const more = random.pick([1, 4, 8, 16, 100, 4096]);
          if (received < IN_HEADER || received + more > LARGEST_BODY) break;
          for (let i = 0; i < Math.min(more, 16); i++) {
            this.#u8[REQUEST + received + i] = random.u32();
          }
          received += more;
          this.#u32[REQUEST >> 2] = received;
          break;
        }
        case 4:
          this.#u32[(REQUEST + 4) >> 2] = random.once(4) ? random.edge() : random.pick(CHOICES);
          break;
        case 5:
          this.#u32[(REQUEST + 16) >> 2] = random.once(2) ? random.edge() : this.#node();
          this.#u32[(REQUEST + 20) >> 2] = random.once(4) ? random.edge() : 0;
          break;
        case 6:
          // uid, gid, pid, extensions.
          this.#u32[(REQUEST + 24 + 4 * random.below(4)) >> 2] = random.edge();
          break;
        case 7:
        case 8:
          if (body >= 4) {
            this.#u32[(REQUEST + IN_HEADER + 4 * random.below(Math.min(body, 128) >> 2)) >> 2] =
              random.edge();
          }
          break;
        case 9:
        case 10:
          if (body > 0) {
            const at = REQUEST + IN_HEADER + random.below(Math.min(body, 600));
            this.#u8[at] = random.once(3) ? 0 : (this.#u8[at] ?? 0) ^ (1 << random.below(8));
          }
          break;
        default:
          if (body > 0) {
            const at = REQUEST + IN_HEADER + random.below(Math.min(body, 100));
            const end = Math.min(at + random.below(24), REQUEST + received);
            for (let i = at; i < end; i++) this.#u8[i] = random.u32();
          }
          break;
      }
    }
    return received;
  }
}
