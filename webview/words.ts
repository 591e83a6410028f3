/** The page's words and number formats; the field's own terms (views.md 6.5). */

import type { Severity } from '../daemon/hazards/hazard';
import type { EntryJson, HandleJson, IdsJson, LookupJson } from '../daemon/protocol/json';
import type { CellState, EntryRow, KeyState } from '../daemon/protocol/map';
import { fileTypeText } from '../daemon/tables/fileType';

export type EntryKindName = EntryJson['kind'];
export type Hit = LookupJson['hit'];

export const KINDS: {
  readonly [K in EntryKindName]: { readonly chip: string; readonly holds: string };
} = {
  file: { chip: 'F', holds: 'file: holds an O_PATH descriptor' },
  handle: { chip: 'H', holds: 'handle: holds only a file handle' },
  invalid: { chip: '!', holds: 'invalid: holds nothing' },
};

export const SEVERITY_COST: { readonly [S in Severity]: string } = {
  data: 'wrong data or wrong file',
  error: 'the guest sees an error',
  identity: 'duplicate or changing node id',
  resource: 'resources are used up',
  information: 'nothing to do',
};

export const HITS: {
  readonly [H in Hit]: { readonly name: string; readonly short: string; readonly means: string };
} = {
  handle_hit: {
    name: 'HANDLE HIT',
    short: 'handle',
    means: 'inodes_by_handle knows the handle',
  },
  fallback_hit: {
    name: 'FALLBACK HIT',
    short: 'fallback',
    means: 'the handle is unknown; the ids lead to an entry that is taken',
  },
  handleless_hit: {
    name: 'HANDLE-LESS HIT',
    short: 'handle-less',
    means: 'there is no handle; the ids lead to an entry that is taken',
  },
  fallback_rejected: {
    name: 'FALLBACK REJECTED',
    short: 'rejected',
    means: 'the handle is unknown; the ids lead to an entry that is refused; new entry',
  },
  miss: { name: 'MISS', short: 'miss', means: 'neither table knows the file; new entry' },
  error: { name: 'ERROR', short: 'error', means: 'the guest gets an errno' },
};

export const CELL_WORDS: { readonly [S in CellState]: string } = {
  vacant: 'no entry',
  handle: 'healthy, handle',
  file: 'healthy, file descriptor held',
  invalid: 'invalid',
  information: 'information',
  resource: 'resource',
  identity: 'identity',
  error: 'error',
  data: 'wrong data',
};

/** `12 / 7:0 / 74`, as in the column's title. */
export function idsText(ids: IdsJson): string {
  return `${ids.ino} / ${ids.dev} / ${ids.mntId}`;
}

/** `12/7:0/74`, inside a sentence. */
export function idsShort(ids: IdsJson): string {
  return `${ids.ino}/${ids.dev}/${ids.mntId}`;
}

/** The bytes of a handle in groups of four, the last group apart so that it never is elided. */
export function handleBytes(bytes: string): { readonly head: string; readonly tail: string } {
  const groups = bytes.match(/.{1,8}/g) ?? [];
  const tail = groups.pop() ?? '';
  return { head: groups.join(' '), tail };
}

export function handleText(handle: HandleJson): string {
  const { head, tail } = handleBytes(handle.bytes);
  return `${handle.mntId} · ${handle.type} · ${head === '' ? tail : `${head} ${tail}`}`;
}

/** `06:24:41` in the viewer's own time zone. */
export function timeText(iso: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** `18,204`; takes the protocol's decimal strings as well. */
export function countText(count: number | string): string {
  return (typeof count === 'string' ? BigInt(count) : count).toLocaleString('en-US');
}

/** `1 entry`, `2 entries`. */
export function plural(count: number, one: string, many: string): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}

export function pathText(entry: EntryJson): string {
  if (entry.path === null) return '(name unknown)';
  return entry.path === '' || entry.path === '.' ? '(root of the share)' : entry.path;
}

/** What stands in place of a key, or undefined when the key itself stands there. */
export function keyNote(key: KeyState): string | undefined {
  switch (key.state) {
    case 'owned':
      return undefined;
    case 'stolen':
      return `stolen by ${key.owner}${key.time === null ? '' : ` at ${timeText(key.time)}`}`;
    case 'lost':
      return key.with === null ? 'key lost' : `key lost with node ${key.with}`;
    case 'none':
      return key.why === null ? '(none)' : `(none: ${key.why})`;
  }
}

/** One sentence about a key, for the detail panel and for screen readers. */
export function keySentence(table: string, key: KeyState): string {
  const at = (time: string | null): string => (time === null ? '' : ` at ${timeText(time)}`);
  switch (key.state) {
    case 'owned':
      return `${table} leads here`;
    case 'stolen':
      return `${table} leads to node ${key.owner}, which took the key${at(key.time)}`;
    case 'lost':
      return key.with === null
        ? `${table} has lost the key`
        : `${table} lost the key when node ${key.with} was removed${at(key.time)}`;
    case 'none':
      return `not in ${table}${key.why === null ? '' : ` (${key.why})`}`;
  }
}

/** The whole row in words. */
export function rowSentence(row: EntryRow): string {
  const { entry } = row;
  const parts = [
    `node ${entry.nodeid}, ${entry.kind}, ${pathText(entry)}`,
    `ids ${idsShort(entry.ids)}: ${keySentence('inodes_by_ids', row.idsKey)}`,
    entry.handle === null
      ? keySentence('inodes_by_handle', row.handleKey)
      : `handle ${entry.handle.bytes} of mount ${entry.handle.mntId}: ${keySentence('inodes_by_handle', row.handleKey)}`,
  ];
  if (row.probeErrno !== null) parts.push(`probe failed with ${row.probeErrno}`);
  for (const hazard of row.hazards) {
    parts.push(`hazard ${hazard.id} ${hazard.name}, severity ${hazard.severity}`);
  }
  return `${parts.join('. ')}.`;
}

/** The row as one line of text, for the clipboard. */
export function rowLine(row: EntryRow): string {
  const { entry } = row;
  const handle =
    entry.handle === null
      ? `handle ${keyNote(row.handleKey) ?? '(none)'}`
      : `handle ${entry.handle.mntId} ${entry.handle.type} ${entry.handle.bytes}`;
  const notes = [
    keyNote(row.idsKey),
    entry.handle === null ? undefined : keyNote(row.handleKey),
    row.probeErrno === null ? undefined : `probe ${row.probeErrno}`,
    ...row.hazards.map((hazard) => `${hazard.id} ${hazard.name}`),
  ].filter((note) => note !== undefined);
  return [
    `node ${entry.nodeid}`,
    entry.kind,
    pathText(entry),
    `ids ${idsShort(entry.ids)}`,
    handle,
    ...notes,
  ].join('  ');
}

/** `regular file, 0644`. */
export function modeText(mode: number): string {
  const permissions = `0${(mode & 0o7777).toString(8).padStart(3, '0')}`;
  return `${fileTypeText(mode) ?? 'unknown type'}, ${permissions}`;
}

/** errno(3) in words, for those that a lookup meets. */
const ERRNO_WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ESTALE: 'stale file handle',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EMFILE: 'too many open files in the daemon',
  ENFILE: 'too many open files on the host',
  EIO: 'input/output error',
  ENOMEM: 'out of memory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'file name too long',
  ENOTDIR: 'not a directory',
  EOPNOTSUPP: 'the file system makes no handles',
  EOVERFLOW: 'the handle does not fit',
  EBADF: 'bad file descriptor',
};

export function errnoText(errno: string): string {
  const words = ERRNO_WORDS[errno];
  return words === undefined ? errno : `${errno} (${words})`;
}
