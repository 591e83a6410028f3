/** The view "Daemons": each daemon with what its tables hold. */

import * as vscode from 'vscode';
import type { Fact } from './core/daemonFacts';
import { factsOf, mountpointOf } from './core/daemonFacts';
import type { Daemon, DaemonKey, Daemons } from './core/daemons';
import { summarize } from './core/words';
import { ROW_WORDS, VIEWS } from './ids';

export type DaemonRow =
  | { readonly row: 'daemon'; readonly key: DaemonKey }
  | { readonly row: 'fact'; readonly key: DaemonKey; readonly fact: Fact };

/** Milliseconds between redraws while lookups keep coming. */
const REDRAW_MS = 250;

export function createDaemonsView(
  daemons: Daemons,
  startedHere: (key: DaemonKey) => boolean,
): vscode.Disposable {
  const changed = new vscode.EventEmitter<undefined>();
  let timer: NodeJS.Timeout | undefined;
  const redrawSoon = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      changed.fire(undefined);
    }, REDRAW_MS);
  };
  const stops = [daemons.changed.on(() => changed.fire(undefined)), daemons.updated.on(redrawSoon)];

  const view = vscode.window.createTreeView<DaemonRow>(VIEWS.daemons, {
    showCollapseAll: true,
    treeDataProvider: {
      onDidChangeTreeData: changed.event,
      getChildren: (row) => childrenOf(daemons, startedHere, row),
      getTreeItem: (row) =>
        row.row === 'fact'
          ? factItem(row)
          : daemonItem(
              daemons.get(row.key),
              row.key,
              startedHere(row.key),
              daemons.list.length === 1,
            ),
    },
  });
  view.onDidChangeSelection(({ selection }) => {
    const [row] = selection;
    if (row !== undefined) daemons.choose(row.key);
  });
  return new vscode.Disposable(() => {
    clearTimeout(timer);
    for (const stop of stops) stop();
    view.dispose();
    changed.dispose();
  });
}

function childrenOf(
  daemons: Daemons,
  startedHere: (key: DaemonKey) => boolean,
  row: DaemonRow | undefined,
): DaemonRow[] {
  if (row === undefined) {
    const own = daemons.list.filter(({ key }) => startedHere(key));
    const others = daemons.list.filter(({ key }) => !startedHere(key));
    return [...own, ...others].map(({ key }) => ({ row: 'daemon', key }));
  }
  const facts = row.row === 'fact' ? row.fact.parts : daemonFacts(daemons.get(row.key));
  return facts.map((fact) => ({ row: 'fact', key: row.key, fact }));
}

function daemonFacts(daemon: Daemon | undefined): readonly Fact[] {
  const state = daemon?.link?.state;
  return state?.state === 'open' ? factsOf(state.target, state.status) : [];
}

function daemonItem(
  daemon: Daemon | undefined,
  key: DaemonKey,
  started: boolean,
  alone: boolean,
): vscode.TreeItem {
  const item = new vscode.TreeItem(daemon?.name ?? 'ended');
  item.id = key;
  if (daemon === undefined) return item;
  const state = daemon.link?.state;
  item.collapsibleState = vscode.TreeItemCollapsibleState.None;
  if (state?.state === 'open') {
    item.collapsibleState =
      started || alone
        ? vscode.TreeItemCollapsibleState.Expanded
        : vscode.TreeItemCollapsibleState.Collapsed;
  }
  const words: string[] = [ROW_WORDS.daemon];
  if (started) words.push(ROW_WORDS.started);
  if (mountpoint(daemon) !== undefined) words.push(ROW_WORDS.mounted);
  if (daemon.link !== undefined) words.push(ROW_WORDS.connected);
  // A local daemon is connected to again by itself as long as it lives; by URL, only when asked.
  if (state === undefined || (state.state === 'closed' && daemon.origin.kind === 'url')) {
    words.push(ROW_WORDS.disconnected);
  }
  item.contextValue = words.join(' ');

  const tooltip = new vscode.MarkdownString();
  const lines: string[] = [];
  if (state === undefined) {
    item.description = 'disconnected';
    item.iconPath = new vscode.ThemeIcon('debug-disconnect');
  } else if (state.state === 'connecting') {
    item.description = 'connecting…';
    item.iconPath = new vscode.ThemeIcon('loading~spin');
  } else if (state.state === 'closed') {
    item.description = 'no connection';
    item.iconPath = new vscode.ThemeIcon('warning');
    lines.push(state.reason);
  } else {
    const summary = summarize(daemon.name, state.target, state.status);
    item.description = summary.text;
    item.iconPath = new vscode.ThemeIcon(started ? 'server-process' : 'server');
    lines.push(...summary.lines);
  }
  lines.push(started ? 'Started by this window.' : originText(daemon));
  tooltip.appendText(lines.join('\n'));
  item.tooltip = tooltip;
  item.accessibilityInformation = { label: [daemon.name, item.description, ...lines].join(', ') };
  return item;
}

function originText(daemon: Daemon): string {
  if (daemon.origin.kind === 'url') return `Connected by URL: ${daemon.address.url}`;
  const { file } = daemon.origin;
  return `${file.implementation}, process ${file.pid}, sharing ${file.sharedDir}`;
}

function factItem({ key, fact }: { key: DaemonKey; fact: Fact }): vscode.TreeItem {
  const item = new vscode.TreeItem(
    fact.label,
    fact.parts.length > 0
      ? vscode.TreeItemCollapsibleState.Collapsed
      : vscode.TreeItemCollapsibleState.None,
  );
  item.id = `${key} ${fact.id}`;
  item.description = fact.value;
  item.iconPath = new vscode.ThemeIcon(fact.icon);
  item.tooltip = fact.explanation;
  item.accessibilityInformation = { label: `${fact.label}: ${fact.value}. ${fact.explanation}` };
  return item;
}

/** The folder of this host in which a daemon's share can be worked with. */
export function mountpoint(daemon: Daemon): string | undefined {
  return daemon.origin.kind === 'local' ? mountpointOf(daemon.origin.file) : undefined;
}
