/**
 * The inspector's server: the WebSocket at /inspector and, for browsers, the Key Map's page with
 * its two files. Loopback or a Unix socket, nothing else.
 */

import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { mapHtml } from '../protocol/mapPage';
import type { Refusal } from './access';
import { refuseHost, refuseToken } from './access';
import type { DebugLease } from './debugLease';
import type { EventHistory } from './eventHistory';
import type { Log } from './inspectorSession';
import { InspectorSession } from './inspectorSession';
import type { LiveModel } from './liveModel';

/** Where to listen: `--inspect`. */
export type InspectAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** The longest request a client may send. */
const MAX_REQUEST_BYTES = 64 * 1024;
const MAX_CLIENTS = 32;
/** How often clients are looked at even when nothing happens. */
const WATCH_INTERVAL = 1_000;

export interface InspectorServer {
  /** For the runtime file. */
  readonly url: string;
  /** For a person's browser; null on a Unix socket. */
  readonly page: string | null;
  /** To be called after the model has changed. */
  changed(): void;
  close(reason: string): Promise<void>;
}

/**
 * Starts listening.
 *
 * @param webRoot the folder of map.js and map.css
 * @param debug null for a target that can only be observed
 * @throws when the address cannot be listened on, with a sentence that says which and why
 */
export async function startInspectorServer(
  address: InspectAddress,
  token: string,
  model: LiveModel,
  history: EventHistory,
  webRoot: string,
  log: Log,
  debug: DebugLease | null = null,
): Promise<InspectorServer> {
  const sessions = new Set<InspectorSession>();
  let hosts: readonly string[] | null = null;

  const http = createServer((request, response) => {
    const refusal = refuseHost(request, hosts);
    if (refusal !== null) refuse(response, refusal, log);
    else servePage(request, response, webRoot, log);
  });
  // A browser page may not keep the daemon from ending.
  http.keepAliveTimeout = 1_000;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_REQUEST_BYTES,
    perMessageDeflate: false,
  });
  http.on('upgrade', (request, socket, head) => {
    const refusal = refuseUpgrade(request, hosts, token, sessions.size);
    if (refusal !== null) {
      refuseSocket(socket, refusal, log);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      const session = new InspectorSession(client, model, history, log, debug);
      sessions.add(session);
      client.on('close', () => sessions.delete(session));
    });
  });

  await listen(http, address);
  let url: string;
  let page: string | null = null;
  if (address.kind === 'unix') {
    fs.chmodSync(address.path, 0o600);
    url = `ws+unix:${address.path}:/inspector`;
  } else {
    const { port } = http.address() as AddressInfo;
    const literal = address.host.includes(':') ? `[${address.host}]` : address.host;
    hosts = [...new Set([`${literal}:${port}`, `127.0.0.1:${port}`, `localhost:${port}`])];
    url = `ws://${literal}:${port}/inspector`;
    // In the fragment, so that it is in no request, no referrer and no log.
    page = `http://${literal}:${port}/#token=${token}`;
  }

  const changed = () => {
    for (const session of sessions) session.changed();
  };
  const watch = setInterval(changed, WATCH_INTERVAL);
  watch.unref();
  return {
    url,
    page,
    changed,
    close: async (reason) => {
      clearInterval(watch);
      for (const session of sessions) session.end(reason);
      sockets.close();
      http.closeAllConnections();
      await new Promise<void>((resolve) => http.close(() => resolve()));
      if (address.kind === 'unix') fs.rmSync(address.path, { force: true });
    },
  };
}

/**
 * Reads the value of `--inspect`; empty: 127.0.0.1 and a free port.
 *
 * @throws with a sentence when it is not `HOST:PORT`, `PORT` or `unix:PATH`, or not loopback
 */
export function parseInspectAddress(text: string): InspectAddress {
  if (text === '') return { kind: 'tcp', host: '127.0.0.1', port: 0 };
  if (text.startsWith('unix:')) {
    const socket = text.slice('unix:'.length);
    // sun_path of unix(7).
    if (socket === '' || Buffer.byteLength(socket) > 107) {
      throw new Error(`The path of a Unix socket has 1 to 107 bytes.`);
    }
    return { kind: 'unix', path: path.resolve(socket) };
  }
  const parts = /^(?:(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]):)?([0-9]{1,5})$/.exec(text);
  const port = Number(parts?.[2] ?? NaN);
  if (parts === null || port > 65_535) {
    throw new Error(
      `Give HOST:PORT with a loopback host (127.0.0.1, localhost, [::1]), a port, or unix:PATH. ` +
        'From another machine, forward the port with ssh -L.',
    );
  }
  return { kind: 'tcp', host: (parts[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
}

function listen(http: ReturnType<typeof createServer>, address: InspectAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const where = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
    http.once('error', (error) =>
      reject(new Error(`The inspector cannot listen on ${where}: ${error.message}`)),
    );
    if (address.kind === 'unix') {
      // Whoever may open the socket may read the tables: nobody but this user from the first moment.
      const umask = process.umask(0o177);
      http.listen(address.path, () => resolve());
      process.umask(umask);
    } else {
      http.listen(address.port, address.host, () => resolve());
    }
  });
}

function refuseUpgrade(
  request: IncomingMessage,
  hosts: readonly string[] | null,
  token: string,
  clients: number,
): Refusal | null {
  const { pathname } = new URL(request.url ?? '/', 'http://inspector');
  if (pathname !== '/inspector') {
    return { status: 404, message: 'The WebSocket is at /inspector.' };
  }
  const refusal = refuseHost(request, hosts) ?? refuseToken(request, token);
  if (refusal === null && clients >= MAX_CLIENTS) {
    return { status: 403, message: `${MAX_CLIENTS} clients are connected; close one of them.` };
  }
  return refusal;
}

function refuse(response: ServerResponse, { status, message }: Refusal, log: Log): void {
  log.warn(`Inspector: refused a request: ${message}`);
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  response.end(`${message}\n`);
}

const STATUS_TEXT = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found' } as const;

function refuseSocket(socket: Duplex, { status, message }: Refusal, log: Log): void {
  log.warn(`Inspector: refused a connection: ${message}`);
  socket.on('error', () => socket.destroy());
  const body = `${message}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_TEXT[status]}\r\ncontent-type: text/plain; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

const FILES: Readonly<Record<string, string>> = {
  '/map.js': 'text/javascript; charset=utf-8',
  '/map.css': 'text/css; charset=utf-8',
};

function servePage(
  request: IncomingMessage,
  response: ServerResponse,
  webRoot: string,
  log: Log,
): void {
  const { pathname } = new URL(request.url ?? '/', 'http://inspector');
  const headers = {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
  };
  if (request.method !== 'GET') {
    refuse(response, { status: 403, message: 'This server only answers GET.' }, log);
  } else if (pathname === '/') {
    const html = mapHtml({
      script: '/map.js',
      style: '/map.css',
      nonce: randomBytes(16).toString('hex'),
      cspSource: `'self'`,
      connectSrc: `ws://${request.headers.host ?? ''}`,
      title: 'Key Map',
    });
    response.writeHead(200, { ...headers, 'content-type': 'text/html; charset=utf-8' });
    response.end(html);
  } else if (FILES[pathname] !== undefined) {
    fs.readFile(path.join(webRoot, pathname), (error, bytes) => {
      if (error !== null) {
        refuse(
          response,
          { status: 404, message: `${pathname} is missing: run npm run build.` },
          log,
        );
        return;
      }
      response.writeHead(200, { ...headers, 'content-type': FILES[pathname] ?? '' });
      response.end(bytes);
    });
  } else {
    response.writeHead(404, headers);
    response.end('There is nothing here. The Key Map is at /.\n');
  }
}
