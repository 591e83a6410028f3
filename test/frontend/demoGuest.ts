/**
 * `npm start` where nothing can be mounted: works in the demo directory as a virtual machine would,
 * over vhost-user, and stays connected, so that the daemon and its tables stay, until stdin ends.
 *
 *     node dist/demo/demoGuest.js SOCKET SHARE
 */

import { replaceOnHost } from '../../scripts/demo.mjs';
import { Frontend, ROOT } from './frontend';

const O_RDONLY = 0;
const O_WRONLY = 1;
const DT_DIR = 4;
const PAGE = 32_768;

interface Found {
  readonly path: string;
  readonly name: string;
  readonly parent: bigint;
  readonly nodeid: bigint;
}

/** Every file below a directory, as READDIRPLUS finds them. */
async function walk(fs: Frontend, directory: bigint, path: string): Promise<Found[]> {
  const { fh } = await fs.opendir(directory);
  const found: Found[] = [];
  for (let offset = 0n; ;) {
    const page = await fs.readdirplus(directory, fh, offset, PAGE);
    const last = page.at(-1);
    if (last === undefined) break;
    offset = last.off;
    for (const { name: bytes, type, entry } of page) {
      const name = bytes.toString();
      if (name === '.' || name === '..') continue;
      const below = path === '' ? name : `${path}/${name}`;
      if (type === DT_DIR) found.push(...(await walk(fs, entry.nodeid, below)));
      else found.push({ path: below, name, parent: directory, nodeid: entry.nodeid });
    }
  }
  await fs.releasedir(directory, fh);
  return found;
}

async function readWhole(fs: Frontend, nodeid: bigint): Promise<Buffer> {
  const { fh } = await fs.open(nodeid, O_RDONLY);
  const pieces: Uint8Array[] = [];
  for (let offset = 0; ;) {
    const piece = await fs.read(nodeid, fh, offset, PAGE);
    if (piece.length === 0) break;
    pieces.push(piece);
    offset += piece.length;
  }
  await fs.release(nodeid, fh);
  return Buffer.concat(pieces);
}

/** Editors save so: write beside, rename over. */
async function save(fs: Frontend, { parent, name, nodeid }: Found): Promise<void> {
  const text = `${(await readWhole(fs, nodeid)).toString()}edited\n`;
  const { entry, open } = await fs.create(parent, `${name}~`, O_WRONLY, 0o644);
  await fs.write(entry.nodeid, open.fh, 0, text);
  await fs.release(entry.nodeid, open.fh);
  await fs.rename(parent, `${name}~`, parent, name);
}

async function work(fs: Frontend, share: string): Promise<string> {
  await fs.init();
  const files = await walk(fs, ROOT, '');
  for (const { nodeid } of files) await readWhole(fs, nodeid);
  for (const file of files.slice(0, 12)) await save(fs, file);
  for (const { parent, name, nodeid } of files.slice(12, 18)) {
    await fs.link(nodeid, parent, `${name}.link`);
  }
  let reused = 0;
  for (const { path, parent, name } of files.slice(20, 26)) {
    if (replaceOnHost(share, path)) reused++;
    await fs.lookup(parent, `${name}.new`);
  }
  return (
    `${files.length} files read, 12 saved over, 6 linked, ` +
    `6 replaced on the host (${reused} got the old one's inode number)`
  );
}

async function main(): Promise<void> {
  const [socket, share] = process.argv.slice(2);
  if (socket === undefined || share === undefined) throw new Error('Give SOCKET and SHARE.');
  const fs = await Frontend.connect(socket);
  process.stdout.write(`${await work(fs, share)}\n`);
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.once('end', resolve));
  await fs.close();
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
