/** QEMU's monitor protocol: JSON objects, one a line (QEMU's docs/interop/qmp-spec). */

import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import * as v from 'valibot';

const message = v.union([
  v.object({ QMP: v.unknown() }),
  v.object({ event: v.string(), data: v.optional(v.record(v.string(), v.unknown()), {}) }),
  v.object({ return: v.unknown() }),
  v.object({ error: v.object({ class: v.string(), desc: v.string() }) }),
]);

export type EventData = Readonly<Record<string, unknown>>;

interface Waiter {
  readonly name: string;
  readonly passes: (data: EventData) => boolean;
  readonly resolve: (data: EventData) => void;
}

/** A monitor that was connected and greeted. */
export class Qmp {
  readonly #answers: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  readonly #waiters = new Set<Waiter>();

  private constructor(private readonly socket: Socket) {}

  static async greet(socket: Socket): Promise<Qmp> {
    const qmp = new Qmp(socket);
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => qmp.#receive(line));
    // QEMU is gone, which whoever started it learns from its exit.
    lines.on('error', () => undefined);
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  /** @throws Error with QEMU's words when it refuses */
  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const answer = new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
    this.socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    return answer;
  }

  /** The next event of a name that passes. */
  event(name: string, passes: (data: EventData) => boolean = () => true): Promise<EventData> {
    return new Promise((resolve) => this.#waiters.add({ name, passes, resolve }));
  }

  #receive(line: string): void {
    const said = v.parse(message, JSON.parse(line));
    if ('event' in said) {
      for (const waiter of [...this.#waiters]) {
        if (waiter.name !== said.event || !waiter.passes(said.data)) continue;
        this.#waiters.delete(waiter);
        waiter.resolve(said.data);
      }
    } else if ('return' in said) {
      this.#answers.shift()?.resolve(said.return);
    } else if ('error' in said) {
      this.#answers.shift()?.reject(new Error(`QEMU: ${said.error.desc}`));
    }
  }
}
