/** Breakpoints made ready: when each is looked at, and whether it is hit. */

import type { Ids } from '../tables/identity';
import type { FileHandle } from '../tables/identity';
import type { Decision, StopPoint } from '../tables/stops';
import { compileExpression, compileTemplate, isTrue } from './expression';
import { FACT, KNOWN_AT, textOf } from './facts';
import type { Glob } from './glob';
import { compileGlob } from './glob';
import type { Breakpoint, Facts, Naming, WantedHandle, WantedIds } from './spec';
import { ANY_ERRNO } from './spec';

/** Where a data breakpoint is looked at. */
const CHANGES: ReadonlySet<StopPoint> = new Set([
  'inserted',
  'claimed',
  'counted',
  'removed',
  'keys_removed',
]);

export interface Rule {
  readonly breakpoint: Breakpoint;
  /** The groups of facts that it asks for (FACT). */
  readonly needs: number;
  readonly glob: Glob | null;
  /** Whether it is looked at here, where `known` is known and `before` was at the point before. */
  readonly isDue: (
    point: StopPoint,
    accepted: boolean | null,
    known: number,
    before: number,
  ) => boolean;
  /** Whether all holds, but for the hazard, which the main thread judges. */
  readonly matches: (facts: Facts) => boolean;
  /** Counts a hit. @returns whether it is one that is wanted */
  readonly counts: () => boolean;
  /** The text to say instead of stopping. */
  readonly says: ((facts: Facts) => string) | null;
}

/** `before` at the first point of a request. */
export const NOTHING_BEFORE = -1;

/** @throws Error with a sentence when a part cannot be understood */
export function compileRule(breakpoint: Breakpoint, naming: Naming): Rule {
  const condition =
    breakpoint.condition === null ? null : compileExpression(breakpoint.condition, naming);
  const log = breakpoint.log === null ? null : compileTemplate(breakpoint.log, naming);
  const glob = breakpoint.path === null ? null : compileGlob(breakpoint.path);
  const needs =
    (glob === null ? 0 : FACT.name) |
    (breakpoint.ids === null ? 0 : FACT.candidate) |
    (breakpoint.handle === null ? 0 : FACT.handle) |
    (breakpoint.hit === null ? 0 : FACT.hit) |
    (breakpoint.errno === null ? 0 : FACT.errno) |
    (condition?.needs ?? 0) |
    (log?.needs ?? 0);
  refuseTooEarly(breakpoint, needs);
  const changes = breakpoint.key !== null || breakpoint.entry !== null;
  let hits = 0;
  let above = false;
  return {
    breakpoint,
    needs,
    glob,
    isDue(point, accepted, known, before) {
      if (breakpoint.decision !== null) return isDecision(breakpoint.decision, point, accepted);
      if (changes) return CHANGES.has(point);
      if ((needs & ~known) !== 0) return false;
      return before === NOTHING_BEFORE || (needs & ~before) !== 0;
    },
    matches(facts) {
      if (breakpoint.node !== null && facts.node !== breakpoint.node) return false;
      if (breakpoint.hit !== null && facts.hit !== breakpoint.hit) return false;
      if (breakpoint.errno !== null && !isErrno(breakpoint.errno, facts.errno)) return false;
      if (breakpoint.ids !== null && !areIds(breakpoint.ids, facts.candidate?.ids)) return false;
      if (breakpoint.handle !== null && !isHandle(breakpoint.handle, facts.candidate?.handle)) {
        return false;
      }
      if (changes && !hasChanged(breakpoint, facts)) return false;
      if (glob !== null && !glob.matches(textOf(facts.path ?? facts.name) ?? '/')) return false;
      if (breakpoint.fdsAbove !== null) {
        const was = above;
        above = facts.fds.used * 100 > breakpoint.fdsAbove * facts.fds.limit;
        if (was || !above) return false;
      }
      return condition === null || isTrue(condition.evaluate(facts));
    },
    counts() {
      hits++;
      const wanted = breakpoint.hits;
      if (wanted === null) return true;
      if (wanted.when === 'nth') return hits === wanted.count;
      return wanted.when === 'from' ? hits >= wanted.count : hits % wanted.count === 0;
    },
    says: log === null ? null : (facts) => log.text(facts),
  };
}

/** A decision at which what is asked for cannot be known would never be hit. */
function refuseTooEarly({ decision }: Breakpoint, needs: number): void {
  if (decision === null) return;
  const asked = FACT.byHandle | FACT.byIds | FACT.hit;
  const point = pointOf(decision);
  const known = KNOWN_AT[point] | (point === 'by_handle' || point === 'by_ids' ? asked : 0);
  // A node's path is known from the start; a listing's names come with its lookups.
  if ((needs & ~known & ~FACT.name) === 0) return;
  throw new Error(`At “${decision}” not everything is known yet that this breakpoint asks for.`);
}

export function pointOf(decision: Decision): StopPoint {
  return decision === 'fallback_accepted' || decision === 'fallback_rejected'
    ? 'fallback'
    : decision;
}

function isDecision(decision: Decision, point: StopPoint, accepted: boolean | null): boolean {
  if (pointOf(decision) !== point) return false;
  return decision === point || accepted === (decision === 'fallback_accepted');
}

function isErrno(wanted: number, errno: number | null): boolean {
  return errno !== null && errno !== 0 && (wanted === ANY_ERRNO || wanted === errno);
}

export function areIds(wanted: WantedIds, ids: Ids | undefined): boolean {
  return (
    ids !== undefined &&
    ids.ino === wanted.ino &&
    (wanted.mntId === null || wanted.mntId === ids.mntId) &&
    (wanted.dev === null ||
      (wanted.dev.major === ids.dev.major && wanted.dev.minor === ids.dev.minor))
  );
}

export function isHandle(wanted: WantedHandle, handle: FileHandle | null | undefined): boolean {
  if (handle === null || handle === undefined) return false;
  const { bytes, type, mntId } = handle;
  return (
    (wanted.type === null || wanted.type === type) &&
    (wanted.mntId === null || wanted.mntId === mntId) &&
    wanted.bytes.length === bytes.length &&
    wanted.bytes.every((byte, i) => byte === bytes[i])
  );
}

/** Of a data breakpoint: whether the key, or the entry, is other than before. */
function hasChanged({ key, entry }: Breakpoint, facts: Facts): boolean {
  const { point, answer, idsStolenFrom, handleStolenFrom, forgets, candidate } = facts;
  if (entry !== null) {
    const changed =
      point === 'counted'
        ? forgets?.node === entry && forgets.left > 0
        : point === 'removed'
          ? forgets?.node === entry
          : point === 'keys_removed'
            ? forgets?.idsLostBy === entry || forgets?.handleLostBy === entry
            : answer === entry || idsStolenFrom === entry || handleStolenFrom === entry;
    if (!changed) return false;
  }
  if (key === null) return true;
  if (point !== 'inserted' && point !== 'keys_removed') return false;
  // At keys_removed the candidate is what was forgotten.
  return key.table === 'inodes_by_ids'
    ? areIds(key.ids, candidate?.ids)
    : isHandle(key.handle, candidate?.handle);
}
