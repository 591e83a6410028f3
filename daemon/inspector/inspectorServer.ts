/**
 * The inspector's server: the WebSocket at /inspector and, for browsers, the Key Map's page with
 * its two files.
 */

import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { mapHtml } from '../protocol/mapPage';
import type { Refusal } from './access';
import { refuseHost, refuseToken } from './access';
import type { DebugLease } from './debugLease';
import type { EventHistory } from './eventHistory';
import type { Log, Tour } from './inspectorSession';
import { InspectorSession } from './inspectorSession';
import type { InspectorListener } from './listening';
import { pageAddress } from './listening';
import type { LiveModel } from './liveModel';
import type { PageFiles } from './page';
import type { ProbesOnDemand } from './probesOnDemand';

/** The longest request a client may send. */
const MAX_REQUEST_BYTES = 64 * 1024;
const MAX_CLIENTS = 32;
/** How often clients are looked at even when nothing happens. */
const WATCH_INTERVAL = 1_000;

/** The hazards' pages are text and a style sheet. */
const DOCUMENT_POLICY = `default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'`;

export interface InspectorServer {
  /** For the runtime file. */
  readonly url: string;
  /** For a person's browser; null on a Unix socket. */
  readonly page: string | null;
  /** To be called after the model has changed. */
  changed(): void;
  /** To be called when a replay has begun anew, in a model of its own. */
  startOver(model: LiveModel, history: EventHistory): void;
  close(reason: string): Promise<void>;
}

/**
 * Serves who comes to a listening socket, and closes it in the end.
 *
 * @param files of the page
 * @param debug null for a target that can only be observed
 * @param tour null for a target that is no recording with steps
 * @param probes null for a target whose entries cannot be tried
 * @throws when the socket cannot be used
 */
export async function startInspectorServer(
  listener: InspectorListener,
  token: string,
  model: LiveModel,
  history: EventHistory,
  files: PageFiles,
  log: Log,
  debug: DebugLease | null = null,
  tour: Tour | null = null,
  probes: ProbesOnDemand | null = null,
): Promise<InspectorServer> {
  const sessions = new Set<InspectorSession>();
  let now = { model, history };
  const { hosts, url } = listener;

  const http = createServer((request, response) => {
    const refusal = refuseHost(request, hosts);
    if (refusal !== null) refuse(response, refusal, log);
    else servePage(request, response, files, log);
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
      const session = new InspectorSession(
        client,
        now.model,
        now.history,
        log,
        debug,
        tour,
        probes,
      );
      sessions.add(session);
      client.on('close', () => sessions.delete(session));
    });
  });

  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen({ fd: listener.fd }, resolve);
  });

  const changed = () => {
    for (const session of sessions) session.changed();
  };
  const watch = setInterval(changed, WATCH_INTERVAL);
  watch.unref();
  return {
    url,
    page: pageAddress(listener, token),
    changed,
    startOver: (nextModel, nextHistory) => {
      now = { model: nextModel, history: nextHistory };
      for (const session of sessions) session.startOver(nextModel, nextHistory);
    },
    close: async (reason) => {
      clearInterval(watch);
      for (const session of sessions) session.end(reason);
      sockets.close();
      http.closeAllConnections();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
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

function servePage(
  request: IncomingMessage,
  response: ServerResponse,
  files: PageFiles,
  log: Log,
): void {
  const { pathname } = new URL(request.url ?? '/', 'http://inspector');
  const file = files.get(pathname);
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
  } else if (file?.bytes != null) {
    const policy = { 'content-security-policy': DOCUMENT_POLICY };
    const own = file.type.startsWith('text/html') ? policy : {};
    response.writeHead(200, { ...headers, ...own, 'content-type': file.type });
    response.end(file.bytes);
  } else if (file !== undefined) {
    refuse(response, { status: 404, message: `${pathname} is missing: run npm run build.` }, log);
  } else {
    response.writeHead(404, headers);
    response.end('There is nothing here. The Key Map is at /.\n');
  }
}
