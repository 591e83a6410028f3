/** The inspector's server as its clients meet it: real sockets, good ones and bad ones. */

import * as fs from 'node:fs';
import http from 'node:http';
import { connect as connectTcp } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import v8 from 'node:v8';
import vm from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { newToken } from '../../daemon/inspector/access';
import type { Connection } from '../../daemon/inspector/connect';
import { connect } from '../../daemon/inspector/connect';
import type { InspectorServer } from '../../daemon/inspector/inspectorServer';
import { startInspectorServer } from '../../daemon/inspector/inspectorServer';
import {
  listenForInspector,
  parseInspectAddress,
  removeListener,
} from '../../daemon/inspector/listening';
import { readPage } from '../../daemon/inspector/page';
import { PATIENCE_MS } from '../../daemon/inspector/inspectorSession';
import type { EventJson } from '../../daemon/protocol/json';
import { CLOSE_CODES, RPC_ERRORS } from '../../daemon/protocol/rpc';
import type { LookupEvent } from '../../daemon/tables/events';
import type { Nodeid } from '../../daemon/tables/identity';
import { loadAddon } from '../../native/index';
import { EOPNOTSUPP, ESTALE, Source } from './inspectorSource';

const HELLO = {
  jsonrpc: '2.0',
  id: 1,
  method: 'hello',
  params: { protocol: { min: 1, max: 1 }, client: 'test' },
};

const native = loadAddon();

let folder: string;
let source: Source;
let server: InspectorServer;
let token: string;
let port: number;
let said: string[];
const connections: Connection[] = [];

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'inspector-'));
  fs.writeFileSync(path.join(folder, 'map.js'), '// the page');
  fs.writeFileSync(path.join(folder, 'map.css'), '');
  source = new Source();
  said = [];
  token = newToken();
  server = await start('127.0.0.1:0');
  port = Number(new URL(server.url).port);
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const connection of connections.splice(0)) connection.close();
  await server.close('The test is over.');
  fs.rmSync(folder, { recursive: true });
});

function start(address: string): Promise<InspectorServer> {
  return startInspectorServer(
    listenForInspector(native, parseInspectAddress(address)),
    token,
    source.model,
    source.history,
    readPage(folder),
    { info: (sentence) => said.push(sentence), warn: (sentence) => said.push(sentence) },
  );
}

async function client(): Promise<Connection> {
  const connection = await connect({ url: server.url, token }, 'test');
  connections.push(connection);
  return connection;
}

/** A socket that has been opened and speaks no protocol by itself. */
async function rawSocket(greet = true): Promise<WebSocket> {
  const socket = new WebSocket(server.url, { headers: { authorization: `Bearer ${token}` } });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  if (greet) {
    socket.send(JSON.stringify(HELLO));
    await message(socket);
  }
  return socket;
}

function message(socket: WebSocket): Promise<unknown> {
  return new Promise((resolve) => {
    socket.once('message', (data: Buffer) => resolve(JSON.parse(data.toString('utf8'))));
  });
}

function closing(socket: WebSocket): Promise<{ code: number; reason: string }> {
  return new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
}

interface Answer {
  status: number;
  body: string;
  headers: http.IncomingHttpHeaders;
}

function request(options: http.RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = http.request({ host: '127.0.0.1', port, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
      );
    });
    asked.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve({ status: 101, body: '', headers: {} });
    });
    asked.on('error', reject);
    asked.end();
  });
}

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': Buffer.alloc(16).toString('base64'),
};

describe('who may talk to it', () => {
  const bearer = () => ({ authorization: `Bearer ${token}` });

  it('lets the token in, as a header or in the URL', async () => {
    const headers = { ...UPGRADE, ...bearer() };
    expect((await request({ path: '/inspector', headers })).status).toBe(101);
    const url = `/inspector?token=${token}`;
    expect((await request({ path: url, headers: UPGRADE })).status).toBe(101);
  });

  it.each([
    ['no token', '/inspector', {}, 401, 'A token is needed'],
    ['a wrong token', '/inspector', { authorization: 'Bearer wrong' }, 401, 'not the one'],
    ['an empty token', '/inspector?token=', {}, 401, 'not the one'],
    [
      'a token without Bearer',
      '/inspector',
      { authorization: 'Basic x' },
      401,
      'A token is needed',
    ],
  ])('refuses %s', async (_name, url, headers, status, text) => {
    const answer = await request({ path: url, headers: { ...UPGRADE, ...headers } });
    expect(answer).toMatchObject({ status, body: expect.stringContaining(text) as string });
    expect(said.join()).toContain(text);
    expect(said.join()).not.toContain(token);
  });

  it('refuses a token that is right but for its last letter', async () => {
    const wrong = `${token.slice(0, -1)}${token.endsWith('A') ? 'E' : 'A'}`;
    const headers = { ...UPGRADE, authorization: `Bearer ${wrong}` };
    expect((await request({ path: '/inspector', headers })).status).toBe(401);
  });

  it.each(['https://evil.example', 'http://127.0.0.1:1', 'null', 'http://localhost'])(
    'refuses pages of %s',
    async (origin) => {
      for (const headers of [{ ...UPGRADE, ...bearer(), origin }, { origin }]) {
        const answer = await request({ path: '/inspector', headers });
        expect(answer).toMatchObject({
          status: 403,
          body: expect.stringContaining('may not talk') as string,
        });
      }
    },
  );

  it('lets its own page in', async () => {
    for (const host of ['127.0.0.1', 'localhost']) {
      const own = { host: `${host}:${port}`, origin: `http://${host}:${port}` };
      const headers = { ...UPGRADE, ...bearer(), ...own };
      expect((await request({ path: '/inspector', headers })).status).toBe(101);
      expect((await request({ path: '/', headers: own })).status).toBe(200);
    }
  });

  it.each(['evil.example', 'evil.example:80', '127.0.0.1', '127.0.0.1:1', '[::1]:1'])(
    'refuses the Host “%s” (DNS rebinding)',
    async (host) => {
      for (const headers of [{ ...UPGRADE, ...bearer(), host }, { host }]) {
        const answer = await request({ path: '/inspector', headers });
        expect(answer.status).toBe(403);
        expect(answer.body).toContain('does not name this inspector');
      }
    },
  );

  it('refuses another path, and more than 32 clients', async () => {
    const headers = { ...UPGRADE, ...bearer() };
    expect(await request({ path: '/elsewhere', headers })).toMatchObject({
      status: 404,
      body: expect.stringContaining('/inspector') as string,
    });
    const sockets = await Promise.all(Array.from({ length: 32 }, () => rawSocket(false)));
    expect(await request({ path: '/inspector', headers })).toMatchObject({
      status: 403,
      body: expect.stringContaining('32 clients') as string,
    });
    const closed = closing(sockets[0] as WebSocket);
    sockets[0]?.close();
    await closed;
    const again = await rawSocket();
    for (const socket of [...sockets, again]) socket.terminate();
  });

  it('survives an upgrade that is no WebSocket, and one that is cut off', async () => {
    const cut = connectTcp(port, '127.0.0.1');
    cut.write(`GET /inspector HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\n`);
    cut.destroy();
    const odd = { connection: 'Upgrade', upgrade: 'h2c', ...bearer() };
    expect((await request({ path: '/inspector', headers: odd })).status).toBe(400);
    const { client: good } = await client();
    expect((await good.call('snapshot', {})).entries).toHaveLength(1);
  });

  it('serves the page and nothing else', async () => {
    const page = await request({ path: '/' });
    expect(page.headers).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
    });
    expect(page.body).toContain('Content-Security-Policy');
    expect(page.body).not.toContain(token);
    expect((await request({ path: '/map.js' })).body).toBe('// the page');
    for (const url of ['/../inspector', '/inspector', '/%2e%2e/etc/passwd', '/token']) {
      expect((await request({ path: url })).status).toBe(404);
    }
    expect((await request({ path: '/', method: 'POST' })).status).toBe(403);
  });

  it('listens on a Unix socket that only its user may open, and removes it', async () => {
    const socket = path.join(folder, 'inspector.sock');
    const local = await start(`unix:${socket}`);
    expect(fs.statSync(socket).mode & 0o777).toBe(0o600);
    const connection = await connect({ url: local.url, token }, 'test');
    expect((await connection.client.call('snapshot', {})).entries).toHaveLength(1);
    await local.close('Enough.');
    expect(await connection.ended).toBe('Enough.');
    removeListener({ kind: 'unix', path: socket });
    expect(fs.existsSync(socket)).toBe(false);
  });

  it.each(['0.0.0.0:1', '192.168.0.1:1', 'example.org:80', '[::]:1', '1:2:3', '99999', 'unix:'])(
    'refuses to listen on %s',
    (address) => expect(() => parseInspectAddress(address)).toThrow(/loopback host|1 to 107 bytes/),
  );

  it('says which address is taken', () => {
    expect(() => start(`127.0.0.1:${port}`)).toThrow(`127.0.0.1:${port}: EADDRINUSE`);
    const file = path.join(folder, 'map.js');
    expect(() => start(`unix:${file}`)).toThrow(`${file}: EADDRINUSE`);
  });

  it('listens on IPv6 as well', async (context) => {
    const addresses = Object.values(os.networkInterfaces()).flatMap((all) => all ?? []);
    if (!addresses.some(({ address }) => address === '::1')) context.skip('there is no IPv6 here');
    const six = await start('[::1]:0');
    expect(six.url).toMatch(/^ws:\/\/\[::1\]:[0-9]+\/inspector$/);
    const connection = await connect({ url: six.url, token }, 'test');
    expect((await connection.client.call('snapshot', {})).entries).toHaveLength(1);
    connection.close();
    await six.close('Enough.');
  });
});

describe('what may be said to it', () => {
  const call = async (frame: object, greet = true) => {
    const socket = await rawSocket(greet);
    const answer = message(socket);
    socket.send(JSON.stringify(frame));
    const result = await answer;
    socket.terminate();
    return result;
  };
  const rpc = (method: string, params?: unknown) => ({ jsonrpc: '2.0', id: 7, method, params });

  it.each([
    ['an unknown method', rpc('shutdown'), RPC_ERRORS.unknownMethod, 'shutdown'],
    ['a method of Object', rpc('constructor'), RPC_ERRORS.unknownMethod, 'constructor'],
    ['too many hazards', rpc('hazards', { state: 'open', count: 501 }), -32602, 'count'],
    ['a window of a million rows', rpc('map.watch', { offset: 0, count: 1e6 }), -32602, 'count'],
    ['a negative offset', rpc('pages', { from: -1, count: 1 }), -32602, 'from'],
    ['half a row', rpc('row', { row: 0.5 }), -32602, 'row'],
    ['a node id that is none', rpc('entry', { nodeid: '0x2' }), -32602, 'nodeid'],
    ['params that are a list', rpc('entry', [1]), -32602, 'entry'],
    ['an entry that is gone', rpc('entry', { nodeid: '99' }), RPC_ERRORS.unknownEntry, '99'],
    ['a huge node id', rpc('entry', { nodeid: '18446744073709551615' }), -32003, '184467'],
    ['nonsense cells', rpc('overview', { from: 0, to: 1, cells: 1e9 }), -32602, 'cells'],
  ])('answers %s with an error', async (_name, frame, code, text) => {
    expect(await call(frame)).toMatchObject({
      id: 7,
      error: { code, message: expect.stringContaining(text) as string },
    });
  });

  it('wants hello first', async () => {
    expect(await call(rpc('snapshot', {}), false)).toMatchObject({
      error: { code: RPC_ERRORS.helloFirst },
    });
  });

  it('closes on an unknown protocol version, after saying which it speaks', async () => {
    const socket = await rawSocket(false);
    const [answer, closed] = [message(socket), closing(socket)];
    socket.send(
      JSON.stringify({ ...HELLO, params: { protocol: { min: 7, max: 9 }, client: 'new' } }),
    );
    expect(await answer).toMatchObject({
      error: {
        code: RPC_ERRORS.version,
        message: expect.stringContaining('protocol 1, you speak 7 to 9') as string,
      },
    });
    expect((await closed).code).toBe(CLOSE_CODES.version);
  });

  it.each([
    ['a binary frame', Buffer.from([1, 2, 3])],
    ['no JSON', 'hello?'],
    ['JSON that is no request', '[]'],
    ['a request without id', '{"jsonrpc":"2.0","method":"snapshot"}'],
    ['another JSON-RPC', '{"jsonrpc":"1.0","id":1,"method":"snapshot"}'],
    ['a deep nest', '['.repeat(20_000)],
  ])('ends the connection after %s, with a reason', async (_name, frame) => {
    const socket = await rawSocket();
    const [answer, closed] = [message(socket), closing(socket)];
    socket.send(frame);
    expect(await answer).toMatchObject({ id: null, error: { code: RPC_ERRORS.invalidRequest } });
    const { code, reason } = await closed;
    expect(code).toBe(CLOSE_CODES.malformed);
    expect(reason).not.toBe('');
    expect(said.join()).toContain(reason);
  });

  it('ends the connection after a frame that is too long (1009), and text that is no UTF-8', async () => {
    const long = await rawSocket();
    const closedLong = closing(long);
    long.send('x'.repeat(64 * 1024 + 1));
    expect((await closedLong).code).toBe(1009);
    const bad = await rawSocket();
    const closedBad = closing(bad);
    bad.send(Buffer.from([0xff, 0xfe]), { binary: false });
    expect((await closedBad).code).toBe(1007);
    expect((await (await client()).client.call('snapshot', {})).entries).toHaveLength(1);
  });
});

describe('following', () => {
  it('gives every event once and in order, from the first on', async () => {
    source.lookup('a', { ino: 12, generation: 1 });
    const { client: follower } = await client();
    const got: EventJson[] = [];
    let enough: () => void = () => undefined;
    const all = new Promise<void>((resolve) => (enough = resolve));
    follower.on('events', ({ events }) => {
      got.push(...events);
      if (got.length === source.events.length) enough();
    });
    expect(await follower.call('events.follow', { from: '1' })).toEqual({
      oldest: '1',
      next: String(source.events.length + 1),
    });
    for (let i = 0; i < 1_000; i++) source.lookup(`f${i}`, { ino: 20 + i, generation: 1 });
    server.changed();
    await all;
    expect(got.map(({ seq }) => Number(seq))).toEqual(got.map((_, i) => i + 1));
    await follower.call('events.stop', {});
    const before = got.length;
    source.lookup('late', { ino: 5_000, generation: 1 });
    server.changed();
    await follower.call('status.watch', {});
    expect(got).toHaveLength(before);
  });

  it('says which events are no longer kept', async () => {
    source.collects = false;
    for (let i = 0; i < 150_000; i++) source.lookup('f', { ino: 12, generation: 1 });
    const { client: late } = await client();
    const gap = new Promise<{ from: string; to: string }>((resolve) => late.on('gap', resolve));
    const first = new Promise<EventJson | undefined>((resolve) =>
      late.on('events', ({ events }) => resolve(events[0])),
    );
    const { oldest } = await late.call('events.follow', { from: '1' });
    expect(await gap).toEqual({ from: '1', to: String(Number(oldest) - 1) });
    expect((await first)?.seq).toBe(oldest);
    expect(Number(oldest)).toBeGreaterThan(50_000);
  });

  it('pages come from one state of the tables', async () => {
    for (let i = 0; i < 5_001; i++) source.lookup(`f${i}`, { ino: 20 + i, generation: 1 });
    const { client: reader } = await client();
    await expect(reader.call('snapshot', {})).rejects.toMatchObject({ code: RPC_ERRORS.tooLarge });
    const first = await reader.call('pages', { from: 0, count: 2_000 });
    expect(first.rows).toBe(5_002);
    // Half of what is yet to come goes away, and somebody takes the rows.
    for (let nodeid = 2_500; nodeid < 4_000; nodeid++) source.forget(nodeid as Nodeid);
    for (let i = 0; i < 100; i++) source.lookup(`n${i}`, { ino: 90_000 + i, generation: 1 });
    const rest = [
      await reader.call('pages', { from: 2_000, count: 2_000 }),
      await reader.call('pages', { from: 4_000, count: 2_000 }),
    ];
    const pages = [first, ...rest];
    const nodes = pages.flatMap(({ entries }) => entries.map(({ nodeid }) => Number(nodeid)));
    expect(nodes).toEqual(Array.from({ length: 5_002 }, (_, i) => i + 1));
    expect(new Set(pages.map(({ seq }) => seq)).size).toBe(1);
    expect(pages.flatMap((page) => page.inodes_by_ids)).toHaveLength(5_002);
    expect(pages.flatMap((page) => page.inodes_by_handle)).toHaveLength(5_002);
    const names = pages.flatMap(({ entries }) => entries.map((entry) => entry.path));
    expect(names.filter((name) => name?.startsWith('n'))).toEqual([]);
  });

  it('tells the status a viewer watches', async () => {
    const { client: viewer } = await client();
    const status = new Promise<unknown>((resolve) => viewer.on('status', resolve));
    expect(await viewer.call('status.watch', {})).toMatchObject({
      open: { data: 0, error: 0, identity: 0, resource: 0, information: 0 },
    });
    source.lookup('f', { ino: 12, generation: null }, { handleErrno: EOPNOTSUPP });
    server.changed();
    expect(await status).toMatchObject({
      open: { identity: 1 },
      counters: { entries: { file: '1', handle: '1' }, lookups: { miss: '1' } },
    });
  });

  it('tells an entry with its history, the newest first', async () => {
    source.lookup('f', { ino: 12, generation: 1 });
    source.lookup('f', { ino: 12, generation: 2 });
    source.answerProbes(ESTALE);
    const { client: viewer } = await client();
    const { row, history, hazards } = await viewer.call('entry', { nodeid: '2' });
    expect(row).toMatchObject({
      entry: { nodeid: '2', generation: '1' },
      idsKey: { state: 'stolen', owner: '3' },
      handleKey: { state: 'owned' },
      probeErrno: 'ESTALE',
      attention: true,
    });
    const seqs = history.map(({ seq }) => Number(seq));
    expect(seqs).toEqual([...seqs].sort((a, b) => b - a));
    expect(history.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['insert', 'lookup', 'key_stolen', 'hazard']),
    );
    expect(hazards.map(({ id }) => id).sort()).toEqual(['H1', 'H2', 'H34', 'H7']);
  });
});

describe('a client that stops reading', () => {
  const EVENTS = 1_000_000;
  v8.setFlagsFromString('--expose-gc');
  const collectGarbage = vm.runInNewContext('gc') as () => void;
  const memory = () => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return (heapUsed + external) / 1024 / 1024;
  };

  it('costs bounded memory, disturbs nobody, and is dropped', { timeout: 120_000 }, async () => {
    let clock = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    source.lookup('f', { ino: 12, generation: 1 });
    source.collects = false;
    const [template] = source.history.from(source.model.lastLookupSeq, 1);
    if (template?.type !== 'lookup') throw new Error('The lookup was not noted.');
    const claim: LookupEvent = { ...template, hit: 'handle_hit', byHandle: template.nodeid };

    const stuck = await rawSocket();
    stuck.send(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'events.follow', params: {} }));
    await message(stuck);
    stuck.pause();
    const { client: reader } = await client();

    const before = memory();
    for (let done = 0; done < EVENTS;) {
      for (let i = 0; i < 4_000; i++, done++) {
        source.model.fold({ ...claim, seq: source.model.nextSeq++ });
      }
      server.changed();
      // The others are served meanwhile.
      const { counters } = await reader.call('status.watch', {});
      expect(counters.lookups.handle_hit).toBe(String(done));
    }
    expect(memory() - before).toBeLessThan(80);
    const gap = new Promise<{ to: string }>((resolve) => reader.on('gap', resolve));
    let newest = 0;
    reader.on('events', ({ events }) => (newest = Number(events.at(-1)?.seq ?? 0)));
    await reader.call('events.follow', { from: '1' });
    expect(Number((await gap).to)).toBeGreaterThan(EVENTS - 42_000);
    while (newest < source.model.nextSeq - 1) {
      server.changed();
      await nextTurn();
    }

    expect(said.join()).not.toContain('dropped');
    clock += PATIENCE_MS + 1;
    server.changed();
    expect(said.filter((sentence) => sentence.includes('dropped'))).toEqual([
      'Inspector: dropped test, which read nothing for 30 seconds.',
    ]);
    const closed = closing(stuck);
    stuck.resume();
    await closed;
    expect((await reader.call('snapshot', {})).entries).toHaveLength(2);
  });
});
