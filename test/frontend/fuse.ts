/**
 * FUSE requests and replies as values (linux/fuse.h), the guest kernel's side. An encoder of its
 * own, so that a mistake in the daemon's codec does not hide behind itself.
 */

import { Opcode } from '../../daemon/fuse/opcodes';

/** Bytes, or text to be sent as UTF-8. */
export type Name = string | Uint8Array;

/** A request and how to read its answer. */
export interface Call<T> {
  readonly opcode: number;
  readonly nodeid: bigint;
  readonly body: Uint8Array;
  /** Bytes that the answer may have beside fuse_out_header; null: no answer is expected. */
  readonly room: number | null;
  readonly decode: (body: Uint8Array) => T;
  /** Bytes at the end of the body that are extensions. */
  readonly extension?: number;
}

// --- replies --------------------------------------------------------------------------------------

export interface Attr {
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
  readonly atimensec: number;
  readonly mtimensec: number;
  readonly ctimensec: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly flags: number;
}

export interface AttrReply {
  readonly attrValid: bigint;
  readonly attrValidNsec: number;
  readonly attr: Attr;
}

export interface Entry {
  readonly nodeid: bigint;
  readonly generation: bigint;
  readonly entryValid: bigint;
  readonly attrValid: bigint;
  readonly entryValidNsec: number;
  readonly attrValidNsec: number;
  readonly attr: Attr;
}

export interface Opened {
  readonly fh: bigint;
  readonly openFlags: number;
}

export interface Created {
  readonly entry: Entry;
  readonly open: Opened;
}

export interface Dirent {
  readonly ino: bigint;
  readonly off: bigint;
  readonly type: number;
  readonly name: Buffer;
}

export interface DirentPlus extends Dirent {
  readonly entry: Entry;
}

export interface InitReply {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  /** flags and flags2 as one 64-bit set. */
  readonly flags: bigint;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly maxWrite: number;
  readonly timeGran: number;
  readonly maxPages: number;
  readonly mapAlignment: number;
}

export interface StatfsReply {
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
  readonly bsize: number;
  readonly namelen: number;
  readonly frsize: number;
}

const ATTR = 88;
const ENTRY = 128;
const DIRENT = 24;

function viewOf(body: Uint8Array, least: number): DataView {
  if (body.length < least)
    throw new Error(`A reply of ${body.length} bytes where ${least} belong.`);
  return new DataView(body.buffer, body.byteOffset, body.length);
}

function exactly(body: Uint8Array, size: number): DataView {
  if (body.length !== size)
    throw new Error(`A reply of ${body.length} bytes where ${size} belong.`);
  return viewOf(body, size);
}

function attrAt(view: DataView, at: number): Attr {
  return {
    ino: view.getBigUint64(at, true),
    size: view.getBigUint64(at + 8, true),
    blocks: view.getBigUint64(at + 16, true),
    atime: view.getBigInt64(at + 24, true),
    mtime: view.getBigInt64(at + 32, true),
    ctime: view.getBigInt64(at + 40, true),
    atimensec: view.getUint32(at + 48, true),
    mtimensec: view.getUint32(at + 52, true),
    ctimensec: view.getUint32(at + 56, true),
    mode: view.getUint32(at + 60, true),
    nlink: view.getUint32(at + 64, true),
    uid: view.getUint32(at + 68, true),
    gid: view.getUint32(at + 72, true),
    rdev: view.getUint32(at + 76, true),
    blksize: view.getUint32(at + 80, true),
    flags: view.getUint32(at + 84, true),
  };
}

function entryAt(view: DataView, at: number): Entry {
  return {
    nodeid: view.getBigUint64(at, true),
    generation: view.getBigUint64(at + 8, true),
    entryValid: view.getBigUint64(at + 16, true),
    attrValid: view.getBigUint64(at + 24, true),
    entryValidNsec: view.getUint32(at + 32, true),
    attrValidNsec: view.getUint32(at + 36, true),
    attr: attrAt(view, at + 40),
  };
}

function openedAt(view: DataView, at: number): Opened {
  return { fh: view.getBigUint64(at, true), openFlags: view.getUint32(at + 8, true) };
}

const decodeEntry = (body: Uint8Array): Entry => entryAt(exactly(body, ENTRY), 0);
const decodeOpened = (body: Uint8Array): Opened => openedAt(exactly(body, 16), 0);

function decodeAttr(body: Uint8Array): AttrReply {
  const view = exactly(body, 16 + ATTR);
  return {
    attrValid: view.getBigUint64(0, true),
    attrValidNsec: view.getUint32(8, true),
    attr: attrAt(view, 16),
  };
}

function decodeCreated(body: Uint8Array): Created {
  const view = exactly(body, ENTRY + 16);
  return { entry: entryAt(view, 0), open: openedAt(view, ENTRY) };
}

function decodeNothing(body: Uint8Array): void {
  if (body.length !== 0) throw new Error(`A reply of ${body.length} bytes where none belong.`);
}

const decodeBytes = (body: Uint8Array): Buffer => Buffer.from(body);

function decodeWritten(body: Uint8Array): number {
  return exactly(body, 8).getUint32(0, true);
}

function decodeInit(body: Uint8Array): InitReply {
  const view = exactly(body, 64);
  return {
    major: view.getUint32(0, true),
    minor: view.getUint32(4, true),
    maxReadahead: view.getUint32(8, true),
    flags: BigInt(view.getUint32(12, true)) | (BigInt(view.getUint32(32, true)) << 32n),
    maxBackground: view.getUint16(16, true),
    congestionThreshold: view.getUint16(18, true),
    maxWrite: view.getUint32(20, true),
    timeGran: view.getUint32(24, true),
    maxPages: view.getUint16(28, true),
    mapAlignment: view.getUint16(30, true),
  };
}

function decodeStatfs(body: Uint8Array): StatfsReply {
  const view = exactly(body, 80);
  return {
    blocks: view.getBigUint64(0, true),
    bfree: view.getBigUint64(8, true),
    bavail: view.getBigUint64(16, true),
    files: view.getBigUint64(24, true),
    ffree: view.getBigUint64(32, true),
    bsize: view.getUint32(40, true),
    namelen: view.getUint32(44, true),
    frsize: view.getUint32(48, true),
  };
}

/** What the kernel's parse_dirfile checks: whole entries, names without "/", none empty. */
function decodeEntries<T>(
  body: Uint8Array,
  before: number,
  make: (view: DataView, at: number, dirent: Dirent) => T,
): T[] {
  const view = viewOf(body, 0);
  const found: T[] = [];
  for (let at = 0; at < body.length;) {
    const dirent = at + before;
    if (dirent + DIRENT > body.length) throw new Error(`A cut directory entry at ${at}.`);
    const length = view.getUint32(dirent + 16, true);
    const end = dirent + DIRENT + length;
    const next = dirent + ((DIRENT + length + 7) & ~7);
    if (next > body.length) throw new Error(`A cut directory entry at ${at}.`);
    const name = Buffer.from(body.slice(dirent + DIRENT, end));
    if (length === 0 || name.includes('/')) throw new Error(`A bad name at ${at}.`);
    if (body.subarray(end, next).some((byte) => byte !== 0)) throw new Error(`Padding at ${end}.`);
    found.push(
      make(view, at, {
        ino: view.getBigUint64(dirent, true),
        off: view.getBigUint64(dirent + 8, true),
        type: view.getUint32(dirent + 20, true),
        name,
      }),
    );
    at = next;
  }
  return found;
}

const decodeDirents = (body: Uint8Array): Dirent[] =>
  decodeEntries(body, 0, (_view, _at, dirent) => dirent);

const decodeDirentsPlus = (body: Uint8Array): DirentPlus[] =>
  decodeEntries(body, ENTRY, (view, at, dirent) => ({ ...dirent, entry: entryAt(view, at) }));

// --- requests -------------------------------------------------------------------------------------

type Field = readonly ['u16' | 'u32' | 'u64' | 'i64', number | bigint];

const WIDTH = { u16: 2, u32: 4, u64: 8, i64: 8 } as const;

const u32 = (value: number): Field => ['u32', value];
const u64 = (value: number | bigint): Field => ['u64', value];

/** Fields one after the other, as FUSE's structs are: without holes. */
export function struct(...fields: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, [type]) => sum + WIDTH[type], 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [type, value] of fields) {
    if (type === 'u16') view.setUint16(at, Number(value), true);
    else if (type === 'u32') view.setUint32(at, Number(value), true);
    else view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    at += WIDTH[type];
  }
  return bytes;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export const bytesOf = (name: Name): Uint8Array =>
  typeof name === 'string' ? new TextEncoder().encode(name) : name;

/** Each name with its NUL. */
export function names(...given: readonly Name[]): Uint8Array {
  return concat(...given.flatMap((name) => [bytesOf(name), new Uint8Array(1)]));
}

/** FUSE_SETATTR's `valid` bits. */
export const SetattrBit = {
  MODE: 1,
  UID: 2,
  GID: 4,
  SIZE: 8,
  ATIME: 0x10,
  MTIME: 0x20,
  FH: 0x40,
  ATIME_NOW: 0x80,
  MTIME_NOW: 0x100,
  LOCKOWNER: 0x200,
  CTIME: 0x400,
  KILL_SUIDGID: 0x800,
} as const;

/** What to change; only what is there is asked for. */
export interface Changes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number | bigint;
  readonly atime?: readonly [seconds: bigint, nanoseconds: number] | 'now';
  readonly mtime?: readonly [seconds: bigint, nanoseconds: number] | 'now';
  readonly fh?: bigint;
  /** Further bits of `valid`. */
  readonly valid?: number;
}

function setattrBody(changes: Changes): Uint8Array {
  const { mode, uid, gid, size, atime, mtime, fh } = changes;
  let valid = changes.valid ?? 0;
  if (mode !== undefined) valid |= SetattrBit.MODE;
  if (uid !== undefined) valid |= SetattrBit.UID;
  if (gid !== undefined) valid |= SetattrBit.GID;
  if (size !== undefined) valid |= SetattrBit.SIZE;
  if (fh !== undefined) valid |= SetattrBit.FH;
  if (atime !== undefined) valid |= SetattrBit.ATIME | (atime === 'now' ? SetattrBit.ATIME_NOW : 0);
  if (mtime !== undefined) valid |= SetattrBit.MTIME | (mtime === 'now' ? SetattrBit.MTIME_NOW : 0);
  const at = atime === undefined || atime === 'now' ? ([0n, 0] as const) : atime;
  const mt = mtime === undefined || mtime === 'now' ? ([0n, 0] as const) : mtime;
  return struct(
    u32(valid),
    u32(0),
    u64(fh ?? 0n),
    u64(size ?? 0n),
    u64(0), // lock_owner
    u64(at[0]),
    u64(mt[0]),
    u64(0), // ctime
    u32(at[1]),
    u32(mt[1]),
    u32(0),
    u32(mode ?? 0),
    u32(0),
    u32(uid ?? 0),
    u32(gid ?? 0),
    u32(0),
  );
}

/** What a 6.12 guest offers in FUSE_INIT. */
export const GUEST_6_12 = { minor: 41, flags: 0x1ff_7bff_fffbn } as const;
/** What a 6.1 guest offers. */
export const GUEST_6_1 = { minor: 38, flags: 0xb_7bff_fffbn } as const;

export interface InitRequest {
  readonly major?: number;
  readonly minor?: number;
  readonly maxReadahead?: number;
  readonly flags?: bigint;
  /** Bytes of the body; kernels before INIT_EXT sent 16. */
  readonly length?: number;
}

const GROUPS = 32;

/** FUSE_CREATE_SUPP_GROUP's extension. */
export function groupsExtension(groups: readonly number[]): Uint8Array {
  const size = (8 + 4 + 4 * groups.length + 7) & ~7;
  const bytes = new Uint8Array(size);
  bytes.set(struct(u32(size), u32(GROUPS), u32(groups.length), ...groups.map(u32)));
  return bytes;
}

/** FUSE_SECURITY_CTX's extension with one context. */
export function securityExtension(name: Name, value: Uint8Array): Uint8Array {
  const content = concat(struct(u32(value.length), u32(0)), names(name), value);
  const size = (8 + content.length + 7) & ~7;
  const bytes = new Uint8Array(size);
  bytes.set(concat(struct(u32(size), u32(1)), content));
  return bytes;
}

const NOTHING = new Uint8Array(0);

export interface CreateOptions {
  readonly umask?: number;
  readonly openFlags?: number;
  readonly extension?: Uint8Array;
}

function withExtension<T>(call: Call<T>, extension: Uint8Array | undefined): Call<T> {
  if (extension === undefined) return call;
  return { ...call, body: concat(call.body, extension), extension: extension.length };
}

function simple<T>(
  opcode: number,
  nodeid: bigint,
  body: Uint8Array,
  room: number,
  decode: (reply: Uint8Array) => T,
): Call<T> {
  return { opcode, nodeid, body, room, decode };
}

function silent(opcode: number, nodeid: bigint, body: Uint8Array): Call<void> {
  return { opcode, nodeid, body, room: null, decode: decodeNothing };
}

function readBody(fh: bigint, offset: number | bigint, size: number, flags: number): Uint8Array {
  return struct(u64(fh), u64(offset), u32(size), u32(0), u64(0), u32(flags), u32(0));
}

/** One function for each request: arguments in, `Call` out. */
export const requests = {
  init: (given: InitRequest = {}): Call<InitReply> => {
    const flags = given.flags ?? GUEST_6_12.flags;
    const body = struct(
      u32(given.major ?? 7),
      u32(given.minor ?? GUEST_6_12.minor),
      u32(given.maxReadahead ?? 0x20000),
      u32(Number(flags & 0xffff_ffffn)),
      u32(Number(flags >> 32n)),
      ...Array.from({ length: 11 }, () => u32(0)),
    );
    return simple(Opcode.INIT, 0n, body.subarray(0, given.length ?? 64), 64, decodeInit);
  },
  destroy: () => simple(Opcode.DESTROY, 0n, NOTHING, 0, decodeNothing),
  lookup: (parent: bigint, name: Name) =>
    simple(Opcode.LOOKUP, parent, names(name), ENTRY, decodeEntry),
  forget: (nodeid: bigint, nlookup: number | bigint) =>
    silent(Opcode.FORGET, nodeid, struct(u64(nlookup))),
  batchForget: (items: readonly (readonly [nodeid: bigint, nlookup: number | bigint])[]) =>
    silent(
      Opcode.BATCH_FORGET,
      0n,
      concat(
        struct(u32(items.length), u32(0)),
        ...items.map(([nodeid, nlookup]) => struct(u64(nodeid), u64(nlookup))),
      ),
    ),
  interrupt: (unique: bigint) => silent(Opcode.INTERRUPT, 0n, struct(u64(unique))),
  getattr: (nodeid: bigint, fh?: bigint) =>
    simple(
      Opcode.GETATTR,
      nodeid,
      struct(u32(fh === undefined ? 0 : 1), u32(0), u64(fh ?? 0n)),
      16 + ATTR,
      decodeAttr,
    ),
  setattr: (nodeid: bigint, changes: Changes) =>
    simple(Opcode.SETATTR, nodeid, setattrBody(changes), 16 + ATTR, decodeAttr),
  readlink: (nodeid: bigint, room = 4096) =>
    simple(Opcode.READLINK, nodeid, NOTHING, room, decodeBytes),
  symlink: (parent: bigint, name: Name, target: Name, extension?: Uint8Array) =>
    withExtension(
      simple(Opcode.SYMLINK, parent, names(name, target), ENTRY, decodeEntry),
      extension,
    ),
  mknod: (parent: bigint, name: Name, mode: number, rdev = 0, options: CreateOptions = {}) =>
    withExtension(
      simple(
        Opcode.MKNOD,
        parent,
        concat(struct(u32(mode), u32(rdev), u32(options.umask ?? 0), u32(0)), names(name)),
        ENTRY,
        decodeEntry,
      ),
      options.extension,
    ),
  mkdir: (parent: bigint, name: Name, mode: number, options: CreateOptions = {}) =>
    withExtension(
      simple(
        Opcode.MKDIR,
        parent,
        concat(struct(u32(mode), u32(options.umask ?? 0)), names(name)),
        ENTRY,
        decodeEntry,
      ),
      options.extension,
    ),
  unlink: (parent: bigint, name: Name) =>
    simple(Opcode.UNLINK, parent, names(name), 0, decodeNothing),
  rmdir: (parent: bigint, name: Name) =>
    simple(Opcode.RMDIR, parent, names(name), 0, decodeNothing),
  rename: (parent: bigint, name: Name, newParent: bigint, newName: Name) =>
    simple(
      Opcode.RENAME,
      parent,
      concat(struct(u64(newParent)), names(name, newName)),
      0,
      decodeNothing,
    ),
  rename2: (parent: bigint, name: Name, newParent: bigint, newName: Name, flags: number) =>
    simple(
      Opcode.RENAME2,
      parent,
      concat(struct(u64(newParent), u32(flags), u32(0)), names(name, newName)),
      0,
      decodeNothing,
    ),
  link: (nodeid: bigint, newParent: bigint, newName: Name) =>
    simple(Opcode.LINK, newParent, concat(struct(u64(nodeid)), names(newName)), ENTRY, decodeEntry),
  open: (nodeid: bigint, flags: number, openFlags = 0) =>
    simple(Opcode.OPEN, nodeid, struct(u32(flags), u32(openFlags)), 16, decodeOpened),
  opendir: (nodeid: bigint, flags = 0) =>
    simple(Opcode.OPENDIR, nodeid, struct(u32(flags), u32(0)), 16, decodeOpened),
  read: (nodeid: bigint, fh: bigint, offset: number | bigint, size: number, flags = 0) =>
    simple(Opcode.READ, nodeid, readBody(fh, offset, size, flags), size, decodeBytes),
  write: (
    nodeid: bigint,
    fh: bigint,
    offset: number | bigint,
    data: Name,
    { flags = 0, writeFlags = 0, size = bytesOf(data).length } = {},
  ) =>
    simple(
      Opcode.WRITE,
      nodeid,
      concat(
        struct(u64(fh), u64(offset), u32(size), u32(writeFlags), u64(0), u32(flags), u32(0)),
        bytesOf(data),
      ),
      8,
      decodeWritten,
    ),
  statfs: (nodeid: bigint) => simple(Opcode.STATFS, nodeid, NOTHING, 80, decodeStatfs),
  release: (nodeid: bigint, fh: bigint, flags = 0) =>
    simple(Opcode.RELEASE, nodeid, struct(u64(fh), u32(flags), u32(0), u64(0)), 0, decodeNothing),
  releasedir: (nodeid: bigint, fh: bigint) =>
    simple(Opcode.RELEASEDIR, nodeid, struct(u64(fh), u32(0), u32(0), u64(0)), 0, decodeNothing),
  fsync: (nodeid: bigint, fh: bigint, flags = 0) =>
    simple(Opcode.FSYNC, nodeid, struct(u64(fh), u32(flags), u32(0)), 0, decodeNothing),
  fsyncdir: (nodeid: bigint, fh: bigint, flags = 0) =>
    simple(Opcode.FSYNCDIR, nodeid, struct(u64(fh), u32(flags), u32(0)), 0, decodeNothing),
  flush: (nodeid: bigint, fh: bigint) =>
    simple(Opcode.FLUSH, nodeid, struct(u64(fh), u64(0), u64(0)), 0, decodeNothing),
  setxattr: (nodeid: bigint, name: Name, value: Uint8Array, flags = 0) =>
    simple(
      Opcode.SETXATTR,
      nodeid,
      concat(struct(u32(value.length), u32(flags)), names(name), value),
      0,
      decodeNothing,
    ),
  /** The 16-byte body of FUSE_SETXATTR_EXT. */
  setxattrExt: (nodeid: bigint, name: Name, value: Uint8Array, flags = 0, setxattrFlags = 0) =>
    simple(
      Opcode.SETXATTR,
      nodeid,
      concat(struct(u32(value.length), u32(flags), u32(setxattrFlags), u32(0)), names(name), value),
      0,
      decodeNothing,
    ),
  /** Size 0 asks for the length: the answer then is fuse_getxattr_out. */
  getxattr: (nodeid: bigint, name: Name, size: number) =>
    simple(
      Opcode.GETXATTR,
      nodeid,
      concat(struct(u32(size), u32(0)), names(name)),
      Math.max(size, 8),
      decodeBytes,
    ),
  listxattr: (nodeid: bigint, size: number) =>
    simple(Opcode.LISTXATTR, nodeid, struct(u32(size), u32(0)), Math.max(size, 8), decodeBytes),
  removexattr: (nodeid: bigint, name: Name) =>
    simple(Opcode.REMOVEXATTR, nodeid, names(name), 0, decodeNothing),
  readdir: (nodeid: bigint, fh: bigint, offset: number | bigint, size: number) =>
    simple(Opcode.READDIR, nodeid, readBody(fh, offset, size, 0), size, decodeDirents),
  readdirplus: (nodeid: bigint, fh: bigint, offset: number | bigint, size: number) =>
    simple(Opcode.READDIRPLUS, nodeid, readBody(fh, offset, size, 0), size, decodeDirentsPlus),
  access: (nodeid: bigint, mask: number) =>
    simple(Opcode.ACCESS, nodeid, struct(u32(mask), u32(0)), 0, decodeNothing),
  create: (parent: bigint, name: Name, flags: number, mode: number, options: CreateOptions = {}) =>
    withExtension(
      simple(
        Opcode.CREATE,
        parent,
        concat(
          struct(u32(flags), u32(mode), u32(options.umask ?? 0), u32(options.openFlags ?? 0)),
          names(name),
        ),
        ENTRY + 16,
        decodeCreated,
      ),
      options.extension,
    ),
  fallocate: (
    nodeid: bigint,
    fh: bigint,
    offset: number | bigint,
    length: number | bigint,
    mode = 0,
  ) =>
    simple(
      Opcode.FALLOCATE,
      nodeid,
      struct(u64(fh), u64(offset), u64(length), u32(mode), u32(0)),
      0,
      decodeNothing,
    ),
  lseek: (nodeid: bigint, fh: bigint, offset: number | bigint, whence: number) =>
    simple(
      Opcode.LSEEK,
      nodeid,
      struct(u64(fh), u64(offset), u32(whence), u32(0)),
      8,
      (body): bigint => exactly(body, 8).getBigUint64(0, true),
    ),
  copyFileRange: (
    from: { readonly nodeid: bigint; readonly fh: bigint; readonly offset: number | bigint },
    to: { readonly nodeid: bigint; readonly fh: bigint; readonly offset: number | bigint },
    length: number | bigint,
    flags = 0,
  ) =>
    simple(
      Opcode.COPY_FILE_RANGE,
      from.nodeid,
      struct(
        u64(from.fh),
        u64(from.offset),
        u64(to.nodeid),
        u64(to.fh),
        u64(to.offset),
        u64(length),
        u64(flags),
      ),
      8,
      decodeWritten,
    ),
  syncfs: (nodeid: bigint) => simple(Opcode.SYNCFS, nodeid, struct(u64(0)), 0, decodeNothing),
  /** Any opcode with any body. */
  raw: (opcode: number, nodeid: bigint, body: Uint8Array, room = 4096) =>
    simple(opcode, nodeid, body, room, decodeBytes),
} as const;
