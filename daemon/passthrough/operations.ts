/** Which operation answers which opcode. */

import { Opcode } from '../fuse/opcodes';
import {
  access,
  batchForget,
  forget,
  getattr,
  lookup,
  readlink,
  setattr,
  statfs,
} from './attributes';
import type { Operation } from './context';
import { NO_REPLY } from './context';
import { readdir, readdirplus } from './directories';
import {
  copyFileRange,
  fallocate,
  flush,
  fsync,
  lseek,
  open,
  opendir,
  read,
  release,
  syncfs,
  write,
} from './files';
import { create, link, mkdir, mknod, rename, rename2, rmdir, symlink, unlink } from './names';
import { destroy } from './session';
import { getxattr, listxattr, removexattr, setxattr } from './xattr';

/** Requests are handled one after another, so the one to interrupt is done. */
function interrupt(): number {
  return NO_REPLY;
}

const OPERATIONS: readonly (readonly [number, Operation])[] = [
  [Opcode.LOOKUP, lookup],
  [Opcode.FORGET, forget],
  [Opcode.BATCH_FORGET, batchForget],
  [Opcode.GETATTR, getattr],
  [Opcode.SETATTR, setattr],
  [Opcode.READLINK, readlink],
  [Opcode.SYMLINK, symlink],
  [Opcode.MKNOD, mknod],
  [Opcode.MKDIR, mkdir],
  [Opcode.UNLINK, unlink],
  [Opcode.RMDIR, rmdir],
  [Opcode.RENAME, rename],
  [Opcode.RENAME2, rename2],
  [Opcode.LINK, link],
  [Opcode.OPEN, open],
  [Opcode.OPENDIR, opendir],
  [Opcode.READ, read],
  [Opcode.WRITE, write],
  [Opcode.STATFS, statfs],
  [Opcode.RELEASE, release],
  [Opcode.RELEASEDIR, release],
  [Opcode.FSYNC, fsync],
  [Opcode.FSYNCDIR, fsync],
  [Opcode.SETXATTR, setxattr],
  [Opcode.GETXATTR, getxattr],
  [Opcode.LISTXATTR, listxattr],
  [Opcode.REMOVEXATTR, removexattr],
  [Opcode.FLUSH, flush],
  [Opcode.READDIR, readdir],
  [Opcode.READDIRPLUS, readdirplus],
  [Opcode.ACCESS, access],
  [Opcode.CREATE, create],
  [Opcode.INTERRUPT, interrupt],
  [Opcode.DESTROY, destroy],
  [Opcode.FALLOCATE, fallocate],
  [Opcode.LSEEK, lseek],
  [Opcode.COPY_FILE_RANGE, copyFileRange],
  [Opcode.SYNCFS, syncfs],
];

/** By opcode; INIT is answered by the file system itself. */
export const OPERATION_OF: readonly (Operation | undefined)[] = byOpcode();

function byOpcode(): (Operation | undefined)[] {
  const table = new Array<Operation | undefined>(64).fill(undefined);
  for (const [opcode, operation] of OPERATIONS) table[opcode] = operation;
  return table;
}

/** These are never answered, not even with an error. */
export function isSilent(opcode: number): boolean {
  return (
    opcode === Opcode.FORGET ||
    opcode === Opcode.BATCH_FORGET ||
    opcode === Opcode.INTERRUPT ||
    opcode === Opcode.DESTROY
  );
}
