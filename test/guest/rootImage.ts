/**
 * The guest's root file system: an ext4 image of programs and libraries of this host, at the places
 * where they are here. So a guest has git, sqlite3 and a compiler without a distribution of its own.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import path from 'node:path';
import { AGENT } from './agent';
import type { Kernel } from './kernels';

const PROGRAMS = [
  ...['busybox', 'bash', 'sh'],
  ...[
    'basename',
    'cat',
    'chgrp',
    'chmod',
    'chown',
    'cp',
    'cut',
    'date',
    'dd',
    'df',
    'dirname',
    'du',
  ],
  ...['echo', 'env', 'expr', 'false', 'head', 'id', 'link', 'ln', 'ls', 'mkdir', 'mkfifo', 'mknod'],
  ...[
    'mktemp',
    'mv',
    'nproc',
    'od',
    'pwd',
    'readlink',
    'realpath',
    'rm',
    'rmdir',
    'seq',
    'sha256sum',
  ],
  ...['shuf', 'sleep', 'sort', 'stat', 'sync', 'tac', 'tail', 'tee', 'test', 'touch', 'tr', 'true'],
  ...[
    'truncate',
    'uname',
    'uniq',
    'unlink',
    'wc',
    'find',
    'xargs',
    'grep',
    'sed',
    'awk',
    'cmp',
    'diff',
  ],
  ...['flock', 'mount', 'umount', 'findmnt', 'setpriv'],
  ...[
    'tar',
    'git',
    'git-upload-pack',
    'git-receive-pack',
    'sqlite3',
    'rsync',
    'fio',
    'setfattr',
    'getfattr',
  ],
  ...['gcc', 'as', 'ld', 'make'],
];

/** Headers that the guest's C programs may include; others come along when these need them. */
const HEADERS = [
  ...['assert', 'ctype', 'dirent', 'errno', 'fcntl', 'inttypes', 'limits', 'locale', 'math'],
  ...['pthread', 'signal', 'stdarg', 'stdbool', 'stddef', 'stdint', 'stdio', 'stdlib', 'string'],
  ...['sys/file', 'sys/mman', 'sys/socket', 'sys/stat', 'sys/time', 'sys/types', 'sys/wait'],
  ...['sys/xattr', 'time', 'unistd', 'wchar'],
];

const FOLDERS = ['bin', 'sbin', 'lib', 'lib64'];
const EMPTY_FOLDERS = ['dev', 'etc', 'mnt', 'proc', 'root', 'run', 'sys', 'tmp', 'modules'];

/**
 * Makes the image, unless the one of an earlier run still is what would be made.
 *
 * @param cache a folder of ours, such as .cache/guest
 * @returns the image's path; it is to be used read-only
 */
export function rootImage(cache: string, kernels: readonly Kernel[]): string {
  const files = hostFiles();
  const modules = kernels.flatMap((kernel) =>
    fs.readdirSync(kernel.modules).map((name) => path.join(kernel.modules, name)),
  );
  const description = [...files, ...modules].map((file) => {
    const { size, mtimeMs } = fs.lstatSync(file);
    return `${file} ${size} ${mtimeMs}`;
  });
  const key = createHash('sha256').update(AGENT).update(description.join('\n')).digest('hex');
  const image = path.join(cache, `root-${key.slice(0, 16)}.ext4`);
  if (fs.existsSync(image)) return image;

  const work = fs.mkdtempSync(path.join(cache, '.partial-'));
  try {
    const tree = path.join(work, 'tree');
    fillTree(tree, files, kernels);
    makeImage(tree, path.join(work, 'image'));
    for (const old of fs.readdirSync(cache).filter((name) => /^root-.*\.ext4$/.test(name))) {
      fs.rmSync(path.join(cache, old));
    }
    fs.renameSync(path.join(work, 'image'), image);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  return image;
}

function makeImage(tree: string, image: string): void {
  const kilobytes = Number(execFileSync('du', ['-sk', tree], { encoding: 'utf8' }).split('\t')[0]);
  execFileSync(programPath('mkfs.ext4'), [
    ...['-q', '-O', '^has_journal', '-m', '0', '-d', tree],
    ...[image, `${Math.ceil(kilobytes * 1.2) + 8192}k`],
  ]);
}

function fillTree(tree: string, files: readonly string[], kernels: readonly Kernel[]): void {
  fs.mkdirSync(tree);
  for (const folder of EMPTY_FOLDERS) fs.mkdirSync(path.join(tree, folder));
  for (const folder of FOLDERS) {
    const host = fs.lstatSync(`/${folder}`, { throwIfNoEntry: false });
    if (host?.isSymbolicLink() === true) {
      fs.symlinkSync(fs.readlinkSync(`/${folder}`), path.join(tree, folder));
    }
  }
  const archive = path.join(tree, '..', 'files.tar');
  execFileSync('tar', ['-C', '/', '--no-recursion', '-cf', archive, '--null', '-T', '-'], {
    input: files.map((file) => `.${file}`).join('\0'),
  });
  execFileSync('tar', ['-C', tree, '-xf', archive]);
  fs.writeFileSync(path.join(tree, 'init'), AGENT, { mode: 0o755 });
  fs.writeFileSync(path.join(tree, 'etc/passwd'), 'root:x:0:0::/tmp:/bin/sh\n');
  fs.writeFileSync(path.join(tree, 'etc/group'), 'root:x:0:\n');
  for (const { release, modules } of kernels) {
    fs.cpSync(modules, path.join(tree, 'modules', release), { recursive: true });
  }
}

/** All that is copied from this host: absolute paths of files and symbolic links. */
function hostFiles(): string[] {
  const found = new Set<string>();
  const add = (file: string): void => {
    // Without links in the folder's part, as the archive would not carry those.
    const real = path.join(fs.realpathSync(path.dirname(file)), path.basename(file));
    if (found.has(real)) return;
    found.add(real);
    if (!fs.lstatSync(real).isSymbolicLink()) return;
    add(path.resolve(path.dirname(real), fs.readlinkSync(real)));
  };
  const programs = [...PROGRAMS.map(programPath), ...compilerPrograms()];
  programs.forEach(add);
  libraries(programs).forEach(add);
  compilerFiles().forEach(add);
  return [...found].sort();
}

/** Debian's own programs: what else is on the PATH may be scripts around them. */
function programPath(name: string): string {
  const folders = ['/usr/bin', '/usr/sbin', '/bin', '/sbin'];
  const found = folders
    .map((folder) => path.join(folder, name))
    .find((file) => fs.existsSync(file));
  if (found === undefined) throw new Error(`Guests need ${name}, which is not installed here.`);
  return found;
}

const gcc = (args: readonly string[], input = ''): string =>
  execFileSync(programPath('gcc'), args, { encoding: 'utf8', input }).trim();

function compilerPrograms(): string[] {
  return ['cc1', 'collect2'].map((name) => gcc([`-print-prog-name=${name}`]));
}

/** Headers, start files, and libraries to link with. */
function compilerFiles(): string[] {
  const includes = HEADERS.map((name) => `#include <${name}.h>\n`).join('');
  // Optimizing brings in headers of its own (bits/stdio.h, bits/stdio2.h and their like).
  const headers = [['-O0'], ['-O2', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2']].flatMap(
    (how) => gcc(['-M', '-D_GNU_SOURCE', ...how, '-xc', '-'], includes).match(/\/\S+\.h/g) ?? [],
  );
  const linked = [
    ...[
      'crt1.o',
      'crti.o',
      'crtn.o',
      'Scrt1.o',
      'crtbeginS.o',
      'crtendS.o',
      'crtbegin.o',
      'crtend.o',
    ],
    ...['libgcc.a', 'libgcc_s.so', 'libgcc_s.so.1', 'libc.so', 'libc_nonshared.a'],
    ...['libm.so', 'libmvec.so.1', 'liblto_plugin.so'],
  ].map((name) => gcc([`-print-file-name=${name}`]));
  // A file that is not known comes back as its bare name.
  return [...headers, ...linked].filter((file) => path.isAbsolute(file));
}

/** The shared libraries of programs, with those that they need in turn. */
function libraries(programs: readonly string[]): string[] {
  return programs.flatMap((program) => {
    let said: string;
    try {
      said = execFileSync('ldd', [program], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      // Not dynamic: a static program, or a script.
      return [];
    }
    return said.match(/\/\S+(?= \(0x)/g) ?? [];
  });
}
