/** Where an inspector listens, from a runtime file or as a person typed it. */

import type { RuntimeFile } from '../../daemon/protocol/runtimeFile';

export interface Address {
  /** `ws://HOST:PORT/inspector`, `wss://…` or `ws+unix:PATH:/inspector`, without the token. */
  readonly url: string;
  readonly token: string;
}

export function addressOf(file: RuntimeFile): Address {
  return { url: file.url, token: file.token };
}

/** The one string that stands for an address, as the command line takes it. */
export function urlWithToken(address: Address): string {
  return `${address.url}${address.url.includes('?') ? '&' : '?'}token=${encodeURIComponent(address.token)}`;
}

/** @returns the address, or one sentence that says what is wrong with the text */
export function parseAddress(text: string): Address | string {
  const trimmed = text.trim();
  if (trimmed === '') return 'Type the URL that the daemon printed.';
  const query = trimmed.indexOf('?');
  const base = query === -1 ? trimmed : trimmed.slice(0, query);
  const token = new URLSearchParams(query === -1 ? '' : trimmed.slice(query)).get('token');
  if (base.startsWith('ws+unix:')) {
    return token === null ? TOKEN_MISSING : { url: base, token };
  }
  let url: URL;
  try {
    url = new URL(base);
  } catch {
    return 'This is no URL. It should look like ws://127.0.0.1:PORT/inspector?token=TOKEN.';
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    return `The URL should begin with ws://, wss:// or ws+unix:, not with ${url.protocol}//.`;
  }
  if (url.username !== '' || url.password !== '') {
    return 'The URL should hold no user name; the token stands behind ?token=.';
  }
  if (url.protocol === 'ws:' && !isLoopback(url.hostname)) {
    return `ws:// would show the token to the network between here and ${url.hostname}. Use wss://, or an SSH tunnel to a port of this host.`;
  }
  if (token === null || token === '') return TOKEN_MISSING;
  if (url.pathname === '/') url.pathname = '/inspector';
  return { url: url.href, token };
}

const TOKEN_MISSING = 'The token is missing: add ?token=TOKEN, as the daemon printed it.';

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.[0-9]+){3}$/.test(hostname);
}
