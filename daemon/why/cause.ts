/** Why the guest was told an errno: its class, and what it is known from. */

import { generationOf } from '../hazards/generation';
import { idsText } from '../hazards/hazard';
import type { InspectorEvent } from '../protocol/eventJson';
import { isoTime } from '../protocol/eventJson';
import { nameText } from '../protocol/text';
import type { CauseJson, CauseKind } from '../protocol/why';
import type { LookupEvent, OpenByHandleEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { KnownFile } from '../hazards/sameness';
import type { Past } from './past';
import { factsOf } from './past';
import { sameHandle } from '../hazards/sameness';
import { injectedInto } from './trace';
import { handleText } from './words';

const TOLD_BY_REQUESTS: ReadonlySet<string> = new Set(['injected', 'lookup', 'open_by_handle']);

/** f_type of a share that is itself FUSE (statfs(2)). */
const FUSE_SUPER_MAGIC = 0x65735546;

/** Of lookups that failed, and of entries whose handle would not open. */
export function causeOf(past: Past, event: InspectorEvent): CauseJson | null {
  if (event.type === 'open_by_handle') return causeOfOpen(past, event);
  if (event.type !== 'lookup' || event.errno === 0 || event.nodeid !== null) return null;
  return causeOfLookup(past, event);
}

// --- handles that would not open ------------------------------------------------------------------

function causeOfOpen(past: Past, event: OpenByHandleEvent): CauseJson {
  const errno = past.errnoName(event.errno);
  const { nodeid } = event;
  const path = past.path(nodeid);
  const named = path === null ? `node ${nodeid}` : `node ${nodeid} (${path})`;
  const first = `Event ${event.seq}: open_by_handle_at failed with ${errno} for ${named}.`;
  const cause = (kind: CauseKind, sentence: string, ...evidence: string[]): CauseJson => ({
    errno,
    kind,
    sentence,
    evidence: [first, ...evidence],
  });
  // A fault is noted in the request that it struck, before what it did.
  const before = past.newest(event.seq, ({ type }) => TOLD_BY_REQUESTS.has(type));
  if (before?.type === 'injected' && before.call === 'open_by_handle_at') {
    return cause('injected', 'A debugger made the call fail.', `Event ${before.seq}: injected.`);
  }
  switch (errno) {
    case 'ESTALE':
      return staleEntry(past, nodeid, cause);
    case 'EPERM':
      return cause(
        'not_openable',
        'The kernel makes handles for this daemon but does not let it open them: that takes ' +
          'CAP_DAC_READ_SEARCH in the first user namespace.',
      );
    case 'EBADF':
      return cause('mount_gone', 'The mount of the entry is not there any more.');
    case 'ENFILE':
    case 'EMFILE':
      return tooManyFiles(past, cause);
    case 'ENOMEM':
      return cause('no_memory', 'The host was short of memory at that moment.');
    default:
      return cause('host_error', `The host's file system answered ${errno}.`);
  }
}

type MakeCause = (kind: CauseKind, sentence: string, ...evidence: string[]) => CauseJson;

/** ESTALE: deleted, replaced, volatile, or its mount is gone; four answers that look alike. */
export function staleEntry(past: Past, nodeid: Nodeid, cause: MakeCause): CauseJson {
  const entry = factsOf(past, nodeid);
  if (entry === null) {
    return cause('deleted', 'The file that the handle stood for is not there any more.');
  }
  const successor = lookedUpWithIdsOf(past, entry);
  if (successor !== null) {
    const seen = `Event ${successor.seq}: a lookup of “${nameText(successor.name)}” found ids ${idsText(entry.ids)} again, with another handle, and got node ${successor.nodeid}.`;
    const handles = handlesText(entry, successor);
    if (successor.spare?.fsType === FUSE_SUPER_MAGIC && sameName(past, entry, successor)) {
      return cause(
        'volatile',
        'The file is still there under the same name and number, but the share is FUSE without ' +
          'lasting handles: a handle is void when the host drops its caches.',
        seen,
        ...handles,
      );
    }
    return cause(
      'replaced',
      `The file was deleted on the host, and its inode number ${entry.ids.ino} belongs to another file now.`,
      seen,
      ...handles,
    );
  }
  const failing = othersFailing(past, entry);
  if (failing.length > 0) {
    return cause(
      'mount_gone',
      `No entry of mount ${entry.ids.mntId} can be opened any more: it was unmounted, or its disk is gone.`,
      `Nodes ${failing.join(', ')} of the same mount fail as well.`,
    );
  }
  return cause(
    'deleted',
    'The file was deleted or replaced on the host.',
    ...afterDeletion(past, nodeid),
  );
}

/** The newest lookup that found this entry's ids and another handle. */
function lookedUpWithIdsOf(past: Past, entry: KnownFile): LookupEvent | null {
  const { handle, nodeid } = entry;
  const event = past.newestOf(
    nodeid,
    (candidate) =>
      candidate.type === 'lookup' &&
      candidate.byIds === nodeid &&
      candidate.nodeid !== nodeid &&
      candidate.handle !== null &&
      handle !== null &&
      !sameHandle(candidate.handle, handle),
  );
  return event?.type === 'lookup' ? event : null;
}

function handlesText(entry: KnownFile, { handle }: LookupEvent): string[] {
  if (entry.handle === null || handle === null) return [];
  const was = generationOf(entry.handle);
  const is = generationOf(handle);
  return was === null || is === null
    ? [`Handle ${handleText(entry.handle)} then, ${handleText(handle)} now.`]
    : [`Generation ${was} then, ${is} now.`];
}

function sameName(past: Past, { nodeid }: KnownFile, lookup: LookupEvent): boolean {
  const event = past.newestOf(
    nodeid,
    (candidate) => candidate.type === 'lookup' && candidate.nodeid === nodeid,
  );
  return (
    event?.type === 'lookup' &&
    event.parent === lookup.parent &&
    nameText(event.name) === nameText(lookup.name)
  );
}

/** What became of the entry's name. */
function afterDeletion(past: Past, nodeid: Nodeid): string[] {
  const last = past.newestOf(
    nodeid,
    (event) => event.type === 'lookup' && event.nodeid === nodeid && event.name.length > 0,
  );
  if (last?.type !== 'lookup') return [];
  const name = nameText(last.name);
  const later = past.newest(
    Infinity,
    (event) =>
      event.type === 'lookup' &&
      event.seq > last.seq &&
      event.parent === last.parent &&
      nameText(event.name) === name,
  );
  const then = `Event ${last.seq}, ${clock(last.time)}: “${name}” still led to node ${nodeid}.`;
  if (later?.type !== 'lookup') return [then];
  const answer =
    later.nodeid === null ? past.errnoName(later.errno) : `node ${later.nodeid}, another file`;
  return [then, `Event ${later.seq}, ${clock(later.time)}: “${name}” gave ${answer}.`];
}

const NAMED = 8;

/** Some of the other entries of the mount, when the handles of all of them were tried in vain. */
function othersFailing(past: Past, { nodeid, ids }: KnownFile): Nodeid[] {
  const { tables } = past;
  const failing: Nodeid[] = [];
  for (let row = 0; row < tables.rowLimit; row++) {
    const other = tables.nodeidAt(row);
    if (other === 0 || other === nodeid || tables.mntIdOf(other) !== ids.mntId) continue;
    if (past.probeErrno(other) === null) return [];
    if (failing.length < NAMED) failing.push(other);
  }
  return failing;
}

// --- lookups that failed ----------------------------------------------------------------------------

function causeOfLookup(past: Past, lookup: LookupEvent): CauseJson {
  const errno = past.errnoName(lookup.errno);
  const name = nameText(lookup.name);
  const first = `Event ${lookup.seq}: ${lookup.op} “${name}” in node ${lookup.parent} was answered ${errno}.`;
  const cause: MakeCause = (kind, sentence, ...evidence) => ({
    errno,
    kind,
    sentence,
    evidence: [first, ...evidence],
  });
  const call = injectedInto(past, lookup);
  if (call !== null) return cause('injected', `A debugger made ${call} fail.`);
  if (lookup.handleErrno === lookup.errno) {
    return lookup.handleErrno === 95
      ? cause(
          'no_handles',
          'The file system makes no handles, and this daemon was told to do with nothing less (mandatory).',
        )
      : cause('no_memory', `name_to_handle_at failed with ${errno}, which may pass by itself.`);
  }
  const known = lookup.ids === null ? [] : [`The name was found: ids ${idsText(lookup.ids)}.`];
  switch (errno) {
    case 'ENOENT':
      return lookup.ids === null
        ? cause('not_there', 'The host has no such name in that directory, and answered so.')
        : cause('mount_unresolvable', UNRESOLVABLE, ...known);
    case 'EIO':
      return lookup.ids === null
        ? cause('host_error', 'The host could not read its disk; its kernel log says more.')
        : cause('mount_unresolvable', UNRESOLVABLE, ...known);
    case 'ESTALE':
      return staleEntry(past, lookup.parent, (kind, sentence, ...evidence) =>
        cause(kind, `The directory, node ${lookup.parent}: ${sentence}`, ...evidence),
      );
    case 'ENFILE':
    case 'EMFILE':
      return tooManyFiles(past, cause);
    case 'ENOMEM':
      return cause('no_memory', 'The host was short of memory at that moment.', ...known);
    case 'EBADF':
      return cause(
        'not_there',
        `Node ${lookup.parent} is not in the tables: the guest has forgotten it and uses it still.`,
      );
    default:
      return cause(
        'host_refused',
        `The host answered ${errno}, and it was passed on as it was.`,
        ...known,
      );
  }
}

const UNRESOLVABLE =
  'The file was found, but its mount could not be opened to make the handle usable: the mount point ' +
  'is covered by another mount, is no file or directory, or is out of reach.';

function tooManyFiles(past: Past, cause: MakeCause): CauseJson {
  const { used, limit } = past.descriptors;
  const held = past.tables.entriesOfKind('file');
  return cause(
    'too_many_files',
    "The daemon's descriptors are used up: each entry without a handle holds one for as long as the guest remembers it.",
    `Now ${used} of ${limit} descriptors are in use; ${held} entries hold one.`,
  );
}

// --- errnos that no reply carried -------------------------------------------------------------------

/** ESTALE that the guest's kernel made by itself: no reply carried it, but a name changed its node. */
export function guestMade(past: Past): CauseJson {
  const none = `No reply since event ${past.oldest} carried ESTALE.`;
  const change = past.newest(Infinity, ({ type }) => type === 'name_changed');
  const head = { errno: 'ESTALE', kind: 'guest_made' } as const;
  if (change?.type !== 'name_changed') {
    return {
      ...head,
      sentence:
        'If the guest sees ESTALE, its own kernel makes it. No name changed its node id in the ' +
        "events that are kept, so look at the guest's other file systems.",
      evidence: [none],
    };
  }
  const { seq, time, name, parent, from, to } = change;
  return {
    ...head,
    sentence:
      'If the guest sees ESTALE, its own kernel makes it: an overlayfs on top of the share answers ' +
      'so for good once a name below it has changed its node id.',
    evidence: [
      none,
      `Event ${seq}, ${clock(time)}: “${nameText(name)}” in node ${parent} changed from node ${from} to node ${to}.`,
    ],
  };
}

function clock(time: number): string {
  return isoTime(time).slice(11, 23);
}
