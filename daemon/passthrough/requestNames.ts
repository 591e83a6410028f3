/** Taking names out of requests. */

import { checkName, stringLength } from '../fuse/names';
import type { Context } from './context';
import { EINVAL } from './errno';

/**
 * The name at `at`, checked as the name of a directory entry.
 *
 * @returns its length in bytes, or -errno
 */
export function nameLength(context: Context, at: number): number {
  const length = stringLength(context.memory, at, context.end);
  const errno = checkName(context.memory, at, length);
  return errno === 0 ? length : -errno;
}

/** A link's target: may hold slashes, and it is the host that refuses an empty one (symlink(2)). */
export function textLength(context: Context, at: number): number {
  const length = stringLength(context.memory, at, context.end);
  return length < 0 ? -EINVAL : length;
}
