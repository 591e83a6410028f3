/** Looks at one mount: what it is, whether handles work on it, what its inode numbers do. */

import * as fs from 'node:fs';
import type { Addon, Scratch } from '../../native/index';
import { generationOf } from '../hazards/generation';
import { nameText } from '../protocol/text';
import { countFiles } from './countFiles';
import { isFuse, isImage, isKernelsOwn, isRemote } from './fileSystems';
import type { Mount } from './mountInfo';
import { hasEscapes } from './mountInfo';
import { tryNumbers } from './numbersTrial';
import type { FileCount, Handles, MountFacts, Numbers, Reach } from './report';

const O_PATH = 0x200000;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

export interface Tools {
  readonly native: Addon;
  readonly scratch: Scratch;
  readonly errnoName: (errno: number) => string;
  /** What inode numbers did, by file system: it is tried once. */
  readonly tried: Map<string, Numbers>;
  /** Every mount point, as bytes. */
  readonly mountPoints: ReadonlySet<string>;
}

export interface Place {
  readonly mount: Mount;
  /** As bytes. */
  readonly path: string;
  readonly role: MountFacts['role'];
  /** The directory that is to be shared, as bytes. */
  readonly share: string;
}

/** Bytes as text for people: what is no UTF-8, and control characters, as `\xNN`. */
export function shown(bytes: string): string {
  return nameText(Buffer.from(bytes, 'latin1')).replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/**
 * @param countMs how long files may be counted here
 * @throws Error when something was left behind
 */
export async function examineMount(
  tools: Tools,
  place: Place,
  countMs: number,
): Promise<MountFacts> {
  const { mount, path, role } = place;
  const facts = commonFacts(place);
  const nothing = (reach: Reach, why: string): MountFacts => ({
    ...facts,
    ...{ mntIdUnique: null, root: 'unknown', reach, identity: null, files: null },
    ...{ zeroGeneration: null },
    handles: { state: 'not_tried', why },
    numbers: { state: 'not_tried', why },
  });
  // An automount point would be mounted by opening it for reading, which nobody asked for.
  if (mount.type === 'autofs') return nothing({ state: 'reached' }, 'nothing is mounted here yet');
  const fd = tools.native.openPath(Buffer.from(path, 'latin1'), O_PATH);
  if (fd < 0) {
    const errno = tools.errnoName(-fd);
    return nothing({ state: 'unreachable', errno }, `it cannot be reached (${errno})`);
  }
  try {
    const identity = tools.native.identify(fd, '');
    if (typeof identity === 'number') {
      const errno = tools.errnoName(-identity);
      return nothing({ state: 'unreachable', errno }, `statx fails (${errno})`);
    }
    // Before Linux 5.8 statx tells no mount id, and what lies over what cannot be seen.
    if (role === 'below' && identity.mntId !== 0 && identity.mntId !== mount.mntId) {
      const by = String(identity.mntId);
      return nothing({ state: 'covered', by }, 'another mount lies over it');
    }
    const type = identity.mode & S_IFMT;
    const root = type === S_IFDIR ? 'directory' : type === S_IFREG ? 'file' : 'special';
    const counted =
      root === 'directory' && !isKernelsOwn(mount.type) ? count(tools, place, countMs) : null;
    return {
      ...facts,
      mntIdUnique: identity.mntIdUnique === null ? null : String(identity.mntIdUnique),
      root,
      reach: { state: 'reached' },
      handles: tryHandles(tools, mount.type, root, fd),
      zeroGeneration: zeroGeneration(tools, mount.type, counted?.sample ?? null),
      identity: {
        mountId: identity.mntId !== 0,
        btime: identity.btime !== null,
        subvolume: identity.subvol !== null,
        uniqueMountId: identity.mntIdUnique !== null,
      },
      numbers: await numbersOf(tools, place, root),
      files: counted === null ? null : counted.files,
    };
  } finally {
    tools.native.closeDescriptor(fd);
  }
}

type CommonFacts = Pick<
  MountFacts,
  | 'path'
  | 'role'
  | 'mountPoint'
  | 'mountPointEscaped'
  | 'escapes'
  | 'mntId'
  | 'device'
  | 'type'
  | 'source'
  | 'readOnly'
  | 'overlay'
>;

function commonFacts({ mount, path, role, share }: Place): CommonFacts {
  const { mntId, device, type, source, point, pointEscaped, readOnly, options } = mount;
  const below = role === 'below' ? point.slice(share.length) : '';
  return {
    path: shown(path),
    role,
    mountPoint: shown(point),
    mountPointEscaped: pointEscaped,
    escapes: { below: /[ \t\n\\]/.test(below), anywhere: hasEscapes(pointEscaped) },
    mntId: String(mntId),
    device,
    type,
    source: shown(source),
    readOnly,
    overlay:
      type === 'overlay'
        ? { index: overlayHas(options, 'index'), nfsExport: overlayHas(options, 'nfs_export') }
        : null,
  };
}

/** An option that equals the module's default is not listed among the mount's (overlayfs.rst). */
function overlayHas(options: ReadonlySet<string>, name: 'index' | 'nfs_export'): boolean {
  if (options.has(`${name}=on`)) return true;
  if (options.has(`${name}=off`)) return false;
  const setting = `/sys/module/overlay/parameters/${name}`;
  return fs.existsSync(setting) && fs.readFileSync(setting, 'latin1').trim() === 'Y';
}

/** As virtiofsd does: a handle of the root, opened through a descriptor on the mount. */
function tryHandles(
  { native, errnoName }: Tools,
  type: string,
  root: MountFacts['root'],
  fd: number,
): Handles {
  const handle = native.nameToHandle(fd, '');
  if (typeof handle === 'number') return { state: 'no', errno: errnoName(-handle) };
  const made = { type: handle.type, bytes: handle.bytes.length };
  if (root === 'special') {
    return { state: 'not_tried', why: 'its root is neither a directory nor a regular file' };
  }
  const mountFd = native.openPath(`/proc/self/fd/${fd}`, fs.constants.O_RDONLY);
  if (mountFd < 0) return { state: 'mount_not_openable', errno: errnoName(-mountFd) };
  try {
    const opened = native.openByHandle(mountFd, handle.type, handle.bytes, O_PATH);
    if (opened < 0) return { state: 'not_openable', ...made, errno: errnoName(-opened) };
    native.closeDescriptor(opened);
    return { state: isFuse(type) ? 'volatile' : 'yes', ...made };
  } finally {
    native.closeDescriptor(mountFd);
  }
}

async function numbersOf(
  { native, tried }: Tools,
  { mount, path }: Place,
  root: MountFacts['root'],
): Promise<Numbers> {
  const notTried = (why: string): Numbers => ({ state: 'not_tried', why });
  if (isKernelsOwn(mount.type)) return notTried("it is the kernel's own file system");
  if (root !== 'directory') return notTried('its root is not a directory');
  const known = tried.get(mount.device);
  if (known !== undefined) return known;
  if (mount.readOnly) return notTried('it is read-only');
  const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;
  const fd = native.openPath(Buffer.from(path, 'latin1'), flags);
  if (fd < 0) return notTried('it cannot be opened for reading');
  try {
    const result = await tryNumbers(native, fd);
    if ('notTried' in result) return notTried(result.notTried);
    const numbers: Numbers = { state: 'measured', in: shown(path), ...result };
    tried.set(mount.device, numbers);
    return numbers;
  } finally {
    native.closeDescriptor(fd);
  }
}

function count(
  { native, scratch, mountPoints }: Tools,
  { mount, path }: Place,
  milliseconds: number,
): { readonly files: FileCount; readonly sample: string | null } {
  // A server that answers slowly would be asked for each directory.
  const most = isRemote(mount.type) ? 0 : milliseconds;
  const wantLinks = mount.type === 'overlay';
  const { sample, ...counted } = countFiles(native, scratch, path, mountPoints, most, wantLinks);
  return { files: { ...counted, inodesInUse: inodesInUse(path) }, sample };
}

/** null where the file system does not count them (btrfs, FUSE). */
function inodesInUse(path: string): string | null {
  try {
    const { files, ffree } = fs.statfsSync(Buffer.from(path, 'latin1'), { bigint: true });
    return files > 0n && files >= ffree ? String(files - ffree) : null;
  } catch {
    // Not told: the count stands alone.
    return null;
  }
}

function zeroGeneration({ native }: Tools, type: string, sample: string | null): boolean | null {
  if (isImage(type)) return true;
  if (sample === null) return null;
  const fd = native.openPath(Buffer.from(sample, 'latin1'), O_PATH | fs.constants.O_NOFOLLOW);
  if (fd < 0) return null;
  const handle = native.nameToHandle(fd, '');
  native.closeDescriptor(fd);
  if (typeof handle === 'number') return null;
  const generation = generationOf(handle);
  return generation === null ? null : generation === 0n;
}
