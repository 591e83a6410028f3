/** Which facts are known at which point, and their values as text. */

import type { Ids } from '../tables/identity';
import type { StopPoint } from '../tables/stops';

// Every environment has it, but the language's own library does not.
declare class TextDecoder {
  constructor(label: string, options: { ignoreBOM: boolean });
  decode(bytes: Uint8Array): string;
}

/** Facts come in groups; a breakpoint is looked at once all groups that it asks for are known. */
export const FACT = {
  name: 1,
  candidate: 2,
  handle: 4,
  byHandle: 8,
  byIds: 16,
  hit: 32,
  answer: 64,
  forget: 128,
  errno: 256,
} as const;

const EVERYTHING = 511;

/** What is known at a point for certain; `hit` is known earlier when the rule has decided. */
export const KNOWN_AT: { readonly [P in StopPoint]: number } = {
  request: 0,
  parent: FACT.name,
  opened: FACT.name,
  identified: FACT.name | FACT.candidate,
  handle: FACT.name | FACT.candidate | FACT.handle,
  // Under a rule that asks by ids first, what was asked before is known, too.
  by_handle: FACT.name | FACT.candidate | FACT.handle | FACT.byHandle,
  by_ids: FACT.name | FACT.candidate | FACT.handle | FACT.byIds,
  fallback: FACT.name | FACT.candidate | FACT.handle | FACT.byHandle | FACT.byIds | FACT.hit,
  inserted: EVERYTHING & ~FACT.errno & ~FACT.forget,
  claimed: EVERYTHING & ~FACT.errno & ~FACT.forget,
  counted: FACT.name | FACT.forget,
  removed: FACT.name | FACT.forget,
  keys_removed: FACT.name | FACT.forget,
  reply: EVERYTHING,
};

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Bytes as text for comparing; what is no UTF-8 becomes U+FFFD. */
export function textOf(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : utf8.decode(bytes);
}

export function idsOf(ids: Ids): string {
  return `${ids.ino}/${ids.dev.major}:${ids.dev.minor}/${ids.mntId}`;
}

export function hexOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}
