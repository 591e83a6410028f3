/**
 * The system programs and headers that building and testing need, and how to get them.
 *
 * As a program: `node scripts/system.mjs [component…]` (all components when none is named).
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * A component is judged by what is really there, never by the package database: distributions name
 * and split packages differently, and a program built by hand is as good as a packaged one.
 *
 * @typedef {{ program: string } | { header: string } | { file: string }} Presence
 * @typedef {Presence & { debianPackage: string }} Component
 */

/** @type {Readonly<Record<string, Component>>} */
const catalogue = {
  // Build
  git: { program: 'git', debianPackage: 'git' },
  gcc: { program: 'gcc', debianPackage: 'gcc' },
  'g++': { program: 'g++', debianPackage: 'g++' },
  make: { program: 'make', debianPackage: 'make' },
  python3: { program: 'python3', debianPackage: 'python3' },
  'pkg-config': { program: 'pkg-config', debianPackage: 'pkg-config' },
  'fuse3-headers': { header: 'fuse3/fuse_lowlevel.h', debianPackage: 'libfuse3-dev' },
  'krb5-headers': { header: 'gssapi/gssapi.h', debianPackage: 'libkrb5-dev' },
  // File systems and what is run on them
  fusermount3: { program: 'fusermount3', debianPackage: 'fuse3' },
  'mkfs.ext4': { program: 'mkfs.ext4', debianPackage: 'e2fsprogs' },
  'mkfs.xfs': { program: 'mkfs.xfs', debianPackage: 'xfsprogs' },
  'mkfs.btrfs': { program: 'mkfs.btrfs', debianPackage: 'btrfs-progs' },
  mksquashfs: { program: 'mksquashfs', debianPackage: 'squashfs-tools' },
  'mkfs.erofs': { program: 'mkfs.erofs', debianPackage: 'erofs-utils' },
  setfattr: { program: 'setfattr', debianPackage: 'attr' },
  setfacl: { program: 'setfacl', debianPackage: 'acl' },
  setpriv: { program: 'setpriv', debianPackage: 'util-linux' },
  unshare: { program: 'unshare', debianPackage: 'util-linux' },
  rsync: { program: 'rsync', debianPackage: 'rsync' },
  sqlite3: { program: 'sqlite3', debianPackage: 'sqlite3' },
  strace: { program: 'strace', debianPackage: 'strace' },
  fio: { program: 'fio', debianPackage: 'fio' },
  // Guests
  'qemu-system-x86_64': { program: 'qemu-system-x86_64', debianPackage: 'qemu-system-x86' },
  busybox: { program: 'busybox', debianPackage: 'busybox-static' },
  cpio: { program: 'cpio', debianPackage: 'cpio' },
  // Other virtio-fs daemons
  'c-virtiofsd': { file: '/usr/lib/qemu/virtiofsd', debianPackage: 'qemu-system-common' },
  'seccomp-headers': { header: 'seccomp.h', debianPackage: 'libseccomp-dev' },
  'cap-ng-headers': { header: 'cap-ng.h', debianPackage: 'libcap-ng-dev' },
  // The workbench
  chromium: { program: 'chromium', debianPackage: 'chromium' },
  rg: { program: 'rg', debianPackage: 'ripgrep' },
  // Without any font the browser draws text as empty boxes.
  fonts: {
    file: '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf',
    debianPackage: 'fonts-dejavu-core',
  },
};

/** The names that `ensure` and `missing` know. */
export const components = Object.freeze(Object.keys(catalogue));

/**
 * Finds a program as the shell would, and also where administrators' programs live: the mkfs family
 * is in /usr/sbin, which is not on an ordinary user's PATH.
 *
 * @param {string} name
 * @returns {string | undefined} its absolute path
 */
export function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
      } catch {
        // Not here: absent, dangling or not for us to run. The next folder may have it.
        return false;
      }
    });
}

/** @param {Component} component */
function isPresent(component) {
  if ('program' in component) return findProgram(component.program) !== undefined;
  if ('file' in component) return existsSync(component.file);
  return ['/usr/include', '/usr/local/include'].some((folder) =>
    existsSync(join(folder, component.header)),
  );
}

/**
 * @param {string} name
 * @returns {Component}
 */
function componentCalled(name) {
  const component = catalogue[name];
  if (component === undefined) {
    throw new Error(`No system component is called "${name}"; known are ${components.join(', ')}.`);
  }
  return component;
}

/**
 * @param {readonly string[]} names
 * @returns {string[]} those of `names` that are not there
 * @throws when a name is not one of `components`
 */
export function missing(names) {
  return names.filter((name) => !isPresent(componentCalled(name)));
}

/**
 * Makes sure that the named components are there, installing Debian packages when this process may
 * (root, and apt-get exists). Returns at once, without starting any process, when nothing is missing.
 *
 * @param {readonly string[]} names from `components`
 * @throws one sentence that names what is missing and the line that installs it
 */
export function ensure(names) {
  const absent = missing(names);
  if (absent.length === 0) return;

  const packages = [...new Set(absent.map((name) => componentCalled(name).debianPackage))];
  const advice = `Missing: ${absent.join(', ')}; on Debian or Ubuntu run: sudo apt-get install ${packages.join(' ')}`;
  const aptGet = findProgram('apt-get');
  if (process.getuid?.() !== 0 || aptGet === undefined) throw new Error(advice);

  console.error(`Installing ${packages.join(', ')} (for ${absent.join(', ')})`);
  // Lists of a fresh container are empty or old. A failed update is not final: the lists that are
  // there may still do, and the install reports what it cannot find.
  const update = apt(aptGet, ['update']);
  const install = apt(aptGet, ['install', '-y', '--no-install-recommends', ...packages]);
  if (install.status !== 0) {
    const why = [update, install].map((run) => run.complaint).filter((text) => text !== '');
    throw new Error(`${advice}\napt-get failed here:\n${why.join('\n')}`);
  }
  const still = missing(absent);
  if (still.length > 0) {
    throw new Error(
      `apt-get installed ${packages.join(', ')}, yet ${still.join(', ')} cannot be found; see what \`dpkg -L\` lists for these packages.`,
    );
  }
}

/**
 * @param {string} aptGet
 * @param {string[]} args
 */
function apt(aptGet, args) {
  // Another apt may be running; waiting for its lock is better than failing.
  const run = spawnSync(aptGet, ['-q', '-o', 'DPkg::Lock::Timeout=300', ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
  });
  const complaint = run.status === 0 ? '' : (run.error?.message ?? run.stderr.trim());
  return { status: run.status, complaint };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const named = process.argv.slice(2);
  try {
    ensure(named.length > 0 ? named : components);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
