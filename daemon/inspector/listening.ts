/** Where the inspector listens: loopback or a Unix socket, nothing else. */

import * as fs from 'node:fs';
import path from 'node:path';
import { getSystemErrorName } from 'node:util';
import type { Addon } from '../../native/index';

/** `--inspect`. */
export type InspectAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** A socket that listens already; who comes before it is served waits. */
export interface InspectorListener {
  readonly fd: number;
  /** For the runtime file. */
  readonly url: string;
  /** Where a browser finds it; null on a Unix socket. */
  readonly origin: string | null;
  /** The values of Host that mean it; null: any will do. */
  readonly hosts: readonly string[] | null;
}

/** Nobody but this user may open the socket, from the first moment: whoever may, may read the tables. */
const OWNER_ONLY = 0o177;

/** @throws Error that says which address cannot be listened on, and why */
export function listenForInspector(native: Addon, address: InspectAddress): InspectorListener {
  if (address.kind === 'unix') {
    const fd = native.listenAt(address.path, OWNER_ONLY, -1);
    if (fd < 0) throw cannotListen(address.path, fd);
    return { fd, url: `ws+unix:${address.path}:/inspector`, origin: null, hosts: null };
  }
  const { host } = address;
  const literal = host.includes(':') ? `[${host}]` : host;
  const socket = native.listenOnLoopback(host === 'localhost' ? '127.0.0.1' : host, address.port);
  if (typeof socket === 'number') throw cannotListen(`${literal}:${address.port}`, socket);
  const { descriptor: fd, port } = socket;
  return {
    fd,
    url: `ws://${literal}:${port}/inspector`,
    origin: `http://${literal}:${port}`,
    hosts: [...new Set([`${literal}:${port}`, `127.0.0.1:${port}`, `localhost:${port}`])],
  };
}

/** For a person's browser; null on a Unix socket. The token stands where no request and no log has it. */
export function pageAddress({ origin }: InspectorListener, token: string): string | null {
  return origin === null ? null : `${origin}/#token=${token}`;
}

/** Takes the socket out of the file system. */
export function removeListener(address: InspectAddress): void {
  if (address.kind === 'unix') fs.rmSync(address.path, { force: true });
}

function cannotListen(where: string, result: number): Error {
  return new Error(`The inspector cannot listen on ${where}: ${getSystemErrorName(result)}`);
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
