/** "Find Entry…": search as one types, in the daemon, over all of its entries. */

import * as vscode from 'vscode';
import type { InspectorClient } from '../daemon/protocol/client';
import type { EntryRow } from '../daemon/protocol/map';
import type { Log } from './core/log';
import { messageOf } from './core/log';
import { grouped } from './core/words';

const SHOWN = 50;

/** Milliseconds without a key before the daemon is asked. */
const TYPING_MS = 120;

interface EntryPick extends vscode.QuickPickItem {
  readonly nodeid: string | undefined;
}

/** @returns the node id of the entry that was chosen, undefined when none was */
export async function pickEntry(
  client: InspectorClient,
  name: string,
  log: Log,
): Promise<string | undefined> {
  const pick = vscode.window.createQuickPick<EntryPick>();
  pick.title = `Find an entry of ${name}`;
  pick.placeholder = 'A part of a path, ino 12, node 3, or handle 0c00…';
  // The daemon decides what matches; VS Code's own filter would hide a match by number.
  pick.matchOnDescription = true;
  let asked = 0;
  let timer: NodeJS.Timeout | undefined;
  const search = async (): Promise<void> => {
    const ask = ++asked;
    const query = pick.value.trim().slice(0, 300);
    pick.busy = true;
    try {
      const window = await client.call('map.watch', {
        offset: 0,
        count: SHOWN,
        query,
        unfolded: [],
      });
      await client.call('map.stop', {});
      if (ask !== asked) return;
      const rows = window.rows.filter((row) => row.row === 'entry');
      pick.items = rows.map(itemOf);
      if (query !== '' && rows.length === 0) pick.items = [nothing(query)];
      if (window.total > rows.length && query !== '') {
        pick.title = `Find an entry of ${name}: ${grouped(rows.length)} of ${grouped(window.total)} matches`;
      } else pick.title = `Find an entry of ${name}`;
    } catch (error) {
      log.warn(`The search for "${query}" failed: ${messageOf(error)}`);
      pick.items = [{ ...nothing(query), detail: messageOf(error) }];
    } finally {
      if (ask === asked) pick.busy = false;
    }
  };
  pick.onDidChangeValue(() => {
    clearTimeout(timer);
    timer = setTimeout(() => void search(), TYPING_MS);
  });
  try {
    return await new Promise<string | undefined>((resolve) => {
      pick.onDidAccept(() => {
        const [item] = pick.selectedItems;
        if (item?.nodeid !== undefined) resolve(item.nodeid);
      });
      pick.onDidHide(() => resolve(undefined));
      pick.show();
      void search();
    });
  } finally {
    clearTimeout(timer);
    pick.dispose();
  }
}

function itemOf({ entry, hazards }: EntryRow): EntryPick {
  const { ids, handle } = entry;
  const keys = [
    `${ids.ino}/${ids.dev}/${ids.mntId}`,
    ...(handle === null ? [] : [`handle ${handle.bytes}`]),
    ...hazards.map(({ id, name }) => `${id} ${name}`),
  ];
  return {
    label: entry.path === null || entry.path === '' ? `node ${entry.nodeid}` : entry.path,
    description: `node ${entry.nodeid} · ${entry.kind}`,
    detail: keys.join(' · '),
    alwaysShow: true,
    nodeid: entry.nodeid,
  };
}

function nothing(query: string): EntryPick {
  return { label: `No entry matches “${query}”`, alwaysShow: true, nodeid: undefined };
}
