/**
 * The extension as a user meets it: the packed VSIX in a real VS Code, a real daemon, a real mount,
 * and an ext4 of its own as the share, because there inode numbers are reused at once.
 */

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, watch } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Frame, Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { packageExtension } from '../../scripts/package.mjs';
import { startWorkbench } from './workbench';
import type { Workbench } from './workbench';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

/** As root, daemons leave their runtime files here; so do those of other tests. */
const RUNTIME = '/run/virtiofsd-inspector';

const obstacle = obstacleToMounting();
if (obstacle !== undefined) console.warn(`Skipped, the workbench scenario: ${obstacle}`);

function obstacleToMounting(): string | undefined {
  if (process.getuid?.() !== 0) return 'it mounts an ext4 image, which takes root.';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/fuse is missing; modprobe fuse, or give the container the device.';
  }
  return undefined;
}

describe.skipIf(obstacle !== undefined)(
  'the extension in a workbench',
  { timeout: 180_000 },
  () => {
    let folder: string;
    let workspace: string;
    let share: string;
    let workbench: Workbench;
    let outside: ChildProcess | undefined;

    beforeAll(async () => {
      const vsix = await packageExtension();
      folder = await mkdtemp(path.join(tmpdir(), 'key-map-'));
      workspace = path.join(folder, 'workspace');
      // A name of its own, to be told from the shares of other tests.
      share = path.join(workspace, `share${process.pid}`);
      await mkdir(share, { recursive: true });
      const image = path.join(folder, 'ext4.img');
      await run('truncate', ['-s', '64M', image]);
      await run('mkfs.ext4', ['-q', image]);
      await run('mount', ['-o', 'loop', image, share]);
      workbench = await startWorkbench({
        folder: workspace,
        vsix: [vsix],
        settings: {
          'virtiofsdInspector.inodeFileHandles': 'mandatory',
          // The kernel keeps asking nothing for long: what is deleted outside stays counted.
          'virtiofsdInspector.cache': 'always',
        },
      });
    }, 400_000);

    afterAll(async () => {
      outside?.kill('SIGTERM');
      if (outside !== undefined && outside.exitCode === null) await once(outside, 'exit');
      await workbench.stop();
      await run('umount', [share]).catch(() => run('umount', ['-l', share]));
      await rm(folder, { recursive: true, force: true });
    }, 60_000);

    const name = (): string => path.basename(share);

    /** A row of one of our two views, by the beginning of its label. */
    function treeRow(view: 'Daemons' | 'Hazards', text: string): Locator {
      return workbench.page
        .locator('.pane', { has: workbench.page.locator(`.pane-header[aria-label*="${view}"]`) })
        .locator('.monaco-list-row')
        .filter({ hasText: text });
    }

    /** The row of a daemon on our share; below it stand rows about it that name the share, too. */
    function daemonRow(): Locator {
      return treeRow('Daemons', name()).and(workbench.page.locator('[aria-level="1"]'));
    }

    async function showView(): Promise<void> {
      const tab = workbench.page
        .locator('.activitybar')
        .getByRole('tab', { name: 'virtiofsd Inspector' });
      if ((await tab.getAttribute('aria-selected')) !== 'true') await tab.click();
      await workbench.page.locator('.pane-header[aria-label*="Daemons"]').waitFor();
    }

    /** Clicks an item of the open context menu. */
    async function choose(title: string): Promise<void> {
      const item = workbench.page.getByRole('menuitem', { name: title, exact: true });
      // A menu takes no click in the moment in which it opens.
      await expect
        .poll(async () => {
          await item.click({ timeout: 500 }).catch(() => undefined);
          return item.isVisible();
        })
        .toBe(false);
    }

    async function startFromExplorer(): Promise<void> {
      const { page } = workbench;
      await page
        .locator('.activitybar')
        .getByRole('tab', { name: /^Explorer/ })
        .click();
      await page
        .locator('.explorer-folders-view .monaco-list-row', { hasText: name() })
        .click({ button: 'right' });
      await choose('Start Daemon on Folder…');
    }

    /** The Key Map's document once it is connected to a daemon. */
    async function connectedMap(): Promise<Frame> {
      // A page that goes on with another daemon is loaded anew, and its frame is another one then.
      for (let attempt = 1; ; attempt++) {
        const map = await workbench.frameOf('map');
        try {
          await map.locator('body[data-ready="1"][data-state="open"]').waitFor({ timeout: 10_000 });
          return map;
        } catch (error) {
          if (attempt === 3) throw error;
        }
      }
    }

    test('a daemon is started from the explorer, and its map opens', async () => {
      onTestFailed(report);
      await showView();
      await startFromExplorer();
      const map = await connectedMap();
      await expect.poll(() => map.locator('body').innerText()).toContain(name());
      await showView();
      await daemonRow().first().waitFor();
      await treeRow('Daemons', 'mandatory').first().waitFor();
    });

    test('names that are used in the mount appear in the map', async () => {
      onTestFailed(report);
      const mount = await mountOf(share);
      await mkdir(path.join(mount, 'src'));
      await writeFile(path.join(mount, 'src/main.c'), 'int main(void) { return 0; }\n');
      expect(await readFile(path.join(share, 'src/main.c'), 'utf8')).toContain('main');
      const map = await connectedMap();
      await map.getByText('src').first().waitFor();
      await expect
        .poll(() => workbench.page.locator('.statusbar').innerText())
        .toMatch(/mandatory · 3 entries/);
    });

    test('a reused inode number is drawn, listed, and reached from the list', async () => {
      onTestFailed(report);
      await reuseNumber(share, await mountOf(share), 'report');
      const map = await connectedMap();
      await map.getByText(/H1/).first().waitFor();
      await workbench.command('Notifications: Clear All Notifications');
      await workbench.page.mouse.move(700, 600);
      await workbench.screenshot('keymap-dark-map');

      await treeRow('Hazards', 'Information').first().click();
      await treeRow('Hazards', 'H1 INODE-NUMBER REUSE').first().waitFor();
      await treeRow('Hazards', 'H1 INODE-NUMBER REUSE').first().click();
      await treeRow('Hazards', 'report.new').first().click();
      await map.locator('[aria-selected="true"]', { hasText: 'report' }).first().waitFor();
      await workbench.page.mouse.move(700, 600);
      await workbench.screenshot('keymap-dark-hazard');
    });

    test('an entry is found by a part of its name, and revealed', async () => {
      onTestFailed(report);
      const { page } = workbench;
      await workbench.command('virtiofsd Inspector: Find Entry…');
      const input = page.locator('.quick-input-widget input');
      await input.fill('main');
      await page
        .locator('.quick-input-widget .monaco-list-row', { hasText: 'src/main.c' })
        .waitFor();
      await page.keyboard.press('Enter');
      const map = await connectedMap();
      await map.locator('[aria-selected="true"]', { hasText: 'main.c' }).first().waitFor();
    });

    test('a daemon is connected to by its URL', async () => {
      onTestFailed(report);
      const { page } = workbench;
      const { url, token } = await runtimeFileOf(share);
      await workbench.command('virtiofsd Inspector: Connect to Daemon by URL…');
      const input = page.locator('.quick-input-widget input');
      await input.fill(url);
      await page.locator('.quick-input-widget').getByText('The token is missing').waitFor();
      await input.fill(`${url}?token=${token}`);
      await page.keyboard.press('Enter');
      const tab = page.getByRole('tab', { name: `Key Map: ${name()} (2)` });
      await tab.waitFor();
      await connectedMap();
      await workbench.command('View: Close Editor');
      await tab.waitFor({ state: 'detached' });
      // The daemons of this window stand first, so the second one is the same daemon by URL.
      await daemonRow().nth(1).click({ button: 'right' });
      await choose('Disconnect');
      await daemonRow().nth(1).waitFor({ state: 'detached' });
    });

    test('stopped, it disappears from the tree, its mount is gone, and the map says so', async () => {
      onTestFailed(report);
      const mount = await mountOf(share);
      await workbench.command('virtiofsd Inspector: Stop Daemon');
      await daemonRow().first().waitFor({ state: 'detached' });
      await gone(mount);
      await gone(`${mount}.json`);
      const map = await workbench.frameOf('map');
      await map.locator('body[data-state="ended"]').waitFor();
      expect(await map.locator('body').innerText()).toContain('has ended');
      await treeRow('Hazards', 'Information').waitFor({ state: 'detached' });
      await workbench.screenshot('keymap-dark-ended');
    });

    test('a daemon from elsewhere shows up by itself, and its map outlives reloads', async () => {
      onTestFailed(report);
      const { page } = workbench;
      const mount = path.join(folder, 'mount');
      await mkdir(mount);
      outside = spawn(
        process.execPath,
        [
          path.join(root, 'dist/daemon/cli.js'),
          'serve',
          '--shared-dir',
          share,
          '--mount',
          mount,
          '--inode-file-handles=mandatory',
          '--cache',
          'always',
          '--inspect',
        ],
        { stdio: 'ignore' },
      );
      await daemonRow().first().waitFor();
      await daemonRow().first().hover();
      await treeRow('Daemons', name())
        .first()
        .getByRole('button', { name: 'Open Key Map' })
        .click();
      await connectedMap();
      // It goes on in the editor of the daemon before.
      expect(await page.getByRole('tab', { name: /^Key Map/ }).count()).toBe(1);
      await reuseNumber(share, mount, 'notes');
      for (const [theme, shot] of [
        ['Default Light Modern', 'keymap-light'],
        ['Default High Contrast', 'keymap-high-contrast'],
      ] as const) {
        await workbench.setTheme(theme);
        const map = await connectedMap();
        await map.getByText(/H1/).first().waitFor();
        await showView();
        await treeRow('Hazards', 'Information').first().waitFor();
        await workbench.screenshot(shot);
      }
      outside.kill('SIGTERM');
      await once(outside, 'exit');
      await daemonRow().first().waitFor({ state: 'detached' });
    });

    test('a window that closes takes its daemons along', async () => {
      onTestFailed(report);
      await startFromExplorer();
      await connectedMap();
      const mount = await mountOf(share);
      await workbench.setTheme('Default Dark Modern');
      await gone(mount);
      await gone(`${mount}.json`);
      const map = await workbench.frameOf('map');
      await map.locator('body[data-state="ended"]').waitFor();
    });

    test('nothing was refused by the content security policy', async () => {
      const logs = await workbench.logs();
      expect(logs).toContain('virtiofsd Inspector');
      expect(logs).not.toContain('content security policy refused');
      expect(logs).not.toMatch(/violates the following Content Security Policy/i);
    });

    async function report(): Promise<void> {
      await workbench.screenshot('failed-keymap');
      console.error(await workbench.logs());
    }
  },
);

interface Runtime {
  readonly sharedDir: string;
  readonly transport: string;
  readonly url: string;
  readonly token: string;
}

/** Where the daemon that shares the folder is mounted. */
async function mountOf(share: string): Promise<string> {
  return (await runtimeFileOf(share)).transport.replace('/dev/fuse on ', '');
}

async function runtimeFileOf(share: string): Promise<Runtime> {
  for (const name of await readdir(RUNTIME)) {
    if (!/^\d+\.json$/.test(name)) continue;
    // Another test's daemon may end between the listing and the reading.
    const text = await readFile(path.join(RUNTIME, name), 'utf8').catch(() => undefined);
    const file = text === undefined ? undefined : (JSON.parse(text) as Runtime);
    if (file?.sharedDir === share) return file;
  }
  throw new Error(`No daemon shares ${share}.`);
}

/**
 * Makes the kernel count a file that is then replaced outside the mount by another one with the
 * same number: what `git checkout` does by the hundred.
 */
async function reuseNumber(share: string, mount: string, name: string): Promise<void> {
  await writeFile(path.join(share, `${name}.old`), 'old');
  const { ino } = await stat(path.join(mount, `${name}.old`));
  await rm(path.join(share, `${name}.old`));
  await writeFile(path.join(share, `${name}.new`), 'new');
  expect((await stat(path.join(mount, `${name}.new`))).ino).toBe(ino);
}

/** Resolves when the folder does not exist any more. */
async function gone(folder: string): Promise<void> {
  const watcher = watch(path.dirname(folder));
  try {
    while (existsSync(folder)) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}
