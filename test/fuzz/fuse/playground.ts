/**
 * The directories of one session: a share, with symbolic links that lead out of it, and beside it,
 * on the same file system, a tree that nobody may touch. Being on one file system, a link or a
 * rename that escaped would succeed.
 */

import * as fs from 'node:fs';
import path from 'node:path';
import type { Ids } from '../../../daemon/tables/identity';
import type { Addon } from '../../../native/index';
import { Finding, must } from '../kind';
import type { Random } from '../random';

const MS_NOSUID = 2;
const MS_NODEV = 4;
/** Every read counts, so that reading the tree beside the share shows in its access times. */
const MS_STRICTATIME = 1 << 24;

/** Stands in every file beside the share. */
export const SECRET = 'OUTSIDE THE SHARE';

/** No inode number of the tree beside the share is higher: tmpfs counts them up. */
const MOST_BESIDE = 40;

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;

export interface Playground {
  readonly shared: string;
  /** Inode numbers that belong to objects beside the share alone, and no reply may show. */
  readonly outside: ReadonlySet<bigint>;
  /** Whether an object belongs to the share. */
  isInside(ids: Ids): boolean;
  /** What happens on the host without the guest's doing. */
  hostChange(random: Random): void;
  /** @throws Finding when something outside the share was touched */
  checkOutside(): void;
  /** @throws Finding when something is still held open */
  remove(): void;
}

export function makePlayground(native: Addon, folder: string): Playground {
  const flags = MS_NOSUID | MS_NODEV | MS_STRICTATIME;
  mount(native, folder, flags, 'size=12m,nr_inodes=3000,mode=755');
  const shared = path.join(folder, 'share');
  const beside = path.join(folder, 'beside');
  makeBeside(beside);
  makeShare(shared, beside);
  mount(native, path.join(shared, 'mnt'), flags, 'size=1m,nr_inodes=100,mode=777');
  makeMounted(path.join(shared, 'mnt'));
  const before = facts(folder, beside);
  const outside = new Set([...before.values()].map((stat) => stat.ino));
  const share = deviceOf(native, shared);
  const mounted = deviceOf(native, path.join(shared, 'mnt'));
  return {
    shared,
    // Number 1 is the root of either file system.
    outside: new Set([...outside].filter((ino) => ino !== 1n)),
    isInside({ ino, dev }) {
      const device = `${dev.major}:${dev.minor}`;
      return device === mounted || (device === share && !outside.has(ino));
    },
    hostChange: (random) => {
      hostChange(shared, beside, random);
    },
    checkOutside() {
      const now = facts(folder, beside);
      for (const [name, was] of before) {
        const is = described(now.get(name));
        must(is === described(was), () => {
          return `${name}, outside the share, changed: ${described(was)}, now ${is}`;
        });
      }
      must(now.size === before.size, () => 'There is something new outside the share.');
    },
    remove() {
      for (const point of [path.join(shared, 'mnt'), folder]) {
        const result = native.unmount(point, 0);
        must(result === 0, () => `${point} cannot be unmounted (${result}): it is still in use.`);
      }
    },
  };
}

function mount(native: Addon, point: string, flags: number, data: string): void {
  const result = native.mount('fuzz', point, 'tmpfs', flags, data);
  if (result < 0) throw new Error(`A tmpfs cannot be mounted on ${point} (${result}).`);
}

/** st_dev as major:minor. */
function deviceOf(native: Addon, name: string): string {
  const identity = native.identify(-1, name);
  if (typeof identity === 'number') throw new Error(`statx of ${name} failed (${identity}).`);
  return `${identity.devMajor}:${identity.devMinor}`;
}

/** A file on the inner mount, with a number that nothing beside the share has. */
function makeMounted(point: string): void {
  const name = path.join(point, 'file');
  for (let i = 0; i < MOST_BESIDE; i++) {
    fs.writeFileSync(name, '');
    fs.unlinkSync(name);
  }
  fs.writeFileSync(name, 'on another mount');
}

function makeBeside(beside: string): void {
  fs.mkdirSync(path.join(beside, 'dir', 'sub'), { recursive: true });
  for (const name of ['secret', 'dir/secret', 'dir/sub/secret', ...NAMES, 'file', 'new']) {
    fs.writeFileSync(path.join(beside, name), SECRET, { mode: 0o666 });
  }
  fs.chmodSync(beside, 0o777);
}

function makeShare(shared: string, beside: string): void {
  fs.mkdirSync(path.join(shared, 'd', 'sub', 'deep'), { recursive: true });
  fs.mkdirSync(path.join(shared, 'mnt'));
  fs.mkdirSync(path.join(shared, 'e'));
  for (const name of ['a', 'b', 'd/a', 'd/sub/a']) {
    fs.writeFileSync(path.join(shared, name), `contents of ${name}`, { mode: 0o644 });
  }
  for (let i = 0; i < 40; i++) fs.writeFileSync(path.join(shared, 'e', `entry-${i}`), '');
  fs.linkSync(path.join(shared, 'a'), path.join(shared, 'hard'));
  const links = {
    out: '../beside',
    outfile: '../beside/secret',
    outabs: beside,
    outroot: '/',
    outproc: '/proc/self/root',
    outfd: '/proc/self/fd',
    loop: 'loop',
    inside: 'd/sub',
    'd/up': '../../beside',
    'd/upfile': '../../beside/secret',
  };
  for (const [name, target] of Object.entries(links)) {
    fs.symlinkSync(target, path.join(shared, name));
  }
}

type Facts = ReadonlyMap<string, fs.BigIntStats>;

function facts(folder: string, beside: string): Facts {
  const found = new Map<string, fs.BigIntStats>();
  const examine = (name: string): void => {
    const stat = fs.lstatSync(name, { bigint: true });
    found.set(name, stat);
  };
  examine(folder);
  examine(beside);
  for (const name of CANARIES) {
    try {
      examine(path.join(beside, name));
    } catch {
      throw new Finding(`beside/${name}, outside the share, is gone.`);
    }
  }
  return found;
}

/** Listing would change access times: a new name shows as a change of its directory instead. */
const CANARIES = [
  'secret',
  'dir',
  'dir/secret',
  'dir/sub',
  'dir/sub/secret',
  ...NAMES,
  'file',
  'new',
];

function described(stat: fs.BigIntStats | undefined): string {
  if (stat === undefined) return 'gone';
  const { ino, mode, nlink, uid, gid, size, atimeNs, mtimeNs, ctimeNs } = stat;
  return [ino, mode, nlink, uid, gid, size, atimeNs, mtimeNs, ctimeNs].join(' ');
}

function hostChange(shared: string, beside: string, random: Random): void {
  // The host's own changes must not follow the links that lead out.
  const at = (): string => {
    const folder = path.join(shared, random.pick(['', 'd', 'd/sub', 'e']));
    return path.join(fs.realpathSync(folder) === folder ? folder : shared, random.pick(NAMES));
  };
  const plain = (): string => {
    const name = at();
    if (fs.lstatSync(name).isSymbolicLink()) throw new Error(`${name} leads elsewhere.`);
    return name;
  };
  const changes: readonly (() => void)[] = [
    () => {
      // The name may belong to a FIFO by now, which must not be waited for.
      const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
      const fd = fs.openSync(at(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
      try {
        fs.writeSync(fd, 'made by the host');
      } finally {
        fs.closeSync(fd);
      }
    },
    () => {
      fs.rmSync(at(), { recursive: true, force: true });
    },
    () => {
      fs.renameSync(at(), at());
    },
    () => {
      fs.mkdirSync(at());
    },
    () => {
      fs.symlinkSync(random.pick([beside, path.join(beside, 'secret'), '../beside', '/']), at());
    },
    () => {
      // A directory that the guest knows becomes a way out.
      const place = at();
      fs.renameSync(place, `${place}-was`);
      fs.symlinkSync(beside, place);
    },
    () => {
      fs.chmodSync(plain(), random.pick([0, 0o400, 0o777, 0o4755]));
    },
    () => {
      fs.truncateSync(plain(), random.pick([0, 1, 5000]));
    },
  ];
  try {
    random.pick(changes)();
  } catch {
    // What should change may not be there, or be something else by now.
  }
}
