/** The harness itself, driven with the smallest extension that has what the scenarios need. */
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createVSIX } from '@vscode/vsce';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { startWorkbench } from './workbench';
import type { Workbench } from './workbench';

const manifest = {
  name: 'probe',
  publisher: 'workbench-harness',
  version: '0.0.1',
  engines: { vscode: '^1.100.0' },
  main: 'extension.js',
  files: ['extension.js'],
  activationEvents: [],
  contributes: { commands: [{ command: 'probe.open', category: 'Probe', title: 'Open the View' }] },
};

/** Runs in the extension host; the page's script runs under a strict content security policy. */
const extension = `
const vscode = require('vscode');
exports.activate = (context) => {
  const log = vscode.window.createOutputChannel('Probe', { log: true });
  context.subscriptions.push(log, vscode.commands.registerCommand('probe.open', () => {
    log.info('opening the view');
    const panel = vscode.window.createWebviewPanel('probe', 'Probe', vscode.ViewColumn.One, {
      enableScripts: true,
    });
    panel.webview.onDidReceiveMessage((message) => panel.webview.postMessage(message + ' back'));
    panel.webview.html = \`<!doctype html>
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'nonce-probe'">
      <body><p id="answer">nothing yet</p>
      <script nonce="probe">
        const vscode = acquireVsCodeApi();
        addEventListener('message', (event) => {
          document.getElementById('answer').textContent = event.data;
          document.body.dataset.ready = '1';
        });
        document.body.dataset.view = 'probe';
        vscode.postMessage('there and');
      </script>\`;
  }));
};
`;

let folder: string;
let workbench: Workbench;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'probe-'));
  const source = join(folder, 'extension');
  const opened = join(folder, 'opened');
  await mkdir(source);
  await mkdir(opened);
  await writeFile(join(source, 'package.json'), JSON.stringify(manifest));
  await writeFile(join(source, 'extension.js'), extension);
  const vsix = join(folder, 'probe.vsix');
  await createVSIX({
    cwd: source,
    packagePath: vsix,
    dependencies: false,
    allowMissingRepository: true,
    skipLicense: true,
  });
  workbench = await startWorkbench({ folder: opened, vsix: [vsix] });
}, 300_000);

afterAll(async () => {
  await workbench.stop();
  await rm(folder, { recursive: true, force: true });
});

test('a command opens a webview, and its text can be read', { timeout: 60_000 }, async () => {
  onTestFailed(async () => console.error(await workbench.logs()));
  await workbench.command('Probe: Open the View');
  const view = await workbench.frameOf('probe');
  await view.locator('body[data-ready="1"]').waitFor();
  expect(await view.locator('#answer').textContent()).toBe('there and back');
  expect(await workbench.logs()).toContain('opening the view');
});

test('a theme reaches the workbench and its webviews', { timeout: 60_000 }, async () => {
  onTestFailed(async () => console.error(await workbench.logs()));
  await workbench.setTheme('Default High Contrast');
  await workbench.command('Probe: Open the View');
  const view = await workbench.frameOf('probe');
  await view.locator('body.vscode-high-contrast[data-ready="1"]').waitFor();
  const picture = await workbench.screenshot('harness-high-contrast');
  expect((await stat(picture)).size).toBeGreaterThan(5_000);
});
