/**
 * A stream of events judged under another implementation: its lookups are put to tables of that
 * implementation, and where these would have answered with the wrong file, or with a second node for
 * one file, that is a finding. Pure.
 *
 * The stream must come from a daemon that tells files apart; what it cannot tell, a judgement calls
 * unknown. Entries from before the first event are taken over when they are first met.
 */

import type { Hazard } from '../hazards/hazard';
import type { JudgedEntry, JudgedLookup } from '../hazards/judged';
import { JUDGED_RULES } from '../hazards/judged';
import type { Sameness } from '../hazards/sameness';
import { sameFile } from '../hazards/sameness';
import { idsText } from '../hazards/hazard';
import type { InspectorEvent } from '../protocol/eventJson';
import { nameText } from '../protocol/text';
import { Candidate, NO_FD, NO_HANDLE } from '../tables/candidate';
import type { ForgetEvent, LookupEvent, PausedEvent } from '../tables/events';
import type { HitKind } from '../tables/hitKind';
import type { FileHandle, Ids, Nodeid } from '../tables/identity';
import { NO_NODEID } from '../tables/identity';
import { InodeTables } from '../tables/inodeTables';
import type { LookupRule } from '../tables/lookupRule';
import type { Implementation } from '../tables/implementations';

/** Any open descriptor will do. */
const SOME_FD = 0;

/** Requests that are remembered as held; a debugger holds fewer. */
const MOST_HELD = 1_000;

interface Entry extends JudgedEntry {
  readonly madeAt: number;
}

/** What the implementation says to a lookup. */
export interface Answered {
  readonly hit: HitKind;
  readonly nodeid: Nodeid;
  readonly findings: readonly Hazard[];
}

export class Judge {
  /** Lookups that could not have happened there: an open descriptor would have kept the number. */
  prevented = 0;
  readonly #tables: InodeTables;
  readonly #entries = new Map<Nodeid, Entry>();
  readonly #byIds = new Map<string, Set<Entry>>();
  /** What each lookup of a node led to here, the oldest first. */
  readonly #replies = new Map<Nodeid, Nodeid[]>();
  readonly #candidate = new Candidate();
  /** When a debugger first held a request: its duration does not count the time in which others ran. */
  readonly #held = new Map<number, number>();
  /** The daemon's own node ids mean files: it gives no node of one file to another. */
  readonly #trusted: boolean;

  /** @param source the rule that the stream's daemon follows */
  constructor(
    private readonly implementation: Implementation,
    source: LookupRule,
  ) {
    this.#tables = new InodeTables(implementation.rule);
    this.#trusted = !source.acceptsIds(false, 'handle') && !source.acceptsIds(true, 'handle');
  }

  /** @returns null for what is no lookup of a file */
  fold(event: InspectorEvent): Answered | null {
    const { type } = event;
    if (type === 'lookup') return this.#lookUp(event);
    if (type === 'forget') this.#forget(event);
    if (type === 'paused') this.#hold(event);
    if (type === 'init' || type === 'destroy' || type === 'resync') this.#clear();
    return null;
  }

  #clear(): void {
    this.#tables.clear();
    this.#entries.clear();
    this.#byIds.clear();
    this.#replies.clear();
    this.#held.clear();
  }

  #lookUp(lookup: LookupEvent): Answered | null {
    const { ids, nodeid } = lookup;
    if (ids === null || nodeid === null) return null;
    const candidate = this.#fill(ids, lookup.handle);
    const known = this.#replies.has(nodeid);
    const inserted = lookup.hit === 'miss' || lookup.hit === 'fallback_rejected';
    if (!known && !inserted && this.#tables.explain(candidate) === NO_NODEID) {
      // From before the first event.
      const adopted = this.#insert(lookup, ids);
      this.#replied(nodeid, adopted);
      return { hit: lookup.hit, nodeid: adopted, findings: [] };
    }
    const judged = this.#judge(lookup, ids, candidate);
    this.#replied(nodeid, judged.nodeid);
    return judged;
  }

  #judge(lookup: LookupEvent, ids: Ids, candidate: Candidate): Answered {
    const { atomic, holds } = this.implementation;
    const tables = this.#tables;
    const asked = this.#entries.get(tables.explain(candidate)) ?? null;
    const { hit } = tables.asked;
    const began = this.#began(lookup);
    const same = asked === null ? 'unknown' : this.#same(lookup, asked);
    const raced = !atomic && asked !== null && asked.madeAt > began;
    const prevented = holds === 'descriptor' && same === 'different';
    if (prevented) this.prevented++;
    const answer = raced || prevented ? null : asked;
    const beside = answer !== null || prevented ? null : this.#standingFor(lookup, ids);
    if (answer !== null) tables.claim(candidate);
    const nodeid = answer?.nodeid ?? this.#insert(lookup, ids);
    const judged: JudgedLookup = {
      lookup,
      mount: mountOf(lookup, ids),
      answer,
      byIds: hit !== 'handle_hit',
      same,
      nodeid,
      beside,
      overlapping: raced,
      began,
      text: nameText,
    };
    return {
      hit: answer === null && asked !== null ? 'miss' : hit,
      nodeid,
      findings: JUDGED_RULES.flatMap(({ id, name, onLookup }): Hazard[] => {
        const finding = onLookup(judged);
        return finding === null ? [] : [{ ...finding, id, name, state: 'open', seq: lookup.seq }];
      }),
    };
  }

  /** A request that is held again was received before the first time. */
  #hold({ unique, time }: PausedEvent): void {
    if (!this.#held.has(unique)) this.#held.set(unique, time);
    if (this.#held.size <= MOST_HELD) return;
    for (const oldest of this.#held.keys()) {
      this.#held.delete(oldest);
      return;
    }
  }

  #began({ unique, time, durationNs }: LookupEvent): number {
    const received = time - durationNs / 1e6;
    const held = this.#held.get(unique);
    this.#held.delete(unique);
    return held === undefined ? received : Math.min(held, received);
  }

  #same(lookup: LookupEvent, entry: Entry): Sameness {
    // The rest of a key that has no mount id says which file of its file system it is.
    const asked = entry.mount === mountOf(lookup, lookup.ids ?? entry.ids);
    const born = sameFile(asked ? lookup : { ...lookup, ids: entry.ids, handle: null }, entry);
    if (born !== 'unknown' || !this.#trusted) return born;
    const replies = lookup.nodeid === null ? undefined : this.#replies.get(lookup.nodeid);
    return replies?.includes(entry.nodeid) === true ? 'same' : 'unknown';
  }

  /** A living entry that certainly is the file that a lookup found. */
  #standingFor(lookup: LookupEvent, ids: Ids): Entry | null {
    for (const entry of this.#byIds.get(idsText(ids)) ?? []) {
      if (this.#same(lookup, entry) === 'same') return entry;
    }
    return null;
  }

  #insert(lookup: LookupEvent, ids: Ids): Nodeid {
    const { handle, spare, time } = lookup;
    const { holds } = this.implementation;
    const nodeid = this.#tables.insert(this.#fill(ids, holds === 'descriptor' ? null : handle));
    const kind = handle === null || holds === 'descriptor' ? 'file' : 'handle';
    const mount = mountOf(lookup, ids);
    const entry: Entry = { nodeid, kind, ids, handle, spare, mount, madeAt: time };
    this.#entries.set(nodeid, entry);
    const key = idsText(ids);
    const others = this.#byIds.get(key);
    if (others === undefined) this.#byIds.set(key, new Set([entry]));
    else others.add(entry);
    return nodeid;
  }

  #replied(nodeid: Nodeid, here: Nodeid): void {
    const replies = this.#replies.get(nodeid);
    if (replies === undefined) this.#replies.set(nodeid, [here]);
    else replies.push(here);
  }

  /** The guest forgets as many of a node's lookups as it did, whatever node they led to here. */
  #forget({ nodeid, count, lookups }: ForgetEvent): void {
    const replies = this.#replies.get(nodeid);
    if (replies === undefined) return;
    const gone = replies.splice(0, lookups === 0 ? replies.length : count);
    if (lookups === 0) this.#replies.delete(nodeid);
    for (const here of gone) {
      this.#tables.forget(here, 1);
      if (this.#tables.has(here)) continue;
      const entry = this.#entries.get(here);
      if (entry === undefined) continue;
      this.#entries.delete(here);
      const key = idsText(entry.ids);
      const others = this.#byIds.get(key);
      others?.delete(entry);
      if (others?.size === 0) this.#byIds.delete(key);
    }
  }

  #fill(ids: Ids, handle: FileHandle | null): Candidate {
    const candidate = this.#candidate;
    candidate.inoLow = Number(ids.ino & 0xffffffffn) | 0;
    candidate.inoHigh = Number(ids.ino >> 32n) | 0;
    candidate.devMajor = ids.dev.major;
    candidate.devMinor = ids.dev.minor;
    candidate.mntId = this.implementation.keyHasMount ? ids.mntId : 0;
    candidate.handleLength = NO_HANDLE;
    candidate.fd = SOME_FD;
    if (handle === null) return candidate;
    candidate.fd = NO_FD;
    candidate.handleType = handle.type;
    candidate.handleLength = handle.bytes.length;
    candidate.handleWords.fill(0);
    new Uint8Array(candidate.handleWords.buffer).set(handle.bytes);
    return candidate;
  }
}

/** Before Linux 5.8 mount ids are all 0, and only the unique one may tell mounts apart. */
function mountOf({ spare }: LookupEvent, { mntId }: Ids): number {
  return mntId === 0 ? (spare?.mntIdUnique ?? 0) : mntId;
}

/** Findings of one judgement that are kept; the rest is only counted. */
export const MOST_FINDINGS = 100;

export interface Judgement {
  readonly lookups: number;
  readonly prevented: number;
  /** By the number of the hazard. */
  readonly totals: Readonly<Record<string, number>>;
  /** The first of them. */
  readonly findings: readonly Hazard[];
}

/** @param source the rule that the stream's daemon follows */
export function judge(
  events: Iterable<InspectorEvent>,
  implementation: Implementation,
  source: LookupRule,
): Judgement {
  const court = new Judge(implementation, source);
  const totals: Record<string, number> = {};
  const findings: Hazard[] = [];
  let lookups = 0;
  for (const event of events) {
    const answered = court.fold(event);
    if (answered === null) continue;
    lookups++;
    for (const finding of answered.findings) {
      totals[finding.id] = (totals[finding.id] ?? 0) + 1;
      if (findings.length < MOST_FINDINGS) findings.push(finding);
    }
  }
  return { lookups, prevented: court.prevented, totals, findings };
}
