/**
 * Holding a request in the midst of its operation: what belongs to it is put aside, others are
 * answered on the same thread, and it finds everything as it was. What others have changed meanwhile
 * are the tables: a descriptor that came out of them before must be asked for again.
 */

import { REPLY, REQUEST } from '../../native/index';
import type { Context } from './context';
import { keepListing } from './directories';

/** Waits until `until` says so or the session is over. */
export function hold(context: Context, until: () => boolean): void {
  context.channel.serveOthers(until, () => keep(context));
}

/** @returns what puts everything back */
function keep(context: Context): () => void {
  const { trace, tables } = context;
  const { u8 } = context.memory;
  const { channel, unique, nodeid, end, pending } = context;
  // All that lies before a request: answers, credentials, references, records, entries.
  const before = u8.slice(0, REQUEST);
  const request = u8.slice(REQUEST, end);
  const reply = u8.slice(REPLY, REPLY + pending);
  const { candidate, held, ...lookup } = trace;
  const { differences, errno } = held;
  const found = Object.assign({}, candidate, { handleWords: candidate.handleWords.slice() });
  const asked = { ...tables.asked };
  const inserted = { ...tables.inserted };
  const forgotten = { ...tables.forgotten };
  const putListingBack = keepListing();
  return () => {
    u8.set(before, 0);
    u8.set(request, REQUEST);
    u8.set(reply, REPLY);
    Object.assign(context, { channel, unique, nodeid, end, pending });
    const { handleWords, ...rest } = found;
    candidate.handleWords.set(handleWords);
    Object.assign(candidate, rest);
    Object.assign(trace, lookup);
    Object.assign(held, { differences, errno });
    Object.assign(tables.asked, asked);
    Object.assign(tables.inserted, inserted);
    Object.assign(tables.forgotten, forgotten);
    putListingBack();
  };
}
