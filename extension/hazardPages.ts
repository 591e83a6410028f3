/** «Explain This Hazard»: the page of docs/hazards, in VS Code's Markdown preview. */

import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import type { Daemons } from './core/daemons';
import { COMMANDS } from './ids';

const HAZARD = /^H[0-9]{1,3}$/;
/** The list of all. */
const INDEX = 'README';

/** What the command is given: a hazard's id, or a row of the hazards view that has one. */
function idOf(argument: unknown): string | undefined {
  if (typeof argument === 'string') return HAZARD.test(argument) ? argument : undefined;
  if (typeof argument !== 'object' || argument === null) return undefined;
  if ('kind' in argument) return idIn(argument.kind);
  return 'hazard' in argument ? idIn(argument.hazard) : undefined;
}

function idIn(value: unknown): string | undefined {
  const known = typeof value === 'object' && value !== null && 'id' in value;
  return known ? idOf(value.id) : undefined;
}

export function registerHazardPages(
  context: vscode.ExtensionContext,
  daemons: Daemons,
): vscode.Disposable {
  const pages = vscode.Uri.joinPath(context.extensionUri, 'docs', 'hazards');
  return vscode.commands.registerCommand(COMMANDS.explainHazard, async (argument?: unknown) => {
    const id = idOf(argument) ?? (await pickHazard(daemons));
    if (id === undefined) return;
    const page = vscode.Uri.joinPath(pages, `${id}.md`);
    if (!existsSync(page.fsPath)) {
      void vscode.window.showInformationMessage(
        `This version has no page about ${id}. The daemon may be newer than the extension.`,
      );
      return;
    }
    try {
      await vscode.commands.executeCommand('markdown.showPreview', page);
    } catch {
      // VS Code's own Markdown extension is switched off: the text reads well, too.
      await vscode.window.showTextDocument(page, { preview: true });
    }
  });
}

/** Of those that are open in the current daemon; without any, the list of all. */
async function pickHazard(daemons: Daemons): Promise<string | undefined> {
  const state = daemons.current?.link?.state;
  const open = state?.state === 'open' ? state.hazards.listed : [];
  const kinds = new Map(open.map(({ id, name }) => [id, name]));
  if (kinds.size === 0) return INDEX;
  const picked = await vscode.window.showQuickPick(
    [...kinds].map(([id, name]) => ({ label: id, description: name })),
    { title: 'Explain a Hazard', placeHolder: 'Open hazards of the current daemon' },
  );
  return picked?.label;
}
