/** A debugger for tests, and programs that it holds. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { connect, findTarget } from '../../daemon/inspector/connect';
import type { Connection } from '../../daemon/inspector/connect';
import type { InspectorClient } from '../../daemon/protocol/client';
import type { BreakpointJson, FaultJson, StoppedJson } from '../../daemon/protocol/debug';
import type { EventJson } from '../../daemon/protocol/json';
import type { NotificationOf } from '../../daemon/protocol/rpc';

/** Things that come, to be awaited one by one. */
export class Queue<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | null = null;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  get size(): number {
    return this.#items.length;
  }

  async next(): Promise<T> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** The first that fits; those before it are gone. */
  async until(fits: (item: T) => boolean): Promise<T> {
    for (;;) {
      const item = await this.next();
      if (fits(item)) return item;
    }
  }
}

export interface DebugSession {
  readonly client: InspectorClient;
  readonly stops: Queue<StoppedJson>;
  readonly resumed: Queue<NotificationOf<'debug.resumed'>>;
  readonly output: Queue<NotificationOf<'debug.output'>>;
  readonly over: Promise<NotificationOf<'debug.ended'>>;
  arm(...breakpoints: Omit<BreakpointJson, 'id'>[]): Promise<void>;
  inject(...faults: Omit<FaultJson, 'id'>[]): Promise<void>;
  /** Steps, and waits for the next stop. */
  step(stop: StoppedJson, how?: 'over' | 'into' | 'out'): Promise<StoppedJson>;
  continue(): Promise<void>;
  close(): void;
}

export async function observe(pid: number): Promise<Connection> {
  const complain = (sentence: string) => console.warn(sentence);
  return connect(findTarget(String(pid), complain), 'test');
}

export async function attach(pid: number, timeoutMs = 30_000): Promise<DebugSession> {
  const { client, close } = await observe(pid);
  const stops = new Queue<StoppedJson>();
  const resumed = new Queue<NotificationOf<'debug.resumed'>>();
  const output = new Queue<NotificationOf<'debug.output'>>();
  client.on('debug.stopped', (stop) => stops.push(stop));
  client.on('debug.resumed', (request) => resumed.push(request));
  client.on('debug.output', (text) => output.push(text));
  const over = new Promise<NotificationOf<'debug.ended'>>((resolve) =>
    client.on('debug.ended', resolve),
  );
  await client.call('debug.attach', { timeoutMs });
  return {
    client,
    stops,
    resumed,
    output,
    over,
    async arm(...breakpoints) {
      const numbered = breakpoints.map((breakpoint, i) => ({ ...breakpoint, id: i + 1 }));
      const answer = await client.call('debug.setBreakpoints', { breakpoints: numbered });
      const refused = answer.breakpoints.find(({ armed }) => !armed);
      if (refused !== undefined) throw new Error(refused.message ?? '');
    },
    async inject(...faults) {
      const numbered = faults.map((fault, i) => ({ ...fault, id: i + 1 }));
      const answer = await client.call('debug.setFaults', { faults: numbered });
      const refused = answer.faults.find(({ armed }) => !armed);
      if (refused !== undefined) throw new Error(refused.message ?? '');
    },
    async step({ request }, how = 'over') {
      await client.call('debug.step', { request, how });
      return stops.next();
    },
    async continue() {
      await client.call('debug.continue', {});
    },
    close,
  };
}

/** Every event from now on. */
export async function follow(
  pid: number,
): Promise<{ events: Queue<EventJson>; close: () => void }> {
  const { client, close } = await observe(pid);
  const events = new Queue<EventJson>();
  client.on('events', (batch) => {
    for (const event of batch.events) events.push(event);
  });
  await client.call('events.follow', {});
  return { events, close };
}

export interface Program {
  readonly done: Promise<{ status: number | null; stdout: string; stderr: string }>;
  readonly running: boolean;
  readonly pid: number;
  /** Waits for a line on stdout. */
  prints(): Promise<string>;
  /** Waits until stderr contains this. */
  says(text: string): Promise<void>;
  kill(): void;
}

/** A program that may have to wait: never in this process, which would wait with it. */
export function run(command: string, ...args: string[]): Program {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  let stdout = '';
  let stderr = '';
  const lines = new Queue<string>();
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const errors = new Queue<string>();
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
  child.stdout.on('data', (data) => (stdout += String(data)));
  child.stderr.on('data', (data) => (stderr += String(data)));
  return {
    pid: child.pid ?? 0,
    prints: () => lines.next(),
    says: async (text) => {
      await errors.until((line) => line.includes(text));
    },
    done: new Promise((resolve) =>
      child.on('close', (status) => resolve({ status, stdout, stderr })),
    ),
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    kill: () => child.kill('SIGKILL'),
  };
}

/** Points of stops, for comparing. */
export function pointText({ op, point, facts }: StoppedJson): string {
  const outcome = facts.accepted === null ? '' : facts.accepted ? ' accepted' : ' rejected';
  return `${op} ${point}${outcome}`;
}
