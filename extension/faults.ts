/** Faults: «Inject a Fault…», and their place in the status bar for as long as they are active. */

import * as v from 'valibot';
import * as vscode from 'vscode';
import type { FaultsBody, InjectArguments } from '../daemon/adapter/messages';
import {
  CLEAR_REQUEST,
  FAULTS_EVENT,
  INJECT_REQUEST,
  faultsBody,
} from '../daemon/adapter/messages';
import { faultText, parseFault } from '../daemon/protocol/faultText';
import type { FaultCall } from '../daemon/tables/stops';
import { FAULT_CALLS } from '../daemon/tables/stops';
import type { Daemons } from './core/daemons';
import type { Log } from './core/log';
import { debugDaemon } from './debugging';
import { showFailure } from './failure';
import { COMMANDS, DEBUG_TYPE } from './ids';

type Fault = InjectArguments['faults'][number];
type FaultState = FaultsBody['faults'][number];

/** The errnos of the thread and of the manual pages, the likeliest first. */
const ERRNOS: { readonly [C in FaultCall]: readonly (readonly [string, string])[] } = {
  name_to_handle_at: [
    ['EOPNOTSUPP', 'the file system has no handles: the entry is found by its ids'],
    ['ENOMEM', 'for a moment there is no memory: the guest is told'],
    ['EOVERFLOW', 'the handle is too large: the entry is found by its ids'],
  ],
  open_by_handle_at: [
    ['ESTALE', 'the file is gone'],
    ['EPERM', 'the daemon may not open handles'],
  ],
  statx: [['EIO', 'the host cannot read the inode']],
  openat: [
    ['ENFILE', 'the host has no descriptors left'],
    ['EACCES', 'the daemon may not search the directory'],
  ],
};

export function registerFaults(daemons: Daemons, log: Log): vscode.Disposable {
  const active = new Map<vscode.DebugSession, readonly FaultState[]>();
  const item = vscode.window.createStatusBarItem(
    'virtiofsdInspector.faults',
    vscode.StatusBarAlignment.Left,
    39,
  );
  item.name = 'virtiofsd Inspector: Injected Faults';
  item.command = COMMANDS.clearFaults;
  item.backgroundColor = new vscode.ThemeColor('statusBarItem.warningBackground');
  const refresh = (): void => {
    const faults = [...active.values()].flat().filter(({ usedUp }) => !usedUp);
    const [first] = faults;
    if (first === undefined) {
      item.hide();
      return;
    }
    const what = faults.length === 1 ? `${first.call}: ${first.errno}` : `${faults.length} faults`;
    item.text = `$(zap) ${what}`;
    const lines = faults.map((fault) => faultText(fault));
    item.tooltip = [...lines, 'Gone with the debugger. Click to take them back.'].join('\n');
    item.accessibilityInformation = { label: `Injected faults: ${lines.join(', ')}` };
    item.show();
  };
  const failing = (what: string, run: () => Promise<void>) => async (): Promise<void> => {
    try {
      await run();
    } catch (error) {
      await showFailure(log, what, error);
    }
  };
  return vscode.Disposable.from(
    item,
    vscode.debug.onDidReceiveDebugSessionCustomEvent(({ session, event, body }) => {
      if (session.type !== DEBUG_TYPE || event !== FAULTS_EVENT) return;
      active.set(session, v.parse(faultsBody, body).faults);
      refresh();
    }),
    vscode.debug.onDidTerminateDebugSession((session) => {
      active.delete(session);
      refresh();
    }),
    vscode.commands.registerCommand(
      COMMANDS.injectFault,
      failing('No fault was injected', async () => {
        const session = await sessionToUse(daemons);
        const fault = session === undefined ? undefined : await pickFault();
        if (fault === undefined) return;
        await session?.customRequest(INJECT_REQUEST, { faults: [fault] });
      }),
    ),
    vscode.commands.registerCommand(
      COMMANDS.clearFaults,
      failing('The faults were not taken back', async () => {
        for (const session of active.keys()) await session.customRequest(CLEAR_REQUEST, {});
      }),
    ),
  );
}

/** The session at hand; without one, a daemon is debugged first. */
async function sessionToUse(daemons: Daemons): Promise<vscode.DebugSession | undefined> {
  const session = vscode.debug.activeDebugSession;
  if (session?.type === DEBUG_TYPE) return session;
  if (!(await debugDaemon(daemons))) return undefined;
  const begun = vscode.debug.activeDebugSession;
  return begun?.type === DEBUG_TYPE ? begun : undefined;
}

interface Item extends vscode.QuickPickItem {
  readonly fault?: Fault;
}

/** One click for the faults of the thread; a typed one is taken as it is; the rest step by step. */
async function pickFault(): Promise<Fault | undefined> {
  const presets = FAULT_CALLS.flatMap((call) => [
    { label: call, kind: vscode.QuickPickItemKind.Separator },
    ...ERRNOS[call].map(([errno, detail]): Item => ({
      label: `${call} fails with ${errno}`,
      description: 'the next call',
      detail,
      fault: { call, errno, when: { kind: 'next' } },
    })),
  ]);
  const other: Item = { label: 'Other…', description: 'call, errno, when and path' };
  const picked = await pickOrType([...presets, other]);
  if (picked === undefined) return undefined;
  return picked.fault ?? assemble();
}

function pickOrType(items: readonly Item[]): Promise<Item | undefined> {
  const pick = vscode.window.createQuickPick<Item>();
  pick.title = 'Inject a Fault';
  pick.placeholder = 'Pick one for the next call, or type CALL=ERRNO[:next|:every|:N][@GLOB]';
  pick.items = items;
  pick.onDidChangeValue((value) => {
    const typed = typedFault(value);
    const own = typed === undefined ? [] : [{ ...typed, label: value, alwaysShow: true }];
    pick.items = [...own, ...items];
  });
  return new Promise((resolve) => {
    pick.onDidAccept(() => {
      resolve(pick.selectedItems[0]);
      pick.hide();
    });
    pick.onDidHide(() => {
      resolve(undefined);
      pick.dispose();
    });
    pick.show();
  });
}

function typedFault(text: string): Required<Pick<Item, 'fault' | 'description'>> | undefined {
  try {
    const { id: _, ...fault } = parseFault(text.trim(), 0);
    return { fault, description: faultText({ ...fault, id: 0 }) };
  } catch {
    // Not complete yet.
    return undefined;
  }
}

async function assemble(): Promise<Fault | undefined> {
  const title = 'Inject a Fault';
  const named = await vscode.window.showQuickPick([...FAULT_CALLS], {
    title,
    placeHolder: 'Which call?',
  });
  const call = FAULT_CALLS.find((known) => known === named);
  if (call === undefined) return undefined;
  const errno = await vscode.window.showInputBox({
    title,
    prompt: `The errno of ${call}`,
    value: ERRNOS[call][0]?.[0] ?? 'EIO',
    validateInput: (text) => (/^E[A-Z0-9]+$/.test(text) ? undefined : 'A name such as ENOMEM.'),
  });
  if (errno === undefined) return undefined;
  const when = await vscode.window.showInputBox({
    title,
    prompt: 'next, every, or a number: the n-th call from now on',
    value: 'next',
    validateInput: (text) =>
      /^(next|every|[1-9][0-9]{0,8})$/.test(text) ? undefined : 'next, every, or a number.',
  });
  if (when === undefined) return undefined;
  const glob = await vscode.window.showInputBox({
    title,
    prompt: 'For which paths (a glob below the shared folder)? Empty: all',
    placeHolder: 'src/**/*.c',
  });
  if (glob === undefined) return undefined;
  const { id: _, ...fault } = parseFault(
    `${call}=${errno}:${when}${glob === '' ? '' : `@${glob}`}`,
    0,
  );
  return fault;
}
