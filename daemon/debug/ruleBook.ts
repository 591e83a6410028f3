/**
 * All breakpoints together, arranged so that a request which meets none of them is told so after a
 * few lookups in maps, however many there are.
 */

import type { Candidate } from '../tables/candidate';
import { NO_HANDLE } from '../tables/candidate';
import type { Nodeid } from '../tables/identity';
import type { InodeTables } from '../tables/inodeTables';
import type { LookupTrace } from '../tables/recorder';
import type { StopPoint } from '../tables/stops';
import { FACT } from './facts';
import type { Rule } from './rules';
import { pointOf } from './rules';
import type { Breakpoint, Facts } from './spec';

const FORGET_POINTS: ReadonlySet<StopPoint> = new Set(['counted', 'removed', 'keys_removed']);
/** Decisions that every lookup comes to, whatever it finds. */
const EARLY: ReadonlySet<StopPoint> = new Set([
  'parent',
  'opened',
  'identified',
  'handle',
  'by_handle',
  'by_ids',
]);

class Lists<K> {
  readonly #lists = new Map<K, Rule[]>();

  add(key: K, rule: Rule): void {
    const list = this.#lists.get(key);
    if (list === undefined) this.#lists.set(key, [rule]);
    else list.push(rule);
  }

  of(key: K): readonly Rule[] | undefined {
    return this.#lists.get(key);
  }

  get empty(): boolean {
    return this.#lists.size === 0;
  }
}

export class RuleBook {
  readonly all: readonly Rule[];
  /** Those that a hazard is part of. */
  readonly hazards: readonly Rule[];

  // Looked at when a request comes in, by what is most particular about each.
  readonly #byNode = new Lists<Nodeid>();
  readonly #byName = new Lists<number>();
  readonly #byOpcode = new Lists<number>();
  readonly #others: Rule[] = [];

  // Looked at in lookups.
  readonly #early: Rule[] = [];
  readonly #listed = new Lists<number>();
  readonly #listedOthers: Rule[] = [];
  readonly #byIno = new Lists<number>();
  readonly #byHandle = new Lists<number>();
  readonly #explained: Rule[] = [];

  readonly #forgets: Rule[] = [];
  readonly #replies: Rule[] = [];

  constructor(rules: readonly Rule[]) {
    this.all = rules;
    this.hazards = rules.filter(({ breakpoint }) => breakpoint.hazard);
    for (const rule of rules) this.#arrange(rule);
  }

  #arrange(rule: Rule): void {
    const { breakpoint, needs } = rule;
    if (breakpoint.hazard) return;
    const point = breakpoint.decision === null ? null : pointOf(breakpoint.decision);
    const changes = breakpoint.key !== null || breakpoint.entry !== null;
    const early = (needs & ~FACT.name) === 0;
    if (point === 'request' || (point === null && early && !changes)) this.#atRequest(rule);
    if (point === null && early && !changes && rule.glob !== null) this.#inListings(rule);
    if (point === null && early && !changes && rule.glob === null && needs !== 0) {
      this.#listedOthers.push(rule);
    }
    if (
      (point !== null && FORGET_POINTS.has(point)) ||
      (changes && point === null) ||
      (needs & FACT.forget) !== 0
    ) {
      this.#forgets.push(rule);
    }
    if (point === 'reply' || (needs & FACT.errno) !== 0 || breakpoint.hit === 'error') {
      this.#replies.push(rule);
    }
    if (point !== null && EARLY.has(point) && early && !changes) this.#early.push(rule);
    else this.#inLookups(rule, point, changes);
  }

  #atRequest(rule: Rule): void {
    const { breakpoint, glob } = rule;
    if (breakpoint.node !== null) this.#byNode.add(breakpoint.node, rule);
    else if (glob?.lastName != null) this.#byName.add(hashText(glob.lastName), rule);
    else if (breakpoint.opcodes !== null) {
      for (const opcode of breakpoint.opcodes) this.#byOpcode.add(opcode, rule);
    } else this.#others.push(rule);
  }

  #inListings(rule: Rule): void {
    const lastName = rule.glob?.lastName ?? null;
    if (lastName !== null) this.#listed.add(hashText(lastName), rule);
    else this.#listedOthers.push(rule);
  }

  #inLookups(rule: Rule, point: StopPoint | null, changes: boolean): void {
    const { breakpoint, needs } = rule;
    const { ids, handle, key } = breakpoint;
    const inLookup =
      point === null
        ? changes || (needs & ~FACT.name & ~FACT.forget & ~FACT.errno) !== 0
        : point !== 'request' && point !== 'reply' && !FORGET_POINTS.has(point);
    if (!inLookup || (needs & (FACT.errno | FACT.forget)) !== 0) return;
    if (ids !== null) this.#byIno.add(lowWord(ids.ino), rule);
    else if (handle !== null) this.#byHandle.add(hashBytes(handle.bytes), rule);
    else if (key?.table === 'inodes_by_ids') this.#byIno.add(lowWord(key.ids.ino), rule);
    else if (key?.table === 'inodes_by_handle') {
      this.#byHandle.add(hashBytes(key.handle.bytes), rule);
    } else this.#explained.push(rule);
  }

  // --- first looks: whether it is worth looking closely -------------------------------------------

  /** Whether any may be hit as a request comes in. */
  concernsRequest(opcode: number, nodeid: Nodeid, hash: number | null): boolean {
    return (
      anyFor(this.#byNode.of(nodeid), opcode) ||
      (hash !== null && anyFor(this.#byName.of(hash), opcode)) ||
      anyFor(this.#byOpcode.of(opcode), opcode) ||
      anyFor(this.#others, opcode)
    );
  }

  /** Whether the name of a request must be hashed for `concernsRequest`. */
  get asksForNames(): boolean {
    return !this.#byName.empty;
  }

  get asksForListedNames(): boolean {
    return !this.#listed.empty;
  }

  concernsReply(opcode: number, errno: number): boolean {
    for (const rule of this.#replies) {
      const { breakpoint } = rule;
      if (!isFor(breakpoint, opcode)) continue;
      if (errno === 0 && (breakpoint.errno !== null || breakpoint.hit === 'error')) continue;
      return true;
    }
    return false;
  }

  /** Whether a lookup is to be made stepwise for the sake of its name alone. */
  concernsLookup(opcode: number, listing: boolean, hash: number | null): boolean {
    if (anyFor(this.#early, opcode)) return true;
    if (!listing) return false;
    return (
      (hash !== null && anyFor(this.#listed.of(hash), opcode)) || anyFor(this.#listedOthers, opcode)
    );
  }

  /** The same for what it has found; `facts` tells everything that a walk would find. */
  concernsCandidate(
    opcode: number,
    trace: LookupTrace,
    tables: InodeTables,
    facts: () => Facts,
  ): boolean {
    const { candidate } = trace;
    if (!this.#byIno.empty && anyFor(this.#byIno.of(candidate.inoLow >>> 0), opcode)) return true;
    if (
      !this.#byHandle.empty &&
      candidate.handleLength !== NO_HANDLE &&
      anyFor(this.#byHandle.of(hashHandle(candidate)), opcode)
    ) {
      return true;
    }
    if (this.#explained.length === 0) return false;
    const answer = tables.explain(candidate);
    for (const rule of this.#explained) {
      if (!isFor(rule.breakpoint, opcode)) continue;
      if (!mayDecide(rule.breakpoint, answer, tables)) continue;
      if (rule.breakpoint.entry !== null || rule.matches(facts())) return true;
    }
    return false;
  }

  concernsForget(opcode: number, nodeid: Nodeid, tables: InodeTables): boolean {
    for (const rule of this.#forgets) {
      if (!isFor(rule.breakpoint, opcode)) continue;
      const { entry } = rule.breakpoint;
      if (
        entry === null ||
        entry === nodeid ||
        tables.ownerOfIdsKey(nodeid) === entry ||
        tables.ownerOfHandleKey(nodeid) === entry
      ) {
        return true;
      }
    }
    return false;
  }
}

/** Whether the tables' answer leads to the decision, or touches the entry, that is waited for. */
function mayDecide(breakpoint: Breakpoint, answer: Nodeid, { asked }: InodeTables): boolean {
  const { entry } = breakpoint;
  const misses = answer === 0;
  if (entry !== null) {
    return answer === entry || (misses && (asked.byIds === entry || asked.byHandle === entry));
  }
  switch (breakpoint.decision) {
    case 'inserted':
      return misses;
    case 'claimed':
      return !misses;
    case 'fallback':
      return asked.hit !== 'handle_hit' && asked.hit !== 'miss';
    case 'fallback_accepted':
      return asked.hit === 'fallback_hit' || asked.hit === 'handleless_hit';
    case 'fallback_rejected':
      return asked.hit === 'fallback_rejected';
    default:
      return breakpoint.hit === null || breakpoint.hit === asked.hit;
  }
}

export function isFor({ opcodes }: Breakpoint, opcode: number): boolean {
  return opcodes === null || opcodes.includes(opcode);
}

function anyFor(rules: readonly Rule[] | undefined, opcode: number): boolean {
  if (rules === undefined) return false;
  for (const { breakpoint } of rules) if (isFor(breakpoint, opcode)) return true;
  return false;
}

function lowWord(ino: bigint): number {
  return Number(ino & 0xffffffffn);
}

// FNV-1a, over the bytes of names and handles.
const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

export function hashName(bytes: Uint8Array, at: number, length: number): number {
  let hash = OFFSET;
  for (let i = at; i < at + length; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), PRIME);
  return hash;
}

export function hashBytes(bytes: Uint8Array): number {
  return hashName(bytes, 0, bytes.length);
}

function hashHandle({ handleWords, handleLength }: Candidate): number {
  let hash = OFFSET;
  for (let i = 0; i < handleLength; i++) {
    hash = Math.imul(hash ^ (((handleWords[i >> 2] ?? 0) >>> ((i & 3) * 8)) & 0xff), PRIME);
  }
  return hash;
}

/** The hash of a text's UTF-8 bytes. */
export function hashText(text: string): number {
  let hash = OFFSET;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    for (const byte of utf8Of(code)) hash = Math.imul(hash ^ byte, PRIME);
  }
  return hash;
}

function utf8Of(code: number): readonly number[] {
  const last = (shift: number) => 0x80 | ((code >> shift) & 0x3f);
  if (code < 0x80) return [code];
  if (code < 0x800) return [0xc0 | (code >> 6), last(0)];
  if (code < 0x10000) return [0xe0 | (code >> 12), last(6), last(0)];
  return [0xf0 | (code >> 18), last(12), last(6), last(0)];
}
