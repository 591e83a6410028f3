/** What the tree says about a daemon: pure, from its target and status. */

import type { Target } from '../../daemon/protocol/json';
import { HIT_KINDS } from '../../daemon/tables/hitKind';
import type { Status } from '../../daemon/protocol/map';
import { entriesOf, grouped, handleModeText, HIT_KIND_WORDS, lookupsOf } from './words';

export interface Fact {
  /** Stable, so that a tree keeps its unfolded rows while the values change. */
  readonly id: string;
  readonly label: string;
  readonly value: string;
  /** A codicon. */
  readonly icon: string;
  readonly explanation: string;
  readonly parts: readonly Fact[];
}

export function factsOf(target: Target, status: Status): Fact[] {
  const { counters } = status;
  const { requested, effective } = target.inodeFileHandles;
  const mountpoint = mountpointOf(target);
  return [
    fact(
      'mode',
      'File handles',
      handleModeText(target),
      requested === effective ? 'key' : 'warning',
      [
        `Requested by --inode-file-handles: ${requested}; in effect: ${effective}.`,
        ...(requested === effective
          ? []
          : ['The shared file system has no usable handles, or the daemon may not open them.']),
      ],
    ),
    fact(
      'entries',
      'Entries',
      grouped(entriesOf(status)),
      'list-tree',
      ['Inodes that the guest still counts.'],
      [
        part('entries.handle', 'By handle', counters.entries.handle, 'symbol-key', [
          'Only a file handle is kept; no descriptor.',
        ]),
        part('entries.file', 'By descriptor', counters.entries.file, 'symbol-file', [
          'An O_PATH descriptor is held, which pins the inode number.',
        ]),
        part('entries.invalid', 'Invalid', counters.entries.invalid, 'circle-slash', [
          'Came with a migration and could not be found again.',
        ]),
      ],
    ),
    fact(
      'lookups',
      'Lookups',
      grouped(lookupsOf(status)),
      'search',
      ['Names looked up since the daemon started, by what answered them.'],
      HIT_KINDS.map((kind) =>
        part(`lookups.${kind}`, HIT_KIND_WORDS[kind], counters.lookups[kind], HIT_ICONS[kind], [
          HIT_EXPLANATIONS[kind],
        ]),
      ),
    ),
    fact(
      'fds',
      'Descriptors',
      `${grouped(counters.fds.used)} of ${grouped(counters.fds.limit)}`,
      'dashboard',
      ['Descriptors held for the guest, and the limit after which it is told ENFILE.'],
    ),
    fact('sharedDir', 'Shared directory', target.sharedDir, 'folder', [target.sharedDir]),
    mountpoint === undefined
      ? fact('transport', 'Transport', target.transport, 'plug', [target.transport])
      : fact('mount', 'Mounted on', mountpoint, 'folder-library', [target.transport]),
    fact('implementation', 'Daemon', `${target.implementation}, process ${target.pid}`, 'gear', [
      `Tables known by: ${target.level}${target.complete ? '' : ', not complete'}.`,
      `Lookup rule: ${target.lookupRule}.`,
    ]),
  ];
}

const HIT_ICONS = {
  handle_hit: 'symbol-key',
  fallback_hit: 'arrow-swap',
  handleless_hit: 'symbol-file',
  fallback_rejected: 'circle-slash',
  miss: 'add',
  error: 'error',
} as const;

const HIT_EXPLANATIONS = {
  handle_hit: 'Found in inodes_by_handle.',
  fallback_hit:
    'The handle was unknown; found in inodes_by_ids, in an entry that holds a descriptor.',
  handleless_hit: 'No handle could be made; found in inodes_by_ids.',
  fallback_rejected:
    'The ids led to an entry that holds only a handle, and the handle is another one: a new entry was made.',
  miss: 'In neither table: a new entry was made.',
  error: 'The guest was told an errno.',
} as const;

function fact(
  id: string,
  label: string,
  value: string,
  icon: string,
  explanation: readonly string[],
  parts: readonly Fact[] = [],
): Fact {
  return { id, label, value, icon, explanation: explanation.join(' '), parts };
}

function part(id: string, label: string, value: string, icon: string, explanation: string[]): Fact {
  return fact(id, label, grouped(value), icon, explanation);
}

/** The folder on this host in which the share can be worked with, for a /dev/fuse mount. */
export function mountpointOf(target: Pick<Target, 'transport'>): string | undefined {
  return /^\/dev\/fuse on (\/.*)$/s.exec(target.transport)?.[1];
}
