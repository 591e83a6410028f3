/** The types of files that a mode tells, in the words of inode(7). */

/** The bits of st_mode that hold the type. */
export const S_IFMT = 0o170000;

const TYPES: ReadonlyMap<number, string> = new Map([
  [0o140000, 'socket'],
  [0o120000, 'symbolic link'],
  [0o100000, 'regular file'],
  [0o060000, 'block device'],
  [0o040000, 'directory'],
  [0o020000, 'character device'],
  [0o010000, 'FIFO'],
]);

/** @returns null when no type has these bits */
export function fileTypeText(mode: number): string | null {
  return TYPES.get(mode & S_IFMT) ?? null;
}
