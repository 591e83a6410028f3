/**
 * All breakpoints together, arranged so that a request which meets none of them is told so after a
 * few lookups in maps, however many there are.
 */

import type { Candidate } from '../tables/candidate';
import { NO_HANDLE } from '../tables/candidate';
import type { Nodeid } from '../tables/identity';
import type { InodeTables } from '../tables/inodeTables';
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

/**
 * Rules by a number. Most numbers are nobody's, which a small table tells faster than a map, also
 * while the code is still cold.
 */
class Lists {
  readonly #lists = new Map<number, Rule[]>();
  readonly #filter = new Uint8Array(FILTER);

  add(key: number, rule: Rule): void {
    this.#filter[key & (FILTER - 1)] = 1;
    const list = this.#lists.get(key);
    if (list === undefined) this.#lists.set(key, [rule]);
    else list.push(rule);
  }

  concerns(key: number, opcode: number): boolean {
    return this.#filter[key & (FILTER - 1)] === 1 && anyFor(this.#lists.get(key), opcode);
  }

  get empty(): boolean {
    return this.#lists.size === 0;
  }
}

const FILTER = 4096;
const OPCODES = 64;

/** Rules that concern some operations, whatever else they ask for. */
class ByOpcode {
  readonly rules: Rule[] = [];
  readonly #concerned = new Uint8Array(OPCODES);

  add(rule: Rule): void {
    this.rules.push(rule);
    for (let opcode = 0; opcode < OPCODES; opcode++) {
      if (isFor(rule.breakpoint, opcode)) this.#concerned[opcode] = 1;
    }
  }

  concerns(opcode: number): boolean {
    return this.#concerned[opcode & (OPCODES - 1)] === 1;
  }
}

export class RuleBook {
  readonly all: readonly Rule[];
  /** Those that a hazard is part of. */
  readonly hazards: readonly Rule[];

  // Looked at when a request comes in, by what is most particular about each.
  readonly #byNode = new Lists();
  readonly #byName = new Lists();
  readonly #others = new ByOpcode();

  // Looked at in lookups.
  readonly #early = new ByOpcode();
  readonly #listed = new Lists();
  readonly #listedOthers = new ByOpcode();
  readonly #byIno = new Lists();
  readonly #byHandle = new Lists();
  readonly #explained: Rule[] = [];

  readonly #forgets = new ByOpcode();
  readonly #replies = new ByOpcode();

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
      this.#listedOthers.add(rule);
    }
    if (
      (point !== null && FORGET_POINTS.has(point)) ||
      (changes && point === null) ||
      (needs & FACT.forget) !== 0
    ) {
      this.#forgets.add(rule);
    }
    if (point === 'reply' || (needs & FACT.errno) !== 0 || breakpoint.hit === 'error') {
      this.#replies.add(rule);
    }
    if (point !== null && EARLY.has(point) && early && !changes) this.#early.add(rule);
    else this.#inLookups(rule, point, changes);
  }

  #atRequest(rule: Rule): void {
    const { breakpoint, glob } = rule;
    if (breakpoint.node !== null) this.#byNode.add(breakpoint.node, rule);
    else if (glob?.lastName != null) this.#byName.add(hashText(glob.lastName), rule);
    else this.#others.add(rule);
  }

  #inListings(rule: Rule): void {
    const lastName = rule.glob?.lastName ?? null;
    if (lastName !== null) this.#listed.add(hashText(lastName), rule);
    else this.#listedOthers.add(rule);
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

  /** Whether any may be hit as a request comes in, whatever its name. */
  concernsRequest(opcode: number, nodeid: Nodeid): boolean {
    return this.#others.concerns(opcode) || this.#byNode.concerns(nodeid, opcode);
  }

  /** The same for its name, whose hash this is. */
  concernsName(opcode: number, hash: number): boolean {
    return this.#byName.concerns(hash, opcode);
  }

  /** Whether `concernsName` is to be asked. */
  get asksForNames(): boolean {
    return !this.#byName.empty;
  }

  concernsReply(opcode: number, errno: number): boolean {
    if (!this.#replies.concerns(opcode)) return false;
    if (errno !== 0) return true;
    return this.#replies.rules.some(
      ({ breakpoint }) =>
        isFor(breakpoint, opcode) && breakpoint.errno === null && breakpoint.hit !== 'error',
    );
  }

  /** Whether a lookup is to be made stepwise before anything is known of it. */
  concernsLookup(opcode: number): boolean {
    return this.#early.concerns(opcode);
  }

  /** The same for an entry of a directory that is listed. */
  concernsListed(opcode: number, hash: number): boolean {
    return this.#listed.concerns(hash, opcode) || this.#listedOthers.concerns(opcode);
  }

  /** Whether `concernsListed` is to be asked. */
  get asksForListedNames(): boolean {
    return !this.#listed.empty || this.#listedOthers.rules.length > 0;
  }

  /** Whether a lookup is to be made stepwise for what it has found on the host. */
  concernsCandidate(opcode: number, candidate: Candidate): boolean {
    return (
      this.#byIno.concerns(candidate.inoLow >>> 0, opcode) ||
      (!this.#byHandle.empty &&
        candidate.handleLength !== NO_HANDLE &&
        this.#byHandle.concerns(hashHandle(candidate), opcode))
    );
  }

  /** Whether `concernsAnswer` is to be asked. */
  get explains(): boolean {
    return this.#explained.length > 0;
  }

  /** The same for what the tables say; `asked` has it, and `facts` what a walk would find. */
  concernsAnswer(opcode: number, answer: Nodeid, tables: InodeTables, facts: Facts): boolean {
    return this.#explained.some(
      (rule) =>
        isFor(rule.breakpoint, opcode) &&
        mayDecide(rule.breakpoint, answer, tables) &&
        (rule.breakpoint.entry !== null ||
          // It is hit once each time its mark is passed: not by looking.
          rule.breakpoint.fdsAbove !== null ||
          rule.matches(facts)),
    );
  }

  concernsForget(opcode: number, nodeid: Nodeid, tables: InodeTables): boolean {
    if (!this.#forgets.concerns(opcode)) return false;
    for (const rule of this.#forgets.rules) {
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
  const { decision, hit } = breakpoint;
  if (decision === 'inserted') return misses;
  if (decision === 'claimed') return !misses;
  if (decision === 'fallback') return asked.hit !== 'handle_hit' && asked.hit !== 'miss';
  if (decision === 'fallback_accepted') {
    return asked.hit === 'fallback_hit' || asked.hit === 'handleless_hit';
  }
  if (decision === 'fallback_rejected') return asked.hit === 'fallback_rejected';
  return hit === null || hit === asked.hit;
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
