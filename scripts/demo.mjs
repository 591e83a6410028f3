/**
 * A small real workload, so that a first look at the maps shows what they are for: a tree is
 * unpacked, read, saved over and hard-linked through the mount, and a few files are replaced behind
 * its back, on the host, so that their inode numbers come back for other files.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';

const FILES_A_FOLDER = 24;
const FOLDERS = ['src', 'src/tables', 'src/wire', 'docs', 'test'];

/**
 * Fills a directory to be shared.
 *
 * @param {string} share
 */
export function fillShare(share) {
  for (const folder of FOLDERS) {
    fs.mkdirSync(path.join(share, folder), { recursive: true });
    for (let i = 0; i < FILES_A_FOLDER; i++) {
      fs.writeFileSync(path.join(share, folder, `file-${i}.txt`), `${folder} ${i}\n`.repeat(20));
    }
  }
}

/**
 * Works in the mount as programs do.
 *
 * @param {string} share the directory itself
 * @param {string} mount where it is mounted
 * @returns {string} what was done, in one line
 */
export function work(share, mount) {
  const names = fs.readdirSync(mount, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => name.endsWith('.txt'));
  for (const name of files) fs.readFileSync(path.join(mount, name));

  // Editors save so: write beside, rename over.
  for (const name of files.slice(0, 12)) {
    const target = path.join(mount, name);
    fs.writeFileSync(`${target}~`, `${fs.readFileSync(target, 'utf8')}edited\n`);
    fs.renameSync(`${target}~`, target);
  }
  for (const name of files.slice(12, 18)) {
    fs.linkSync(path.join(mount, name), path.join(mount, `${name}.link`));
  }
  const packed = spawnSync('tar', ['-cf', path.join(mount, 'all.tar'), '-C', mount, 'src']);

  // On the host: each number is free for a moment and is given to the next file. The kernel has not
  // heard of it and keeps the old names, so that the map shows both owners of the number.
  let reused = 0;
  for (const name of files.slice(20, 26)) {
    if (replaceOnHost(share, name)) reused++;
    fs.statSync(path.join(mount, `${name}.new`));
  }
  const tar = packed.status === 0 ? 'packed, ' : '';
  return `${files.length} files read, 12 saved over, 6 linked, ${tar}6 replaced on the host (${reused} got the old one's inode number)`;
}

/**
 * Removes a file behind the guest's back and makes another, `NAME.new`, which may get its number.
 *
 * @param {string} share
 * @param {string} name path below it
 * @returns {boolean} whether it got the number
 */
export function replaceOnHost(share, name) {
  const old = path.join(share, name);
  const before = fs.statSync(old).ino;
  fs.rmSync(old);
  fs.writeFileSync(`${old}.new`, 'another file with the number of the old one\n');
  return fs.statSync(`${old}.new`).ino === before;
}
