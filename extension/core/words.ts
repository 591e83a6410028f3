/** How numbers and states are put into words, the same in every view. */

import type { Severity } from '../../daemon/hazards/hazard';
import { SEVERITIES } from '../../daemon/hazards/hazard';
import type { Target } from '../../daemon/protocol/json';
import type { HitKind } from '../../daemon/tables/hitKind';
import type { Status } from '../../daemon/protocol/map';

/** A decimal string or number with thousands separated: 1,204. Exact at any length. */
export function grouped(value: string | number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 entry`, `2 entries`. */
export function counted(value: string | number, one: string, many: string): string {
  return `${grouped(value)} ${String(value) === '1' ? one : many}`;
}

export const SEVERITY_WORDS: Readonly<Record<Severity, string>> = {
  data: 'Wrong data or wrong file',
  error: 'The guest sees an error',
  identity: 'Duplicate or flipping node ids',
  resource: 'Resources',
  information: 'Information, nothing to do',
};

export const HIT_KIND_WORDS: Readonly<Record<HitKind, string>> = {
  handle_hit: 'Handle hits',
  fallback_hit: 'Fallback hits',
  handleless_hit: 'Handle-less hits',
  fallback_rejected: 'Fallbacks rejected',
  miss: 'Misses',
  error: 'Errors',
};

/** Entries of all kinds, exact. */
export function entriesOf(status: Status): string {
  const { file, handle, invalid } = status.counters.entries;
  return (BigInt(file) + BigInt(handle) + BigInt(invalid)).toString();
}

export function lookupsOf(status: Status): string {
  return Object.values(status.counters.lookups)
    .reduce((sum, count) => sum + BigInt(count), 0n)
    .toString();
}

/** `prefer`, or `never, requested prefer` when the file system or the rights did not allow it. */
export function handleModeText(target: Target): string {
  const { requested, effective } = target.inodeFileHandles;
  return requested === effective ? effective : `${effective}, requested ${requested}`;
}

export function worstSeverity(open: Status['open']): Severity | undefined {
  return SEVERITIES.find((severity) => open[severity] > 0);
}

/** What the status bar shows of a connected daemon. */
export interface StatusSummary {
  readonly text: string;
  /** One line each, for the tooltip and for screen readers. */
  readonly lines: readonly string[];
  /** The worst open severity decides whether the item has a background. */
  readonly background: 'error' | 'warning' | undefined;
}

export function summarize(name: string, target: Target, status: Status): StatusSummary {
  const { open } = status;
  const hazards = open.data + open.error + open.identity + open.resource;
  const parts = [
    target.inodeFileHandles.effective,
    counted(entriesOf(status), 'entry', 'entries'),
    ...(hazards > 0 ? [counted(hazards, 'hazard', 'hazards')] : []),
    // On ext4 a branch switch alone makes hundreds of these: counted, but never called hazards.
    ...(hazards === 0 && open.information > 0 ? [counted(open.information, 'note', 'notes')] : []),
  ];
  const lines = [
    `${name}: file handles ${handleModeText(target)}`,
    ...SEVERITIES.filter((severity) => open[severity] > 0).map(
      (severity) => `${SEVERITY_WORDS[severity]}: ${grouped(open[severity])}`,
    ),
    ...(hazards + open.information === 0 ? ['No open hazards'] : []),
  ];
  const worst = worstSeverity(open);
  const background = worst === 'data' ? 'error' : worst === 'error' ? 'warning' : undefined;
  return { text: parts.join(' · '), lines, background };
}
