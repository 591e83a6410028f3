/**
 * The calling side of the inspector protocol over any channel that carries text and binary frames:
 * a WebSocket in Node or in a page, or a webview's messages. Everything that arrives is validated
 * here, once.
 */

import * as v from 'valibot';
import { decodeFrame } from './binary';
import { PROTOCOL_VERSION } from './json';
import type { CallOf, MethodName, NotificationName, NotificationOf, ResultOf } from './rpc';
import { METHODS, NOTIFICATIONS, rpcMessage } from './rpc';

/** The daemon's answer was an error, or the connection ended before it came. */
export class InspectorError extends Error {
  override readonly name = 'InspectorError';
  constructor(
    message: string,
    /** A JSON-RPC code of RPC_ERRORS, or 0 when the connection ended. */
    readonly code: number,
  ) {
    super(message);
  }
}

interface Pending {
  readonly method: MethodName;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: InspectorError) => void;
}

type Listeners = { [N in NotificationName]?: (params: NotificationOf<N>) => void };

export class InspectorClient {
  readonly #pending = new Map<number, Pending>();
  readonly #frames = new Map<number, Uint8Array>();
  readonly #listeners: Listeners = {};
  #nextId = 1;
  #ended: InspectorError | undefined;

  /** @param send puts one text frame on the channel */
  constructor(private readonly send: (text: string) => void) {}

  /** Greets the daemon; must come first. */
  hello(client: string): Promise<ResultOf<'hello'>> {
    return this.call('hello', {
      protocol: { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION },
      client,
    });
  }

  /** @throws InspectorError when the daemon refuses or the connection ends */
  call<M extends MethodName>(method: M, params: CallOf<M>): Promise<ResultOf<M>> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { method, resolve, reject });
      this.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    }).then((result) => result as ResultOf<M>);
  }

  /** Asks for the overview's cells: one byte each, an index into CELL_STATES. */
  async overview(from: number, to: number, cells: number): Promise<Overview> {
    const id = this.#nextId;
    const { rows } = await this.call('overview', { from, to, cells });
    const payload = this.#frames.get(id) ?? new Uint8Array(0);
    this.#frames.delete(id);
    return { rows, cells: payload };
  }

  on<N extends NotificationName>(name: N, listener: (params: NotificationOf<N>) => void): void {
    Object.assign(this.#listeners, { [name]: listener });
  }

  /** To be called for each text frame. @throws InspectorError when it is not one of the protocol */
  receiveText(text: string): void {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new InspectorError('The daemon sent a frame that is not JSON.', 0);
    }
    const message = v.safeParse(rpcMessage, json);
    if (!message.success) throw new InspectorError('The daemon sent an unknown message.', 0);
    if ('method' in message.output) this.#notify(message.output.method, message.output.params);
    else this.#settle(message.output);
  }

  /** To be called for each binary frame; it precedes the result that it belongs to. */
  receiveBinary(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    if (frame !== undefined) this.#frames.set(frame.requestId, frame.payload);
  }

  /** The channel is gone: every call under way fails with this sentence. */
  end(reason: string): void {
    this.#ended ??= new InspectorError(reason, 0);
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
    this.#frames.clear();
  }

  #settle(answer: { id: number | string | null } & ({ result: unknown } | { error: RpcError })) {
    const pending = typeof answer.id === 'number' ? this.#pending.get(answer.id) : undefined;
    if (pending === undefined || typeof answer.id !== 'number') return;
    this.#pending.delete(answer.id);
    if ('error' in answer) {
      pending.reject(new InspectorError(answer.error.message, answer.error.code));
      return;
    }
    const result = v.safeParse(METHODS[pending.method].result, answer.result);
    if (result.success) pending.resolve(result.output);
    else {
      const where = v.getDotPath(result.issues[0]) ?? '';
      pending.reject(
        new InspectorError(`The daemon's answer to ${pending.method} is malformed at ${where}.`, 0),
      );
    }
  }

  #notify(name: string, params: unknown): void {
    if (!isNotification(name)) return;
    const parsed = v.safeParse(NOTIFICATIONS[name], params);
    if (!parsed.success) {
      throw new InspectorError(`The daemon sent a malformed ${name} notification.`, 0);
    }
    // The schema of this name is what made the value.
    const listener = this.#listeners[name] as ((params: unknown) => void) | undefined;
    listener?.(parsed.output);
  }
}

export interface Overview {
  /** Rows of the tables in all. */
  readonly rows: number;
  readonly cells: Uint8Array;
}

interface RpcError {
  readonly code: number;
  readonly message: string;
}

function isNotification(name: string): name is NotificationName {
  return Object.hasOwn(NOTIFICATIONS, name);
}
