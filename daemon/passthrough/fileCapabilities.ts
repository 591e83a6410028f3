/**
 * File capabilities under another name. The kernel takes security.capability off a file that is
 * written or gets another owner (capabilities(7)); where --xattrmap gives the attribute another
 * name, it does not know it, and the daemon does it instead.
 */

import type { Scratch } from '../../native/index';
import { NAME, SLOT_THIRD } from '../../native/index';
import type { Nodeid } from '../tables/identity';
import type { Context } from './context';
import { ENODATA, EOPNOTSUPP } from './errno';
import type { PassthroughOptions } from './options';
import { isRegular } from './references';
import { otherHostName } from './xattrNames';

/** The second half of NAME: `hostName` uses the first. */
const CAPABILITY_NAME = NAME + 256;

/** Returns whether the attribute has another name, which then stands at CAPABILITY_NAME. */
export function placeCapabilityName({ xattrmap }: PassthroughOptions, memory: Scratch): boolean {
  const name = xattrmap === undefined ? null : otherHostName(xattrmap, 'security.capability');
  if (name === null) return false;
  memory.u8.set(name, CAPABILITY_NAME);
  return true;
}

/**
 * Takes the capabilities off the inode that `slot` refers to.
 *
 * @returns 0, also when there were none, or -errno
 */
export function dropCapabilities(context: Context, slot: number, nodeid: Nodeid): number {
  if (!context.capabilityRenamed || !isRegular(context, nodeid)) return 0;
  const answer = context.native.removeXattr(slot, 0, CAPABILITY_NAME);
  return answer === -ENODATA || answer === -EOPNOTSUPP ? 0 : answer;
}

/** The same for an open file. */
export function dropCapabilitiesOf(context: Context, fd: number, nodeid: Nodeid): number {
  if (!context.capabilityRenamed) return 0;
  context.memory.i32[SLOT_THIRD >> 2] = fd;
  return dropCapabilities(context, SLOT_THIRD, nodeid);
}
