/**
 * The debugger as a user meets it: VS Code's own Run and Debug view against live mounts, with shells
 * that wait while the editor shows where their request is held.
 */

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { ruleText } from '../../daemon/adapter/ruleText';
import type { Decision } from '../../daemon/tables/stops';
import { packageExtension } from '../../scripts/package.mjs';
import type { Program } from '../filesystem/debugSession';
import { run as shell } from '../filesystem/debugSession';
import { startWorkbench } from './workbench';
import type { Workbench } from './workbench';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const RUNTIME = '/run/virtiofsd-inspector';

/** Within so many ms a shell goes on after its debugger was killed. */
const RELEASED_MS = 3_000;

const obstacle = obstacleToMounting();
if (obstacle !== undefined) console.warn(`Skipped, the debugger in a workbench: ${obstacle}`);

function obstacleToMounting(): string | undefined {
  if (process.getuid?.() !== 0) return 'it mounts an ext4 image, which takes root.';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/fuse is missing; modprobe fuse, or give the container the device.';
  }
  return undefined;
}

describe.skipIf(obstacle !== undefined)('the debugger in a workbench', { timeout: 240_000 }, () => {
  let folder: string;
  let share: string;
  let launched: string;
  let mount: string;
  let daemon: ChildProcess;
  let workbench: Workbench;
  let stopped = false;

  beforeAll(async () => {
    const vsix = await packageExtension();
    folder = await mkdtemp(path.join(tmpdir(), 'debugger-'));
    const workspace = path.join(folder, 'workspace');
    share = path.join(workspace, `seed${process.pid}`);
    launched = path.join(workspace, 'launched');
    mount = path.join(folder, 'mount');
    for (const made of [share, launched, mount, path.join(workspace, '.vscode')]) {
      await mkdir(made, { recursive: true });
    }
    const image = path.join(folder, 'ext4.img');
    await run('truncate', ['-s', '64M', image]);
    await run('mkfs.ext4', ['-q', image]);
    await run('mount', ['-o', 'loop', image, share]);
    await writeFile(path.join(share, 'f'), 'content');
    await link(path.join(share, 'f'), path.join(share, 'f-link'));
    await writeFile(path.join(launched, 'g'), 'launched');
    daemon = await serve(share, mount);
    const type = 'virtiofsd';
    const configurations = [
      {
        ...{ type, request: 'attach', name: 'Attach to it' },
        runtimeFile: path.join(RUNTIME, `${daemon.pid ?? 0}.json`),
      },
      {
        ...{ type, request: 'launch', name: 'Launch another' },
        sharedDir: '${workspaceFolder}/launched',
        cache: 'never',
        inodeFileHandles: 'never',
      },
    ];
    await writeFile(
      path.join(workspace, '.vscode', 'launch.json'),
      JSON.stringify({ version: '0.2.0', configurations }),
    );
    workbench = await startWorkbench({
      folder: workspace,
      vsix: [vsix],
      settings: { 'debug.openDebug': 'openOnDebugBreak' },
    });
  }, 400_000);

  afterAll(async () => {
    if (!stopped) await workbench.stop();
    if (daemon.exitCode === null) {
      daemon.kill('SIGTERM');
      await once(daemon, 'exit');
    }
    await run('umount', [share]).catch(() => run('umount', ['-l', share]));
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  /** Chooses a row of the open quick pick. */
  async function choose(text: string): Promise<void> {
    const row = workbench.page
      .locator('.quick-input-widget .monaco-list-row')
      .filter({ hasText: text })
      .first();
    await row.click();
    await row.waitFor({ state: 'hidden' });
  }

  async function startDebugging(name: string): Promise<void> {
    await workbench.command('Debug: Select and Start Debugging');
    await choose(name);
    await workbench.page.locator('.debug-toolbar').waitFor();
  }

  /** The view lists a breakpoint before the daemon has it; then it looks otherwise. */
  async function armed(name: string): Promise<void> {
    await workbench.page
      .locator('.debug-breakpoints .monaco-list-row', { hasText: name })
      .locator('.codicon-debug-breakpoint-function')
      .waitFor();
  }

  async function breakAt(name: string): Promise<void> {
    const { page } = workbench;
    await workbench.command('Add Function Breakpoint');
    const input = page.locator('.debug-breakpoints .inputBoxContainer input').first();
    await input.waitFor();
    await input.fill(name);
    await input.press('Enter');
    await armed(name);
  }

  /** Words are typed or chosen one after the other; one row is what was said so far. */
  async function addBreakpoint(typed: string, chosen: string, more: string): Promise<void> {
    const { page } = workbench;
    await workbench.command('virtiofsd Inspector: Add a Breakpoint…');
    // The palette before it is the same widget.
    await page.locator('.quick-input-title', { hasText: 'Stop at' }).waitFor();
    const input = page.locator('.quick-input-widget input');
    const row = (text: string) =>
      page.locator('.quick-input-widget .monaco-list-row').filter({ hasText: text });
    await input.pressSequentially(typed);
    await expect.poll(() => input.inputValue()).toBe(typed);
    await row(chosen).first().waitFor();
    await workbench.screenshot('debugger-add-breakpoint');
    await row(chosen).first().click();
    await expect.poll(() => input.inputValue()).toBe(`${chosen} `);
    await input.pressSequentially(more);
    const spec = `${chosen} ${more}`;
    await row(`operation ${chosen}, path ${more}`).click();
    await armed(spec);
  }

  async function inject(errno: string): Promise<void> {
    await workbench.command('virtiofsd Inspector: Inject a Fault…');
    await choose(`name_to_handle_at fails with ${errno}`);
    await workbench.page
      .locator('.statusbar-item', { hasText: `name_to_handle_at: ${errno}` })
      .waitFor();
  }

  /** Daemons of other tests may run here, too: then one is asked which. */
  async function openKeyMap(): Promise<void> {
    const { page } = workbench;
    await workbench.command('virtiofsd Inspector: Open Key Map');
    const row = page
      .locator('.quick-input-widget .monaco-list-row')
      .filter({ hasText: path.basename(share) });
    const tab = page.getByRole('tab', { name: `Key Map: ${path.basename(share)}` });
    await row.or(tab).first().waitFor();
    if (await row.isVisible()) await row.click();
    await tab.waitFor();
  }

  /** Waits until the editor shows the stop before this decision. */
  async function stoppedAt(decision: Decision): Promise<void> {
    const { page } = workbench;
    const line = ruleText('handle-then-fd').stops.find((stop) => stop.decision === decision)?.line;
    await page
      .locator('.statusbar-item')
      .getByText(new RegExp(`^Ln ${line ?? 0}, Col`))
      .waitFor();
    await page.locator('.debug-top-stack-frame-line').first().waitFor();
  }

  async function stepTo(...decisions: readonly Decision[]): Promise<void> {
    for (const decision of decisions) {
      await workbench.page.keyboard.press('F10');
      await stoppedAt(decision);
    }
  }

  async function cat(name: string): Promise<Program> {
    const program = shell('cat', path.join(mount, name));
    await workbench.page.locator('.debug-top-stack-frame-line').first().waitFor();
    return program;
  }

  test('a daemon is launched, debugged and ended', async () => {
    onTestFailed(report);
    const { page } = workbench;
    await startDebugging('Launch another');
    const place = await mountOf(launched);
    await addBreakpoint('lo', 'LOOKUP', 'g');
    const held = shell('cat', path.join(place, 'g'));
    await stoppedAt('request');
    expect(held.running).toBe(true);
    await workbench.command('Debug: Continue');
    expect((await held.done).stdout).toBe('launched');
    await workbench.command('Debug: Stop');
    await expect.poll(() => existsSync(place), { timeout: 20_000 }).toBe(false);
    await page.locator('.debug-toolbar').waitFor({ state: 'hidden' });
    await workbench.command('Remove All Breakpoints');
  });

  test('a shell waits while the editor steps through a failing lookup', async () => {
    onTestFailed(report);
    const { page } = workbench;
    // The entry of the first name has a handle; what follows is about the second name.
    expect((await shell('cat', path.join(mount, 'f')).done).stdout).toBe('content');
    await startDebugging('Attach to it');
    await breakAt('LOOKUP f-link');
    await inject('ENOMEM');
    const refused = await cat('f-link');
    await stoppedAt('request');
    await page.locator('.debug-call-stack').getByText('serve LOOKUP f-link').first().waitFor();
    await page.locator('.debug-variables .monaco-list-row', { hasText: 'unique' }).waitFor();
    await workbench.screenshot('debugger-request');
    await stepTo('parent', 'opened', 'identified', 'handle');
    await page.locator('.debug-pane .monaco-list-row', { hasText: 'ENOMEM' }).first().waitFor();
    await workbench.screenshot('debugger-enomem');
    expect(refused.running).toBe(true);
    await stepTo('reply');
    await workbench.command('Debug: Continue');
    expect((await refused.done).stderr).toContain('Cannot allocate memory');
  });

  test('the fallback is not believed, and the Key Map follows', async () => {
    onTestFailed(report);
    const { page } = workbench;
    await inject('EOPNOTSUPP');
    const linked = await cat('f-link');
    await stoppedAt('request');
    await stepTo('parent', 'opened', 'identified', 'handle', 'by_ids');
    await workbench.screenshot('debugger-by-ids');
    await openKeyMap();
    // A page that is moved while it loads stays empty in this VS Code.
    const opened = await workbench.frameOf('map');
    await opened.locator('body[data-ready="1"]').waitFor();
    await workbench.command('View: Move Editor into Right Group');
    const map = await workbench.frameOf('map');
    await map.getByText('inodes_by_ids says node 2').first().waitFor();
    await workbench.command('View: Focus First Editor Group');
    await page.keyboard.press('F10');
    await stoppedAt('fallback_rejected');
    await map.getByText('is not believed').first().waitFor();
    await workbench.screenshot('debugger-rejected');
    await page.keyboard.press('F10');
    await stoppedAt('inserted');
    await workbench.screenshot('debugger-inserted');
    await page.keyboard.press('F10');
    await stoppedAt('reply');
    await workbench.screenshot('debugger-reply');
    expect(linked.running).toBe(true);
    await workbench.command('Debug: Continue');
    expect((await linked.done).stdout).toBe('content');
    await map.getByText('STOPPED').waitFor({ state: 'detached' });
  });

  test('an editor that is killed leaves nothing held', async () => {
    onTestFailed(report);
    const held = await cat('f-link');
    await stoppedAt('request');
    expect(held.running).toBe(true);
    stopped = true;
    const killed = performance.now();
    const stopping = workbench.stop();
    expect((await held.done).stdout).toBe('content');
    expect(performance.now() - killed).toBeLessThan(RELEASED_MS);
    await stopping;
  });

  async function report(): Promise<void> {
    if (stopped) return;
    await workbench.screenshot('failed-debugger');
    console.error(await workbench.logs());
  }
});

async function serve(share: string, mount: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [
      ...[path.join(root, 'dist/daemon/cli.js'), 'serve'],
      ...['--shared-dir', share, '--mount', mount, '--cache', 'never', '--inspect'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const lines = createInterface({ input: child.stderr });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      if (line.includes('Serving ')) resolve();
    });
    lines.once('close', () => reject(new Error('The daemon did not start.')));
  });
  return child;
}

/** Where the daemon that shares the folder is mounted. */
async function mountOf(shared: string): Promise<string> {
  let found: string | undefined;
  await expect
    .poll(
      async () => {
        for (const name of await readdir(RUNTIME)) {
          if (!/^\d+\.json$/.test(name)) continue;
          const text = await readFile(path.join(RUNTIME, name), 'utf8').catch(() => '{}');
          const file = JSON.parse(text) as { sharedDir?: string; transport?: string };
          if (file.sharedDir === shared) found = file.transport?.replace('/dev/fuse on ', '');
        }
        return found;
      },
      { timeout: 30_000 },
    )
    .toBeDefined();
  return found ?? '';
}
