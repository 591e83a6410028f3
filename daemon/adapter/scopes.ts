/** The parts of a stopped daemon that a client shows beside the stack. */

import type { InspectorClient } from '../protocol/client';
import type { StoppedJson } from '../protocol/debug';
import type { Children, Shown } from './shown';
import { candidateShown, entriesOf, entryShown, requestShown, tableChildren } from './shown';
import { openFilesChildren } from './shownFiles';

export interface ShownScope {
  readonly name: string;
  readonly children: Children;
  /** Not to be unfolded unasked. */
  readonly expensive: boolean;
}

/** The client unfolds the first: what the lookup has found so far, if it is one. */
export async function scopesOf(
  client: InspectorClient,
  stop: StoppedJson,
): Promise<readonly ShownScope[]> {
  const [files, byIds, byHandle] = await Promise.all([
    openFilesChildren(client),
    tableChildren(client, 'inodes_by_ids'),
    tableChildren(client, 'inodes_by_handle'),
  ]);
  const candidate = candidateShown(stop);
  const entries = () =>
    Promise.all([...entriesOf(stop)].map(([name, node]) => entryShown(client, name, node)));
  return [
    ...(candidate === null ? [] : [cheap('Candidate', () => Promise.resolve(candidate))]),
    cheap('Request', () => Promise.resolve(requestShown(stop))),
    cheap('Entries', entries),
    { name: 'Open files', children: files, expensive: true },
    { name: 'inodes_by_ids', children: byIds, expensive: true },
    { name: 'inodes_by_handle', children: byHandle, expensive: true },
  ];
}

function cheap(name: string, load: () => Promise<readonly Shown[]>): ShownScope {
  return { name, children: { kind: 'named', load }, expensive: false };
}
