/** Request types of linux/fuse.h that virtiofsd answers; everything else gets ENOSYS. */
export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
} as const;

/**
 * Bytes of the fixed part of each request's body, by opcode; -1 for an opcode that is not answered.
 * A body that is shorter is malformed. RENAME and CREATE are followed by names, checked apart.
 */
export const BODY_SIZE: Int16Array = bodySizes();

function bodySizes(): Int16Array {
  const sizes = new Int16Array(64).fill(-1);
  const known: readonly (readonly [number, number])[] = [
    [Opcode.LOOKUP, 0],
    [Opcode.FORGET, 8],
    [Opcode.GETATTR, 16],
    [Opcode.SETATTR, 88],
    [Opcode.READLINK, 0],
    [Opcode.SYMLINK, 0],
    [Opcode.MKNOD, 16],
    [Opcode.MKDIR, 8],
    [Opcode.UNLINK, 0],
    [Opcode.RMDIR, 0],
    [Opcode.RENAME, 8],
    [Opcode.LINK, 8],
    [Opcode.OPEN, 8],
    [Opcode.READ, 40],
    [Opcode.WRITE, 40],
    [Opcode.STATFS, 0],
    [Opcode.RELEASE, 24],
    [Opcode.FSYNC, 16],
    [Opcode.SETXATTR, 8],
    [Opcode.GETXATTR, 8],
    [Opcode.LISTXATTR, 8],
    [Opcode.REMOVEXATTR, 0],
    [Opcode.FLUSH, 24],
    [Opcode.INIT, 16],
    [Opcode.OPENDIR, 8],
    [Opcode.READDIR, 40],
    [Opcode.RELEASEDIR, 24],
    [Opcode.FSYNCDIR, 16],
    [Opcode.ACCESS, 8],
    [Opcode.CREATE, 16],
    [Opcode.INTERRUPT, 8],
    [Opcode.DESTROY, 0],
    [Opcode.BATCH_FORGET, 8],
    [Opcode.FALLOCATE, 32],
    [Opcode.READDIRPLUS, 40],
    [Opcode.RENAME2, 16],
    [Opcode.LSEEK, 24],
    [Opcode.COPY_FILE_RANGE, 56],
    [Opcode.SYNCFS, 8],
  ];
  for (const [opcode, size] of known) sizes[opcode] = size;
  return sizes;
}

/** FUSE_SETATTR's `valid` bits that the daemon looks at by itself. */
export const SETATTR_UID = 1 << 1;
export const SETATTR_GID = 1 << 2;
export const SETATTR_SIZE = 1 << 3;
export const SETATTR_FH = 1 << 6;
export const SETATTR_KILL_SUIDGID = 1 << 11;

/** FOPEN_* bits of an open's answer. */
export const FOPEN_DIRECT_IO = 1;
export const FOPEN_KEEP_CACHE = 2;
export const FOPEN_CACHE_DIR = 8;

/** FUSE_WRITE_CACHE: a page-cache writeback, whose offset is meant even in O_APPEND files. */
export const WRITE_CACHE = 1;

/** The host is to take set-user-id and set-group-id bits off (FUSE_HANDLE_KILLPRIV_V2). */
export const WRITE_KILL_SUIDGID = 1 << 2;
export const OPEN_KILL_SUIDGID = 1;

/** FUSE_SETXATTR_ACL_KILL_SGID: the ACL that is set takes the set-group-id bit away. */
export const SETXATTR_ACL_KILL_SGID = 1;

/** FUSE_GETATTR's and attr's flags. */
export const ATTR_SUBMOUNT = 1;

/** Each operation's name by its opcode. */
export const OPERATION_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Opcode).map(([name, opcode]) => [opcode, name]),
);

/** The opcodes of an operation, none when there is no such; RENAME includes RENAME2. */
export function opcodesOf(name: string): number[] {
  const found = Object.entries(Opcode).filter(
    ([known]) => known === name || (name === 'RENAME' && known === 'RENAME2'),
  );
  return found.map(([, opcode]) => opcode);
}
