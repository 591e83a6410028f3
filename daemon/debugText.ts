/** The debugger's verbs for people: breakpoints and faults as words, stops as lines. */

import { opcodesOf } from './fuse/opcodes';
import type { BreakpointJson, StoppedJson } from './protocol/debug';
import type { HitKind } from './tables/hitKind';
import { HIT_KINDS } from './tables/hitKind';
import type { Decision } from './tables/stops';
import { DECISIONS, FAULT_CALLS } from './tables/stops';

export const BREAKPOINT_HELP = `
A SPEC is one or more words in one argument; all of them must hold:
  LOOKUP, FORGET, OPEN, …   the FUSE operation
  by_ids, fallback_rejected, inserted, …   the decision at which to stop
  fallback_hit, miss, …     the hit kind
  path=GLOB                 below the shared directory; ** for any number of folders
  node=ID                   the node id in the request's header
  ids=INO[/MAJ:MIN[/MNT]]   what the lookup finds
  handle=HEX                what the lookup makes
  hazard=H7|data|*          a hazard that the request opens, by id or severity
  errno=ESTALE|*            what the guest is answered
  fds=PERCENT               descriptors in use above this
  key=ids:INO/MAJ:MIN/MNT   the key gets, changes or loses its owner
  key=handle:MNT/TYPE/HEX
  entry=ID                  the entry changes
Any other word is a path. See docs/debugging.md.`;

export const FAULT_HELP = `
A SPEC is CALL=ERRNO[:next|:every|:N][@GLOB], for example
  name_to_handle_at=EOPNOTSUPP@foo-link     the next one for such a path (next is meant)
  open_by_handle_at=ESTALE:every            every one
  statx=EIO:3                               the third
Calls: ${FAULT_CALLS.join(', ')}.`;

type Draft = { -readonly [K in keyof BreakpointJson]: BreakpointJson[K] };

/** @throws Error with a sentence when a word cannot be understood */
export function parseBreakpoint(spec: string, id: number): BreakpointJson {
  const draft: Draft = { id };
  const words = spec.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) throw new Error('An empty SPEC asks for nothing.');
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals === -1) addWord(draft, word);
    else addField(draft, word.slice(0, equals), word.slice(equals + 1));
  }
  return draft;
}

function addWord(draft: Draft, word: string): void {
  const decision = DECISIONS.find((known) => known === word);
  const hit = HIT_KINDS.find((known) => known === word);
  if (opcodesOf(word).length > 0) draft.operation = word;
  else if (decision !== undefined) draft.decision = decision satisfies Decision;
  else if (hit !== undefined) draft.hit = hit satisfies HitKind;
  else draft.path = word;
}

function addField(draft: Draft, name: string, value: string): void {
  switch (name) {
    case 'op':
      draft.operation = value;
      return;
    case 'path':
      draft.path = value;
      return;
    case 'node':
      draft.node = value;
      return;
    case 'entry':
      draft.entry = value;
      return;
    case 'hazard':
      draft.hazard = value;
      return;
    case 'errno':
      draft.errno = value;
      return;
    case 'fds':
      draft.fdsAbove = Number(value);
      return;
    case 'ids': {
      const { ino, dev, mntId } = idsOf(value);
      draft.ids = {
        ino,
        ...(dev === undefined ? {} : { dev }),
        ...(mntId === undefined ? {} : { mntId }),
      };
      return;
    }
    case 'handle':
      draft.handle = { bytes: value };
      return;
    case 'key':
      draft.key = keyOf(value);
      return;
    default:
      throw new Error(`“${name}=” is no criterion; break --help has them.`);
  }
}

function idsOf(text: string): {
  ino: string;
  dev?: string | undefined;
  mntId?: string | undefined;
} {
  const [ino = '', dev, mntId, ...rest] = text.split('/');
  if (ino === '' || rest.length > 0) throw new Error(`Ids are INO/MAJ:MIN/MNT, not “${text}”.`);
  return { ino, dev, mntId };
}

function keyOf(text: string): NonNullable<BreakpointJson['key']> {
  const colon = text.indexOf(':');
  const table = text.slice(0, colon);
  const value = text.slice(colon + 1);
  if (table === 'ids') {
    const { ino, dev, mntId } = idsOf(value);
    if (dev !== undefined && mntId !== undefined) {
      return { table: 'inodes_by_ids', ids: { ino, dev, mntId } };
    }
  }
  if (table === 'handle') {
    const [mntId, type, bytes] = value.split('/');
    if (mntId !== undefined && type !== undefined && bytes !== undefined) {
      return { table: 'inodes_by_handle', handle: { mntId, type: Number(type), bytes } };
    }
  }
  throw new Error(`A key is ids:INO/MAJ:MIN/MNT or handle:MNT/TYPE/HEX, not “${text}”.`);
}

/** @throws Error when it is none of the forms */
export function parseHits(text: string): NonNullable<BreakpointJson['hits']> {
  const parts = /^(nth|from|every):([1-9][0-9]*)$/.exec(text);
  const when = (['nth', 'from', 'every'] as const).find((known) => known === parts?.[1]);
  if (when === undefined) throw new Error(`Hits are nth:N, from:N or every:N, not “${text}”.`);
  return { when, count: Number(parts?.[2]) };
}

/** A stop in a few lines. */
export function stopText(stop: StoppedJson): string {
  const { facts } = stop;
  const what = facts.path ?? facts.name ?? (facts.node === null ? '' : `node ${facts.node}`);
  const point =
    stop.point === 'fallback'
      ? `fallback ${facts.accepted === true ? 'accepted' : 'rejected'}`
      : stop.point;
  const why =
    stop.breakpoints.length === 0 ? stop.reason : `${stop.reason} ${stop.breakpoints.join(', ')}`;
  const lines = [
    `request ${stop.request}: ${stop.op} ${what} stopped at ${point} (${why}), after event ${stop.seq}`,
  ];
  if (stop.again) lines.push('  the tables have changed meanwhile: its decisions are made again');
  const { candidate } = facts;
  if (candidate !== null) {
    const { ids, handle, handleErrno } = candidate;
    const made =
      handle === null
        ? `no handle${handleErrno === null ? '' : ` (${handleErrno})`}`
        : `handle ${handle.bytes}`;
    lines.push(`  ids ${ids.ino}/${ids.dev}/${ids.mntId}, ${made}`);
  }
  if (facts.byHandle !== null)
    lines.push(`  inodes_by_handle says ${nodeText(facts.byHandle.node)}`);
  if (facts.byIds !== null) lines.push(`  inodes_by_ids says ${nodeText(facts.byIds.node)}`);
  if (facts.answer !== null)
    lines.push(`  leads to node ${facts.answer} (${facts.hit ?? 'error'})`);
  const { forgets } = facts;
  if (forgets !== null) {
    lines.push(`  forgets node ${forgets.node} ${forgets.count} times, ${forgets.left} left`);
  }
  if (facts.errno !== null) lines.push(`  answers ${facts.errno}`);
  for (const { id, name } of stop.hazards) lines.push(`  opened ${id} ${name}`);
  return lines.join('\n');
}

function nodeText(node: string | null): string {
  return node === null ? 'nothing' : `node ${node}`;
}
