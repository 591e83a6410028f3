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

  // On the host: each number is free for a moment and is given to the next file.
  let reused = 0;
  for (const name of files.slice(20, 32)) {
    const target = path.join(share, name);
    const before = fs.statSync(target).ino;
    fs.rmSync(target);
    fs.writeFileSync(target, 'another file under the same name\n');
    if (fs.statSync(target).ino === before) reused++;
  }
  for (const name of files) fs.statSync(path.join(mount, name));
  const tar = packed.status === 0 ? 'packed, ' : '';
  return `${files.length} files read, 12 saved over, 6 linked, ${tar}12 replaced on the host (${reused} with the same inode number)`;
}
