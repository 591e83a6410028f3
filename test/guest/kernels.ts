/**
 * Debian's kernels for virtual machines, unpacked and not installed: `apt-get download` needs neither
 * root nor a free place in /boot.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';

/** A Linux kernel that QEMU can start. */
export interface Kernel {
  /** What `uname -r` says in the guest. */
  readonly release: string;
  /** Path of the bzImage. */
  readonly image: string;
  /** Folder with those of MODULES that are not built in, as NAME.ko. */
  readonly modules: string;
}

/**
 * Packages that name a release's newest kernel. The second one is there where the first is still
 * 6.1: 6.1 sends all requests through one queue, 6.12 through as many as it has processors.
 */
const PACKAGES = ['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'];

/** What a guest needs beyond ext4 and NVMe, which are built in; in the order to load them. */
export const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'virtio_console',
  'fuse',
  'virtiofs',
] as const;

const PARTIAL = '.partial-';

/**
 * The kernels that can be had here, the newest first. What was unpacked once is used again.
 *
 * @param cache a folder of ours, such as .cache/guest
 * @throws Error with apt's words when there is none
 */
export function kernels(cache: string): readonly Kernel[] {
  const folder = path.join(cache, 'kernels');
  fs.mkdirSync(folder, { recursive: true });
  if (unpacked(folder).length === 0) unpackAll(folder);
  return unpacked(folder);
}

function unpacked(folder: string): readonly Kernel[] {
  return fs
    .readdirSync(folder)
    .filter((release) => !release.startsWith(PARTIAL))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((release) => ({
      release,
      image: path.join(folder, release, 'vmlinuz'),
      modules: path.join(folder, release, 'modules'),
    }));
}

function unpackAll(folder: string): void {
  let names = imagePackages();
  if (names.length === 0) {
    // Lists of a fresh container are empty.
    tell('apt-get', ['-q', 'update']);
    names = imagePackages();
  }
  const failures = names.flatMap((name) => {
    const failure = unpack(folder, name);
    return failure === null ? [] : [failure];
  });
  if (unpacked(folder).length === 0) {
    throw new Error(
      `No kernel for a guest can be had: apt knows ${names.join(', ') || `none of ${PACKAGES.join(', ')}`}. ${failures.join(' ')}`,
    );
  }
}

/** The packages with the kernels themselves, behind the names that follow the newest one. */
function imagePackages(): string[] {
  const names = PACKAGES.flatMap((name) => {
    const depends = tell('apt-cache', ['depends', '--important', name]).stdout;
    return /Depends: (linux-image-\S+)/.exec(depends)?.[1] ?? [];
  });
  return [...new Set(names)];
}

/** @returns why it failed, or null */
function unpack(folder: string, name: string): string | null {
  const work = fs.mkdtempSync(path.join(folder, PARTIAL));
  try {
    // As root apt downloads as its own user, who must be able to write here.
    fs.chmodSync(work, 0o777);
    const download = tell('apt-get', ['-q', 'download', name], work);
    const deb = fs.readdirSync(work).find((file) => file.endsWith('.deb'));
    if (deb === undefined) return `apt-get download ${name}: ${download.stderr}`;
    const tree = path.join(work, 'tree');
    const extraction = tell('dpkg-deb', ['-x', path.join(work, deb), tree]);
    if (extraction.status !== 0) return `dpkg-deb -x ${deb}: ${extraction.stderr}`;

    const release = name.replace('linux-image-', '');
    const kernel = path.join(work, 'kernel');
    fs.mkdirSync(path.join(kernel, 'modules'), { recursive: true });
    fs.copyFileSync(path.join(tree, `boot/vmlinuz-${release}`), path.join(kernel, 'vmlinuz'));
    for (const found of fs.readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
      const [, module, packed] = /([^/]+\.ko)(\.xz)?$/.exec(found) ?? [];
      if (!MODULES.some((wanted) => module === `${wanted}.ko`)) continue;
      const target = path.join(kernel, 'modules', path.basename(found));
      fs.copyFileSync(path.join(tree, found), target);
      if (packed === undefined) continue;
      const unpacking = tell('xz', ['-d', target]);
      if (unpacking.status !== 0) return `xz -d ${found}: ${unpacking.stderr}`;
    }
    fs.renameSync(kernel, path.join(folder, release));
    return null;
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

interface Told {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function tell(program: string, args: readonly string[], cwd?: string): Told {
  const done = spawnSync(program, args, {
    encoding: 'utf8',
    ...(cwd === undefined ? {} : { cwd }),
  });
  const stderr = done.error?.message ?? done.stderr;
  return { status: done.status, stdout: done.error === undefined ? done.stdout : '', stderr };
}
