/** What can be asked for in the Debug Console, by watches, and by pointing at a word. */

import type { InspectorClient } from '../protocol/client';
import type { StoppedJson } from '../protocol/debug';
import type { Wanted } from '../protocol/breakpointText';
import { FAULT_CALLS } from '../tables/stops';
import type { Shown } from './shown';
import { openFilesChildren } from './shownFiles';
import {
  candidateShown,
  entriesOf,
  entryShown,
  foundShown,
  idsText,
  requestShown,
  search,
  tableChildren,
} from './shown';

const IDS = /^ids\s+([0-9]{1,20})(?:\/([0-9]+:[0-9]+)(?:\/([0-9]+))?)?$/;
const HANDLE = /^handle\s+(?:([0-9]+)\/([0-9]+)\/)?([0-9a-f]+)…?$/i;

/** Words that can be asked for. */
const WORDS = [
  ...['node ', 'ids ', 'handle ', 'path ', 'inject ', 'faults', 'clear'],
  ...[
    'request',
    'candidate',
    'inodes_by_ids',
    'inodes_by_handle',
    'openFiles',
    'handleErrno',
    'byHandle',
  ],
  ...['byIds', 'op', 'point', 'name', 'parent', 'ino', 'dev', 'mntId', 'mode', 'nlink', 'hit'],
  ...['answer', 'errno', 'uid', 'gid', 'pid', 'size', 'offset', 'lookup', 'forgotten', 'count'],
  ...['left', 'newName', 'unique', 'fdsUsed', 'fdsLimit'],
];

/**
 * What a client can offer while somebody types.
 *
 * @returns words that go on from the last one typed, and how many characters of it they replace
 */
export function offeredAfter(typed: string): { words: readonly string[]; replaced: number } {
  const call = /^\s*inject\s+([a-z_]*)$/.exec(typed)?.[1];
  const last = call ?? /[A-Za-z_]*$/.exec(typed)?.[0] ?? '';
  const known = call === undefined ? WORDS : FAULT_CALLS.map((name) => `${name}=`);
  return { words: known.filter((word) => word.startsWith(last)), replaced: last.length };
}

/**
 * @param stop the stop that it is about; null while nothing is stopped
 * @throws Error with a sentence when there is no such thing
 */
export async function evaluate(
  client: InspectorClient,
  stop: StoppedJson | null,
  expression: string,
): Promise<Shown> {
  const asked = await askTables(client, expression);
  if (asked !== null) return asked;
  if (stop === null) {
    throw new Error(
      'Nothing is stopped. Ask for node 3, ids 12/7:0/74, handle 0c00…, path f, inodes_by_ids, inodes_by_handle or openFiles.',
    );
  }
  const part = partOf(stop, expression);
  if (part !== null) return part;
  const nodeid = entriesOf(stop).get(expression);
  if (nodeid !== undefined) return entryShown(client, expression, nodeid);
  const { value } = await client.call('debug.evaluate', { request: stop.request, expression });
  return { name: expression, value };
}

/** What can be asked for at any time. */
async function askTables(client: InspectorClient, expression: string): Promise<Shown | null> {
  const node = /^node\s+([0-9]{1,20})$/.exec(expression)?.[1];
  if (node !== undefined) return entryShown(client, expression, node);
  const ids = IDS.exec(expression);
  if (ids !== null) {
    const [, ino, dev, mntId] = ids;
    const rows = await search(client, `ino ${ino ?? ''}`, (entry) => {
      const same = entry.ids.ino === ino && (dev === undefined || entry.ids.dev === dev);
      return same && (mntId === undefined || entry.ids.mntId === mntId);
    });
    return foundShown(expression, rows);
  }
  const bytes = HANDLE.exec(expression)?.[3]?.toLowerCase();
  if (bytes !== undefined) {
    const fits = (handle: { bytes: string } | null) => handle?.bytes.startsWith(bytes) === true;
    return foundShown(
      expression,
      await search(client, `handle ${bytes}`, (entry) => fits(entry.handle)),
    );
  }
  const path = /^path\s+(.+)$/.exec(expression)?.[1]?.replace(/^(\.\/|\/)+/, '');
  if (path === '') return entryShown(client, expression, '1');
  if (path !== undefined) {
    const query = path.length < 200 ? path : path.slice(path.lastIndexOf('/') + 1).slice(0, 200);
    return foundShown(expression, await search(client, query, (entry) => entry.path === path));
  }
  if (expression === 'inodes_by_ids' || expression === 'inodes_by_handle') {
    const children = await tableChildren(client, expression);
    const rows = children.kind === 'indexed' ? children.count : 0;
    return { name: expression, value: `${rows} ${rows === 1 ? 'row' : 'rows'}`, children };
  }
  if (expression === 'openFiles') {
    const children = await openFilesChildren(client);
    const files = children.kind === 'indexed' ? children.count : 0;
    return { name: expression, value: `${files} open`, children };
  }
  return null;
}

/** A part of the stop as a whole. */
function partOf(stop: StoppedJson, expression: string): Shown | null {
  if (expression === 'request') {
    const parts = requestShown(stop);
    return {
      name: expression,
      value: `${stop.op} ${stop.unique}`,
      children: { kind: 'named', load: () => Promise.resolve(parts) },
    };
  }
  const candidate = candidateShown(stop);
  if (expression === 'candidate' && candidate !== null) {
    return {
      name: expression,
      value: stop.facts.candidate === null ? '' : idsText(stop.facts.candidate.ids),
      children: { kind: 'named', load: () => Promise.resolve(candidate) },
    };
  }
  return candidate?.find(({ name }) => name === expression) ?? null;
}

/** What a data breakpoint would wait for that is asked for by an expression, or null. */
export function watchOf(
  stop: StoppedJson | null,
  expression: string,
): Pick<Wanted, 'key' | 'entry'> | null {
  const node = /^node\s+([0-9]{1,20})$/.exec(expression)?.[1];
  if (node !== undefined) return { entry: node };
  const [, ino, dev, mntId] = IDS.exec(expression) ?? [];
  if (ino !== undefined && dev !== undefined && mntId !== undefined) {
    return { key: { table: 'inodes_by_ids', ids: { ino, dev, mntId } } };
  }
  const [, mount, type, bytes] = HANDLE.exec(expression) ?? [];
  if (mount !== undefined && type !== undefined && bytes !== undefined) {
    const handle = { mntId: mount, type: Number(type), bytes: bytes.toLowerCase() };
    return { key: { table: 'inodes_by_handle', handle } };
  }
  if (stop === null) return null;
  const nodeid = entriesOf(stop).get(expression);
  return nodeid == null ? (partOf(stop, expression)?.watch ?? null) : { entry: nodeid };
}
