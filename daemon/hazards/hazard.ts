/** A hazard, as found: what it is, which entries it concerns, how it is known, what to do. */

import type { Nodeid } from '../tables/identity';

/**
 * What a hazard can cost (hazards.md 3.1): `data` wrong data or wrong file, `error` the guest sees
 * an error, `identity` one file with two node ids or a name that changes its node id, `resource`,
 * `information` nothing to do.
 */
export const SEVERITIES = ['data', 'error', 'identity', 'resource', 'information'] as const;
export type Severity = (typeof SEVERITIES)[number];

export type HazardId = 'H1' | 'H2' | 'H3' | 'H4' | 'H5' | 'H6' | 'H7' | 'H8' | 'H10' | 'H22';

/** A finding's values, ready for people: numbers of 64 bits as decimal strings. */
export type Evidence = Readonly<Record<string, string | number | boolean | null>>;

export interface Finding {
  readonly id: HazardId;
  readonly severity: Severity;
  /** The entries it concerns, the one to look at first. */
  readonly nodeids: readonly Nodeid[];
  readonly evidence: Evidence;
  readonly advice: string;
}

export interface Hazard extends Finding {
  readonly name: string;
  readonly state: 'open' | 'closed';
  /** The event that opened it. */
  readonly seq: number;
}
