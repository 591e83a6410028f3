/**
 * The lookup rules that virtio-fs daemons follow, as values: which table is asked, in which order,
 * and which entry found by its ids is believed. One recorded lookup can so be judged under each.
 */

import type { EntryKind } from './identity';

export type LookupRuleName = 'handle-then-fd' | 'strict' | 'ids-first' | 'v2' | 'ids-only';

export interface LookupRule {
  readonly name: LookupRuleName;
  /** When `inodes_by_handle` is asked, relative to `inodes_by_ids`. */
  readonly byHandle: 'first' | 'second' | 'never';
  /** Whether an entry that `inodes_by_ids` names may answer a lookup that made a handle, or none. */
  readonly acceptsIds: (lookupHasHandle: boolean, entry: EntryKind) => boolean;
  /** One sentence for people, with who follows the rule. */
  readonly summary: string;
}

export const LOOKUP_RULES: { readonly [N in LookupRuleName]: LookupRule } = {
  'handle-then-fd': {
    name: 'handle-then-fd',
    byHandle: 'first',
    // An open descriptor keeps the inode, and so its number, from being given away.
    acceptsIds: (_lookupHasHandle, entry) => entry === 'file',
    summary:
      'by handle; else by ids, only to an entry that holds a descriptor (v4 patch, Rust virtiofsd)',
  },
  strict: {
    name: 'strict',
    byHandle: 'first',
    acceptsIds: (lookupHasHandle, entry) => !lookupHasHandle && entry === 'file',
    summary: 'by handle alone when one was made; by ids only when none could be (2021 thread)',
  },
  'ids-first': {
    name: 'ids-first',
    byHandle: 'second',
    acceptsIds: () => true,
    summary: 'by ids, whatever the entry holds; then by handle (before the patch)',
  },
  v2: {
    name: 'v2',
    byHandle: 'first',
    // The flaw of the second version of the series: without a handle to compare, an entry that
    // pins nothing is believed (scenario A of the thread, still in fuse-backend-rs).
    acceptsIds: (lookupHasHandle, entry) => !lookupHasHandle || entry !== 'handle',
    summary:
      'by handle; else by ids, unless both sides have a handle (v2 of the series, fuse-backend-rs)',
  },
  'ids-only': {
    name: 'ids-only',
    byHandle: 'never',
    acceptsIds: () => true,
    summary: 'by ids alone (C virtiofsd)',
  },
};

export const LOOKUP_RULE_NAMES = Object.keys(LOOKUP_RULES) as readonly LookupRuleName[];
