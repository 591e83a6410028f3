/** Mutated conversations with the daemon itself, as a process of its own. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { must } from '../kind';
import type { Surroundings } from '../kind';
import { Random } from '../random';
import { checkOrder, conversation, fillRings, frontEnd, readReplies, sendAll } from './sending';

/** What only a mistake of ours says. */
const MISTAKE = /TypeError|RangeError|ReferenceError|failed inside|Sanitizer|^\s+at /m;

export async function daemonSession(
  around: Surroundings,
  seed: number,
  inputs: number,
): Promise<void> {
  const { native, fuzzing, folder, program, tell } = around;
  const front = frontEnd(around);
  const random = new Random(seed);
  const shared = fs.mkdtempSync(path.join(folder, 'shared-'));
  const socketPath = path.join(folder, 'daemon.socket');
  for (let sent = 0; sent < inputs;) {
    const messages = conversation(random).slice(0, inputs - sent);
    sent += messages.length;
    fillRings(front.memory);
    const daemon = spawn(
      process.execPath,
      [
        ...[program, 'serve', '--shared-dir', shared, '--socket-path', socketPath],
        ...['--sandbox', 'none', '--seccomp', 'none', '--no-inspect'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const exit = once(daemon, 'close');
    let said = '';
    const listening = new Promise<void>((resolve) => {
      const lines = createInterface({ input: daemon.stderr });
      lines.on('line', (line) => {
        said += `${line}\n`;
        if (fs.existsSync(socketPath)) resolve();
      });
      lines.once('close', () => {
        resolve();
      });
    });
    await listening;
    const socket = fuzzing.connectTo(socketPath);
    must(socket >= 0, () => `The daemon does not listen (${socket}): ${said}`);
    const honest = sendAll(around, front, socket, messages, random);
    const [status, signal] = (await exit) as [number | null, string | null];
    if (tell !== null) tell(said);
    must(status === 0 || status === 1, () => `It ended with ${signal ?? String(status)}: ${said}`);
    must(!MISTAKE.test(said), () => `It made a mistake: ${said}`);
    const replies = readReplies(around, socket);
    if (honest) checkOrder(replies, messages);
    native.closeDescriptor(socket);
  }
  fs.rmdirSync(shared);
}
