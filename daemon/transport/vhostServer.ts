/** Serving a virtual machine over vhost-user: one front-end, until it is gone. */

import {
  RESULT_TROUBLE,
  RESULT_TROUBLE_RING,
  RING_MESSAGE,
  TROUBLE_CHAIN,
  TROUBLE_HEAD,
  TROUBLE_RING,
  TROUBLE_ROOM,
} from '../../native/index';
import type { Addon, VhostMessage } from '../../native/index';
import type { RequestHandler } from '../fuse/dataChannel';
import { serveTurns } from './turns';
import { concernsRequests } from './vhostMessages';
import type { VhostLog } from './vhostSession';
import { VhostSession } from './vhostSession';

const EAGAIN = 11;
const EPIPE = 32;
const EMSGSIZE = 90;
const ECONNRESET = 104;
const ECANCELED = 125;

/** A guest can do the same wrong thing a million times a second; it is told of this often. */
const QUIET_MS = 1000;

export interface VhostUserPeer {
  /** A listening socket; it is closed here. */
  readonly listenFd: number;
  /** Signalled by the main thread: see `onControl`. */
  readonly controlFd: number;
  /** Offered in the configuration space; null: the front-end has its own. */
  readonly tag: string | null;
}

/**
 * Waits for a front-end, then answers its messages and its guest's requests. Blocks the calling
 * thread.
 *
 * @param onControl called when the control descriptor was signalled; true goes on serving
 * @throws Error with a sentence when the front-end does what cannot be answered
 */
export function serveVhostUser(
  native: Addon,
  peer: VhostUserPeer,
  handler: RequestHandler,
  log: VhostLog,
  onControl: () => boolean = () => false,
): 'disconnected' | 'stopped' {
  const rings = native.openDevice(peer.controlFd);
  if (rings < 0) throw new Error(`The device cannot be set up (errno ${-rings}).`);
  try {
    if (!accept(native, peer.listenFd, onControl)) return 'stopped';
    log('info', 'The virtual machine monitor has connected.');
    return serve(native, rings, peer.tag, handler, log, onControl);
  } finally {
    native.closeDevice();
  }
}

/** False: told to stop. */
function accept(native: Addon, listenFd: number, onControl: () => boolean): boolean {
  try {
    for (;;) {
      const result = native.acceptPeer(listenFd);
      if (result >= 0) return true;
      if (result === -ECANCELED) return false;
      if (result !== -EAGAIN) {
        throw new Error(`No virtual machine can connect to the socket (errno ${-result}).`);
      }
      if (!onControl()) return false;
    }
  } finally {
    // One daemon serves one virtual machine.
    native.closeDescriptor(listenFd);
  }
}

function serve(
  native: Addon,
  rings: number,
  tag: string | null,
  handler: RequestHandler,
  log: VhostLog,
  onControl: () => boolean,
): 'disconnected' | 'stopped' {
  const session = new VhostSession(native, rings, tag, () => handler.reset(), log);
  const troubles = new Troubles(session, log);
  const { i32 } = handler.memory;
  const data = {
    sendFile: (fd: number, offsetAt: number, size: number, uniqueAt: number) =>
      native.ringSendFile(fd, offsetAt, size, uniqueAt),
    writeFile: (fd: number, _dataAt: number, size: number, offsetAt: number, append: boolean) =>
      native.ringWriteFile(fd, size, offsetAt, append ? 1 : 0),
  };
  const messages = new Messages(native, session);
  try {
    return serveTurns<'disconnected' | 'stopped'>(native, handler, data, {
      receive: () => native.ringNext(0),
      answer: (length) => void native.ringAnswer(length),
      answerAndReceive: (length) => native.ringNext(length),
      received: () => {
        if ((i32[RESULT_TROUBLE >> 2] ?? 0) !== 0) troubles.tell(i32);
      },
      other: (received, alone) => {
        if (received === RING_MESSAGE) return messages.next(alone);
        if (received === -ECANCELED || (received === 0 && !onControl())) return 'stopped';
        if (received === 0) return null;
        throw new Error(`Waiting for the virtual machine failed (errno ${-received}).`);
      },
    });
  } finally {
    session.close();
    messages.close();
  }
}

/** The front-end's messages, read one by one. */
class Messages {
  /** One that came while a request waited that it concerns. */
  #postponed: VhostMessage | null = null;

  constructor(
    private readonly native: Addon,
    private readonly session: VhostSession,
  ) {}

  /** `alone`: the next message cannot be answered while a request waits. Null: the session goes on. */
  next(alone: boolean): 'disconnected' | 'stopped' | 'alone' | null {
    const message = this.#postponed ?? this.native.readMessage();
    this.#postponed = null;
    if (typeof message === 'number') return message === 0 ? 'disconnected' : ended(message);
    if (!alone && concernsRequests(message.request)) {
      this.#postponed = message;
      return 'alone';
    }
    const answer = this.session.answer(message);
    if (answer === null) return null;
    const sent = this.native.writeMessage(answer);
    return sent === 0 ? null : ended(sent);
  }

  close(): void {
    for (const fd of this.#postponed?.fds ?? []) this.native.closeDescriptor(fd);
  }
}

function ended(failure: number): 'disconnected' | 'stopped' {
  switch (failure) {
    case -EPIPE:
    case -ECONNRESET:
      return 'disconnected';
    case -ECANCELED:
      return 'stopped';
    case -EMSGSIZE:
      throw new Error('The virtual machine monitor sent a message that is longer than any.');
    default:
      throw new Error(`The virtual machine monitor cannot be talked to (errno ${-failure}).`);
  }
}

const TROUBLES: ReadonlyMap<number, string> = new Map([
  [TROUBLE_CHAIN, 'put a request that no driver makes into'],
  [TROUBLE_HEAD, 'named a descriptor that does not exist in'],
  [TROUBLE_RING, 'promised more requests than fit into'],
  [TROUBLE_ROOM, 'left too little room for a reply in'],
]);

/** Tells of what the guest does wrong, but not as often as it does. */
class Troubles {
  readonly #session: VhostSession;
  readonly #log: VhostLog;
  readonly #toldAt = new Map<number, number>();

  constructor(session: VhostSession, log: VhostLog) {
    this.#session = session;
    this.#log = log;
  }

  tell(i32: Int32Array): void {
    const trouble = i32[RESULT_TROUBLE >> 2] ?? 0;
    const ring = i32[RESULT_TROUBLE_RING >> 2] ?? 0;
    i32[RESULT_TROUBLE >> 2] = 0;
    const now = performance.now();
    if (now - (this.#toldAt.get(trouble) ?? -Infinity) >= QUIET_MS) {
      this.#toldAt.set(trouble, now);
      this.#log('warn', `The guest ${TROUBLES.get(trouble) ?? 'broke'} ring ${ring}.`);
    }
    if (trouble !== TROUBLE_RING) return;
    this.#session.rings.giveUp(ring);
    this.#log('warn', `Ring ${ring} is not served until the guest sets it up anew.`);
  }
}
