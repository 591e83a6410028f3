/** The same bundle as a VS Code webview: no connection of its own, frames travel as messages. */

import type { Browser, Page } from 'playwright-core';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { HostToWebview, StopPlace, WebviewToHost } from '../../daemon/protocol/hostMessages';
import { webviewToHost } from '../../daemon/protocol/hostMessages';
import { buildPage, drawn, launch, openPage, picture } from './browser';
import { Peer } from './peer';
import { hazardScene } from './scenes';

let browser: Browser;
let built: Awaited<ReturnType<typeof buildPage>>;

beforeAll(async () => {
  [browser, built] = await Promise.all([launch(), buildPage('toolkit')]);
});
afterAll(async () => {
  await browser.close();
  built.remove();
});

/** Stands in for extension host and workbench; every message of the page is checked. */
class Host {
  readonly received: WebviewToHost[] = [];
  #socket: WebSocket | undefined;

  constructor(
    private readonly peer: Peer,
    /** What `ready` leads to; by default a fresh connection. */
    readonly onReady: (host: Host, page: Page) => Promise<void> = (host, page) =>
      host.connect(page),
  ) {}

  async install(page: Page): Promise<void> {
    await page.exposeFunction('toHost', (message: unknown) => {
      const checked = v.parse(webviewToHost, message);
      this.received.push(checked);
      if (checked.k === 'ready') void this.onReady(this, page);
      else if (checked.k === 'text') this.#socket?.send(checked.text);
    });
    await page.addInitScript(() => {
      const { toHost } = globalThis as unknown as { toHost: (message: unknown) => void };
      let state: unknown;
      Object.assign(globalThis, {
        acquireVsCodeApi: () => ({
          postMessage: toHost,
          getState: () => state,
          setState: (next: unknown) => {
            state = next;
          },
        }),
      });
    });
  }

  async connect(page: Page): Promise<void> {
    this.#socket?.terminate();
    const socket = new WebSocket(`${this.peer.origin.replace('http', 'ws')}/inspector`);
    this.#socket = socket;
    // Frames reach the page in the order in which the daemon sent them.
    let last: Promise<void> = Promise.resolve();
    socket.on('message', (data: Buffer, isBinary) => {
      const send = () =>
        isBinary
          ? page.evaluate(
              (bytes) => window.postMessage({ k: 'binary', bytes: Uint8Array.from(bytes) }),
              [...data],
            )
          : this.tell(page, { k: 'text', text: String(data) });
      last = last.then(send).catch((error: unknown) => {
        // A page that was closed meanwhile has no use for its frames.
        if (!page.isClosed()) throw error;
      });
    });
    await new Promise((resolve) => socket.once('open', resolve));
    await this.tell(page, { k: 'state', state: 'open', message: '' });
  }

  end(): void {
    this.#socket?.removeAllListeners('message');
    this.#socket?.terminate();
  }

  async tell(page: Page, message: object): Promise<void> {
    await page.evaluate((sent) => window.postMessage(sent), message);
  }
}

test('speaks through its host, and starts afresh with each connection', async () => {
  const peer = await Peer.start(hazardScene(), built.dir);
  const host = new Host(peer);
  const { page, complaints, close } = await openPage(browser, `${peer.origin}/hosted`, {
    init: (created) => host.install(created),
  });
  await drawn(page, 120);
  await page.locator(`.overview[data-rows="${peer.scene.cells.length}"]`).waitFor();
  expect(host.received[0]).toEqual({ k: 'ready' });

  await host.tell(page, { k: 'reveal', nodeid: '1345' });
  const row = page.locator('.row[data-node="1345"]');
  await expect.poll(() => row.getAttribute('class')).toContain('selected');
  await expect.poll(() => host.received.at(-1)).toBeDefined();

  await host.tell(page, { k: 'state', state: 'connecting', message: 'Looking for the daemon.' });
  await expect.poll(() => page.locator('[data-testid="live"]').innerText()).toBe('connecting');
  await host.connect(page);
  peer.push();
  await drawn(page, peer.scene.seq);
  expect(peer.requests.filter(({ method }) => method === 'hello')).toHaveLength(2);

  await host.tell(page, { k: 'unheard-of' });
  await expect
    .poll(() => host.received.filter(({ k }) => k === 'report'))
    .toEqual([
      {
        k: 'report',
        level: 'warning',
        message: 'The page was sent a message that it does not know.',
      },
    ]);
  expect(complaints).toEqual([]);
  host.end();
  await close();
  await peer.close();
});

test('follows a debugger from stop to stop, and back to the lookups', async () => {
  const peer = await Peer.start(hazardScene(), built.dir);
  const host = new Host(peer);
  const { page, complaints, close } = await openPage(browser, `${peer.origin}/hosted`, {
    init: (created) => host.install(created),
  });
  await drawn(page, 120);
  const chip = page.locator('.band .hit-chip');
  const sentence = page.locator('[data-testid="sentence"]');
  const before = await chip.innerText();
  const stop = (at: StopPlace | null) => host.tell(page, { k: 'stop', at } satisfies HostToWebview);
  const edge = (node: string, side: 'ids' | 'handle', state: 'lit' | 'refused') =>
    page.locator(`.grid path.edge.${side}.${state}[data-node="${node}"]`);

  // Its folder is not unfolded: the entry is brought into sight, and its edge lights up.
  await expect.poll(() => page.locator('.row[data-node="1345"]').count()).toBe(0);
  const says = 'LOOKUP src/x: inodes_by_handle says node 1345.';
  await stop({ nodeid: '1345', table: 'inodes_by_handle', accepted: true, sentence: says });
  await expect.poll(() => chip.innerText()).toBe('STOPPED');
  await expect.poll(() => sentence.innerText()).toBe(says);
  await page.locator('.row[data-node="1345"]').waitFor();
  await edge('1345', 'handle', 'lit').waitFor({ state: 'attached' });
  expect(await page.locator('.grid path.edge.lit').count()).toBe(1);
  await picture(page, 'stopped-lit');

  // The next decision: another edge, crossed out, and the first is dark again.
  const rejected = 'LOOKUP f: the entry found by its ids, node 3, is not believed.';
  await stop({ nodeid: '3', table: 'inodes_by_ids', accepted: false, sentence: rejected });
  await expect.poll(() => sentence.innerText()).toBe(rejected);
  await edge('3', 'ids', 'refused').waitFor({ state: 'attached' });
  expect(await page.locator('.grid path.edge.lit').count()).toBe(0);
  await page.getByText('not believed', { exact: true }).waitFor();
  await picture(page, 'stopped-refused');

  // A stop that is about no entry (yet), and the end.
  await stop({ nodeid: null, table: null, accepted: null, sentence: 'LOOKUP f: received.' });
  await expect.poll(() => sentence.innerText()).toBe('LOOKUP f: received.');
  expect(await page.locator('.grid path.edge.refused').count()).toBe(0);
  await stop(null);
  await expect.poll(() => chip.innerText()).toBe(before);
  expect(complaints).toEqual([]);
  host.end();
  await close();
  await peer.close();
});

test('reports what the policy refuses', async () => {
  const peer = await Peer.start(hazardScene(), built.dir);
  const host = new Host(peer);
  const { page, close } = await openPage(browser, `${peer.origin}/hosted`, {
    init: (created) => host.install(created),
  });
  await drawn(page, 120);
  await page.evaluate(() => document.body.setAttribute('style', 'margin: 1px'));
  await expect
    .poll(() => host.received.filter(({ k }) => k === 'report').at(0))
    .toMatchObject({ level: 'error', message: expect.stringContaining('style-src') as string });
  host.end();
  await close();
  await peer.close();
});

test('shows what the host waits for, and lets one try again when it ended', async () => {
  const peer = await Peer.start(hazardScene(), built.dir);
  let readies = 0;
  const host = new Host(peer, async (self, page) => {
    readies++;
    if (readies === 1) {
      await self.tell(page, { k: 'state', state: 'connecting', message: 'Looking for pid 4711.' });
    } else await self.connect(page);
  });
  const { page, complaints, close } = await openPage(browser, `${peer.origin}/hosted`, {
    init: (created) => host.install(created),
  });
  const screen = page.locator('[data-testid="screen"]');
  await expect.poll(() => screen.innerText()).toContain('Looking for pid 4711.');
  await host.tell(page, { k: 'state', state: 'ended', message: 'The daemon is gone.' });
  await expect.poll(() => screen.innerText()).toContain('The daemon is gone.');
  await page.locator('[data-testid="again"]').click();
  await drawn(page, 120);
  expect(complaints).toEqual([]);
  host.end();
  await close();
  await peer.close();
});
