/** The status bar item: the current daemon in a few words. */

import * as vscode from 'vscode';
import type { Daemons } from './core/daemons';
import { summarize } from './core/words';
import type { DaemonRow } from './daemonsView';
import { COMMANDS } from './ids';

const BACKGROUNDS = {
  error: new vscode.ThemeColor('statusBarItem.errorBackground'),
  warning: new vscode.ThemeColor('statusBarItem.warningBackground'),
} as const;

export function createStatusBar(daemons: Daemons): vscode.Disposable {
  const item = vscode.window.createStatusBarItem(
    'virtiofsdInspector.status',
    vscode.StatusBarAlignment.Left,
    40,
  );
  item.name = 'virtiofsd Inspector';
  const refresh = (): void => {
    const { current } = daemons;
    const state = current?.link?.state;
    if (current === undefined || state === undefined || state.state === 'closed') {
      item.hide();
      return;
    }
    const row: DaemonRow = { row: 'daemon', key: current.key };
    item.command = { command: COMMANDS.openKeyMap, title: 'Open Key Map', arguments: [row] };
    if (state.state === 'connecting') {
      item.text = `$(loading~spin) ${current.name}`;
      item.tooltip = 'Connecting to the daemon';
      item.backgroundColor = undefined;
    } else {
      const { text, lines, background } = summarize(current.name, state.target, state.status);
      item.text = `$(inspect) ${text}`;
      const tooltip = new vscode.MarkdownString();
      tooltip.appendText([...lines, 'Click for the Key Map'].join('\n'));
      item.tooltip = tooltip;
      item.backgroundColor = background && BACKGROUNDS[background];
      item.accessibilityInformation = { label: `virtiofsd: ${[text, ...lines].join(', ')}` };
    }
    item.show();
  };
  const stops = [daemons.changed.on(refresh), daemons.updated.on(refresh)];
  refresh();
  return new vscode.Disposable(() => {
    for (const stop of stops) stop();
    item.dispose();
  });
}
