/** A small client of the Debug Adapter Protocol: frames over a child's stdio, nothing assumed. */

import type { DebugProtocol } from '@vscode/debugprotocol';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { daemonProgram } from '../filesystem/harness';
import { Queue } from '../filesystem/debugSession';

type Message = DebugProtocol.Request | DebugProtocol.Response | DebugProtocol.Event;

export interface DapClient {
  readonly pid: number;
  /** Every message that came, in order. */
  readonly log: readonly Message[];
  /** Stops, in order. */
  readonly stops: Queue<DebugProtocol.StoppedEvent['body']>;
  /** @throws Error with the adapter's words when it refuses */
  ask<R extends DebugProtocol.Response>(
    command: string,
    given?: object,
  ): Promise<NonNullable<R['body']>>;
  /** The next event of this kind, or one that has come already and was not taken. */
  event<E extends DebugProtocol.Event>(
    name: string,
    fits?: (body: NonNullable<E['body']>) => boolean,
  ): Promise<NonNullable<E['body']>>;
  /** Bytes as they are. */
  write(text: string): void;
  closeInput(): void;
  kill(signal?: NodeJS.Signals): void;
  readonly exited: Promise<number | null>;
}

export async function startAdapter(): Promise<DapClient> {
  const child = spawn(process.execPath, [await daemonProgram(), 'dap'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const log: Message[] = [];
  const stops = new Queue<DebugProtocol.StoppedEvent['body']>();
  const pending = new Map<number, (response: DebugProtocol.Response) => void>();
  const events: DebugProtocol.Event[] = [];
  const listeners = new Set<() => void>();
  let bytes = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end === -1) return;
      const header = bytes.subarray(0, end).toString('latin1');
      const length = Number(/^Content-Length: ([0-9]+)$/m.exec(header)?.[1]);
      if (!Number.isInteger(length)) throw new Error(`A frame without its length: ${header}`);
      if (bytes.length < end + 4 + length) return;
      const text = bytes.subarray(end + 4, end + 4 + length).toString('utf8');
      bytes = bytes.subarray(end + 4 + length);
      take(JSON.parse(text) as Message);
    }
  });
  const take = (message: Message): void => {
    log.push(message);
    if (message.type === 'response') {
      const response = message as DebugProtocol.Response;
      pending.get(response.request_seq)?.(response);
      pending.delete(response.request_seq);
    } else if (message.type === 'event') {
      const event = message as DebugProtocol.Event;
      if (event.event === 'stopped') {
        stops.push(event.body as DebugProtocol.StoppedEvent['body']);
      }
      events.push(event);
      for (const listener of [...listeners]) listener();
    }
  };
  let seq = 0;
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  void exited.then((code) => {
    for (const answer of pending.values()) {
      answer({
        seq: 0,
        type: 'response',
        request_seq: 0,
        command: '',
        success: false,
        message: `The adapter has ended (${String(code)}).`,
      });
    }
  });
  const write = (text: string): void => {
    child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  };
  return {
    pid: child.pid ?? 0,
    log,
    stops,
    exited,
    write: (text) => child.stdin.write(text),
    closeInput: () => child.stdin.end(),
    kill: (signal = 'SIGKILL') => child.kill(signal),
    async ask<R extends DebugProtocol.Response>(command: string, given?: object) {
      const request = { seq: ++seq, type: 'request', command, arguments: given };
      const response = await new Promise<DebugProtocol.Response>((resolve) => {
        pending.set(request.seq, resolve);
        write(JSON.stringify(request));
      });
      if (!response.success) throw new Error(response.message);
      if (response.command !== command) throw new Error(`Answered ${response.command}.`);
      return (response.body ?? {}) as NonNullable<R['body']>;
    },
    async event<E extends DebugProtocol.Event>(
      name: string,
      fits: (body: NonNullable<E['body']>) => boolean = () => true,
    ) {
      for (;;) {
        const at = events.findIndex(
          (event) => event.event === name && fits(event.body as NonNullable<E['body']>),
        );
        const [found] = at === -1 ? [] : events.splice(at, 1);
        if (found !== undefined) return found.body as NonNullable<E['body']>;
        await new Promise<void>((resolve) => {
          const listener = (): void => {
            listeners.delete(listener);
            resolve();
          };
          listeners.add(listener);
        });
      }
    },
  };
}
