/** Counting what lies below a directory, on its own mount, for as long as the time allows. */

import * as fs from 'node:fs';
import type { Addon, Scratch } from '../../native/index';
import { DIRENTS, DIRENTS_SIZE } from '../../native/index';

const { O_DIRECTORY, O_NOATIME, O_NOFOLLOW, O_RDONLY } = fs.constants;
const EPERM = 1;
const DT_UNKNOWN = 0;
const DT_DIR = 4;
const DT_REG = 8;

export interface Counted {
  readonly counted: number;
  readonly complete: boolean;
  readonly unreadableDirectories: number;
  /** Regular files with more than one name among those counted; null when not asked for. */
  readonly hardLinked: number | null;
  /** The path of some regular file, as bytes. */
  readonly sample: string | null;
}

/**
 * @param root as bytes (latin1)
 * @param notInto mount points, as bytes
 * @param wantLinks looks at each file's link count, which costs a stat each
 */
export function countFiles(
  native: Addon,
  scratch: Scratch,
  root: string,
  notInto: ReadonlySet<string>,
  milliseconds: number,
  wantLinks: boolean,
): Counted {
  const deadline = Date.now() + milliseconds;
  const open = [root];
  const dirents = Buffer.from(scratch.u8.buffer, scratch.u8.byteOffset + DIRENTS, DIRENTS_SIZE);
  let counted = 1;
  let unreadableDirectories = 0;
  let hardLinked = 0;
  let sample: string | null = null;
  let late = false;
  for (let directory = open.pop(); directory !== undefined && !late; directory = open.pop()) {
    const fd = openDirectory(native, directory);
    if (fd < 0) {
      unreadableDirectories++;
      continue;
    }
    const prefix = directory === '/' ? '/' : `${directory}/`;
    for (;;) {
      late = Date.now() > deadline;
      const length = late ? 0 : native.readEntries(fd, -1, DIRENTS_SIZE);
      if (length < 0) unreadableDirectories++;
      if (length <= 0) break;
      // struct linux_dirent64: u64 ino, s64 off, u16 length, u8 type, name.
      for (let at = 0; at < length; at += dirents.readUInt16LE(at + 16)) {
        const name = dirents.toString('latin1', at + 19, dirents.indexOf(0, at + 19));
        if (name === '.' || name === '..') continue;
        counted++;
        const path = prefix + name;
        let type = dirents[at + 18] ?? DT_UNKNOWN;
        if (type === DT_UNKNOWN || (wantLinks && type === DT_REG)) {
          const stat = statOf(path);
          if (stat?.isDirectory() === true) type = DT_DIR;
          else if (stat?.isFile() === true && stat.nlink > 1) hardLinked++;
        }
        if (type === DT_REG) sample ??= path;
        if (type === DT_DIR && !notInto.has(path)) open.push(path);
      }
    }
    native.closeDescriptor(fd);
  }
  return {
    counted,
    complete: !late,
    unreadableDirectories,
    hardLinked: wantLinks ? hardLinked : null,
    sample,
  };
}

/** O_NOATIME: looking leaves no trace. It is for the owner only (open(2)); others leave theirs. */
function openDirectory(native: Addon, path: string): number {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  const bytes = Buffer.from(path, 'latin1');
  const fd = native.openPath(bytes, flags | O_NOATIME);
  return fd === -EPERM ? native.openPath(bytes, flags) : fd;
}

function statOf(path: string): fs.Stats | undefined {
  try {
    return fs.lstatSync(Buffer.from(path, 'latin1'));
  } catch {
    // Gone meanwhile, or not for this user to see: it is counted all the same.
    return undefined;
  }
}
