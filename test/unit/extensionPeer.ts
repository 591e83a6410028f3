/**
 * A stand-in for a daemon's inspector, for tests of the extension's own side: answers what it is
 * told to, and keeps what it was asked. The real daemon stands in the workbench tests.
 */

import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WebSocket } from 'ws';
import { WebSocketServer } from 'ws';
import type { HazardJson, Target } from '../../daemon/protocol/json';
import type { Status } from '../../daemon/protocol/map';
import type { Address } from '../../extension/core/address';
import type { Log, LogLevel } from '../../extension/core/log';

export const TOKEN = 'a-token';

export function targetOn(sharedDir: string): Target {
  return {
    kind: 'serve',
    pid: process.pid,
    implementation: 'peer 1.0',
    sharedDir,
    lookupRule: 'handle-then-fd',
    inodeFileHandles: { requested: 'prefer', effective: 'prefer' },
    level: 'instrumented',
    complete: true,
    transport: '/dev/fuse on /run/a mount',
  };
}

export function statusAt(seq: string, open: Partial<Status['open']> = {}): Status {
  return {
    seq,
    counters: {
      lookups: {
        handle_hit: '1',
        fallback_hit: '2',
        handleless_hit: '3',
        fallback_rejected: '4',
        miss: '5',
        error: '6',
      },
      entries: { file: '14', handle: '1190', invalid: '0' },
      forgets: '7',
      fds: { used: '20', limit: '1048576' },
    },
    open: { data: 0, error: 0, identity: 0, resource: 0, information: 0, ...open },
  };
}

export function hazard(overrides: Partial<HazardJson> = {}): HazardJson {
  return {
    id: 'H1',
    name: 'INODE-NUMBER REUSE',
    severity: 'information',
    state: 'open',
    nodeids: ['2', '3'],
    seq: '17',
    evidence: { ids: '12/7:0/74', oldGeneration: null },
    advice: 'Nothing to do.',
    ...overrides,
  };
}

export interface Peer {
  readonly address: Address;
  /** Requests in the order in which they came: `hello`, `status.watch`… */
  readonly asked: { readonly method: string; readonly params: unknown }[];
  hazards: { hazards: HazardJson[]; totals: Record<string, number> };
  /** Connections so far. */
  connections(): number;
  /** To every connection. */
  notify(method: string, params: unknown): void;
  sendBinary(bytes: Uint8Array): void;
  /** Ends every connection. */
  hangUp(code: number, reason: string): void;
  /** Resolves when a request of this method comes. */
  next(method: string): Promise<unknown>;
  stop(): Promise<void>;
}

export async function startPeer(sharedDir = '/srv/share'): Promise<Peer> {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    verifyClient: ({ req }: { req: IncomingMessage }) =>
      req.headers.authorization === `Bearer ${TOKEN}`,
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const waiting = new Map<string, (params: unknown) => void>();
  let connections = 0;
  const peer: Peer = {
    address: { url: `ws://127.0.0.1:${port}/inspector`, token: TOKEN },
    asked: [],
    hazards: { hazards: [], totals: {} },
    connections: () => connections,
    notify(method, params) {
      for (const socket of server.clients) {
        socket.send(JSON.stringify({ jsonrpc: '2.0', method, params }));
      }
    },
    sendBinary(bytes) {
      for (const socket of server.clients) socket.send(bytes);
    },
    hangUp(code, reason) {
      for (const socket of server.clients) socket.close(code, reason);
    },
    next: (method) => new Promise((resolve) => waiting.set(method, resolve)),
    async stop() {
      for (const socket of server.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  server.on('connection', (socket: WebSocket) => {
    connections++;
    socket.on('message', (data: Buffer) => {
      const { id, method, params } = JSON.parse(data.toString('utf8')) as Request;
      peer.asked.push({ method, params });
      const results: Record<string, unknown> = {
        hello: { protocol: 1, target: targetOn(sharedDir) },
        'status.watch': statusAt('1'),
        hazards: peer.hazards,
      };
      const answer =
        method in results
          ? { result: results[method] }
          : { error: { code: -32601, message: `no ${method} here` } };
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
      waiting.get(method)?.(params);
      waiting.delete(method);
    });
  });
  return peer;
}

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

/** A log that keeps its lines: `warn: …`. */
export function keepingLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: LogLevel) => (message: string) => void lines.push(`${level}: ${message}`);
  return {
    lines,
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}
