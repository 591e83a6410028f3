/** The debugger's verbs for people: what they take, and stops as lines. */

import type { BreakpointJson, StoppedJson } from './protocol/debug';
import { FAULT_CALLS } from './tables/stops';

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
Any other word is a path; one of capitals alone needs path=README. See docs/debugging.md.`;

export const FAULT_HELP = `
A SPEC is CALL=ERRNO[:next|:every|:N][@GLOB], for example
  name_to_handle_at=EOPNOTSUPP@foo-link     the next one for such a path (next is meant)
  open_by_handle_at=ESTALE:every            every one
  statx=EIO:3                               the third
Calls: ${FAULT_CALLS.join(', ')}.`;

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
