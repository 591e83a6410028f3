/** «Add a Breakpoint…»: function breakpoints, with what can be said offered while one types. */

import * as vscode from 'vscode';
import type { OfferedWord } from '../daemon/adapter/breakpointWords';
import { OFFERED_WORDS } from '../daemon/adapter/breakpointWords';
import { parseBreakpoint } from '../daemon/protocol/breakpointText';
import { COMMANDS } from './ids';

interface Item extends vscode.QuickPickItem {
  /** The breakpoint is complete; else the label is its next word. */
  readonly spec?: string;
}

const KINDS = ['operation', 'decision', 'hit kind', 'criterion', 'hazard'] as const;

export function registerBreakpoints(): vscode.Disposable {
  return vscode.commands.registerCommand(COMMANDS.addBreakpoint, async () => {
    const spec = await typeBreakpoint();
    if (spec === undefined) return;
    vscode.debug.addBreakpoints([new vscode.FunctionBreakpoint(spec)]);
    await vscode.commands.executeCommand('workbench.debug.action.focusBreakpointsView');
  });
}

/** Words are chosen one after the other, or typed; one row is what has been said so far. */
function typeBreakpoint(): Promise<string | undefined> {
  const pick = vscode.window.createQuickPick<Item>();
  pick.title = 'Stop at';
  pick.placeholder = 'Words that must all hold, such as LOOKUP by_ids src/**';
  pick.matchOnDescription = true;
  const offer = (): void => {
    pick.items = itemsFor(pick.value);
  };
  offer();
  pick.onDidChangeValue(offer);
  return new Promise((resolve) => {
    pick.onDidAccept(() => {
      const [chosen] = pick.selectedItems;
      if (chosen === undefined) return;
      if (chosen.spec !== undefined) {
        resolve(chosen.spec);
        pick.hide();
        return;
      }
      const word = chosen.label;
      pick.value = `${before(pick.value)}${word}${/[=:]$/.test(word) ? '' : ' '}`;
      offer();
    });
    pick.onDidHide(() => {
      resolve(undefined);
      pick.dispose();
    });
    pick.show();
  });
}

/** Everything but the word that is being typed. */
function before(text: string): string {
  return /^(?:.*\s)?/.exec(text)?.[0] ?? '';
}

function itemsFor(text: string): Item[] {
  const typed = text.slice(before(text).length);
  const offered = KINDS.flatMap((kind): Item[] => {
    const words = OFFERED_WORDS.filter(
      (one) => one.kind === kind && one.word.toLowerCase().startsWith(typed.toLowerCase()),
    );
    if (words.length === 0) return [];
    return [{ label: kind, kind: vscode.QuickPickItemKind.Separator }, ...words.map(itemOf)];
  });
  const whole = said(text.trim());
  // What begins a known word is rather that than a path.
  const begun = typed !== '' && OFFERED_WORDS.some(({ word }) => word.startsWith(typed));
  return begun ? [...offered, ...whole] : [...whole, ...offered];
}

/** Always shown, because the pick's own filter compares the whole text with one word. */
function itemOf({ word, means }: OfferedWord): Item {
  return { label: word, description: means, alwaysShow: true };
}

function said(spec: string): Item[] {
  if (spec === '') return [];
  try {
    const criteria = Object.entries(parseBreakpoint(spec)).map(
      ([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`,
    );
    // VS Code puts labels first that contain what was typed: this one must not.
    const label = '$(check) Add this breakpoint';
    return [{ label, description: criteria.join(', '), spec, alwaysShow: true }];
  } catch {
    // Not complete yet.
    return [];
  }
}
