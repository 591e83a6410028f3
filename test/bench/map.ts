/**
 * Targets P8, P9, P10: how soon a million entries are on the screen, how soon a file operation is,
 * and what a frame costs. In headless Chromium without GPU.
 *
 *     npm run bench -- map [entries]
 */

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { newToken } from '../../daemon/inspector/access';
import { connect } from '../../daemon/inspector/connect';
import { EventHistory } from '../../daemon/inspector/eventHistory';
import { startInspectorServer } from '../../daemon/inspector/inspectorServer';
import { listenForInspector } from '../../daemon/inspector/listening';
import { readPage } from '../../daemon/inspector/page';
import { loadAddon } from '../../native/index';
import { benchRoot, median, quantile, table } from './measure';
import { lookupOf, modelOf } from './millionEntries';

/** What the page notes for us. */
interface PageNotes {
  frames: number[];
  seen: Record<string, number>;
}

declare global {
  var benchNotes: PageNotes;
}

const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];
const CELLS = 65_000;
const OPERATIONS = 100;
const CHURN_SECONDS = 10;

/** Times every frame callback of the page, and when a text was first on the screen. */
function takeNotes(): void {
  globalThis.benchNotes = { frames: [], seen: {} };
  const original = globalThis.requestAnimationFrame.bind(globalThis);
  globalThis.requestAnimationFrame = (callback) =>
    original((time) => {
      const start = performance.now();
      callback(time);
      globalThis.benchNotes.frames.push(performance.now() - start);
    });
  new MutationObserver(() => {
    const text = document.body.textContent;
    for (const found of text.match(/probe-\d+-/g) ?? []) {
      if (globalThis.benchNotes.seen[found] !== undefined) continue;
      globalThis.benchNotes.seen[found] = Infinity;
      // We are inside the frame that draws; a message is delivered after it has been painted.
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        globalThis.benchNotes.seen[found] = performance.timeOrigin + performance.now();
      };
      port2.postMessage(null);
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

async function open(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.addInitScript(takeNotes);
  await page.goto(url);
  await page.locator('body[data-ready="1"]').waitFor({ state: 'attached' });
  return page;
}

/** P8 and P10: the server with a model of many entries, in this process. */
async function manyEntries(browser: Browser, count: number): Promise<string[][]> {
  const history = new EventHistory(new Map());
  const model = modelOf(count, { event: (event) => history.push(event), probe: () => undefined });
  const token = newToken();
  const quiet = { info: () => undefined, warn: () => undefined };
  const server = await startInspectorServer(
    listenForInspector(loadAddon(), { kind: 'tcp', host: '127.0.0.1', port: 0 }),
    token,
    model,
    history,
    readPage(path.join(benchRoot(), 'dist/webview')),
    quiet,
  );
  const pictures: number[] = [];
  for (let i = 0; i < 10; i++) {
    const start = performance.now();
    const connection = await connect({ url: server.url, token }, 'bench');
    const { client } = connection;
    await client.call('map.watch', { offset: 0, count: 60, query: '', unfolded: [] });
    await client.overview(0, count, CELLS);
    pictures.push(performance.now() - start);
    connection.close();
  }
  const opened = performance.timeOrigin + performance.now();
  const page = await open(browser, server.page ?? '');
  const first = Number(await page.locator('body').getAttribute('data-drawn-at')) - opened;

  await page.evaluate(() => void (globalThis.benchNotes.frames = []));
  // 1 % of the entries a second, in steps of 10 ms, as events would come.
  const step = Math.ceil(count / 100 / 100);
  const until = performance.now() + CHURN_SECONDS * 1000;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      for (let i = 0; i < step; i++) {
        model.fold(lookupOf(500 + Math.floor(Math.random() * count), model.nextSeq++, true));
      }
      server.changed();
      if (performance.now() < until) return;
      clearInterval(timer);
      resolve();
    }, 10);
  });
  const frames = await page.evaluate(() => globalThis.benchNotes.frames);
  await page.close();
  await server.close('done');
  const n = count.toLocaleString('en');
  return [
    [
      `P8 first picture of ${n} entries, daemon and wire`,
      ms(median(pictures)),
      ms(quantile(pictures, 0.99)),
    ],
    [`P8 first frame in a new page, page load included`, ms(first), ''],
    [
      `P10 frame callback, 1 % of ${n} changing a second (${frames.length} frames)`,
      ms(median(frames)),
      ms(quantile(frames, 0.99)),
    ],
  ];
}

/** P9: a real daemon; a file is made through the mount and looked for on the screen. */
async function operationToPixel(browser: Browser): Promise<string[][]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-map-'));
  const share = path.join(folder, 'share');
  const mount = path.join(folder, 'mount');
  fs.mkdirSync(share);
  fs.mkdirSync(mount);
  const cli = path.join(benchRoot(), 'dist/daemon/cli.js');
  const daemon = spawn(process.execPath, [cli, 'serve', '--shared-dir', share, '--mount', mount], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(daemon.stderr).on('line', (line) => {
      const found = /The Key Map is at (\S+)/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
    daemon.once('exit', () => reject(new Error('The daemon did not start.')));
  });
  const page = await open(browser, url);
  await page
    .getByRole('searchbox')
    .or(page.getByTestId('search').locator('input'))
    .first()
    .fill('probe-');
  const delays: number[] = [];
  for (let i = 0; i < OPERATIONS; i++) {
    const name = `probe-${i}-`;
    const start = performance.timeOrigin + performance.now();
    fs.writeFileSync(path.join(mount, name), 'x');
    await page.waitForFunction(
      (text) => Number.isFinite(globalThis.benchNotes.seen[text] ?? Infinity),
      name,
    );
    const seen = await page.evaluate((text) => globalThis.benchNotes.seen[text] ?? NaN, name);
    delays.push(seen - start);
    fs.rmSync(path.join(mount, name));
    // A person's pace: the window that shows the removal is gone when the next file comes.
    await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 100));
  }
  await page.close();
  daemon.kill('SIGTERM');
  await new Promise((resolve) => daemon.once('exit', resolve));
  fs.rmSync(folder, { recursive: true, force: true });
  return [['P9 file operation to changed pixel', ms(median(delays)), ms(quantile(delays, 0.99))]];
}

async function main(): Promise<void> {
  const count = Number(process.argv[2] ?? 1_000_000);
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
  const rows = [...(await manyEntries(browser, count)), ...(await operationToPixel(browser))];
  await browser.close();
  table(['', 'median', '99 %'], rows);
}

void main();
