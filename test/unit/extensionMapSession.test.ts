/** What passes between a Key Map's page and the daemon, and what does not. */

import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { HostToWebview } from '../../daemon/protocol/hostMessages';
import { MAX_WEBVIEW_TEXT } from '../../daemon/protocol/hostMessages';
import type { MapTarget } from '../../extension/core/mapSession';
import { MapSession, refusalOf } from '../../extension/core/mapSession';
import type { Peer } from './extensionPeer';
import { keepingLog, startPeer } from './extensionPeer';

let peer: Peer;
let target: MapTarget;
let session: MapSession;
const log = keepingLog();
const page = new EventEmitter();
let posted: HostToWebview[];
let explained: string[];

beforeEach(async () => {
  peer = await startPeer();
  target = { state: 'there', address: peer.address };
  posted = [];
  explained = [];
  log.lines.length = 0;
  session = new MapSession(
    {
      post(message) {
        posted.push(message);
        page.emit(message.k === 'state' ? message.state : message.k);
      },
      target: () => target,
      explain: (hazard) => explained.push(hazard),
    },
    log,
  );
});

afterEach(async () => {
  session.dispose();
  await peer.stop();
});

const call = (method: string, params: unknown, id = 1): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });
const GREETING = { protocol: { min: 1, max: 1 }, client: 'page' };
const HELLO = call('hello', GREETING);

async function ready(): Promise<void> {
  const open = once(page, 'open');
  session.receive({ k: 'ready' });
  await open;
}

test('the page may ask what a hazard is, by its id and nothing else', () => {
  session.receive({ k: 'explain', hazard: 'H11' });
  session.receive({ k: 'explain', hazard: '../H1' });
  expect(explained).toEqual(['H11']);
  expect(log.lines.at(-1)).toContain('none of its own');
});

test('frames travel unchanged in both directions', async () => {
  await ready();
  const answered = once(page, 'text');
  session.receive({ k: 'text', text: HELLO });
  await answered;
  expect(peer.asked).toEqual([{ method: 'hello', params: GREETING }]);
  expect(JSON.parse((posted.at(-1) as { text: string }).text)).toMatchObject({ id: 1 });
  const binary = once(page, 'binary');
  peer.sendBinary(new Uint8Array([1, 2, 3]));
  await binary;
  expect(posted.at(-1)).toEqual({ k: 'binary', bytes: new Uint8Array([1, 2, 3]) });
});

test('only requests of the protocol reach the daemon', async () => {
  await ready();
  session.receive({ k: 'text', text: call('shutdown', {}) });
  session.receive({ k: 'text', text: call('row', { row: -1 }) });
  session.receive({ k: 'text', text: 'not JSON' });
  session.receive({ k: 'text', text: 'x'.repeat(MAX_WEBVIEW_TEXT + 1) });
  session.receive({ k: 'eval', text: '1' });
  session.receive('text');
  const asked = peer.next('hello');
  session.receive({ k: 'text', text: HELLO });
  await asked;
  expect(peer.asked).toHaveLength(1);
  expect(log.lines.filter((line) => line.startsWith('warn'))).toHaveLength(6);
});

test('a request is judged by its method and its parameters', () => {
  expect(refusalOf(HELLO)).toBeUndefined();
  expect(refusalOf(call('map.stop', undefined))).toBeUndefined();
  expect(refusalOf(call('toString', {}))).toBe('there is no method "toString"');
  expect(refusalOf(call('entry', { nodeid: 3 }))).toBe(
    'the parameters of entry are malformed at nodeid',
  );
  expect(refusalOf('[]')).toBe('it is no JSON-RPC request');
});

test('each loading of the page gets a connection of its own; a hidden page gets nothing', async () => {
  await ready();
  session.hide();
  const before = posted.length;
  peer.notify('gap', { from: '1', to: '2' });
  session.reveal('7');
  session.end('gone');
  expect(posted).toHaveLength(before);
  await ready();
  expect(peer.connections()).toBe(2);
  expect(posted).toContainEqual({ k: 'reveal', nodeid: '7' });
});

test('an entry to reveal is told once', async () => {
  session.reveal('7');
  expect(posted).toEqual([]);
  await ready();
  await ready();
  expect(posted.filter(({ k }) => k === 'reveal')).toHaveLength(1);
  session.reveal('8');
  expect(posted.at(-1)).toEqual({ k: 'reveal', nodeid: '8' });
});

test('the end of the daemon is said in its own words, and a new try connects', async () => {
  await ready();
  const ended = once(page, 'ended');
  peer.hangUp(1001, '');
  await ended;
  expect(posted.at(-1)).toEqual({
    k: 'state',
    state: 'ended',
    message: 'The daemon was stopped.',
  });
  target = { state: 'gone', message: 'It has ended.' };
  session.receive({ k: 'ready' });
  expect(posted.at(-1)).toEqual({ k: 'state', state: 'ended', message: 'It has ended.' });
  target = { state: 'there', address: peer.address };
  await ready();
});

test('what the page reports is in the log', () => {
  session.receive({ k: 'report', level: 'error', message: 'refused: style-src' });
  expect(log.lines).toEqual(['error: Key Map page: refused: style-src']);
});
