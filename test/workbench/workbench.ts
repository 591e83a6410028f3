/**
 * A real VS Code workbench for tests: code-server with a profile of its own, opened in a headless
 * Chromium. Import it from a vitest file, start one workbench for all its scenarios, stop it at the end.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium, errors } from 'playwright-core';
import type { Browser, Frame, Page } from 'playwright-core';
import { ensure, findProgram } from '../../scripts/system.mjs';
import { install } from './install.mjs';

const screenshots = fileURLToPath(new URL('../../artifacts/screenshots/', import.meta.url));

/** The class that the workbench's root element carries under each theme. */
const themeClasses = {
  'Default Dark Modern': 'vs-dark',
  'Default Light Modern': 'vs',
  'Default High Contrast': 'hc-black',
  'Default High Contrast Light': 'hc-light',
} as const;

export type Theme = keyof typeof themeClasses;

export interface WorkbenchOptions {
  /** The folder that the workbench opens, absolute. */
  readonly folder: string;
  /** Extensions to install first: paths of VSIX files. */
  readonly vsix?: readonly string[];
  /** User settings on top of those that keep the workbench quiet. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Default Dark Modern when left out. */
  readonly theme?: Theme;
}

export interface Workbench {
  /** The workbench's page, for whatever the helpers below do not cover. */
  readonly page: Page;

  /**
   * Runs a command from the palette by its full title ("Category: Title"), and returns when the
   * palette has taken it. Waits for commands whose extension is not scanned yet.
   *
   * @throws when no row of that title appears within 30 s
   */
  command(title: string): Promise<void>;

  /**
   * The document of the webview whose script has set `document.body.dataset.view` to `view`.
   * A frame does not survive `setTheme`, nor the closing or hiding of its panel: ask again then.
   *
   * @throws when there is none within 30 s; names the markers that were seen
   */
  frameOf(view: string): Promise<Frame>;

  /**
   * Switches the colour theme by settings and reload. Webview panels come back only when their
   * extension restores them (a serializer), views when they are visible.
   */
  setTheme(theme: Theme): Promise<void>;

  /** Saves `artifacts/screenshots/NAME.png` of the whole window; returns its path. */
  screenshot(name: string): Promise<string>;

  /**
   * What one wants to read after a failure: the log files of the extension host (each extension's
   * output channels are among them), the page's console errors, and the server's own output.
   */
  logs(): Promise<string>;

  /** Ends browser and server with everything they started, and removes the profile. */
  stop(): Promise<void>;
}

/** How long the slow things (a cold extension host, a reload) may take, in ms. */
const patience = 30_000;

/**
 * Installs code-server when needed, then starts a private instance of it with a browser on it.
 * Takes about 10 s, and half a minute more the first time.
 *
 * @throws when a part cannot be installed or started; whatever had been started is ended again
 */
export async function startWorkbench(options: WorkbenchOptions): Promise<Workbench> {
  ensure(['chromium', 'fonts']);
  const entry = await install();
  const profile = await makeProfile(options);

  let server: Server | undefined;
  let browser: Browser | undefined;
  let complaints: readonly string[] = [];
  const logs = async (): Promise<string> =>
    [
      ...(await readLogs(join(profile.userData, 'logs'))),
      section('console errors of the page', complaints.join('\n')),
      section('output of code-server', server?.output() ?? ''),
    ].join('\n');
  const stop = async (): Promise<void> => {
    await browser?.close();
    await server?.stop();
    // The profile belongs to processes that were killed a moment ago.
    await rm(profile.root, { recursive: true, force: true, maxRetries: 5 });
  };

  try {
    const vsix = options.vsix ?? [];
    if (vsix.length > 0) await installExtensions(entry, profile, vsix);
    server = await startServer(entry, profile);
    browser = await startBrowser();
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    complaints = collectComplaints(page);
    await page.goto(`${server.url}?folder=${encodeURIComponent(options.folder)}`);
    await ready(page, options.theme ?? defaultTheme);
    return makeWorkbench(page, profile, options, logs, stop);
  } catch (error) {
    const report = await logs();
    await stop();
    throw new Error(`The workbench did not start: ${String(error)}\n${report}`, { cause: error });
  }
}

function makeWorkbench(
  page: Page,
  profile: Profile,
  options: WorkbenchOptions,
  logs: () => Promise<string>,
  stop: () => Promise<void>,
): Workbench {
  return {
    page,
    logs,
    stop,
    command: (title) => runCommand(page, title),
    frameOf: (view) => findFrame(page, view),
    async setTheme(theme) {
      await writeSettings(profile, options, theme);
      // code-server does not watch this file: settings of the user arrive with a reload.
      await page.reload();
      await ready(page, theme);
    },
    async screenshot(name) {
      const path = join(screenshots, `${name}.png`);
      await mkdir(dirname(path), { recursive: true });
      await page.screenshot({ path, animations: 'disabled', caret: 'hide' });
      return path;
    },
  };
}

// Profile

interface Profile {
  readonly root: string;
  readonly userData: string;
  /** The options that keep an instance away from every other one and from the user's own. */
  readonly args: readonly string[];
}

const defaultTheme: Theme = 'Default Dark Modern';

async function makeProfile(options: WorkbenchOptions): Promise<Profile> {
  const root = await mkdtemp(join(tmpdir(), 'workbench-'));
  const userData = join(root, 'user-data');
  const extensions = join(root, 'extensions');
  const config = join(root, 'config.yaml');
  await mkdir(join(userData, 'User'), { recursive: true });
  await mkdir(extensions);
  await writeFile(config, 'auth: none\n');
  const profile: Profile = {
    root,
    userData,
    args: ['--user-data-dir', userData, '--extensions-dir', extensions, '--config', config],
  };
  await writeSettings(profile, options, options.theme ?? defaultTheme);
  return profile;
}

async function writeSettings(
  profile: Profile,
  options: WorkbenchOptions,
  theme: Theme,
): Promise<void> {
  const settings = {
    'security.workspace.trust.enabled': false,
    'workbench.startupEditor': 'none',
    'workbench.tips.enabled': false,
    'workbench.welcomePage.walkthroughs.openOnInstall': false,
    'workbench.enableExperiments': false,
    'extensions.autoUpdate': false,
    'extensions.autoCheckUpdates': false,
    'extensions.ignoreRecommendations': true,
    'telemetry.telemetryLevel': 'off',
    'chat.commandCenter.enabled': false,
    'git.enabled': false,
    ...options.settings,
    'workbench.colorTheme': theme,
  };
  await writeFile(join(profile.userData, 'User/settings.json'), JSON.stringify(settings, null, 2));
}

// Server

interface Server {
  /** Ends with a slash. */
  readonly url: string;
  output(): string;
  stop(): Promise<void>;
}

/**
 * This process's environment without what would make code-server, or an extension's children, take
 * part in an outer VS Code or an outer debugger.
 */
function serverEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => name !== 'NODE_OPTIONS' && !/^(VSCODE_|VITEST|npm_|ELECTRON_)/.test(name),
    ),
  );
}

async function installExtensions(
  entry: string,
  profile: Profile,
  vsix: readonly string[],
): Promise<void> {
  const files = vsix.flatMap((path) => ['--install-extension', path]);
  const child = spawn(process.execPath, [entry, ...profile.args, ...files], {
    env: serverEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = collectOutput(child);
  const [code] = (await once(child, 'close')) as [number | null];
  // It reports some failures, a broken VSIX among them, on stderr alone.
  const installed = output().match(/was successfully installed/g)?.length ?? 0;
  if (code !== 0 || installed !== vsix.length) {
    throw new Error(`code-server did not install ${vsix.join(', ')}:\n${output()}`);
  }
}

async function startServer(entry: string, profile: Profile): Promise<Server> {
  const child = spawn(
    process.execPath,
    [
      entry,
      ...['--auth', 'none', '--bind-addr', '127.0.0.1:0'],
      ...profile.args,
      ...['--disable-telemetry', '--disable-update-check', '--disable-workspace-trust'],
    ],
    // A process group of its own: code-server is a parent and a child, and the extension host and
    // its children hang below, so one signal to the group ends them all.
    { env: serverEnvironment(), stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  const output = collectOutput(child);
  const exited = once(child, 'exit');
  const killGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  // A test runner that gives up does not call stop().
  process.once('exit', killGroup);
  const stop = async (): Promise<void> => {
    process.removeListener('exit', killGroup);
    killGroup();
    await exited;
    // What an extension started in a group of its own may still hold the other ends.
    child.stdout.destroy();
    child.stderr.destroy();
  };

  const url = await new Promise<string | undefined>((resolve) => {
    child.once('close', () => resolve(undefined));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const listening = /HTTP server listening on (http:\/\/127\.0\.0\.1:\d+\/)/.exec(line)?.[1];
      if (listening !== undefined) resolve(listening);
    });
  });
  if (url === undefined) {
    await stop();
    throw new Error(`code-server ended before it listened:\n${output()}`);
  }
  return { url, output, stop };
}

/** Gathers what a child prints from now on; the returned function tells what that is so far. */
function collectOutput(child: ChildProcess): () => string {
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

// Browser

async function startBrowser(): Promise<Browser> {
  const executablePath = findProgram('chromium');
  if (executablePath === undefined)
    throw new Error('chromium is gone from PATH; install it again.');
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // Tests stay on this machine: the extension gallery and the like do not resolve.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  });
}

function collectComplaints(page: Page): readonly string[] {
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error')
      complaints.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
  return complaints;
}

/** Waits until the workbench is laid out and wears the theme. */
async function ready(page: Page, theme: Theme): Promise<void> {
  await page
    .locator(`.monaco-workbench.${themeClasses[theme]} .part.statusbar`)
    .waitFor({ timeout: 2 * patience });
}

/**
 * The palette lists the commands known when it opens. An extension's commands are known only after
 * the extension host's scan, seconds after the workbench: so a palette without the row is closed
 * and opened again.
 */
async function runCommand(page: Page, title: string): Promise<void> {
  const palette = page.locator('.quick-input-widget');
  const input = palette.locator('input.input');
  const row = palette
    .locator('.monaco-list-row')
    .filter({ has: page.locator('.label-name').getByText(title, { exact: true }) });

  const deadline = Date.now() + patience;
  while (Date.now() < deadline) {
    // F1 on an open palette would close it.
    if (await palette.isVisible()) await closePalette(page);
    await page.keyboard.press('F1');
    // The key is lost while a webview that holds the focus is being loaded.
    if (!(await appears(palette, 1_000))) continue;
    await input.fill(`>${title}`);
    if (await appears(row.first(), 700)) {
      await row.first().click();
      await row.first().waitFor({ state: 'hidden' });
      return;
    }
  }
  const rows = await palette.locator('.label-name').allTextContents();
  throw new Error(
    `The command palette has no "${title}" after ${patience / 1000} s; it lists: ${rows.join(' | ') || 'nothing'}.`,
  );
}

async function closePalette(page: Page): Promise<void> {
  await page.keyboard.press('Escape');
  await page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
}

async function appears(target: ReturnType<Page['locator']>, timeout: number): Promise<boolean> {
  try {
    await target.waitFor({ timeout });
    return true;
  } catch (error) {
    if (error instanceof errors.TimeoutError) return false;
    throw error;
  }
}

/**
 * Goes through all frames, for VS Code's own wrapper elements change between versions. A document
 * that is still being loaded (VS Code's pending frame) counts only once it is the active one.
 */
async function findFrame(page: Page, view: string): Promise<Frame> {
  const deadline = Date.now() + patience;
  let seen: string[] = [];
  while (Date.now() < deadline) {
    seen = [];
    for (const frame of page.frames()) {
      const marker = await markerOf(frame);
      if (marker === view) return frame;
      if (marker !== undefined) seen.push(marker);
    }
    // A marker set by a script is no event of the page, so look again a few times a second.
    await delay(100);
  }
  throw new Error(
    `No webview has the marker "${view}" after ${patience / 1000} s; markers seen: ${seen.join(', ') || 'none'}.`,
  );
}

/** The marker of an active webview document; undefined for any other frame. */
async function markerOf(frame: Frame): Promise<string | undefined> {
  if (frame.parentFrame() === null) return undefined;
  const ask = async (): Promise<string | undefined> => {
    const marker = await frame.evaluate(() => document.querySelector('body')?.dataset['view']);
    if (marker === undefined) return undefined;
    // Asked from outside: a sandboxed document cannot see the element that holds it.
    const holder = await frame.frameElement();
    return (await holder.getAttribute('id')) === 'pending-frame' ? undefined : marker;
  };
  // A frame that is navigating answers only afterwards, perhaps never: the next round asks again.
  const impatience = delay(1_000, undefined, { ref: false });
  // A rejection means detached or navigated away meanwhile: no longer a candidate.
  return Promise.race([ask().catch(() => undefined), impatience]);
}

// Logs

async function readLogs(folder: string): Promise<string[]> {
  // A server that did not get far has made no logs.
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => /\/exthost\d*\//.test(path) && path.endsWith('.log'))
    .sort();
  return Promise.all(
    paths.map(async (path) => section(relative(folder, path), await readFile(path, 'utf8'))),
  );
}

function section(title: string, text: string): string {
  return `=== ${title}\n${text.trimEnd() || '(empty)'}\n`;
}
