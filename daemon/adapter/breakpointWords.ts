/** The words of a breakpoint, to be offered while somebody types one. */

import { OPERATION_NAMES } from '../fuse/opcodes';
import { HAZARD_RULES } from '../hazards/hazardBook';
import { HIT_KINDS } from '../tables/hitKind';
import type { Decision } from '../tables/stops';
import { DECISIONS } from '../tables/stops';

export interface OfferedWord {
  readonly kind: 'operation' | 'decision' | 'hit kind' | 'criterion' | 'hazard';
  /** Ends in `=` when a value is to follow. */
  readonly word: string;
  readonly means: string;
}

const DECISION_MEANS: { readonly [D in Decision]: string } = {
  request: 'a request has been received',
  parent: 'the directory is known; the name has not been opened',
  opened: 'the name has been opened',
  identified: 'statx has answered: the ids are known',
  handle: 'the handle has been made, or the errno says why not',
  by_handle: 'inodes_by_handle has been asked',
  by_ids: 'inodes_by_ids has been asked',
  fallback: 'an entry was found by its ids: it is believed, or it is not',
  fallback_accepted: 'an entry was found by its ids, and is believed',
  fallback_rejected: 'an entry was found by its ids, and is not believed',
  inserted: 'a new entry stands in the tables',
  claimed: 'an entry of the tables answers',
  counted: 'a forget is about to count down',
  removed: 'the entry has gone',
  keys_removed: 'its keys have gone, whoever owned them',
  reply: 'the answer is ready, and has not been sent',
};

export const OFFERED_WORDS: readonly OfferedWord[] = [
  ...[...OPERATION_NAMES.values()]
    .filter((name) => name !== 'RENAME2')
    .map((word) => offered('operation', word, 'the FUSE operation')),
  ...DECISIONS.map((word) => offered('decision', word, DECISION_MEANS[word])),
  // The others are decisions, too.
  ...HIT_KINDS.filter((hit) => !DECISIONS.some((decision) => decision === hit)).map((word) =>
    offered('hit kind', word, 'a lookup that ends so'),
  ),
  offered('criterion', 'path=', 'a glob below the shared folder, such as src/**/*.c'),
  offered('criterion', 'node=', 'the node id that the request names'),
  offered('criterion', 'ids=', 'what a lookup finds: INO, INO/MAJ:MIN or INO/MAJ:MIN/MNT'),
  offered('criterion', 'handle=', 'what a lookup makes, in hex'),
  offered('criterion', 'errno=', 'what the guest is answered: ESTALE, or * for any error'),
  offered('criterion', 'fds=', 'descriptors held for the guest, above so many per cent'),
  offered('criterion', 'entry=', 'the entry of this node id changes'),
  offered('criterion', 'key=ids:', 'the key INO/MAJ:MIN/MNT changes its owner'),
  offered('criterion', 'key=handle:', 'the key MNT/TYPE/HEX changes its owner'),
  offered('hazard', 'hazard=*', 'the request opens any hazard'),
  offered('hazard', 'hazard=data', 'the request opens one with wrong data'),
  ...HAZARD_RULES.map(({ id, name }) => offered('hazard', `hazard=${id}`, name)),
];

function offered(kind: OfferedWord['kind'], word: string, means: string): OfferedWord {
  return { kind, word, means };
}
