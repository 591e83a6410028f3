/**
 * One process of the fuzzer: runs the sessions that its parent names, one after another. Where it
 * is stands in a file that the parent can read even after a crash.
 *
 *     node worker.js ROOT-OF-SANITIZED-ADDONS PROGRESS-FILE FOLDER
 */

import * as fs from 'node:fs';
import path from 'node:path';
import { createScratch, loadAddon } from '../../native/index';
import { chainSession } from './chains/session';
import { debuggedSession } from './fuse/debugged';
import { fuseSession } from './fuse/session';
import type { Session, Surroundings } from './kind';
import { daemonSession } from './messages/daemonSession';
import { messageSession } from './messages/session';
import { loadFuzzing } from './native/index';

const KINDS: Readonly<Record<string, Session>> = {
  fuse: fuseSession,
  debugged: debuggedSession,
  chains: chainSession,
  messages: messageSession,
  daemon: daemonSession,
};

/** Exit status of a session that found something by itself, without a sanitizer. */
const FOUND = 3;
const PROGRESS_BYTES = 4096;

interface Order {
  readonly kind: string;
  readonly seed: number;
  readonly inputs: number;
  /** Whether each input is described on stdout. */
  readonly tell: boolean;
}

function main([root, progressFile, folder]: readonly string[]): void {
  if (root === undefined || progressFile === undefined || folder === undefined) {
    throw new Error('worker.js is started by run.mjs.');
  }
  const native = loadAddon(root);
  // What the addon keeps open for good is opened now, and not counted against a session.
  createScratch(native);
  const fuzzing = loadFuzzing(root);
  const fd = fs.openSync(progressFile, 'r+');
  const memory = fuzzing.mapFile(fd, PROGRESS_BYTES);
  fs.closeSync(fd);
  if (typeof memory === 'number') throw new Error(`${progressFile} cannot be mapped (${memory}).`);
  const progress = new Uint32Array(memory);
  const around: Surroundings = {
    native,
    fuzzing,
    folder,
    program: path.join(root, 'daemon', 'cli.js'),
    count: () => {
      progress[0] = (progress[0] ?? 0) + 1;
    },
    tell: null,
  };
  // At once, because the next line may be the last.
  const tell = (text: string): void => {
    fs.writeSync(1, `${text}\n`);
  };
  process.on('message', (order: Order) => {
    const { kind, seed, inputs } = order;
    const session = KINDS[kind];
    if (session === undefined) throw new Error(`There is no kind ${kind}.`);
    progress[0] = 0;
    run(() => session({ ...around, tell: order.tell ? tell : null }, seed, inputs)).then(
      () => process.send?.('done'),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
        process.exit(FOUND);
      },
    );
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
}

/** What a session throws at once is an error like one that comes later. */
async function run(session: () => void | Promise<void>): Promise<void> {
  await session();
}

main(process.argv.slice(2));
