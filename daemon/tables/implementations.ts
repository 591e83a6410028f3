/** How other daemons look files up, as values: a recorded stream can be judged under each. */

import type { LookupRule } from './lookupRule';
import { LOOKUP_RULES } from './lookupRule';

export interface Implementation {
  readonly rule: LookupRule;
  /** Whether its entries hold what the lookup made, or an open descriptor in any case. */
  readonly holds: 'as-made' | 'descriptor';
  readonly keyHasMount: boolean;
  /** Whether nothing comes between asking the tables and inserting. */
  readonly atomic: boolean;
  readonly summary: string;
}

export const IMPLEMENTATION_NAMES = [
  'virtiofsd',
  'qemu-virtiofsd',
  'fuse-backend-rs',
  'libkrun',
  'crosvm',
] as const;
export type ImplementationName = (typeof IMPLEMENTATION_NAMES)[number];

export const IMPLEMENTATIONS: { readonly [N in ImplementationName]: Implementation } = {
  virtiofsd: {
    rule: LOOKUP_RULES['handle-then-fd'],
    holds: 'as-made',
    keyHasMount: true,
    atomic: true,
    summary: 'Rust virtiofsd, and this daemon',
  },
  'qemu-virtiofsd': {
    rule: LOOKUP_RULES['ids-only'],
    holds: 'descriptor',
    keyHasMount: true,
    atomic: false,
    summary: 'C virtiofsd of QEMU 7.2 with a thread pool',
  },
  'fuse-backend-rs': {
    rule: LOOKUP_RULES.v2,
    holds: 'as-made',
    keyHasMount: true,
    atomic: true,
    summary: 'fuse-backend-rs (nydus, Dragonball), and v2 of the series',
  },
  libkrun: {
    rule: LOOKUP_RULES['ids-only'],
    holds: 'descriptor',
    keyHasMount: true,
    atomic: false,
    summary: 'libkrun on Linux',
  },
  crosvm: {
    rule: LOOKUP_RULES['ids-only'],
    holds: 'descriptor',
    keyHasMount: false,
    atomic: true,
    summary: 'crosvm, and any daemon on Linux before 5.8',
  },
};
