import * as vscode from 'vscode';
import type { Log } from './core/log';
import { messageOf } from './core/log';
import { COMMANDS } from './ids';

/**
 * Tells the user that something failed: one sentence, and the way to the log.
 *
 * @param what the thing that was wanted, as the beginning of the sentence
 */
export async function showFailure(log: Log, what: string, error: unknown): Promise<void> {
  const message = `${what}: ${messageOf(error)}`;
  log.error(message);
  const showLog = 'Show Log';
  const chosen = await vscode.window.showErrorMessage(message, showLog);
  if (chosen === showLog) await vscode.commands.executeCommand(COMMANDS.showLog);
}
