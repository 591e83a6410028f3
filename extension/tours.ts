/** «Take a Tour»: a recorded scenario in the Key Map; nothing is mounted, and no rights are needed. */

import path from 'node:path';
import * as vscode from 'vscode';
import type { Daemons } from './core/daemons';
import { platformObstacle } from './core/platform';
import type { StartedDaemons } from './core/started';
import { listTours } from './core/tourList';
import { showFailure } from './failure';
import { COMMANDS } from './ids';
import type { KeyMaps } from './keyMaps';
import { readSettings } from './settings';

interface Parts {
  readonly context: vscode.ExtensionContext;
  readonly daemons: Daemons;
  readonly started: StartedDaemons;
  readonly keyMaps: KeyMaps;
  readonly log: vscode.LogOutputChannel;
}

/** The command; with a tour's name it does not ask which. */
export function registerTours(parts: Parts): vscode.Disposable {
  return vscode.commands.registerCommand(COMMANDS.takeTour, async (name?: unknown) => {
    try {
      await takeTour(parts, typeof name === 'string' ? name : undefined);
    } catch (error) {
      await showFailure(parts.log, 'The tour did not start', error);
    }
  });
}

async function takeTour(
  { context, daemons, started, keyMaps }: Parts,
  wanted: string | undefined,
): Promise<void> {
  const { extensionPath, extensionUri } = context;
  const obstacle = platformObstacle(extensionPath, process.platform, process.arch);
  if (obstacle !== undefined) throw new Error(obstacle);
  const { nodePath } = readSettings(extensionUri);
  // What a workspace that is not trusted says is not run.
  const node = nodePath === '' || !vscode.workspace.isTrusted ? process.execPath : nodePath;
  const program = path.join(extensionPath, 'dist', 'daemon', 'cli.js');
  const name = wanted ?? (await pickTour(node, program));
  if (name === undefined) return;
  const running = started.sharing(`tour ${name}`);
  const daemon =
    running ??
    (await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Window, title: `Opening tour ${name}` },
      () => started.startTour({ node, program, name }, new AbortController().signal),
    ));
  daemons.choose(daemon.key);
  keyMaps.open(daemon);
}

async function pickTour(node: string, program: string): Promise<string | undefined> {
  const tours = await listTours(node, program, process.env);
  const picked = await vscode.window.showQuickPick(
    tours.map(({ name, title, summary }) => ({
      label: title,
      description: name,
      detail: summary,
      name,
    })),
    { title: 'Take a Tour', placeHolder: 'A recorded scenario, explained step by step' },
  );
  return picked?.name;
}
