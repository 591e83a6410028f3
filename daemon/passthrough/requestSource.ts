/** What a debugger's gate asks about the request at hand. */

import { REQUEST, SLOT_THIRD } from '../../native/index';
import { stringLength } from '../fuse/names';
import { Opcode } from '../fuse/opcodes';
import { IN_GID, IN_OPCODE, IN_PID, IN_UID, readU64 } from '../fuse/wire';
import type { RequestFacts, RequestSource } from '../tables/gate';
import type { Nodeid } from '../tables/identity';
import { NO_NODEID } from '../tables/identity';
import type { Context } from './context';
import { hold } from './holding';
import { usedFds } from './lookup';
import { describe } from './references';

/** Where the name stands in the body, by opcode. */
const NAME_AT: ReadonlyMap<number, number> = new Map([
  [Opcode.LOOKUP, 0],
  [Opcode.SYMLINK, 0],
  [Opcode.MKNOD, 16],
  [Opcode.MKDIR, 8],
  [Opcode.UNLINK, 0],
  [Opcode.RMDIR, 0],
  [Opcode.RENAME, 8],
  [Opcode.RENAME2, 16],
  [Opcode.LINK, 8],
  [Opcode.CREATE, 16],
]);

const SLASH = 0x2f;

export function requestSource(context: Context, rootFd: number): RequestSource {
  const { memory, native } = context;
  const { i32, u32, u8 } = memory;
  const root = pathOfRoot(context, rootFd);
  const source = {
    bytes: u8,
    nameAt: 0,
    nameLength(): number {
      const offset = NAME_AT.get(u32[(REQUEST + IN_OPCODE) >> 2] ?? 0);
      if (offset === undefined) return -1;
      source.nameAt = context.bodyAt + offset;
      return stringLength(memory, source.nameAt, context.end);
    },
    facts(): RequestFacts {
      const opcode = u32[(REQUEST + IN_OPCODE) >> 2] ?? 0;
      const length = source.nameLength();
      const nameAt = source.nameAt;
      const name = length < 0 ? null : u8.slice(nameAt, nameAt + length);
      const moves = name !== null && (opcode === Opcode.RENAME || opcode === Opcode.RENAME2);
      const transfers = opcode === Opcode.READ || opcode === Opcode.WRITE;
      return {
        uid: u32[(REQUEST + IN_UID) >> 2] ?? 0,
        gid: u32[(REQUEST + IN_GID) >> 2] ?? 0,
        pid: u32[(REQUEST + IN_PID) >> 2] ?? 0,
        parent: name === null ? null : context.nodeid,
        name,
        newParent: moves ? (readU64(memory, context.bodyAt) as Nodeid) : null,
        newName: moves ? nextName(context, nameAt + length + 1) : null,
        size: transfers ? (u32[(context.bodyAt + 16) >> 2] ?? 0) : null,
        offset: transfers ? readU64(memory, context.bodyAt + 8) : null,
        fds: { used: usedFds(context), limit: context.fdLimit },
      };
    },
    pathOf(nodeid: Nodeid): Uint8Array | null {
      if (nodeid === NO_NODEID) return null;
      // The slot may hold what somebody is about to use.
      const slot = i32.slice(SLOT_THIRD >> 2, (SLOT_THIRD + 256) >> 2);
      const path = describe(context, SLOT_THIRD, nodeid) < 0 ? -1 : native.pathOf(SLOT_THIRD);
      i32.set(slot, SLOT_THIRD >> 2);
      return typeof path === 'number' ? null : below(root, path);
    },
    park: (until: () => boolean) => hold(context, until),
  };
  return source;
}

function nextName({ memory, end }: Context, at: number): Uint8Array | null {
  const length = stringLength(memory, at, end);
  return length < 0 ? null : memory.u8.slice(at, at + length);
}

function pathOfRoot({ memory, native }: Context, rootFd: number): Uint8Array {
  memory.i32[SLOT_THIRD >> 2] = rootFd;
  const path = native.pathOf(SLOT_THIRD);
  return typeof path === 'number' ? new Uint8Array(0) : path;
}

/** The rest of a path below the root; null for what is not below it. */
function below(root: Uint8Array, path: Uint8Array): Uint8Array | null {
  const length = root.length === 1 && root[0] === SLASH ? 0 : root.length;
  for (let i = 0; i < length; i++) if (root[i] !== path[i]) return null;
  if (path.length <= length + 1) return new Uint8Array(0);
  return path[length] === SLASH ? path.subarray(length + 1) : null;
}
