/** The extension's beginning and end: makes the parts, joins them, takes them apart. */

import * as vscode from 'vscode';
import { registerBreakpoints } from './breakpoints';
import { CheckReports } from './checkReports';
import { reconnectUrl, registerCommands, startRequest } from './commands';
import { adapterHost } from './core/adapterHost';
import { Daemons } from './core/daemons';
import { cleanUpMountpoints, mountRoots } from './core/mountpoints';
import { platformObstacle } from './core/platform';
import { RuntimeFiles, runtimeDirectories } from './core/runtimeFiles';
import { StartedDaemons } from './core/started';
import { createDaemonsView } from './daemonsView';
import { showFailure } from './failure';
import { registerDebugging } from './debugging';
import { registerFaults } from './faults';
import { createHazardsView } from './hazardsView';
import { registerHazardPages } from './hazardPages';
import { CONTEXTS, KEY_MAP } from './ids';
import { KeyMaps } from './keyMaps';
import { registerLinks } from './links';
import { createStatusBar } from './statusBar';
import { registerTours } from './tours';

let running:
  { readonly started: StartedDaemons; readonly log: vscode.LogOutputChannel } | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  // Not among the subscriptions: those are disposed while `deactivate` still has things to say.
  const log = vscode.window.createOutputChannel('virtiofsd Inspector', { log: true });
  const version = String((context.extension.packageJSON as { version?: unknown }).version);
  log.info(`virtiofsd Inspector ${version} on ${process.platform}-${process.arch}`);
  const obstacle = platformObstacle(context.extensionPath, process.platform, process.arch);
  if (obstacle !== undefined) log.warn(obstacle);

  const uid = process.getuid?.() ?? -1;
  const files = new RuntimeFiles(runtimeDirectories(process.env, uid), log);
  await files.rescan();
  const daemons = new Daemons(files, `virtiofsd Inspector ${version} in VS Code`, log);
  const started = new StartedDaemons(daemons, process.env, log);
  running = { started, log };
  const keyMaps = new KeyMaps(
    context,
    daemons,
    (url) => reconnectUrl({ context, daemons, log }, url),
    log,
  );
  const checkReports = new CheckReports();
  context.subscriptions.push(
    files,
    daemons,
    keyMaps,
    checkReports,
    createDaemonsView(daemons, (key) => started.has(key)),
    createHazardsView(daemons),
    createStatusBar(daemons),
    registerCommands({ context, daemons, started, keyMaps, checkReports, log }),
    vscode.window.registerWebviewPanelSerializer(KEY_MAP, keyMaps),
    registerLinks(daemons, keyMaps),
    registerTours({ context, daemons, started, keyMaps, log }),
    registerHazardPages(context, daemons),
    registerDebugging(
      daemons,
      keyMaps,
      adapterHost({
        files,
        daemons,
        started,
        client: `virtiofsd Inspector ${version} in VS Code`,
        startRequest: (sharedDir) => startRequest(context, vscode.Uri.file(sharedDir)),
      }),
    ),
    registerBreakpoints(),
    registerFaults(daemons, log),
  );
  started.failed.on(({ sharedDir, exit }) => {
    void showFailure(log, `The mount of ${sharedDir} is gone`, new Error(exit.message));
  });
  const setContexts = (): void => {
    const values = {
      [CONTEXTS.someDaemon]: daemons.list.length > 0,
      [CONTEXTS.connected]: daemons.current?.link?.state.state === 'open',
      [CONTEXTS.someStarted]: started.size > 0,
    };
    for (const [key, value] of Object.entries(values)) {
      void vscode.commands.executeCommand('setContext', key, value);
    }
  };
  daemons.changed.on(setContexts);
  started.changed.on(setContexts);
  setContexts();

  const roots = mountRoots(process.env, uid, context.globalStorageUri.fsPath);
  await cleanUpMountpoints(roots, log);
}

/** Ends the daemons that this window started; VS Code waits a few seconds for it. */
export async function deactivate(): Promise<void> {
  await running?.started.stopAll();
  running?.log.dispose();
  running = undefined;
}
