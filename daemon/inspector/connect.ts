/** The calling side for programs in Node: finds a daemon, opens its WebSocket, speaks hello. */

import * as fs from 'node:fs';
import { WebSocket } from 'ws';
import { InspectorClient } from '../protocol/client';
import type { RuntimeFile } from '../protocol/runtimeFile';
import { listRuntimeFiles, readRuntimeFile } from './runtimeFiles';

export interface Connection {
  readonly client: InspectorClient;
  /** Resolves when the connection is over, with the reason in words. */
  readonly ended: Promise<string>;
  readonly close: () => void;
}

/** Where to connect and with which token. */
export interface Endpoint {
  readonly url: string;
  readonly token: string;
}

/** The longest frame a daemon sends is a page of entries. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

/**
 * Finds what a TARGET names: a process id, a `ws://…` URL with its token, or a runtime file;
 * nothing, when exactly one daemon runs.
 *
 * @throws Error with a sentence that says what there is instead
 */
export function findTarget(
  target: string | undefined,
  complain: (sentence: string) => void,
): Endpoint {
  if (target !== undefined && /^ws(\+unix)?:/.test(target)) return endpointOfUrl(target);
  if (target !== undefined && !/^[0-9]+$/.test(target)) {
    if (!fs.existsSync(target)) {
      throw new Error(`${target} is no process id, no ws:// URL and no runtime file.`);
    }
    const file = readRuntimeFile(target, complain);
    if (file === null) throw new Error(`The daemon of ${target} is gone.`);
    return file;
  }
  const daemons = listRuntimeFiles(complain);
  if (target !== undefined) {
    const found = daemons.find(({ pid }) => pid === Number(target));
    if (found === undefined) {
      throw new Error(`Process ${target} is no daemon that can be inspected. ${whatRuns(daemons)}`);
    }
    return found;
  }
  const [only, ...others] = daemons;
  if (only === undefined || others.length > 0) throw new Error(whatRuns(daemons));
  return only;
}

function whatRuns(daemons: readonly RuntimeFile[]): string {
  if (daemons.length === 0) {
    return 'No daemon runs here that this user may inspect; start one with “virtiofsd-inspector serve”.';
  }
  const names = daemons.map(({ pid, sharedDir }) => `${pid} (${sharedDir})`).join(', ');
  return `There are these: ${names}. Name one by its process id.`;
}

function endpointOfUrl(text: string): Endpoint {
  const query = text.indexOf('?');
  const token = query === -1 ? null : new URLSearchParams(text.slice(query + 1)).get('token');
  if (token === null) throw new Error(`The URL ${text} lacks its token (?token=…).`);
  return { url: text.slice(0, query), token };
}

/**
 * Connects and greets.
 *
 * @throws Error with a sentence when there is no connection or the daemon refuses
 */
export async function connect(endpoint: Endpoint, name: string): Promise<Connection> {
  const socket = new WebSocket(endpoint.url, {
    headers: { authorization: `Bearer ${endpoint.token}` },
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
  });
  const client = new InspectorClient((text) => socket.send(text));
  let opened = false;
  const ended = new Promise<string>((resolve) => {
    const end = (reason: string) => {
      client.end(reason);
      resolve(reason);
    };
    socket.on('close', (code, reason) =>
      end(reason.length > 0 ? String(reason) : `The daemon closed the connection (${code}).`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    socket.on('open', () => {
      opened = true;
      resolve();
    });
    socket.on('unexpected-response', (_request, response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        reject(new Error(Buffer.concat(chunks).toString().trim() || `HTTP ${response.statusCode}`));
        socket.terminate();
      });
    });
    socket.on('error', (error) => {
      if (!opened) reject(new Error(`${endpoint.url} does not answer: ${error.message}`));
    });
  });
  socket.on('message', (data, isBinary) => {
    try {
      // ws hands out Buffers unless told otherwise (binaryType).
      if (isBinary) client.receiveBinary(data as Buffer);
      else client.receiveText((data as Buffer).toString('utf8'));
    } catch (error) {
      socket.close(4000, error instanceof Error ? error.message.slice(0, 120) : '');
    }
  });
  await client.hello(name);
  return { client, ended, close: () => socket.close() };
}
