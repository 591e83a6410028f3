/** «Check a Folder»: what to expect of a folder before it is shared, as a page to read. */

import path from 'node:path';
import * as vscode from 'vscode';
import { checkFolder } from './core/checkFolder';
import { checkMarkdown } from './core/checkMarkdown';
import { platformObstacle } from './core/platform';
import { showFailure } from './failure';
import { readSettings } from './settings';

const SCHEME = 'virtiofsd-check';

/** Reports are documents that exist in this window only; one folder has one, the newest. */
export class CheckReports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #texts = new Map<string, string>();
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  readonly #registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#texts.get(uri.toString()) ?? 'This report was not kept. Check the folder again.';
  }

  async show(folder: string, markdown: string): Promise<void> {
    const name = path.basename(folder) || folder;
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/Check of ${name}.md`, query: folder });
    this.#texts.set(uri.toString(), markdown);
    this.#changed.fire(uri);
    try {
      await vscode.commands.executeCommand('markdown.showPreview', uri);
    } catch {
      // VS Code's own Markdown extension is switched off: the text reads well, too.
      await vscode.window.showTextDocument(uri, { preview: true });
    }
  }

  dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }
}

export async function checkAndShow(
  context: vscode.ExtensionContext,
  reports: CheckReports,
  log: vscode.LogOutputChannel,
  uri: vscode.Uri,
): Promise<void> {
  const folder = uri.fsPath;
  const name = path.basename(folder) || folder;
  const what = `${name} was not checked`;
  const obstacle = platformObstacle(context.extensionPath, process.platform, process.arch);
  if (obstacle !== undefined) {
    await showFailure(log, what, new Error(obstacle));
    return;
  }
  const { nodePath } = readSettings(uri);
  const cancel = new AbortController();
  try {
    const report = await vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: `Checking ${name}`,
        cancellable: true,
      },
      (_, token) => {
        token.onCancellationRequested(() => cancel.abort());
        const request = {
          node: nodePath === '' ? process.execPath : nodePath,
          program: path.join(context.extensionPath, 'dist', 'daemon', 'cli.js'),
          folder,
        };
        return checkFolder(request, process.env, cancel.signal);
      },
    );
    log.info(`Checked ${folder}: ${report.verdict.text}`);
    await reports.show(folder, checkMarkdown(report));
  } catch (error) {
    if (!cancel.signal.aborted) await showFailure(log, what, error);
  }
}
