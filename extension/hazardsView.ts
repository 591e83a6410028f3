/** The view "Hazards": what is open in the current daemon, the worst first. */

import * as vscode from 'vscode';
import type { Severity } from '../daemon/hazards/hazard';
import type { HazardJson } from '../daemon/protocol/json';
import type { DaemonKey, Daemons } from './core/daemons';
import type { HazardKind, SeverityGroup } from './core/hazardGroups';
import {
  closedText,
  evidenceLines,
  findingTexts,
  groupHazards,
  nodesText,
} from './core/hazardGroups';
import type { OpenHazards } from './core/link';
import { counted, grouped, SEVERITY_WORDS } from './core/words';
import { COMMANDS, ROW_WORDS, VIEWS } from './ids';

/** One open hazard. */
export interface FindingRow {
  readonly row: 'finding';
  readonly key: DaemonKey;
  readonly hazard: HazardJson;
  readonly path: string | undefined;
}

export type HazardRow =
  | { readonly row: 'severity'; readonly key: DaemonKey; readonly group: SeverityGroup }
  | { readonly row: 'kind'; readonly key: DaemonKey; readonly kind: HazardKind }
  | FindingRow
  | { readonly row: 'beyond'; readonly key: DaemonKey; readonly kind: HazardKind };

/** So many findings of a kind are called by their path: each costs the daemon a look. */
const NAMED = 50;

/** Shapes differ as well as colours. */
const ICONS: Readonly<Record<Severity, vscode.ThemeIcon>> = {
  data: new vscode.ThemeIcon('error', new vscode.ThemeColor('list.errorForeground')),
  error: new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground')),
  identity: new vscode.ThemeIcon('git-compare'),
  resource: new vscode.ThemeIcon('dashboard'),
  information: new vscode.ThemeIcon('info'),
};

export function createHazardsView(daemons: Daemons): vscode.Disposable {
  const changed = new vscode.EventEmitter<undefined>();
  const view = vscode.window.createTreeView<HazardRow>(VIEWS.hazards, {
    showCollapseAll: true,
    treeDataProvider: {
      onDidChangeTreeData: changed.event,
      getChildren: (row) => childrenOf(daemons, row),
      getTreeItem: itemOf,
    },
  });
  // A tree that is drawn anew while one reads it is a nuisance: only when something differs.
  let drawn = '';
  const refresh = (): void => {
    const { current } = daemons;
    const state = current?.link?.state;
    const open = state?.state === 'open' ? state : undefined;
    view.description = open === undefined ? '' : (current?.name ?? '');
    view.message = open === undefined ? '' : messageFor(open.hazards);
    const urgent = open
      ? open.status.open.data + open.status.open.error + open.status.open.identity
      : 0;
    view.badge =
      urgent === 0
        ? undefined
        : { value: urgent, tooltip: counted(urgent, 'open hazard', 'open hazards') };
    const now = JSON.stringify([current?.key, open?.hazards]);
    if (now !== drawn) changed.fire(undefined);
    drawn = now;
  };
  const stops = [daemons.changed.on(refresh), daemons.updated.on(refresh)];
  refresh();
  return new vscode.Disposable(() => {
    for (const stop of stops) stop();
    view.dispose();
    changed.dispose();
  });
}

/** Empty: no message; a tree without rows and message shows its welcome instead. */
function messageFor(hazards: OpenHazards): string {
  const open = groupHazards(hazards).length === 0 ? 'No open hazards.' : '';
  return [open, closedText(hazards)].filter((text) => text !== '').join(' ');
}

async function childrenOf(daemons: Daemons, row: HazardRow | undefined): Promise<HazardRow[]> {
  switch (row?.row) {
    case undefined: {
      const { current } = daemons;
      const state = current?.link?.state;
      if (current === undefined || state?.state !== 'open') return [];
      const { key } = current;
      return groupHazards(state.hazards).map((group) => ({ row: 'severity', key, group }));
    }
    case 'severity':
      return row.group.kinds.map((kind) => ({ row: 'kind', key: row.key, kind }));
    case 'kind': {
      const { kind, key } = row;
      const named = kind.findings.slice(0, NAMED).flatMap(({ nodeids }) => nodeids.slice(0, 1));
      const paths = await daemons.get(key)?.link?.pathsOf(named);
      const findings: HazardRow[] = kind.findings.map((hazard) => ({
        row: 'finding',
        key,
        hazard,
        path: paths?.get(hazard.nodeids[0] ?? ''),
      }));
      return kind.count > findings.length ? [...findings, { row: 'beyond', key, kind }] : findings;
    }
    case 'finding':
    case 'beyond':
      return [];
  }
}

function itemOf(row: HazardRow): vscode.TreeItem {
  switch (row.row) {
    case 'severity':
      return severityItem(row.key, row.group);
    case 'kind':
      return kindItem(row.key, row.kind);
    case 'finding':
      return findingItem(row.key, row.hazard, row.path);
    case 'beyond': {
      const more = row.kind.count - row.kind.findings.length;
      const item = new vscode.TreeItem(`and ${grouped(more)} more`);
      item.tooltip = 'The Key Map shows them all.';
      return item;
    }
  }
}

function severityItem(key: DaemonKey, group: SeverityGroup): vscode.TreeItem {
  const quiet = group.severity === 'information';
  const item = new vscode.TreeItem(
    SEVERITY_WORDS[group.severity],
    quiet ? vscode.TreeItemCollapsibleState.Collapsed : vscode.TreeItemCollapsibleState.Expanded,
  );
  item.id = `${key} ${group.severity}`;
  item.description = grouped(group.count);
  item.iconPath = ICONS[group.severity];
  return item;
}

function kindItem(key: DaemonKey, kind: HazardKind): vscode.TreeItem {
  const item = new vscode.TreeItem(
    `${kind.id} ${kind.name}`,
    vscode.TreeItemCollapsibleState.Collapsed,
  );
  item.id = `${key} ${kind.severity} ${kind.id}`;
  item.contextValue = ROW_WORDS.hazard;
  item.description = grouped(kind.count);
  return item;
}

function findingItem(
  key: DaemonKey,
  hazard: HazardJson,
  path: string | undefined,
): vscode.TreeItem {
  const { label, detail } = findingTexts(hazard, path);
  const item = new vscode.TreeItem(label);
  item.id = `${key} ${hazard.id} ${hazard.seq} ${hazard.nodeids.join(',')}`;
  item.description = detail;
  item.tooltip = tooltipOf(hazard);
  item.contextValue = ROW_WORDS.hazard;
  const [nodeid] = hazard.nodeids;
  if (nodeid !== undefined) {
    item.contextValue = `${ROW_WORDS.hazard} ${ROW_WORDS.entry}`;
    item.command = {
      command: COMMANDS.revealEntry,
      title: 'Reveal in the Key Map',
      arguments: [key, nodeid],
    };
  }
  item.accessibilityInformation = {
    label: `${hazard.id} ${hazard.name}, ${label}, ${detail}. ${hazard.advice}`,
  };
  return item;
}

/** Markdown in which everything from the daemon, names of files included, is plain text. */
function tooltipOf(hazard: HazardJson): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  // The one link below may run this command and no other.
  text.isTrusted = { enabledCommands: [COMMANDS.explainHazard] };
  text.appendMarkdown('**').appendText(`${hazard.id} ${hazard.name}`).appendMarkdown('**');
  text.appendText(` · ${SEVERITY_WORDS[hazard.severity]} · ${nodesText(hazard)}`);
  text.appendMarkdown('\n\n').appendText(hazard.advice).appendMarkdown('\n\n');
  for (const line of evidenceLines(hazard)) {
    text.appendMarkdown('- ').appendText(line).appendMarkdown('\n');
  }
  if (/^H[0-9]{1,3}$/.test(hazard.id)) {
    const argument = encodeURIComponent(JSON.stringify([hazard.id]));
    text.appendMarkdown(
      `\n\n[What is ${hazard.id}?](command:${COMMANDS.explainHazard}?${argument})`,
    );
  }
  return text;
}
