/** The one way in which the extension opens a WebSocket to a daemon. */

import WebSocket from 'ws';
import type { Address } from './address';
import { messageOf } from './log';

const HANDSHAKE_MS = 5_000;

/** A snapshot of SNAPSHOT_ENTRIES entries is about 4 MB; nothing that is sent comes near this. */
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

export function openSocket(address: Address): WebSocket {
  const socket = new WebSocket(address.url, {
    headers: { Authorization: `Bearer ${address.token}` },
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    followRedirects: false,
  });
  socket.binaryType = 'nodebuffer';
  return socket;
}

/** What a failed connection means to a person. */
export function describeSocketError(error: unknown, address: Address): string {
  const message = messageOf(error);
  if (/\b(401|403)\b/.test(message)) {
    return `The daemon at ${address.url} refused the token. Copy the URL again: each daemon has its own.`;
  }
  if (message.includes('ECONNREFUSED') || message.includes('ENOENT')) {
    return `Nothing listens at ${address.url}. The daemon may have ended.`;
  }
  if (message.includes('Unexpected server response')) {
    return `What listens at ${address.url} is no inspector (${message}).`;
  }
  return `The connection to ${address.url} failed: ${message}`;
}

/** Why a connection ended; the daemon's close reason is already a sentence. */
export function describeClose(code: number, reason: string): string {
  if (reason !== '') return reason;
  if (code === 1001) return 'The daemon was stopped.';
  if (code === 1006) return 'The daemon ended without a word.';
  return `The daemon closed the connection (code ${code}).`;
}

/** The bytes of a message, whichever way `ws` hands them over. */
export function bytesOf(data: WebSocket.RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? Buffer.from(data) : data;
}
