/**
 * One Key Map's conversation: a connection to the daemon for each loading of the page, its frames
 * passed on in both directions. What the page sends is judged here, because a page is the least
 * trusted part; what the daemon sends is judged by the page's own client.
 */

import * as v from 'valibot';
import WebSocket from 'ws';
import type { HostToWebview, StopPlace } from '../../daemon/protocol/hostMessages';
import { webviewToHost } from '../../daemon/protocol/hostMessages';
import type { MethodName } from '../../daemon/protocol/rpc';
import { METHODS, rpcRequest } from '../../daemon/protocol/rpc';
import type { Address } from './address';
import type { Log } from './log';
import { bytesOf, describeClose, describeSocketError, openSocket } from './socket';

/** Where the daemon is, or why there is none to connect to. */
export type MapTarget =
  | { readonly state: 'there'; readonly address: Address }
  | { readonly state: 'gone'; readonly message: string };

export interface MapSessionHost {
  /** Puts a message to the page; must do nothing while it is hidden. */
  post(message: HostToWebview): void;
  /** Asked anew for each connection. */
  target(): MapTarget;
  /** The user asks what a hazard is. */
  explain(hazard: string): void;
}

const { OPEN } = WebSocket;

export class MapSession {
  #socket: WebSocket | undefined;
  /** The page is loaded and shown. */
  #ready = false;
  #reveal: string | undefined;
  #stop: StopPlace | null = null;

  constructor(
    private readonly host: MapSessionHost,
    private readonly log: Log,
  ) {}

  /** Takes whatever the page posted. */
  receive(message: unknown): void {
    const parsed = v.safeParse(webviewToHost, message);
    if (!parsed.success) {
      this.log.warn('The Key Map posted a message that is none of its own; it was ignored.');
      return;
    }
    switch (parsed.output.k) {
      case 'ready':
        this.#ready = true;
        this.connect();
        if (this.#reveal !== undefined) this.reveal(this.#reveal);
        if (this.#stop !== null) this.stop(this.#stop);
        return;
      case 'text':
        this.#forward(parsed.output.text);
        return;
      case 'explain':
        this.host.explain(parsed.output.hazard);
        return;
      case 'report':
        this.#report(parsed.output.level, parsed.output.message);
        return;
    }
  }

  /** Connects afresh, or tells the page why not; nothing while no page is there to see it. */
  connect(): void {
    this.#drop();
    if (!this.#ready) return;
    const target = this.host.target();
    if (target.state === 'gone') {
      this.host.post({ k: 'state', state: 'ended', message: target.message });
      return;
    }
    const { address } = target;
    this.host.post({ k: 'state', state: 'connecting', message: `Connecting to ${address.url}` });
    const socket = openSocket(address);
    this.#socket = socket;
    const current = (): boolean => this.#socket === socket;
    socket.on('open', () => {
      if (!current()) return;
      this.host.post({ k: 'state', state: 'open', message: `Connected to ${address.url}` });
    });
    socket.on('message', (data, isBinary) => {
      if (!current()) return;
      const bytes = bytesOf(data);
      if (isBinary) this.host.post({ k: 'binary', bytes: new Uint8Array(bytes) });
      else this.host.post({ k: 'text', text: bytes.toString('utf8') });
    });
    socket.on('error', (error) => {
      if (current()) this.end(describeSocketError(error, address));
    });
    socket.on('close', (code, reason) => {
      if (current()) this.end(describeClose(code, reason.toString('utf8')));
    });
  }

  /** The page is hidden: it is unloaded by VS Code, and says `ready` when it is back. */
  hide(): void {
    this.#ready = false;
    this.#drop();
  }

  /** The daemon is gone; the page says so. */
  end(message: string): void {
    this.#drop();
    if (this.#ready) this.host.post({ k: 'state', state: 'ended', message });
  }

  /** Shows this entry, as soon as there is a page; which keeps it until it is connected. */
  reveal(nodeid: string): void {
    this.#reveal = this.#ready ? undefined : nodeid;
    if (this.#ready) this.host.post({ k: 'reveal', nodeid });
  }

  /** Shows where a debugger has stopped; null: nowhere any more. */
  stop(at: StopPlace | null): void {
    this.#stop = at;
    if (this.#ready) this.host.post({ k: 'stop', at });
  }

  dispose(): void {
    this.hide();
  }

  #forward(text: string): void {
    const refusal = refusalOf(text);
    if (refusal !== undefined) {
      this.log.warn(`A request of the Key Map was not passed on: ${refusal}`);
      return;
    }
    // A request that crosses the end of the connection: the page learns of the end by `state`.
    const socket = this.#socket;
    if (socket?.readyState === OPEN) socket.send(text);
  }

  #report(level: 'info' | 'warning' | 'error', message: string): void {
    const line = `Key Map page: ${message}`;
    if (level === 'error') this.log.error(line);
    else if (level === 'warning') this.log.warn(line);
    else this.log.info(line);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    // Closing a socket that still connects makes it emit an error, which is of no interest.
    socket.on('error', () => undefined);
    socket.close();
  }
}

/** @returns why this frame must not reach the daemon; undefined when it may */
export function refusalOf(text: string): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return 'it is not JSON';
  }
  const request = v.safeParse(rpcRequest, json);
  if (!request.success) return 'it is no JSON-RPC request';
  const { method, params } = request.output;
  if (!isMethod(method)) return `there is no method ${JSON.stringify(method.slice(0, 40))}`;
  const checked = v.safeParse(METHODS[method].request, params ?? {});
  if (checked.success) return undefined;
  return `the parameters of ${method} are malformed at ${v.getDotPath(checked.issues[0]) ?? 'top'}`;
}

function isMethod(name: string): name is MethodName {
  return Object.hasOwn(METHODS, name);
}
