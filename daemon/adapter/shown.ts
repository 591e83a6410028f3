/**
 * What a debugger shows of a stopped daemon: a tree of values, of which a client unfolds what it
 * wants to see. Leaves come with the stop; entries and tables are asked of the daemon when they are
 * unfolded, and are as they are then.
 */

import type { InspectorClient } from '../protocol/client';
import { InspectorError } from '../protocol/client';
import type { FactsJson, StoppedJson } from '../protocol/debug';
import type { EntryJson, HandleJson, HazardJson, IdsJson } from '../protocol/json';
import type { EntryRow, KeyState } from '../protocol/map';
import type { NotificationOf, ResultOf } from '../protocol/rpc';
import { MAX_PAGE_ROWS, RPC_ERRORS } from '../protocol/rpc';
import type { TableName } from '../tables/events';
import type { Wanted } from '../protocol/breakpointText';

export interface Shown {
  readonly name: string;
  readonly value: string;
  /** Asks for the same in the Debug Console. */
  readonly evaluateName?: string;
  /** What a data breakpoint on it waits for. */
  readonly watch?: Pick<Wanted, 'key' | 'entry'>;
  readonly children?: Children;
}

export type Children =
  | { readonly kind: 'named'; load(): Promise<readonly Shown[]> }
  /** Too many to be sent at once. */
  | {
      readonly kind: 'indexed';
      readonly count: number;
      load(start: number, count: number): Promise<readonly Shown[]>;
    };

export function idsText({ ino, dev, mntId }: IdsJson): string {
  return `${ino}/${dev}/${mntId}`;
}

/** Mount, type and bytes, as the command line writes the key of inodes_by_handle. */
export function handleText({ mntId, type, bytes }: HandleJson): string {
  return `${mntId}/${type}/${bytes}`;
}

export function leaf(name: string, value: string | number | null, evaluateName?: string): Shown {
  const shown = { name, value: value === null ? '–' : String(value) };
  return evaluateName === undefined ? shown : { ...shown, evaluateName };
}

export function folded(
  name: string,
  value: string,
  parts: readonly Shown[] | (() => Promise<readonly Shown[]>),
): Shown {
  const load = typeof parts === 'function' ? parts : () => Promise.resolve(parts);
  return { name, value, children: { kind: 'named', load } };
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

// --- the stop -----------------------------------------------------------------------------------

export function requestShown(stop: StoppedJson): Shown[] {
  const { facts } = stop;
  return [
    leaf('op', stop.op, 'op'),
    leaf('point', pointText(stop), 'point'),
    leaf('unique', stop.unique, 'unique'),
    leaf('node', facts.node, 'node'),
    ...present('parent', facts.parent),
    ...present('name', facts.name),
    ...present('path', facts.path),
    ...present('newName', facts.newName),
    ...present('size', facts.size),
    ...present('offset', facts.offset),
    ...(stop.lookup === 0 ? [] : [leaf('lookup', stop.lookup, 'lookup')]),
    leaf('uid', told(facts.uid), 'uid'),
    leaf('gid', told(facts.gid), 'gid'),
    leaf('pid', facts.pid, 'pid'),
    ...present('hit', facts.hit),
    ...present('answer', facts.answer),
    ...present('errno', facts.errno),
    ...forgetShown(facts),
    leaf('descriptors', `${facts.fds.used} of ${facts.fds.limit}`),
    leaf('after event', stop.seq),
    ...(stop.faults.length === 0 ? [] : [leaf('injected faults', stop.faults.join(', '))]),
    ...stop.hazards.map(hazardShown),
  ];
}

/** Newer kernels say who asks only where something is made (linux/fuse.h, FUSE_INVALID_UIDGID). */
function told(id: number | null): number | string | null {
  return id === 0xffffffff ? '(not told)' : id;
}

/** A fact that not every request has. */
function present(name: string, value: string | null): Shown[] {
  return value === null ? [] : [leaf(name, value, name)];
}

export function pointText({ point, facts: { accepted } }: StoppedJson): string {
  return point === 'fallback' ? `fallback ${accepted === true ? 'accepted' : 'rejected'}` : point;
}

function forgetShown({ forgets }: FactsJson): Shown[] {
  if (forgets === null) return [];
  return [
    leaf('forgotten', forgets.node, 'forgotten'),
    leaf('count', forgets.count, 'count'),
    leaf('left', forgets.left, 'left'),
    ...(forgets.idsLostBy === null ? [] : [leaf('ids key lost by', `node ${forgets.idsLostBy}`)]),
    ...(forgets.handleLostBy === null
      ? []
      : [leaf('handle key lost by', `node ${forgets.handleLostBy}`)]),
  ];
}

/** What the lookup at hand has found on the host; null before it has found anything. */
export function candidateShown({ facts: { candidate } }: StoppedJson): Shown[] | null {
  if (candidate === null) return null;
  const { ids, handle, handleErrno, mode, nlink, btime, subvol } = candidate;
  const birth = btime === null ? null : birthText(btime);
  return [
    idsShown(ids),
    handle === null
      ? leaf('handle', handleErrno === null ? null : `none (${handleErrno})`, 'handleErrno')
      : handleShown(handle),
    leaf('mode', octal(mode), 'mode'),
    leaf('nlink', nlink, 'nlink'),
    folded('spare identity', [birth ?? '–', ...(subvol === null ? [] : [subvol])].join(' · '), [
      leaf('btime', birth),
      leaf('subvol', subvol),
    ]),
  ];
}

/** `SECONDS.NANOSECONDS` as a date, without losing any of it. */
function birthText(btime: string): string {
  const [seconds = '', nanoseconds = ''] = btime.split('.');
  const date = new Date(Number(seconds) * 1_000);
  // Hosts tell dates beyond a calendar's end as well.
  if (Number.isNaN(date.getTime())) return btime;
  return `${date.toISOString().slice(0, -'.000Z'.length)}.${nanoseconds}Z`;
}

function idsShown(ids: IdsJson): Shown {
  return {
    ...folded('ids', idsText(ids), [
      leaf('ino', ids.ino, 'ino'),
      leaf('dev', ids.dev, 'dev'),
      leaf('mntId', ids.mntId, 'mntId'),
    ]),
    evaluateName: 'ids',
    watch: { key: { table: 'inodes_by_ids', ids } },
  };
}

function handleShown(handle: HandleJson): Shown {
  return {
    ...folded('handle', handleText(handle), [
      leaf('mntId', handle.mntId),
      leaf('type', handle.type),
      leaf('bytes', handle.bytes, 'handle'),
    ]),
    evaluateName: 'handle',
    watch: { key: { table: 'inodes_by_handle', handle } },
  };
}

function hazardShown({ id, name, severity, nodeids, evidence, advice }: HazardJson): Shown {
  return folded(id, name, [
    leaf('severity', severity),
    leaf('nodes', nodeids.join(', ')),
    ...Object.entries(evidence).map(([key, value]) =>
      leaf(key, value === null ? null : `${value}`),
    ),
    leaf('advice', advice),
  ]);
}

/** The entries that the stop is about, by what leads to them. */
export function entriesOf({ facts, point }: StoppedJson): ReadonlyMap<string, string | null> {
  const entries = new Map<string, string | null>();
  if (facts.answer !== null) entries.set('answer', facts.answer);
  if (facts.byHandle !== null) entries.set('byHandle', facts.byHandle.node);
  if (facts.byIds !== null) entries.set('byIds', facts.byIds.node);
  if (facts.idsStolenFrom !== null) entries.set('ids key stolen from', facts.idsStolenFrom);
  if (facts.handleStolenFrom !== null) {
    entries.set('handle key stolen from', facts.handleStolenFrom);
  }
  if (facts.forgets !== null) entries.set('forgotten', facts.forgets.node);
  if (facts.parent !== null) entries.set('parent', facts.parent);
  else if (facts.node !== null && point !== 'counted') entries.set('node', facts.node);
  return entries;
}

// --- entries ------------------------------------------------------------------------------------

/** An entry of the tables, or that there is none. */
export async function entryShown(
  client: InspectorClient,
  name: string,
  nodeid: string | null,
): Promise<Shown> {
  if (nodeid === null) return leaf(name, 'none');
  let detail: ResultOf<'entry'>;
  try {
    detail = await client.call('entry', { nodeid });
  } catch (error) {
    if (!(error instanceof InspectorError) || error.code !== RPC_ERRORS.unknownEntry) throw error;
    return leaf(name, `node ${nodeid} (gone)`);
  }
  return rowShown(name, detail.row, detail.hazards);
}

function rowShown(name: string, row: EntryRow, hazards: readonly HazardJson[]): Shown {
  const { entry } = row;
  return {
    ...folded(name, entryText(entry), [
      leaf('node', entry.nodeid, `node ${entry.nodeid}`),
      leaf('path', entry.path),
      leaf('kind', entry.kind),
      leaf('lookups', entry.lookups),
      leaf('mode', octal(entry.mode)),
      {
        ...leaf('ids', `${idsText(entry.ids)} ${keyText(row.idsKey)}`, `ids ${idsText(entry.ids)}`),
        watch: { key: { table: 'inodes_by_ids', ids: entry.ids } },
      },
      entry.handle === null
        ? leaf('handle', `none ${keyText(row.handleKey)}`)
        : {
            ...leaf(
              'handle',
              `${handleText(entry.handle)} ${keyText(row.handleKey)}`,
              `handle ${entry.handle.bytes}`,
            ),
            watch: { key: { table: 'inodes_by_handle', handle: entry.handle } },
          },
      leaf('generation', entry.generation),
      leaf('fd', entry.fd),
      ...(row.probeErrno === null ? [] : [leaf('opens', row.probeErrno)]),
      ...hazards.map(hazardShown),
    ]),
    evaluateName: `node ${entry.nodeid}`,
    watch: { entry: entry.nodeid },
  };
}

/** `node 3 f, handle, 1 lookup`. */
export function entryText({ nodeid, path, kind, lookups }: EntryJson): string {
  const named = path === null ? '' : ` ${path === '' ? '/' : path}`;
  return `node ${nodeid}${named}, ${kind}, ${lookups} ${lookups === '1' ? 'lookup' : 'lookups'}`;
}

function keyText(key: KeyState): string {
  switch (key.state) {
    case 'owned':
      return '(its own key)';
    case 'stolen':
      return `(key stolen by node ${key.owner})`;
    case 'lost':
      return key.with === null ? '(key lost)' : `(key lost with node ${key.with})`;
    case 'none':
      return key.why === null ? '(no key)' : `(no key: ${key.why})`;
  }
}

/** Rows that a search of the daemon's map finds. */
export async function search(
  client: InspectorClient,
  query: string,
  fits: (entry: EntryJson) => boolean,
): Promise<readonly EntryRow[]> {
  const found: EntryRow[] = [];
  const count = 100;
  for (let offset = 0; ; offset += count) {
    const window: NotificationOf<'map'> = await client.call('map.watch', {
      offset,
      count,
      query,
      unfolded: [],
    });
    for (const row of window.rows) {
      if (row.row === 'entry' && fits(row.entry)) found.push(row);
    }
    if (offset + count >= window.total || found.length >= count) break;
  }
  await client.call('map.stop', {});
  return found;
}

/** What was searched for, as one value: the only entry, or all of them to unfold. */
export function foundShown(name: string, rows: readonly EntryRow[]): Shown {
  const [only, ...others] = rows;
  if (only === undefined) return leaf(name, 'none');
  if (others.length === 0) return rowShown(name, only, []);
  const parts = rows.map((row) => rowShown(`node ${row.entry.nodeid}`, row, []));
  return folded(name, `${rows.length} entries`, parts);
}

// --- tables -------------------------------------------------------------------------------------

/** A table, one page after the other: a million keys are never sent at once. */
export async function tableChildren(client: InspectorClient, table: TableName): Promise<Children> {
  const { rows } = await client.call('pages', { from: 0, count: 1 });
  return {
    kind: 'indexed',
    count: rows,
    load: (start, count) => tablePage(client, table, start, count === 0 ? rows : count),
  };
}

async function tablePage(
  client: InspectorClient,
  table: TableName,
  start: number,
  count: number,
): Promise<readonly Shown[]> {
  const shown: Shown[] = [];
  const end = start + count;
  for (let from = start; from < end; from += MAX_PAGE_ROWS) {
    const page = await client.call('pages', { from, count: Math.min(MAX_PAGE_ROWS, end - from) });
    const entries = new Map(page.entries.map((entry) => [entry.nodeid, entry]));
    const value = (nodeid: string): string => {
      const entry = entries.get(nodeid);
      return entry === undefined ? `node ${nodeid}` : entryText(entry);
    };
    const folds = (nodeid: string): Pick<Shown, 'value' | 'children' | 'evaluateName'> => ({
      value: value(nodeid),
      evaluateName: `node ${nodeid}`,
      children: {
        kind: 'named',
        load: async () => {
          const { children } = await entryShown(client, nodeid, nodeid);
          return children?.kind === 'named' ? children.load() : [];
        },
      },
    });
    if (table === 'inodes_by_ids') {
      for (const { ids, nodeid } of page.inodes_by_ids) {
        shown.push({
          name: idsText(ids),
          ...folds(nodeid),
          watch: { key: { table, ids } },
        });
      }
    } else {
      for (const { handle, nodeid } of page.inodes_by_handle) {
        shown.push({
          name: handleText(handle),
          ...folds(nodeid),
          watch: { key: { table, handle } },
        });
      }
    }
    if (end >= page.rows && from + MAX_PAGE_ROWS >= page.rows) break;
  }
  return shown;
}
