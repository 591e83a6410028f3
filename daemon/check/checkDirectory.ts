/** `check DIR`: looks at a directory that is to be shared, and at every mount below it. */

import * as fs from 'node:fs';
import type { Addon } from '../../native/index';
import { createScratch } from '../../native/index';
import { advise } from './advise';
import type { Place, Tools } from './examine';
import { examineMount, shown } from './examine';
import { hostFacts } from './hostFacts';
import { mountsBelow, parseMountInfo } from './mountInfo';
import type { CheckReport, MountFacts } from './report';
import { CHECK_FORMAT } from './report';

const O_PATH = 0x200000;
/** For counting files, all mounts together. */
const COUNT_MS = 2_000;

export interface Needs {
  readonly native: Addon;
  readonly version: string;
  readonly errnoName: (errno: number) => string;
}

/**
 * @throws Error with a sentence when the directory cannot be checked, or when something that was
 *   made in it could not be removed
 */
export async function checkDirectory(
  { native, version, errnoName }: Needs,
  directory: string,
): Promise<CheckReport> {
  const share = realDirectory(directory);
  // latin1 keeps every byte of a path as one character.
  const mounts = parseMountInfo(fs.readFileSync('/proc/self/mountinfo', 'latin1'));
  const own = mountOf(native, share, mounts);
  const below = mountsBelow(mounts, share);
  const tools: Tools = {
    native,
    scratch: createScratch(native),
    errnoName,
    tried: new Map(),
    mountPoints: new Set(mounts.map(({ point }) => point)),
  };
  const places: Place[] = [
    { mount: own, path: share, role: 'share', share },
    ...below.map((mount): Place => ({ mount, path: mount.point, role: 'below', share })),
  ];
  const countUntil = Date.now() + COUNT_MS;
  const facts: MountFacts[] = [];
  for (const [index, place] of places.entries()) {
    const fairly = (countUntil - Date.now()) / (places.length - index);
    facts.push(await examineMount(tools, place, Math.max(0, fairly)));
  }
  const host = hostFacts(native);
  return {
    check: CHECK_FORMAT,
    version,
    time: new Date().toISOString(),
    directory: shown(share),
    host,
    ...advise({ host, mounts: facts }, shown(share)),
  };
}

/** The directory's own path, as bytes in latin1. */
function realDirectory(wanted: string): string {
  try {
    const real = fs.realpathSync(wanted, { encoding: 'buffer' });
    if (fs.statSync(real).isDirectory()) return real.toString('latin1');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Error(`${wanted} cannot be checked (${code}): give a directory that exists.`);
  }
  throw new Error(`${wanted} is not a directory; a share is one.`);
}

function mountOf(native: Addon, share: string, mounts: readonly Place['mount'][]): Place['mount'] {
  const fd = native.openPath(Buffer.from(share, 'latin1'), O_PATH);
  const identity = fd < 0 ? fd : native.identify(fd, '');
  if (fd >= 0) native.closeDescriptor(fd);
  if (typeof identity === 'number') {
    throw new Error(`${shown(share)} cannot be examined (errno ${-identity}).`);
  }
  const prefix = (point: string): string => (point === '/' ? '/' : `${point}/`);
  // Before Linux 5.8 there is no mount id in statx: the newest mount at or above the directory.
  const own =
    mounts.find(({ mntId }) => mntId === identity.mntId) ??
    mounts
      .filter(({ point }) => `${share}/`.startsWith(prefix(point)))
      .sort((a, b) => a.point.length - b.point.length)
      .at(-1);
  if (own === undefined) {
    throw new Error(
      `${shown(share)} is on no mount of /proc/self/mountinfo: is another root directory in force?`,
    );
  }
  return own;
}
