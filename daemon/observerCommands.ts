/** The commands that look at a running daemon: list, snapshot, events. */

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Connection } from './inspector/connect';
import { connect, findTarget } from './inspector/connect';
import { listRuntimeFiles } from './inspector/runtimeFiles';
import type { EntryJson, EventJson, HazardJson, LookupJson, Snapshot } from './protocol/json';
import type { ResultOf } from './protocol/rpc';
import { MAX_PAGE_ROWS, RPC_ERRORS } from './protocol/rpc';
import type { InspectorClient } from './protocol/client';
import { InspectorError } from './protocol/client';

const CLIENT = 'virtiofsd-inspector command line';
const HAZARDS_A_PAGE = 500;

export function addObserverCommands(program: Command): void {
  program
    .command('list')
    .description('the daemons of this host that can be inspected')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: true }) => list(json === true));
  program
    .command('snapshot')
    .description('both tables, entries, hazards and counters of a daemon')
    .argument('[target]', 'process id, ws:// URL with its token, or runtime file')
    .option('--json', 'as JSON')
    .action((target: string | undefined, { json }: { json?: true }) =>
      withConnection(target, async (connection) => {
        const snapshot = await readSnapshot(connection);
        await print(json === true ? JSON.stringify(snapshot) : snapshotText(snapshot));
      }),
    );
  program
    .command('events')
    .description('follow what happens to the tables, one event a line')
    .argument('[target]', 'process id, ws:// URL with its token, or runtime file')
    .option('--json', 'as JSON lines')
    .option('--from <seq>', 'begin with this event, if it is still kept', parseSeq)
    .action((target: string | undefined, options: { json?: true; from?: string }) =>
      withConnection(target, (connection) => follow(connection, options)),
    );
}

function parseSeq(text: string): string {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('Give the number of an event.');
  return text;
}

function complain(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

/** Resolves when the line is on its way; a closed pipe ends the program as it does others. */
export function print(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()));
}

export async function withConnection(
  target: string | undefined,
  use: (connection: Connection) => Promise<void>,
): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader has seen enough (| head).
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  const connection = await connect(findTarget(target, complain), CLIENT);
  try {
    await use(connection);
  } finally {
    connection.close();
  }
}

async function list(json: boolean): Promise<void> {
  const daemons = listRuntimeFiles(complain);
  if (json) {
    // The token is for those who connect; they read the runtime file, which is mode 0600.
    await print(JSON.stringify(daemons.map(({ token: _secret, ...shown }) => shown)));
  } else if (daemons.length === 0) {
    await print('No daemon runs here that this user may inspect.');
  } else {
    for (const { pid, kind, sharedDir, transport, implementation } of daemons) {
      await print(`${pid}  ${kind}  ${sharedDir}  ${transport}  ${implementation}`);
    }
  }
}

async function readSnapshot({ client }: Connection): Promise<Snapshot> {
  try {
    return await client.call('snapshot', {});
  } catch (error) {
    if (!(error instanceof InspectorError) || error.code !== RPC_ERRORS.tooLarge) throw error;
  }
  const { target } = await client.hello(CLIENT);
  const pages: ResultOf<'pages'>[] = [];
  for (let from = 0, rows = 1; from < rows; from += MAX_PAGE_ROWS) {
    const page = await client.call('pages', { from, count: MAX_PAGE_ROWS });
    pages.push(page);
    rows = page.rows;
  }
  const hazards = await readHazards(client);
  const { counters } = await client.call('status.watch', {});
  return {
    protocol: 1,
    seq: pages[0]?.seq ?? '0',
    time: new Date().toISOString(),
    target,
    entries: pages.flatMap((page) => page.entries),
    inodes_by_ids: pages.flatMap((page) => page.inodes_by_ids),
    inodes_by_handle: pages.flatMap((page) => page.inodes_by_handle),
    hazards,
    counters,
  };
}

export async function readHazards(client: InspectorClient): Promise<HazardJson[]> {
  const all: HazardJson[] = [];
  for (;;) {
    const page = { state: 'open' as const, from: all.length, count: HAZARDS_A_PAGE };
    const { hazards } = await client.call('hazards', page);
    all.push(...hazards);
    if (hazards.length < HAZARDS_A_PAGE) return all;
  }
}

async function follow(
  { client, ended }: Connection,
  options: { json?: true; from?: string },
): Promise<void> {
  const show = options.json === true ? (event: EventJson) => JSON.stringify(event) : eventText;
  client.on('events', ({ events }) => {
    process.stdout.write(`${events.map(show).join('\n')}\n`);
  });
  client.on('gap', ({ from, to }) => complain(`Events ${from} to ${to} are no longer kept.`));
  await client.call('events.follow', options.from === undefined ? {} : { from: options.from });
  complain(await ended);
}

// --- for people -----------------------------------------------------------------------------------

function snapshotText({ target, entries, hazards, counters, ...tables }: Snapshot): string {
  const owners = new Set(tables.inodes_by_ids.map(({ nodeid }) => nodeid));
  const { effective, requested } = target.inodeFileHandles;
  const mode = effective === requested ? effective : `${effective} (asked for ${requested})`;
  return [
    `${target.implementation}  ${target.sharedDir}  ${target.transport}`,
    `file handles ${mode}, lookup rule ${target.lookupRule}`,
    `${entries.length} entries (${counters.entries.file} with a descriptor, ${counters.entries.handle} with a handle), ` +
      `${tables.inodes_by_ids.length} keys in inodes_by_ids, ${tables.inodes_by_handle.length} in inodes_by_handle`,
    '',
    ...entries.map((entry) => entryText(entry, owners.has(entry.nodeid))),
    ...(hazards.length === 0 ? [] : ['']),
    ...hazards.map(hazardText),
  ].join('\n');
}

export function hazardText({ id, name, severity, nodeids, advice }: HazardJson): string {
  const nodes = nodeids.length === 0 ? '' : ` node ${nodeids.join(', ')}`;
  return `${id} ${name} [${severity}]${nodes}: ${advice}`;
}

function entryText(
  { ids, nodeid, kind, path, lookups, handle }: EntryJson,
  owner: boolean,
): string {
  const key = `${ids.ino}/${ids.dev}/${ids.mntId}`;
  const arrow = owner ? '──►' : ' ┈ ';
  const right = handle === null ? '(no handle)' : `◄── ${handle.mntId} · ${handle.bytes}`;
  return `${key.padEnd(24)} ${arrow} ${nodeid.padStart(6)} ${kind.padEnd(7)} n=${lookups.padEnd(4)} ${(path ?? '').padEnd(30)} ${right}`;
}

function eventText(event: EventJson): string {
  const head = `${event.seq} ${event.time.slice(11, 23)}`;
  if (isLookup(event)) {
    const ids =
      event.ids === null ? '' : ` ids ${event.ids.ino}/${event.ids.dev}/${event.ids.mntId}`;
    const answer = event.nodeid === null ? (event.errno ?? 'nothing') : `node ${event.nodeid}`;
    return `${head} ${event.op} “${event.name}” in ${event.parent}${ids} ${event.hit} → ${answer}`;
  }
  const { seq: _seq, time: _time, type, ...rest } = event;
  return `${head} ${type} ${JSON.stringify(rest)}`;
}

function isLookup(event: EventJson): event is LookupJson {
  return event.type === 'lookup';
}
