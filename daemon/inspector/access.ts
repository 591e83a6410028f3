/**
 * Who may talk to the inspector. It runs as root beside browsers, so a request must show the
 * daemon's token, name this very server as its Host (else a page could reach it through a name of
 * its own that resolves to 127.0.0.1) and come from no foreign Origin.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export interface Refusal {
  readonly status: 401 | 403 | 404;
  readonly message: string;
}

export function newToken(): string {
  return randomBytes(32).toString('base64url');
}

/** @param hosts the values of Host that mean this server; `null` on a Unix socket, where any will do */
export function refuseHost(
  request: IncomingMessage,
  hosts: readonly string[] | null,
): Refusal | null {
  const { host, origin } = request.headers;
  if (hosts !== null && (host === undefined || !hosts.includes(host))) {
    return {
      status: 403,
      message: `The Host header “${host ?? ''}” does not name this inspector. Use ${hosts[0] ?? 'its address'}.`,
    };
  }
  if (
    origin !== undefined &&
    (hosts === null || !hosts.some((name) => origin === `http://${name}`))
  ) {
    return { status: 403, message: `Pages of ${origin} may not talk to this inspector.` };
  }
  return null;
}

/** The token travels as `Authorization: Bearer TOKEN`, or as `?token=` where a page must open the socket. */
export function refuseToken(request: IncomingMessage, token: string): Refusal | null {
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const shown = bearer ?? new URL(request.url ?? '/', 'http://inspector').searchParams.get('token');
  if (shown === null) {
    return {
      status: 401,
      message: 'A token is needed: it stands in the runtime file of the daemon.',
    };
  }
  const given = Buffer.from(shown);
  const expected = Buffer.from(token);
  const same = given.length === expected.length && timingSafeEqual(given, expected);
  return same ? null : { status: 401, message: 'The token is not the one of this daemon.' };
}
