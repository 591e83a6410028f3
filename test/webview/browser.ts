/** The shipped page in bare Chromium. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { chromium } from 'playwright-core';

export const ROOT = path.resolve(import.meta.dirname, '../..');

export const UI_LIBRARIES = ['toolkit', 'elements'] as const;
export type UiLibrary = (typeof UI_LIBRARIES)[number];

/** The page with one of the two libraries, built as scripts/build.mjs builds it. */
export async function buildPage(
  library: UiLibrary,
): Promise<{ dir: string; readonly remove: () => void }> {
  const dir = mkdtempSync(path.join(tmpdir(), `key-map-${library}-`));
  await build({
    absWorkingDir: ROOT,
    bundle: true,
    sourcemap: 'inline',
    platform: 'browser',
    target: 'chrome128',
    format: 'iife',
    minify: true,
    legalComments: 'none',
    entryPoints: { map: 'webview/map.ts' },
    outdir: dir,
    alias: { '#ui': `./webview/ui/${library}.ts` },
  });
  for (const style of ['map.css', 'document.css']) {
    await cp(path.join(ROOT, 'webview', style), path.join(dir, style));
  }
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** For a browser without a display, a GPU or a network. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
}

export interface OpenPage {
  readonly page: Page;
  /** What the page complained about: refused by the policy, thrown, logged as an error. */
  readonly complaints: readonly string[];
  readonly close: () => Promise<void>;
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions & { readonly init?: (page: Page) => Promise<void> } = {},
): Promise<OpenPage> {
  const { init, ...contextOptions } = options;
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    timezoneId: 'UTC',
    permissions: ['clipboard-read', 'clipboard-write'],
    ...contextOptions,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error.stack ?? error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  await init?.(page);
  await page.goto(url);
  return { page, complaints, close: () => context.close() };
}

/** Waits until a window with this seq is on the screen. */
export async function drawn(page: Page, seq: number | string): Promise<void> {
  await page.locator(`body[data-seq="${seq}"]`).waitFor({ state: 'attached' });
}

export async function picture(page: Page, name: string): Promise<void> {
  const dir = path.join(ROOT, 'artifacts/screenshots');
  mkdirSync(dir, { recursive: true });
  await page.screenshot({ path: path.join(dir, `map-${name}.png`) });
}
