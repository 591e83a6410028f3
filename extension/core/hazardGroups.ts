/** The hazards view's shape: severity, then hazard, then its findings. Pure. */

import type { Severity } from '../../daemon/hazards/hazard';
import { SEVERITIES } from '../../daemon/hazards/hazard';
import { HAZARD_RULES } from '../../daemon/hazards/hazardBook';
import type { HazardJson } from '../../daemon/protocol/json';
import type { OpenHazards } from './link';

export interface SeverityGroup {
  readonly severity: Severity;
  /** Open hazards of this severity, those beyond the list included. */
  readonly count: number;
  readonly kinds: readonly HazardKind[];
}

export interface HazardKind {
  readonly id: string;
  readonly name: string;
  readonly severity: Severity;
  readonly count: number;
  /** The newest first; fewer than `count` when the daemon has more than it lists. */
  readonly findings: readonly HazardJson[];
}

export function groupHazards({
  listed,
  totals,
}: Pick<OpenHazards, 'listed' | 'totals'>): SeverityGroup[] {
  const kinds = new Map<string, { -readonly [K in keyof HazardKind]: HazardKind[K] }>();
  for (const hazard of listed) {
    const key = `${hazard.severity} ${hazard.id}`;
    const { id, name, severity } = hazard;
    const kind = kinds.get(key) ?? { id, name, severity, count: 0, findings: [] };
    kinds.set(key, { ...kind, count: kind.count + 1, findings: [...kind.findings, hazard] });
  }
  // The list is sorted by severity, so whatever it leaves out is no worse than its last one.
  const least = listed.at(-1)?.severity ?? 'information';
  for (const [id, total] of Object.entries(totals)) {
    const known = [...kinds.values()].filter((kind) => kind.id === id);
    const beyond = total - known.reduce((sum, kind) => sum + kind.count, 0);
    if (beyond <= 0) continue;
    const severity = known.at(-1)?.severity ?? least;
    const name = known.at(-1)?.name ?? HAZARD_RULES.find((rule) => rule.id === id)?.name ?? '';
    const key = `${severity} ${id}`;
    const kind = kinds.get(key) ?? { id, name, severity, count: 0, findings: [] };
    kinds.set(key, { ...kind, count: kind.count + beyond });
  }
  return SEVERITIES.flatMap((severity) => {
    const own = [...kinds.values()]
      .filter((kind) => kind.severity === severity)
      .sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
    const count = own.reduce((sum, kind) => sum + kind.count, 0);
    return count === 0 ? [] : [{ severity, count, kinds: own }];
  });
}

/** `Came and went: 12 H1, 3 H7.`, what a guest forgot before one could look; empty for none. */
export function closedText({ closed }: Pick<OpenHazards, 'closed'>): string {
  const kinds = Object.entries(closed)
    .filter(([, count]) => count > 0)
    .sort(([a], [b]) => Number(a.slice(1)) - Number(b.slice(1)))
    .map(([id, count]) => `${count.toLocaleString('en')} ${id}`);
  return kinds.length === 0 ? '' : `Came and went: ${kinds.join(', ')}.`;
}

/**
 * A finding's own row: the path of the entry to look at first, else the name in the evidence, else
 * its nodes.
 */
export function findingTexts(
  hazard: HazardJson,
  path: string | undefined,
): { label: string; detail: string } {
  const { name, ids } = hazard.evidence;
  const nodes = nodesText(hazard);
  const label = path ?? (typeof name === 'string' && name !== '' ? name : nodes);
  const details = [label === nodes ? '' : nodes, typeof ids === 'string' ? ids : ''];
  return { label, detail: details.filter((text) => text !== '').join(' · ') };
}

/** `node 3`, `nodes 3, 2`. */
export function nodesText({ nodeids }: Pick<HazardJson, 'nodeids'>): string {
  if (nodeids.length === 0) return 'the share';
  return `${nodeids.length === 1 ? 'node' : 'nodes'} ${nodeids.join(', ')}`;
}

/** Evidence in words: `ids: 12/7:0/74`, unknown values left out. */
export function evidenceLines({ evidence }: Pick<HazardJson, 'evidence'>): string[] {
  return Object.entries(evidence).flatMap(([key, value]) =>
    value === null
      ? []
      : [`${spaced(key)}: ${value === true ? 'yes' : value === false ? 'no' : value}`],
  );
}

/** `otherEntriesHaveHandles` → `other entries have handles`. */
function spaced(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
