/** The commands. Each takes a row of the view "Daemons", or asks which daemon is meant. */

import path from 'node:path';
import * as vscode from 'vscode';
import { InspectorError } from '../daemon/protocol/client';
import { RPC_ERRORS } from '../daemon/protocol/rpc';
import type { CheckReports } from './checkReports';
import { checkAndShow } from './checkReports';
import { parseAddress, urlWithToken } from './core/address';
import type { Daemon, DaemonKey, Daemons } from './core/daemons';
import type { LinkState } from './core/link';
import { messageOf } from './core/log';
import { mountRoots } from './core/mountpoints';
import { platformObstacle } from './core/platform';
import type { StartedDaemons, StartRequest } from './core/started';
import type { DaemonRow } from './daemonsView';
import { mountpoint } from './daemonsView';
import { showFailure } from './failure';
import { pickEntry } from './findEntry';
import { COMMANDS } from './ids';
import type { FindingRow, HazardRow } from './hazardsView';
import type { KeyMaps } from './keyMaps';
import { pickProbe, probeWithProgress, summary } from './probes';
import { readSettings } from './settings';

export interface Parts {
  readonly context: vscode.ExtensionContext;
  readonly daemons: Daemons;
  readonly started: StartedDaemons;
  readonly keyMaps: KeyMaps;
  readonly checkReports: CheckReports;
  readonly log: vscode.LogOutputChannel;
}

/** Which daemons a command is for, and whether it takes the current one of several unasked. */
interface Which {
  fits(daemon: Daemon): boolean;
  readonly takesCurrent: boolean;
}

const connected: Which = { fits: ({ link }) => link !== undefined, takesCurrent: true };
const mounted: Which = {
  fits: (daemon) => mountpoint(daemon) !== undefined,
  takesCurrent: true,
};
const any: Which = { fits: () => true, takesCurrent: true };
const chosen: Which = { fits: () => true, takesCurrent: false };
const disconnected: Which = { fits: ({ link }) => link === undefined, takesCurrent: false };

export function registerCommands(parts: Parts): vscode.Disposable {
  const { daemons, started, keyMaps, log } = parts;

  /** Runs a command on the daemon of the row, or on one that the user picks. */
  const onDaemon =
    (what: string, which: Which, run: (daemon: Daemon) => Thenable<void> | void) =>
    async (row?: DaemonRow): Promise<void> => {
      const daemon = isRow(row) ? daemons.get(row.key) : await pickDaemon(parts, what, which);
      if (daemon === undefined) return;
      try {
        await run(daemon);
      } catch (error) {
        await showFailure(log, `${what} (${daemon.name})`, error);
      }
    };

  const handlers: Readonly<Record<string, (...args: never[]) => unknown>> = {
    [COMMANDS.startOnFolder]: (folder?: vscode.Uri) => startOnFolder(parts, folder),
    [COMMANDS.checkFolder]: (folder?: vscode.Uri) => check(parts, folder),
    [COMMANDS.stopDaemon]: onDaemon(
      'Stop the daemon',
      { fits: ({ key }) => started.has(key), takesCurrent: false },
      ({ key, name }) =>
        vscode.window.withProgress(
          { location: vscode.ProgressLocation.Window, title: `Stopping the daemon of ${name}` },
          () => started.stop(key),
        ),
    ),
    [COMMANDS.connectUrl]: () => connectUrl(parts),
    [COMMANDS.connect]: onDaemon('Connect', disconnected, ({ key }) => daemons.connect(key)),
    [COMMANDS.disconnect]: onDaemon('Disconnect', connected, ({ key }) => daemons.disconnect(key)),
    [COMMANDS.openKeyMap]: onDaemon('Open the Key Map', chosen, (daemon) => {
      if (daemon.link === undefined) daemons.connect(daemon.key);
      keyMaps.open(daemon);
    }),
    [COMMANDS.findEntry]: onDaemon('Find an entry', connected, async (daemon) => {
      const { client } = openState(daemon);
      const nodeid = await pickEntry(client, daemon.name, log);
      if (nodeid !== undefined) keyMaps.open(daemon, nodeid);
    }),
    [COMMANDS.probeNow]: (row?: DaemonRow | FindingRow) => probeNow(parts, row),
    [COMMANDS.copySnapshot]: onDaemon('Copy the snapshot', connected, (daemon) =>
      copySnapshot(parts, daemon),
    ),
    [COMMANDS.copyUrl]: onDaemon('Copy the URL', any, async (daemon) => {
      await vscode.env.clipboard.writeText(urlWithToken(daemon.address));
      vscode.window.setStatusBarMessage('URL with token copied', 3_000);
    }),
    [COMMANDS.openTerminal]: onDaemon('Open a terminal in the mount', mounted, (daemon) => {
      const cwd = mountpoint(daemon);
      if (cwd === undefined) return;
      vscode.window.createTerminal({ name: `${daemon.name} (mount)`, cwd }).show();
    }),
    [COMMANDS.revealMount]: onDaemon('Reveal the mount', mounted, (daemon) => revealMount(daemon)),
    [COMMANDS.showLog]: () => log.show(),
    [COMMANDS.whyNode]: (row?: HazardRow) => {
      const daemon = row === undefined ? undefined : daemons.get(row.key);
      const nodeid = nodeOf(row);
      // The details of an entry say why it is there.
      if (daemon !== undefined && nodeid !== undefined) keyMaps.open(daemon, nodeid);
    },
    [COMMANDS.revealEntry]: (key: DaemonKey, nodeid: string) => {
      const daemon = daemons.get(key);
      if (daemon !== undefined) keyMaps.open(daemon, nodeid);
    },
  };
  const registered = Object.entries(handlers).map(([id, handler]) =>
    vscode.commands.registerCommand(id, handler),
  );
  return vscode.Disposable.from(...registered);
}

/** The entry to look at first in a row of the hazards view. */
function nodeOf(row: HazardRow | undefined): string | undefined {
  if (row?.row === 'finding') return row.hazard.nodeids[0];
  return row?.row === 'kind' ? row.kind.findings[0]?.nodeids[0] : undefined;
}

async function startOnFolder(parts: Parts, folder: vscode.Uri | undefined): Promise<void> {
  const { context, started, keyMaps, log } = parts;
  if (!vscode.workspace.isTrusted) {
    await vscode.commands.executeCommand('workbench.trust.manage');
    return;
  }
  const obstacle = platformObstacle(context.extensionPath, process.platform, process.arch);
  if (obstacle !== undefined) {
    await showFailure(log, 'No daemon was started', new Error(obstacle));
    return;
  }
  const uri = folder ?? (await pickFolder('Start a daemon on a folder', 'Share'));
  if (uri === undefined) return;
  const sharedDir = uri.fsPath;
  const name = path.basename(sharedDir) || sharedDir;

  const running = started.sharing(sharedDir);
  if (running !== undefined) {
    const open = 'Open Key Map';
    const another = 'Start Another';
    const chosen = await vscode.window.showInformationMessage(
      `A daemon of this window already shares ${name}.`,
      open,
      another,
    );
    if (chosen === open) keyMaps.open(running);
    if (chosen !== another) return;
  }

  const settings = readSettings(uri);
  const cancel = new AbortController();
  let daemon: Daemon;
  try {
    daemon = await vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: `Starting a daemon on ${name}`,
        cancellable: true,
      },
      (_, token) => {
        token.onCancellationRequested(() => cancel.abort(new Error('You cancelled it.')));
        const { inodeFileHandles, cache } = settings;
        return started.start(
          { ...startRequest(context, uri), inodeFileHandles, cache },
          cancel.signal,
        );
      },
    );
  } catch (error) {
    if (!cancel.signal.aborted) await showFailure(log, `No daemon was started on ${name}`, error);
    return;
  }
  parts.daemons.choose(daemon.key);
  if (settings.openMapOnStart) keyMaps.open(daemon);
  await offerMount(daemon);
}

/**
 * How to run the bundled daemon on a folder.
 *
 * @throws Error with a sentence when it cannot run here
 */
export function startRequest(
  context: vscode.ExtensionContext,
  folder: vscode.Uri,
): Pick<StartRequest, 'node' | 'program' | 'sharedDir' | 'mountRoots'> {
  const { extensionPath, globalStorageUri } = context;
  const obstacle = platformObstacle(extensionPath, process.platform, process.arch);
  if (obstacle !== undefined) throw new Error(obstacle);
  const { nodePath } = readSettings(folder);
  return {
    node: nodePath === '' ? process.execPath : nodePath,
    program: path.join(extensionPath, 'dist', 'daemon', 'cli.js'),
    sharedDir: folder.fsPath,
    mountRoots: mountRoots(process.env, process.getuid?.() ?? -1, globalStorageUri.fsPath),
  };
}

async function check(parts: Parts, folder: vscode.Uri | undefined): Promise<void> {
  if (!vscode.workspace.isTrusted) {
    await vscode.commands.executeCommand('workbench.trust.manage');
    return;
  }
  const uri = folder ?? (await pickFolder('Check a folder before it is shared', 'Check'));
  if (uri !== undefined) await checkAndShow(parts.context, parts.checkReports, parts.log, uri);
}

async function pickFolder(title: string, openLabel: string): Promise<vscode.Uri | undefined> {
  const defaultUri = vscode.workspace.workspaceFolders?.[0]?.uri;
  const chosen = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    canSelectMany: false,
    openLabel,
    title,
    ...(defaultUri === undefined ? {} : { defaultUri }),
  });
  return chosen?.[0];
}

async function offerMount(daemon: Daemon): Promise<void> {
  const folder = mountpoint(daemon);
  if (folder === undefined) return;
  const terminal = 'Open Terminal There';
  const chosen = await vscode.window.showInformationMessage(
    `${daemon.name} is mounted on ${folder}. Work in there, and the Key Map shows each name that is looked up.`,
    terminal,
  );
  if (chosen === terminal) {
    const row: DaemonRow = { row: 'daemon', key: daemon.key };
    await vscode.commands.executeCommand(COMMANDS.openTerminal, row);
  }
}

async function connectUrl({ context, daemons, keyMaps, log }: Parts): Promise<void> {
  if (!vscode.workspace.isTrusted) {
    await vscode.commands.executeCommand('workbench.trust.manage');
    return;
  }
  const text = await vscode.window.showInputBox({
    title: 'Connect to a daemon by its URL',
    prompt: 'As the daemon printed it, with its token',
    placeHolder: 'ws://127.0.0.1:PORT/inspector?token=TOKEN',
    ignoreFocusOut: true,
    validateInput: (value) => {
      const address = parseAddress(value);
      return value !== '' && typeof address === 'string' ? address : undefined;
    },
  });
  if (text === undefined || text === '') return;
  const address = parseAddress(text);
  if (typeof address === 'string') return;
  try {
    const daemon = await daemons.connectUrl(address);
    await context.secrets.store(address.url, address.token);
    keyMaps.open(daemon);
  } catch (error) {
    await showFailure(log, 'Not connected', error);
  }
}

async function probeNow(parts: Parts, row: DaemonRow | FindingRow | undefined): Promise<void> {
  const { daemons, log } = parts;
  const nodeid = row?.row === 'finding' ? row.hazard.nodeids[0] : undefined;
  const daemon =
    row === undefined ? await pickDaemon(parts, 'Probe Now', connected) : daemons.get(row.key);
  if (daemon === undefined) return;
  try {
    const { client } = openState(daemon);
    const request =
      nodeid === undefined
        ? await pickProbe(() => pickEntry(client, daemon.name, log))
        : { nodeid };
    if (request === undefined) return;
    const last = await probeWithProgress(client, daemon.name, request);
    void vscode.window.showInformationMessage(summary(last));
  } catch (error) {
    await showFailure(log, `Probe Now (${daemon.name})`, error);
  }
}

async function copySnapshot({ context, log }: Parts, daemon: Daemon): Promise<void> {
  try {
    const snapshot = await openState(daemon).client.call('snapshot', {});
    await vscode.env.clipboard.writeText(JSON.stringify(snapshot, null, 2));
    vscode.window.setStatusBarMessage(
      `Snapshot of ${snapshot.entries.length} entries copied`,
      3_000,
    );
  } catch (error) {
    if (!(error instanceof InspectorError) || error.code !== RPC_ERRORS.tooLarge) throw error;
    log.info(`Snapshot of ${daemon.name}: ${error.message}`);
    const copy = 'Copy Command';
    const chosen = await vscode.window.showWarningMessage(
      `The tables of ${daemon.name} are too large for the clipboard. A command in a terminal writes them to a file.`,
      copy,
    );
    if (chosen !== copy) return;
    const program = path.join(context.extensionPath, 'dist', 'daemon', 'cli.js');
    await vscode.env.clipboard.writeText(
      `ELECTRON_RUN_AS_NODE=1 '${process.execPath}' '${program}' snapshot '${urlWithToken(daemon.address)}' --json > snapshot.json`,
    );
  }
}

async function revealMount(daemon: Daemon): Promise<void> {
  const folder = mountpoint(daemon);
  if (folder === undefined) return;
  const uri = vscode.Uri.file(folder);
  const desktop =
    vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
  // A file manager exists beside the window only; elsewhere a window of its own shows the folder.
  if (desktop) await vscode.commands.executeCommand('revealFileInOS', uri);
  else await vscode.commands.executeCommand('vscode.openFolder', uri, { forceNewWindow: true });
}

/** @throws Error while there is no connection */
function openState(daemon: Daemon): Extract<LinkState, { state: 'open' }> {
  const state = daemon.link?.state;
  if (state?.state === 'open') return state;
  throw new Error(
    state?.state === 'closed'
      ? state.reason
      : 'there is no connection; connect it, then try again.',
  );
}

async function pickDaemon(
  { daemons, started }: Parts,
  what: string,
  which: Which,
): Promise<Daemon | undefined> {
  const candidates = daemons.list.filter((daemon) => which.fits(daemon));
  const [first] = candidates;
  if (first === undefined) {
    const start = 'Start on a Folder…';
    const chosen = await vscode.window.showInformationMessage(
      `${what}: there is no daemon for that.`,
      start,
    );
    if (chosen === start) await vscode.commands.executeCommand(COMMANDS.startOnFolder);
    return undefined;
  }
  const { current } = daemons;
  if (candidates.length === 1) return first;
  if (which.takesCurrent && current !== undefined && which.fits(current)) return current;
  const chosen = await vscode.window.showQuickPick(
    candidates.map((daemon) => ({
      label: daemon.name,
      description: daemon.key === current?.key ? 'current' : '',
      detail: `${daemon.address.url}${started.has(daemon.key) ? ', started by this window' : ''}`,
      daemon,
    })),
    { title: what },
  );
  return chosen?.daemon;
}

function isRow(row: DaemonRow | undefined): row is DaemonRow {
  return typeof row === 'object' && 'row' in row;
}

/** For editors restored by VS Code: connects again with the token kept in the secret storage. */
export async function reconnectUrl(
  { context, daemons, log }: Pick<Parts, 'context' | 'daemons' | 'log'>,
  url: string,
): Promise<void> {
  if (!vscode.workspace.isTrusted) return;
  const token = await context.secrets.get(url);
  if (token === undefined) return;
  try {
    await daemons.connectUrl({ url, token });
  } catch (error) {
    log.info(`Not connected again: ${messageOf(error)}`);
  }
}
