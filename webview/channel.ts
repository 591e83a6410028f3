/**
 * How the page reaches the daemon: through the extension host where there is one, directly over a
 * WebSocket where the daemon itself served the page.
 */

import * as v from 'valibot';
import type { ConnectionState, StopPlace, WebviewToHost } from '../daemon/protocol/hostMessages';
import { hostToWebview } from '../daemon/protocol/hostMessages';

export interface ChannelListener {
  text(frame: string): void;
  binary(frame: Uint8Array): void;
  /** `open`: a connection on which nothing has been said. */
  state(state: ConnectionState, message: string): void;
  reveal(nodeid: string): void;
  stop(at: StopPlace | null): void;
}

export interface Channel {
  /** Asks for a connection: at the start, and when the user wants to try again. */
  ready(): void;
  send(text: string): void;
  report(level: 'info' | 'warning' | 'error', message: string): void;
  /** Has a hazard's page shown; a plain page links to it instead. */
  explain(hazard: string): void;
  /** What the last page of this view saved; from outside, so to be validated. */
  loadState(): unknown;
  saveState(state: unknown): void;
}

/** What VS Code puts into a webview's page. */
interface VsCodeApi {
  postMessage(message: WebviewToHost): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare global {
  var acquireVsCodeApi: (() => VsCodeApi) | undefined;
}

/** True in the page that the daemon itself serves. */
export function isPlainPage(): boolean {
  return globalThis.acquireVsCodeApi === undefined;
}

export function openChannel(listener: ChannelListener): Channel {
  const acquire = globalThis.acquireVsCodeApi;
  return acquire === undefined ? browserChannel(listener) : hostChannel(acquire(), listener);
}

const LONGEST_REPORT = 2_000;

function hostChannel(host: VsCodeApi, listener: ChannelListener): Channel {
  const channel: Channel = {
    ready: () => host.postMessage({ k: 'ready' }),
    send: (text) => host.postMessage({ k: 'text', text }),
    report: (level, message) =>
      host.postMessage({ k: 'report', level, message: message.slice(0, LONGEST_REPORT) }),
    explain: (hazard) => host.postMessage({ k: 'explain', hazard }),
    loadState: () => host.getState(),
    saveState: (state) => host.setState(state),
  };
  window.addEventListener('message', (event: MessageEvent<unknown>) => {
    const message = v.safeParse(hostToWebview, event.data);
    if (!message.success) {
      channel.report('warning', 'The page was sent a message that it does not know.');
      return;
    }
    switch (message.output.k) {
      case 'text':
        listener.text(message.output.text);
        return;
      case 'binary':
        listener.binary(message.output.bytes);
        return;
      case 'state':
        listener.state(message.output.state, message.output.message);
        return;
      case 'reveal':
        listener.reveal(message.output.nodeid);
        return;
      case 'stop':
        listener.stop(message.output.at);
        return;
    }
  });
  return channel;
}

const STATE_KEY = 'virtiofsd-inspector.keyMap';

function browserChannel(listener: ChannelListener): Channel {
  let socket: WebSocket | undefined;

  const connect = (): void => {
    socket?.close();
    const token = pageToken();
    if (token === null) {
      listener.state(
        'ended',
        'The address of this page has no token. Open it with the address that the daemon printed.',
      );
      return;
    }
    listener.state('connecting', `Connecting to the daemon at ${location.host}.`);
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const opened = new WebSocket(
      `${scheme}://${location.host}/inspector?token=${encodeURIComponent(token)}`,
    );
    opened.binaryType = 'arraybuffer';
    socket = opened;
    let wasOpen = false;
    opened.addEventListener('open', () => {
      wasOpen = true;
      listener.state('open', '');
    });
    opened.addEventListener('message', (event: MessageEvent<unknown>) => {
      if (opened !== socket) return;
      if (typeof event.data === 'string') listener.text(event.data);
      else if (event.data instanceof ArrayBuffer) listener.binary(new Uint8Array(event.data));
    });
    opened.addEventListener('close', (event) => {
      if (opened === socket) listener.state('ended', closeSentence(event, wasOpen));
    });
  };

  return {
    ready: connect,
    send: (text) => {
      // What is said to a closing socket is lost, and the browser complains; `close` follows.
      if (socket?.readyState === WebSocket.OPEN) socket.send(text);
    },
    report: (level, message) => {
      // eslint-disable-next-line no-console -- the log of a plain page is the browser's own
      console[level === 'warning' ? 'warn' : level](message);
    },
    explain: () => undefined,
    loadState() {
      const saved = sessionStorage.getItem(STATE_KEY);
      if (saved === null) return undefined;
      try {
        return JSON.parse(saved) as unknown;
      } catch {
        // A state that cannot be read is as good as none: the page then starts at the top.
        return undefined;
      }
    },
    saveState: (state) => sessionStorage.setItem(STATE_KEY, JSON.stringify(state)),
  };
}

/** In the fragment, which is never sent to a server, or in the query. */
function pageToken(): string | null {
  const fragment = new URLSearchParams(location.hash.replace(/^#/, '')).get('token');
  return fragment ?? new URLSearchParams(location.search).get('token');
}

function closeSentence(event: CloseEvent, wasOpen: boolean): string {
  if (event.reason !== '') return event.reason;
  return wasOpen
    ? 'The connection to the daemon was cut.'
    : 'The daemon is gone, or no longer takes the token of this address.';
}
