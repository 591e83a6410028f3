/** Mutated conversations with the real server, over a real socket, in one process. */

import * as fs from 'node:fs';
import path from 'node:path';
import type { RequestHandler } from '../../../daemon/fuse/dataChannel';
import { IN_HEADER, OUT_HEADER } from '../../../daemon/fuse/wire';
import { serveVhostUser } from '../../../daemon/transport/vhostServer';
import type { Scratch } from '../../../native/index';
import { REPLY, REQUEST, REQUEST_SIZE, createScratch } from '../../../native/index';
import { must, openDescriptors } from '../kind';
import type { Surroundings } from '../kind';
import { Random } from '../random';
import type { Message } from './conversations';
import { checkOrder, conversation, fillRings, frontEnd, readReplies, sendAll } from './sending';

export function messageSession(around: Surroundings, seed: number, inputs: number): void {
  const { memory } = frontEnd(around);
  const scratch = createScratch(around.native);
  const random = new Random(seed);
  for (let sent = 0; sent < inputs;) {
    const descriptors = openDescriptors();
    const messages = conversation(random).slice(0, inputs - sent);
    fillRings(memory);
    converse(around, scratch, messages, random);
    sent += messages.length;
    must(openDescriptors() === descriptors, () => {
      const codes = messages.map(({ request }) => request).join(' ');
      return `${openDescriptors() - descriptors} descriptors were left open by ${codes}.`;
    });
  }
}

/** Sends all of it, lets the server work until the end of it, and looks at its replies. */
function converse(
  around: Surroundings,
  scratch: Scratch,
  messages: readonly Message[],
  random: Random,
): void {
  const { native, fuzzing, tell } = around;
  const socketPath = path.join(around.folder, 'socket');
  const listenFd = native.listenAt(socketPath, 0o077, -1);
  must(listenFd >= 0, () => `No listening socket (${listenFd}).`);
  const socket = fuzzing.connectTo(socketPath);
  must(socket >= 0, () => `No connection (${socket}).`);
  const honest = sendAll(around, frontEnd(around), socket, messages, random);
  const controlFd = native.createEvent();
  try {
    const tag = random.once(2) ? 'fuzz' : null;
    serveVhostUser(native, { listenFd, controlFd, tag }, handlerOf(scratch), () => undefined);
  } catch (error) {
    // A plain Error is a refusal in words; anything else is a mistake.
    if (!(error instanceof Error) || error.constructor !== Error) throw error;
    must(error.message.length > 20, () => `Refused without a reason: ${error.message}`);
    if (tell !== null) tell(error.message);
  }
  const replies = readReplies(around, socket);
  if (honest) checkOrder(replies, messages);
  native.closeDescriptor(controlFd);
  native.closeDescriptor(socket);
  fs.unlinkSync(socketPath);
}

/** Answers each request with its header. */
function handlerOf(memory: Scratch): RequestHandler {
  const { i32, u32 } = memory;
  return {
    memory,
    handle(length) {
      must(length >= IN_HEADER && length <= REQUEST_SIZE, () => `A request of ${length} bytes.`);
      if ([2, 36, 38, 42].includes(u32[(REQUEST + 4) >> 2] ?? 0)) return 0;
      i32.set(
        [OUT_HEADER, 0, i32[(REQUEST + 8) >> 2] ?? 0, i32[(REQUEST + 12) >> 2] ?? 0],
        REPLY >> 2,
      );
      return OUT_HEADER;
    },
    standsAlone: () => false,
    letGo: () => undefined,
    reset: () => undefined,
  };
}
