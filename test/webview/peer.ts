/**
 * A scripted daemon: serves the page and its two files as the real one does, and answers the
 * inspector protocol from a hand-made scene. Requests are held against the protocol's schemas.
 */

import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import * as v from 'valibot';
import type { WebSocket } from 'ws';
import { WebSocketServer } from 'ws';
import { encodeFrame, OVERVIEW_FRAME } from '../../daemon/protocol/binary';
import { mapHtml } from '../../daemon/protocol/mapPage';
import type { LanesRequest, LanesWindow } from '../../daemon/protocol/lanes';
import type { MapRequest } from '../../daemon/protocol/map';
import type { MethodName } from '../../daemon/protocol/rpc';
import { METHODS, RPC_ERRORS, rpcRequest } from '../../daemon/protocol/rpc';
import { lanesWindowOf } from './laneScenes';
import type { WhySubject } from '../../daemon/protocol/why';
import type { Scene } from './scenes';
import { detailOf, windowOf } from './scenes';

export class Peer {
  readonly requests: { method: string; params: unknown }[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<WebSocket>();
  #watched: MapRequest | undefined;
  #version = 0;
  #watchedLanes: LanesRequest | undefined;
  #lanesVersion = 0;
  /** While true, connections are taken but nothing is answered. */
  silent = false;

  private constructor(
    public scene: Scene,
    bundleDir: string,
  ) {
    this.#server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://peer');
      if (pathname === '/' || pathname === '/hosted') {
        response.setHeader('content-type', 'text/html; charset=utf-8');
        response.end(
          mapHtml({
            script: '/map.js',
            style: '/map.css',
            nonce: 'n0nce',
            cspSource: `'self'`,
            title: 'Key Map',
            // In VS Code the page itself may connect nowhere.
            ...(pathname === '/' ? { connectSrc: `ws://${request.headers.host ?? ''}` } : {}),
          }),
        );
      } else if (pathname === '/map.js' || pathname === '/map.css') {
        response.setHeader(
          'content-type',
          pathname === '/map.js' ? 'text/javascript; charset=utf-8' : 'text/css; charset=utf-8',
        );
        response.end(readFileSync(path.join(bundleDir, pathname)));
      } else {
        response.statusCode = 404;
        response.end();
      }
    });
    const sockets = new WebSocketServer({ server: this.#server, path: '/inspector' });
    sockets.on('connection', (socket) => this.#serve(socket));
  }

  static async start(scene: Scene, bundleDir: string): Promise<Peer> {
    const peer = new Peer(scene, bundleDir);
    await new Promise<void>((resolve) => peer.#server.listen(0, '127.0.0.1', resolve));
    return peer;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get page(): string {
    return `${this.origin}/#token=secret`;
  }

  /** Sends the window that is watched, as it is now; the next seq unless the test sets one. */
  push(): void {
    this.scene.seq++;
    if (this.#watched === undefined) return;
    this.#broadcast('map', windowOf(this.scene, this.#watched, ++this.#version));
  }

  pushStatus(): void {
    this.#broadcast('status', { ...this.scene.status, seq: String(this.scene.seq) });
  }

  /** Sends the lanes that are watched, as they are now. */
  pushLanes(): void {
    this.scene.seq++;
    if (this.#watchedLanes === undefined) return;
    this.#broadcast('lanes', this.#lanesWindow(this.#watchedLanes));
  }

  pushBudget(): void {
    this.#broadcast('budget', this.scene.budget);
  }

  watchedLanes(): LanesRequest | undefined {
    return this.#watchedLanes;
  }

  #lanesWindow(request: LanesRequest): LanesWindow {
    const { lanes, seq } = this.scene;
    return lanesWindowOf(lanes, request, ++this.#lanesVersion, seq);
  }

  watched(): MapRequest | undefined {
    return this.#watched;
  }

  /** Ends every connection with a sentence, as a daemon that stops. */
  drop(reason: string): void {
    for (const socket of this.#sockets) socket.close(1001, reason);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: WebSocket): void {
    this.#sockets.add(socket);
    this.#version = 0;
    this.#lanesVersion = 0;
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('message', (data: Buffer) => {
      if (this.silent) return;
      const request = v.parse(rpcRequest, JSON.parse(String(data)));
      const method = request.method as MethodName;
      const params = v.parse(METHODS[method].request, request.params);
      this.requests.push({ method, params });
      const answer = this.#answer(socket, Number(request.id), method, params);
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: request.id, ...answer }));
    });
  }

  #answer(socket: WebSocket, id: number, method: MethodName, params: unknown): object {
    const { scene } = this;
    switch (method) {
      case 'hello':
        return { result: { protocol: 1, target: scene.target } };
      case 'map.watch':
        this.#watched = params as MapRequest;
        return { result: windowOf(scene, this.#watched, ++this.#version) };
      case 'status.watch':
        return { result: scene.status };
      case 'budget.watch':
        return { result: scene.budget };
      case 'budget.stop':
        return { result: {} };
      case 'lanes.watch':
        this.#watchedLanes = params as LanesRequest;
        return { result: this.#lanesWindow(this.#watchedLanes) };
      case 'lanes.stop':
        this.#watchedLanes = undefined;
        this.#lanesVersion = 0;
        return { result: {} };
      case 'overview': {
        const { from, to, cells } = params as { from: number; to: number; cells: number };
        const end = Math.max(from + 1, Math.min(to, Math.max(1, scene.cells.length)));
        const payload = worstOf(scene.cells, from, end, cells);
        socket.send(encodeFrame(OVERVIEW_FRAME, id, payload));
        return { result: { rows: scene.cells.length } };
      }
      case 'entry': {
        const { nodeid } = params as { nodeid: string };
        const detail = detailOf(scene, nodeid);
        if (detail !== undefined) return { result: detail };
        return {
          error: { code: RPC_ERRORS.unknownEntry, message: `Node ${nodeid} is not in the tables.` },
        };
      }
      case 'row':
        return { result: { nodeid: scene.nodeidOfRow((params as { row: number }).row) } };
      case 'why': {
        const answer = scene.why?.((params as { about: WhySubject }).about);
        if (answer === undefined) {
          return {
            error: { code: RPC_ERRORS.unknownMethod, message: 'There is no method “why”.' },
          };
        }
        return typeof answer === 'string'
          ? { error: { code: RPC_ERRORS.unknownEntry, message: answer } }
          : { result: answer };
      }
      case 'snapshot':
      case 'pages':
      case 'events.follow':
      case 'events.stop':
      case 'map.stop':
      case 'hazards':
      case 'judge':
      case 'debug.attach':
      case 'debug.heartbeat':
      case 'debug.detach':
      case 'debug.setBreakpoints':
      case 'debug.setFaults':
      case 'debug.pause':
      case 'debug.continue':
      case 'debug.step':
      case 'debug.inspect':
      case 'debug.openFiles':
      case 'debug.evaluate':
      case 'tour.state':
      case 'tour.go':
      case 'probe.start':
      case 'probe.stop':
        return { error: { code: RPC_ERRORS.unknownMethod, message: `Not scripted: ${method}.` } };
    }
  }

  #broadcast(method: string, params: unknown): void {
    for (const socket of this.#sockets) {
      socket.send(JSON.stringify({ jsonrpc: '2.0', method, params }));
    }
  }
}

function worstOf(rows: Uint8Array, from: number, to: number, count: number): Uint8Array {
  const out = new Uint8Array(count);
  const width = (to - from) / count;
  for (let cell = 0; cell < count; cell++) {
    const first = Math.floor(from + cell * width);
    const last = Math.max(first + 1, Math.floor(from + (cell + 1) * width));
    for (let row = first; row < last; row++) out[cell] = Math.max(out[cell] ?? 0, rows[row] ?? 0);
  }
  return out;
}
