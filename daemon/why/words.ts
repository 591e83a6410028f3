/** Words that explanations share. */

import { generationOf } from '../hazards/generation';
import { hex, nameText } from '../protocol/text';
import type { LookupEvent } from '../tables/events';
import type { EntryKind, FileHandle } from '../tables/identity';

/** `LOOKUP “f” in node 1`. */
export function lookupTitle({ op, name, parent }: LookupEvent): string {
  return name.length === 0
    ? `${op} of node ${parent}`
    : `${op} “${nameText(name)}” in node ${parent}`;
}

/** `74·0c00000022ea51a9 (generation 2840717858)`. */
export function handleText(handle: FileHandle): string {
  const generation = generationOf(handle);
  const bytes = `${handle.mntId}·${hex(handle.bytes)}`;
  return generation === null ? bytes : `${bytes} (generation ${generation})`;
}

/** What an entry holds, as the end of a sentence that names it. */
export const HOLDS: { readonly [K in EntryKind]: string } = {
  file: 'holds an open descriptor',
  handle: 'holds only a handle',
  invalid: 'holds nothing',
};
