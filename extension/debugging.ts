/**
 * VS Code's Run and Debug for daemons: the adapter runs here, in the extension host; the text of the
 * lookup rule is a document; the Key Map follows the stops.
 */

import type { DebugProtocol } from '@vscode/debugprotocol';
import path from 'node:path';
import * as v from 'valibot';
import * as vscode from 'vscode';
import type { AdapterHost } from '../daemon/adapter/host';
import { AT_EVENT, TARGET_EVENT, atBody, targetBody } from '../daemon/adapter/messages';
import { RULE_TEXT_SCHEME, ruleOfPath, ruleText, ruleTextUri } from '../daemon/adapter/ruleText';
import { DebugAdapter } from '../daemon/adapter/session';
import { LOOKUP_RULES, LOOKUP_RULE_NAMES } from '../daemon/tables/lookupRule';
import type { Daemon, DaemonKey, Daemons } from './core/daemons';
import type { DaemonRow } from './daemonsView';
import { COMMANDS, DEBUG_TYPE } from './ids';
import type { KeyMaps } from './keyMaps';

export function registerDebugging(
  daemons: Daemons,
  keyMaps: KeyMaps,
  host: AdapterHost,
): vscode.Disposable {
  const { debug, workspace, commands } = vscode;
  const configurations = new Configurations(daemons);
  const { Initial, Dynamic } = vscode.DebugConfigurationProviderTriggerKind;
  return vscode.Disposable.from(
    debug.registerDebugAdapterDescriptorFactory(DEBUG_TYPE, {
      createDebugAdapterDescriptor: () =>
        new vscode.DebugAdapterInlineImplementation(new InlineAdapter(new DebugAdapter(host))),
    }),
    debug.registerDebugConfigurationProvider(DEBUG_TYPE, configurations, Initial),
    debug.registerDebugConfigurationProvider(DEBUG_TYPE, configurations, Dynamic),
    workspace.registerTextDocumentContentProvider(RULE_TEXT_SCHEME, {
      provideTextDocumentContent(uri) {
        const rule = ruleOfPath(uri.path);
        return rule === undefined ? `# There is no such rule.\n` : ruleText(rule).text;
      },
    }),
    followStops(daemons, keyMaps),
    commands.registerCommand(COMMANDS.debugDaemon, (row?: DaemonRow) => debugDaemon(daemons, row)),
    commands.registerCommand(COMMANDS.pickDaemon, async () => {
      const daemon = await pickLocal(daemons);
      return daemon === undefined ? undefined : String(pidOf(daemon));
    }),
    commands.registerCommand(COMMANDS.openRule, () => openRule(daemons)),
  );
}

/** The adapter, as VS Code wants one: with VS Code's own events. */
class InlineAdapter extends vscode.Disposable implements vscode.DebugAdapter {
  readonly #sent = new vscode.EventEmitter<vscode.DebugProtocolMessage>();
  readonly onDidSendMessage = this.#sent.event;

  constructor(private readonly adapter: DebugAdapter) {
    super(() => adapter.dispose());
    adapter.onDidSendMessage((message) => this.#sent.fire(message));
  }

  handleMessage(message: DebugProtocol.ProtocolMessage): void {
    this.adapter.handleMessage(message);
  }
}

function pidOf({ origin }: Daemon): number | undefined {
  return origin.kind === 'local' ? origin.file.pid : undefined;
}

/** A daemon of this host: the only one, or the one that the user picks. */
async function pickLocal(daemons: Daemons): Promise<Daemon | undefined> {
  const local = daemons.list.filter((daemon) => pidOf(daemon) !== undefined);
  if (local.length <= 1) return local[0];
  const items = local.map((daemon) => ({
    label: daemon.name,
    description: `process ${pidOf(daemon) ?? ''}`,
    detail: daemon.origin.kind === 'local' ? daemon.origin.file.transport : '',
    daemon,
  }));
  const picked = await vscode.window.showQuickPick(items, { title: 'Debug which daemon?' });
  return picked?.daemon;
}

/** Debugs a daemon, unless this window does already. @returns whether it is debugged now */
export async function debugDaemon(daemons: Daemons, row?: DaemonRow): Promise<boolean> {
  const daemon = row === undefined ? await pickLocal(daemons) : daemons.get(row.key);
  const pid = daemon === undefined ? undefined : pidOf(daemon);
  if (daemon === undefined || pid === undefined) {
    const message =
      daemon === undefined
        ? 'There is no daemon to debug. Start one on a folder first.'
        : `${daemon.name} was connected by its URL: write an attach configuration with “url” to debug it.`;
    await vscode.window.showWarningMessage(message);
    return false;
  }
  return vscode.debug.startDebugging(undefined, attachTo(daemon, pid));
}

function attachTo({ name }: Daemon, pid: number): vscode.DebugConfiguration {
  return { type: DEBUG_TYPE, request: 'attach', name: `virtiofsd: ${name}`, pid };
}

async function openRule(daemons: Daemons): Promise<void> {
  const state = daemons.current?.link?.state;
  const inForce = state?.state === 'open' ? state.target.lookupRule : undefined;
  const items = LOOKUP_RULE_NAMES.map((rule) => ({
    label: rule,
    description: rule === inForce ? 'in force' : '',
    detail: LOOKUP_RULES[rule].summary,
    rule,
  }));
  const rule =
    inForce ?? (await vscode.window.showQuickPick(items, { title: 'Which lookup rule?' }))?.rule;
  if (rule === undefined) return;
  await vscode.window.showTextDocument(vscode.Uri.parse(ruleTextUri(rule)), { preview: true });
}

/** Tells Key Maps where their daemon's debugger has stopped. */
function followStops(daemons: Daemons, keyMaps: KeyMaps): vscode.Disposable {
  const pids = new Map<string, number>();
  const keyOf = (session: vscode.DebugSession): DaemonKey | undefined => {
    const pid = pids.get(session.id);
    return daemons.list.find((daemon) => pidOf(daemon) === pid)?.key;
  };
  return vscode.Disposable.from(
    vscode.debug.onDidReceiveDebugSessionCustomEvent(({ session, event, body }) => {
      if (session.type !== DEBUG_TYPE) return;
      if (event === TARGET_EVENT) pids.set(session.id, v.parse(targetBody, body).pid);
      const key = keyOf(session);
      if (key === undefined) return;
      if (event === TARGET_EVENT) daemons.choose(key);
      if (event === AT_EVENT) keyMaps.stop(key, v.parse(atBody, body).at);
    }),
    vscode.debug.onDidTerminateDebugSession((session) => {
      const key = keyOf(session);
      pids.delete(session.id);
      if (key !== undefined) keyMaps.stop(key, null);
    }),
  );
}

class Configurations implements vscode.DebugConfigurationProvider {
  constructor(private readonly daemons: Daemons) {}

  /** The daemons that run, and a folder to share. */
  provideDebugConfigurations(
    folder: vscode.WorkspaceFolder | undefined,
  ): vscode.DebugConfiguration[] {
    const running = this.daemons.list.flatMap((daemon) => {
      const pid = pidOf(daemon);
      return pid === undefined ? [] : [attachTo(daemon, pid)];
    });
    if (folder === undefined) return running;
    const sharedDir = path.join(folder.uri.fsPath, 'share');
    const launch = { type: DEBUG_TYPE, request: 'launch', name: 'virtiofsd: serve a folder' };
    return [...running, { ...launch, sharedDir }];
  }

  async resolveDebugConfiguration(
    folder: vscode.WorkspaceFolder | undefined,
    given: vscode.DebugConfiguration,
  ): Promise<vscode.DebugConfiguration | null | undefined> {
    if (!vscode.workspace.isTrusted) {
      await vscode.commands.executeCommand('workbench.trust.manage');
      return undefined;
    }
    // F5 without a launch.json: whatever runs.
    const named = given.type !== '' && given.request !== '';
    const configuration = named
      ? given
      : { type: DEBUG_TYPE, request: 'attach', name: 'virtiofsd' };
    if (configuration.request === 'launch') return this.#launch(folder, configuration);
    const { pid, url, runtimeFile } = configuration as { [name: string]: unknown };
    if (pid !== undefined || url !== undefined || runtimeFile !== undefined) return configuration;
    const daemon = await pickLocal(this.daemons);
    if (daemon !== undefined) return { ...configuration, pid: pidOf(daemon) };
    await vscode.window.showWarningMessage(
      'There is no daemon to attach to. Start one on a folder, or write a launch configuration.',
    );
    return undefined;
  }

  async #launch(
    folder: vscode.WorkspaceFolder | undefined,
    configuration: vscode.DebugConfiguration,
  ): Promise<vscode.DebugConfiguration | undefined> {
    const { sharedDir } = configuration as { sharedDir?: unknown };
    if (typeof sharedDir === 'string' && sharedDir !== '') return configuration;
    const [chosen] =
      (await vscode.window.showOpenDialog({
        canSelectFiles: false,
        canSelectFolders: true,
        title: 'Serve and debug a folder',
        openLabel: 'Share',
        ...(folder === undefined ? {} : { defaultUri: folder.uri }),
      })) ?? [];
    return chosen === undefined ? undefined : { ...configuration, sharedDir: chosen.fsPath };
  }
}
