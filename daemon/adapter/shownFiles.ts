/** The files that the guest has open, as a debugger shows them. */

import type { InspectorClient } from '../protocol/client';
import type { OpenFileJson } from '../protocol/debug';
import { MAX_OPEN_FILES } from '../protocol/debug';
import type { Children, Shown } from './shown';
import { entryShown, folded, leaf } from './shown';

// fcntl.h of Linux, where the low bits say how a file was opened.
const O_ACCMODE = 3;
const ACCESS = ['reading', 'writing', 'reading and writing', 'no access'] as const;
const O_APPEND = 0o2000;

/** All of them, one page after the other. */
export async function openFilesChildren(client: InspectorClient): Promise<Children> {
  const { total } = await client.call('debug.openFiles', { count: 1 });
  return {
    kind: 'indexed',
    count: total,
    load: (start, count) => page(client, start, count === 0 ? total : count),
  };
}

async function page(
  client: InspectorClient,
  start: number,
  count: number,
): Promise<readonly Shown[]> {
  const shown: Shown[] = [];
  const end = start + count;
  for (let from = start; from < end; from += MAX_OPEN_FILES) {
    const asked = { from, count: Math.min(MAX_OPEN_FILES, end - from) };
    const { total, files } = await client.call('debug.openFiles', asked);
    shown.push(...files.map((file) => fileShown(client, file)));
    if (from + MAX_OPEN_FILES >= total) break;
  }
  return shown;
}

function fileShown(client: InspectorClient, file: OpenFileJson): Shown {
  const { fh, nodeid, path, isDirectory, flags } = file;
  const access = `${ACCESS[flags & O_ACCMODE] ?? ''}${(flags & O_APPEND) === 0 ? '' : ', appending'}`;
  const how = isDirectory ? 'directory' : access;
  const where = path === '' ? '/' : (path ?? '(no path)');
  return {
    ...folded(`fh ${fh}`, `${where}, ${how}`, async () => [
      await entryShown(client, 'entry', nodeid),
      leaf('flags', `0${flags.toString(8)}`),
    ]),
    watch: { entry: nodeid },
  };
}
