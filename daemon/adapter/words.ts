/** Threads and stops in a few words. */

import type { StoppedJson } from '../protocol/debug';

/** The operation, and what it is about. */
export function subject({ op, facts }: StoppedJson): string {
  const about = facts.path ?? facts.name ?? (facts.node === null ? '' : `node ${facts.node}`);
  return about === '' ? op : `${op} ${about}`;
}

export function threadName(stop: StoppedJson): string {
  const who =
    stop.facts.pid === null || stop.facts.pid === 0 ? '' : ` of process ${stop.facts.pid}`;
  return `${subject(stop)} (request ${stop.request}${who})`;
}

/** What has just been decided, in a sentence. */
export function stopSentence(stop: StoppedJson): string {
  return `${subject(stop)}: ${decided(stop)}.`;
}

function decided(stop: StoppedJson): string {
  const { facts, point } = stop;
  const said = (answer: { node: string | null } | null): string =>
    answer?.node == null ? 'knows nothing of it' : `says node ${answer.node}`;
  switch (point) {
    case 'request':
      return 'received';
    case 'parent':
      return `its directory is node ${facts.parent ?? '?'}`;
    case 'opened':
      return 'opened';
    case 'identified':
      return `ids ${facts.candidate?.ids.ino ?? '?'}/${facts.candidate?.ids.dev ?? '?'}/${facts.candidate?.ids.mntId ?? '?'}`;
    case 'handle': {
      const handle = facts.candidate?.handle;
      const why = facts.candidate?.handleErrno;
      return handle == null
        ? `no handle${why == null ? '' : ` (${why})`}`
        : `handle ${handle.bytes}`;
    }
    case 'by_handle':
      return `inodes_by_handle ${said(facts.byHandle)}`;
    case 'by_ids':
      return `inodes_by_ids ${said(facts.byIds)}`;
    case 'fallback':
      return `the entry found by its ids, node ${facts.byIds?.node ?? '?'}, is ${facts.accepted === true ? 'believed' : 'not believed'}`;
    case 'inserted':
      return `inserted as node ${facts.answer ?? '?'}`;
    case 'claimed':
      return `answered by node ${facts.answer ?? '?'}`;
    case 'counted':
      return `forgets node ${facts.forgets?.node ?? '?'} ${facts.forgets?.count ?? '?'} times, ${facts.forgets?.left ?? '?'} left`;
    case 'removed':
      return `node ${facts.forgets?.node ?? '?'} has gone`;
    case 'keys_removed':
      return `the keys of node ${facts.forgets?.node ?? '?'} have gone`;
    case 'reply':
      if (facts.errno !== null) return `answers ${facts.errno}`;
      return facts.answer === null ? 'answers' : `answers node ${facts.answer}`;
  }
}
