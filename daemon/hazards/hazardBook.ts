/**
 * The hazards that are open, kept from the stream of events. Pure: what to probe is handed out,
 * and the answers come back through `probed`.
 */

import type { LookupEvent, TableEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { Entry } from '../tables/inodeTables';
import { overlayHardLinkAlias, unpinnedAlias } from './alias';
import { descriptorExhaustion, entryGrowth, zombies } from './budget';
import { benignFallback, handlelessLookup, transientHandleFailure } from './fallback';
import type {
  Finding,
  Hazard,
  HazardRule,
  HazardView,
  NameChange,
  Probe,
  Severity,
} from './hazard';
import { SEVERITIES, worse } from './hazard';
import { duplicateInode, nodeidFlip, tablesDisagree } from './identityHazards';
import { staleFallback } from './judged';
import { keyLost, keyStolen } from './keys';
import { handleNotOpenable, handleOutlivesMount, volatileHandle } from './handles';
import { recycledMountId, zeroGenerationHandle } from './mountIdentity';
import { bindMountTwins, mountFdUnresolvable, pinnedMount } from './mounts';
import { guestMadeStale } from './names';
import { handleStatMismatch, typeChange } from './objects';
import { nodeidReuse, refcountAbuse } from './references';
import type { Resources } from './resources';
import { inodeNumberReuse, staleHandleEntry } from './reuse';

/** The catalogue, in the order of its numbers. */
export const HAZARD_RULES: readonly HazardRule[] = [
  inodeNumberReuse,
  staleHandleEntry,
  benignFallback,
  handlelessLookup,
  duplicateInode,
  nodeidFlip,
  keyStolen,
  keyLost,
  tablesDisagree,
  unpinnedAlias,
  overlayHardLinkAlias,
  staleFallback,
  volatileHandle,
  zeroGenerationHandle,
  recycledMountId,
  bindMountTwins,
  pinnedMount,
  mountFdUnresolvable,
  handleNotOpenable,
  transientHandleFailure,
  descriptorExhaustion,
  zombies,
  entryGrowth,
  nodeidReuse,
  refcountAbuse,
  typeChange,
  handleStatMismatch,
  handleOutlivesMount,
  guestMadeStale,
];

const EVENT_RULES = HAZARD_RULES.filter((rule) => rule.onEvent !== undefined);
const PROBE_RULES = HAZARD_RULES.filter((rule) => rule.onProbe !== undefined);
const NAME_RULES = HAZARD_RULES.filter((rule) => rule.onNameChange !== undefined);
const STANDING_RULES = HAZARD_RULES.filter((rule) => rule.standing !== undefined);
const ENDING_RULES = HAZARD_RULES.filter((rule) => rule.endsWith !== undefined);

/** A guest can make failing lookups without end; of hazards that no entry bounds, this many stay. */
const MAX_WITHOUT_ENTRY = 1_000;

/** Who wants to know of openings and closings. */
export interface HazardListener {
  opened(hazard: Hazard): void;
  closed(hazard: Hazard): void;
  /** An entry's reference should be tried. */
  probe(nodeid: Nodeid, because: LookupEvent | null): void;
}

export class HazardBook {
  readonly #open = new Map<string, Hazard>();
  readonly #byNode = new Map<Nodeid, Set<string>>();
  /** Keys of the hazards that stand for as long as they are found. */
  readonly #standing = new Set<string>();
  readonly #totals = new Map<string, number>();
  readonly #closed = new Map<string, number>();
  /** The entries whose probes were asked for, by the lookup that made somebody ask. */
  readonly #asked = new WeakMap<LookupEvent, { entry: Entry; sameName: boolean }>();
  readonly #bySeverity: Record<Severity, number> = {
    data: 0,
    error: 0,
    identity: 0,
    resource: 0,
    information: 0,
  };

  constructor(
    private readonly view: HazardView,
    private readonly listener: HazardListener,
  ) {}

  /** Judges an event that has been applied to the tables, but whose name is not yet noted. */
  judge(event: TableEvent): void {
    if (event.type === 'init' || event.type === 'destroy') {
      for (const key of [...this.#open.keys()]) this.#close(key);
      return;
    }
    for (const rule of EVENT_RULES) {
      const finding = rule.onEvent?.(event, this.view) ?? null;
      if (finding !== null) this.#found(rule, finding, event.seq);
    }
    if (event.type === 'lookup') {
      this.#askForProbe(event);
      for (const rule of ENDING_RULES) this.#end(rule, event);
    }
    // Every hazard ends with one of its entries: what the guest forgot is history.
    if (event.type === 'remove') {
      for (const key of [...(this.#byNode.get(event.nodeid) ?? [])]) this.#close(key);
    }
  }

  /**
   * Judges the answer of a probe. A guest that notices a replaced file forgets the old node within
   * a millisecond, often before the answer is here; what was found then is reported and over.
   */
  probed(probe: Probe, seq: number): void {
    const asked = probe.because === null ? undefined : this.#asked.get(probe.because);
    const before = asked?.entry ?? null;
    const sameName = asked?.sameName ?? false;
    const { tables } = this.view;
    for (const rule of PROBE_RULES) {
      const finding = rule.onProbe?.({ ...probe, before, sameName }, this.view) ?? null;
      if (finding === null) continue;
      this.#found(rule, finding, seq);
      if (!finding.nodeids.every((nodeid) => tables.has(nodeid))) {
        this.#close(`${rule.id} ${finding.key}`);
      }
    }
  }

  /** Judges a name that leads elsewhere than before. */
  nameChanged(change: NameChange, seq: number): void {
    for (const rule of NAME_RULES) {
      const finding = rule.onNameChange?.(change, this.view) ?? null;
      if (finding !== null) this.#found(rule, finding, seq);
    }
  }

  /** Judges what the share costs now: opens what holds, and closes what does no longer. */
  standing(resources: Resources, seq: number): void {
    for (const rule of STANDING_RULES) {
      const prefix = `${rule.id} `;
      const isOpen = (key: string) => this.#open.has(prefix + key);
      const findings = rule.standing?.(resources, this.view, isOpen) ?? [];
      const holds = new Map(findings.map((finding) => [prefix + finding.key, finding]));
      for (const key of [...this.#standing].filter((open) => open.startsWith(prefix))) {
        // One that is milder now is told anew, as one that got worse is.
        if (holds.get(key)?.severity === this.#open.get(key)?.severity) continue;
        this.#standing.delete(key);
        this.#close(key);
      }
      for (const finding of findings) {
        this.#standing.add(prefix + finding.key);
        this.#found(rule, finding, seq);
      }
    }
  }

  /**
   * Takes a finding of another book, which knew more than the events tell. What this one has found
   * by itself stays its own.
   */
  adopt(found: Omit<Hazard, 'key'>): void {
    const { id, name, nodeids, seq } = found;
    const [first] = nodeids;
    const keys = first === undefined ? this.#open.keys() : (this.#byNode.get(first) ?? []);
    for (const key of keys) {
      const open = this.#open.get(key);
      if (open?.id === id && open.nodeids.join() === nodeids.join()) return;
    }
    this.#found({ id, name }, { ...found, key: adoptedKey(nodeids) }, seq);
  }

  /** The other book has closed it. */
  withdraw(id: string, nodeids: readonly Nodeid[]): void {
    this.#close(`${id} ${adoptedKey(nodeids)}`);
  }

  /** Open hazards, the worst first, then the newest: `count` of them from the `from`th on. */
  list(count: number, from = 0): Hazard[] {
    const rank = (hazard: Hazard) => SEVERITIES.indexOf(hazard.severity);
    return [...this.#open.values()]
      .sort((a, b) => rank(a) - rank(b) || b.seq - a.seq)
      .slice(from, from + count);
  }

  /** The newest open hazard of a number, or null. */
  newestOf(id: string): Hazard | null {
    let newest: Hazard | null = null;
    for (const hazard of this.#open.values()) {
      if (hazard.id === id && hazard.seq >= (newest?.seq ?? 0)) newest = hazard;
    }
    return newest;
  }

  of(nodeid: Nodeid): Hazard[] {
    const hazards = [...(this.#byNode.get(nodeid) ?? [])].flatMap(
      (key) => this.#open.get(key) ?? [],
    );
    return hazards.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
  }

  /** Whether any open hazard concerns an entry. */
  concern(nodeid: Nodeid): boolean {
    return this.#byNode.has(nodeid);
  }

  /** Whether a hazard is open. @param key of its finding */
  isOpen(id: string, key: string): boolean {
    return this.#open.has(`${id} ${key}`);
  }

  /** Whether a lookup of a name could end an open hazard. */
  get waitsForLookups(): boolean {
    return ENDING_RULES.some((rule) => (this.#totals.get(rule.id) ?? 0) > 0);
  }

  /** The worst severity of an entry's open hazards. */
  worstOf(nodeid: Nodeid): Severity | null {
    let worst: Severity | null = null;
    for (const key of this.#byNode.get(nodeid) ?? []) {
      const severity = this.#open.get(key)?.severity;
      if (severity !== undefined) worst = worst === null ? severity : worse(worst, severity);
    }
    return worst;
  }

  /** Open hazards by id. */
  get totals(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#totals].filter(([, count]) => count > 0));
  }

  /** Hazards that came and went, by id: what a guest forgets at once is seen only here. */
  get closed(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#closed);
  }

  /** Open hazards by severity. */
  get bySeverity(): Readonly<Record<Severity, number>> {
    return { ...this.#bySeverity };
  }

  #askForProbe(event: LookupEvent): void {
    if (event.nodeid === null || event.byIds === null || event.byIds === event.nodeid) return;
    const other = this.view.tables.entry(event.byIds);
    if (other?.kind !== 'handle') return;
    const sameName = this.view.wasNamed(event.byIds, event.parent, event.name);
    this.#asked.set(event, { entry: other, sameName });
    this.listener.probe(event.byIds, event);
  }

  #found(rule: HazardRule, finding: Finding, seq: number): void {
    const key = `${rule.id} ${finding.key}`;
    const known = this.#open.get(key);
    if (known !== undefined) {
      const severity = worse(known.severity, finding.severity);
      if (severity === known.severity) return;
      // It got worse: say so as a new finding, at the event that made it so.
      this.#close(key);
    }
    const hazard: Hazard = { ...finding, id: rule.id, name: rule.name, state: 'open', seq };
    this.#open.set(key, hazard);
    for (const nodeid of finding.nodeids) {
      const keys = this.#byNode.get(nodeid);
      if (keys === undefined) this.#byNode.set(nodeid, new Set([key]));
      else keys.add(key);
    }
    this.#totals.set(rule.id, (this.#totals.get(rule.id) ?? 0) + 1);
    this.#bySeverity[finding.severity]++;
    this.listener.opened(hazard);
    if (rule.endsWith !== undefined) this.#dropOldest(rule);
  }

  #dropOldest(rule: HazardRule): void {
    if ((this.#totals.get(rule.id) ?? 0) <= MAX_WITHOUT_ENTRY) return;
    for (const [key, hazard] of this.#open) {
      if (hazard.id !== rule.id) continue;
      this.#close(key);
      return;
    }
  }

  #end(rule: HazardRule, event: LookupEvent): void {
    if ((this.#totals.get(rule.id) ?? 0) === 0) return;
    const key = rule.endsWith?.(event) ?? null;
    if (key !== null) this.#close(`${rule.id} ${key}`);
  }

  #close(key: string): void {
    const hazard = this.#open.get(key);
    if (hazard === undefined) return;
    this.#open.delete(key);
    for (const nodeid of hazard.nodeids) {
      const keys = this.#byNode.get(nodeid);
      keys?.delete(key);
      if (keys?.size === 0) this.#byNode.delete(nodeid);
    }
    this.#totals.set(hazard.id, (this.#totals.get(hazard.id) ?? 1) - 1);
    this.#bySeverity[hazard.severity]--;
    this.#closed.set(hazard.id, (this.#closed.get(hazard.id) ?? 0) + 1);
    this.listener.closed({ ...hazard, state: 'closed' });
  }
}

function adoptedKey(nodeids: readonly Nodeid[]): string {
  return `adopted ${nodeids.join('/')}`;
}
