/**
 * The gate: where a debugger holds requests. It lives on the thread that serves the guest; what it
 * is told comes through `command`, what it has to say goes through `report`.
 *
 * Not armed it costs one look at `armed`. Armed, a request that meets no breakpoint costs a few
 * lookups in maps (RuleBook). A held request holds only itself: while it waits, the transport serves
 * others on the same thread, deeper on the same stack, so that requests resume in the opposite order
 * of their stops.
 */

import { NO_HANDLE } from '../tables/candidate';
import type { Candidate } from '../tables/candidate';
import type { LookupOp } from '../tables/events';
import type {
  DebugRecorder,
  ForgetAtHand,
  Gate,
  RequestFacts,
  RequestSource,
} from '../tables/gate';
import type { FileHandle, Ids, Nodeid } from '../tables/identity';
import { NO_NODEID } from '../tables/identity';
import type { InodeTables } from '../tables/inodeTables';
import { LookupTrace } from '../tables/recorder';
import type { FaultCall, PauseReason, ResumeReason, StopPoint } from '../tables/stops';
import { FACT, KNOWN_AT, textOf } from './facts';
import type { Glob } from './glob';
import { compileGlob } from './glob';
import { RuleBook, hashName, hashText, isFor } from './ruleBook';
import { NOTHING_BEFORE, compileRule } from './rules';
import type {
  DebugCommand,
  DebugReport,
  Facts,
  Fault,
  FoundCandidate,
  ForgetFacts,
  Naming,
  StepHow,
} from './spec';
import { MAX_HELD } from './spec';

const ENOENT = 2;

/** A request that is being handled while the gate is armed. */
interface AtHand {
  /** Given when it is held for the first time; 0 before. */
  id: number;
  readonly opcode: number;
  readonly unique: number;
  readonly nodeid: Nodeid;
  facts: RequestFacts | null;
  step: 'over' | 'out' | null;
  /** What was known at the last point. */
  before: number;
  lookup: number;
  /** Of the lookup at hand; null outside lookups. */
  trace: LookupTrace | null;
  /** The same of a lookup that was made in one go. */
  lookedUp: LookupTrace | null;
  askedHandle: boolean;
  askedIds: boolean;
  decided: boolean;
  again: boolean;
  forget: ForgetAtHand | null;
  /** What the forgotten entry was. */
  forgotten: FoundCandidate | null;
  readonly faults: number[];
}

/** A request that waits. */
interface Held {
  readonly request: AtHand;
  go: ResumeReason | null;
  /** Null while it is judged whether it opened a hazard. */
  verdict: readonly number[] | null;
}

interface ArmedFault {
  readonly fault: Fault;
  readonly glob: Glob | null;
  /** The hash of the last name that it wants, or null. */
  readonly hash: number | null;
  seen: number;
  usedUp: boolean;
}

export class DebugGate implements Gate {
  armed = false;
  #source: RequestSource | null = null;
  #book = new RuleBook([]);
  #faults: readonly ArmedFault[] = [];
  /** The next decision of any request stops, for this reason. */
  #into: PauseReason | null = null;
  readonly #held: Held[] = [];
  readonly #stepping = new Set<AtHand>();
  // The request at hand. More is noted of it only when somebody looks at it closely.
  #active = false;
  #opcode = 0;
  #unique = 0;
  #nodeid: Nodeid = NO_NODEID;
  #request: AtHand | null = null;
  #lookedUp: LookupTrace | null = null;
  #nextId = 1;
  #releasing = false;
  #passing = false;

  constructor(
    private readonly tables: InodeTables,
    private readonly naming: Naming,
    private readonly recorder: DebugRecorder,
    private readonly report: (report: DebugReport) => void,
  ) {}

  attach(source: RequestSource): void {
    this.#source = source;
  }

  /** How many requests wait. */
  get held(): number {
    return this.#held.length;
  }

  // --- what the debugger wants ------------------------------------------------------------------

  command(command: DebugCommand): void {
    switch (command.type) {
      case 'breakpoints':
        this.#book = new RuleBook(
          command.breakpoints.map((breakpoint) => compileRule(breakpoint, this.naming)),
        );
        break;
      case 'faults':
        this.#setFaults(command.faults);
        break;
      case 'pause':
        this.#into = 'pause';
        break;
      case 'continue':
        this.#into = null;
        for (const held of this.#held) {
          if (command.request === null || command.request === held.request.id) {
            this.#go(held, 'continue');
          }
        }
        break;
      case 'step':
        this.#stepOn(command.request, command.how);
        break;
      case 'verdict':
        for (const held of this.#held) {
          if (held.request.id === command.request) held.verdict ??= command.breakpoints;
        }
        break;
      case 'release':
        this.#release(command.reason);
        break;
    }
    this.#arm();
  }

  letGo(): void {
    this.#letGo('session');
  }

  #letGo(reason: ResumeReason): void {
    this.#into = null;
    // None of them is held again on its way to its reply.
    this.#passing = this.#held.length > 0;
    for (const held of this.#held) this.#go(held, reason);
    this.#arm();
  }

  #go(held: Held, reason: ResumeReason): void {
    held.go ??= reason;
    held.request.step = null;
    this.#stepping.delete(held.request);
  }

  #stepOn(id: number, how: StepHow): void {
    const held = this.#held.find(({ request }) => request.id === id);
    if (held === undefined || held.go !== null) return;
    held.go = 'step';
    if (how === 'into') {
      this.#into = 'step';
      return;
    }
    held.request.step = how;
    this.#stepping.add(held.request);
  }

  #release(reason: ResumeReason): void {
    this.#book = new RuleBook([]);
    this.#faults = [];
    this.#stepping.clear();
    this.#releasing = true;
    this.#letGo(reason);
    this.#sayReleased();
  }

  #sayReleased(): void {
    if (!this.#releasing || this.#held.length > 0) return;
    this.#releasing = false;
    this.report({ type: 'released' });
  }

  /** Faults that stay keep their counts. */
  #setFaults(faults: readonly Fault[]): void {
    this.#faults = faults.map((fault) => {
      const same = this.#faults.find((armed) => isSameFault(armed.fault, fault));
      if (same !== undefined) return same;
      const glob = fault.path === null ? null : compileGlob(fault.path);
      const lastName = glob?.lastName ?? null;
      const hash = lastName === null ? null : hashText(lastName);
      return { fault, glob, hash, seen: 0, usedUp: false };
    });
  }

  #arm(): void {
    this.armed =
      this.#into !== null ||
      this.#book.all.length > 0 ||
      this.#faults.some(({ usedUp }) => !usedUp) ||
      this.#held.length > 0 ||
      this.#stepping.size > 0;
  }

  // --- requests ---------------------------------------------------------------------------------

  request(opcode: number, unique: number, nodeid: Nodeid): void {
    this.#active = true;
    this.#opcode = opcode;
    this.#unique = unique;
    this.#nodeid = nodeid;
    this.#request = null;
    this.#lookedUp = null;
    if (this.#into === null && !this.#concernsRequest(opcode, nodeid)) return;
    const request = this.#atHand();
    const known = request.before;
    request.before = NOTHING_BEFORE;
    this.#point(request, 'request', null, known);
  }

  /** The request at hand with all that is noted of it. */
  #atHand(): AtHand {
    return (this.#request ??= {
      id: 0,
      opcode: this.#opcode,
      unique: this.#unique,
      nodeid: this.#nodeid,
      facts: null,
      step: null,
      before: this.naming.hasPath(this.#opcode) ? FACT.name : 0,
      lookup: 0,
      trace: null,
      lookedUp: this.#lookedUp,
      askedHandle: false,
      askedIds: false,
      decided: false,
      again: false,
      forget: null,
      forgotten: null,
      faults: [],
    });
  }

  #concernsRequest(opcode: number, nodeid: Nodeid): boolean {
    const book = this.#book;
    if (book.concernsRequest(opcode, nodeid)) return true;
    const source = this.#source;
    if (!book.asksForNames || source === null) return false;
    const length = source.nameLength();
    return length > 0 && book.concernsName(opcode, hashName(source.bytes, source.nameAt, length));
  }

  reply(errno: number): void {
    if (!this.#active) return;
    const wanted =
      this.#into !== null ||
      this.#step !== null ||
      this.#book.concernsReply(this.#opcode, errno) ||
      (errno !== 0 && errno !== ENOENT && this.#book.hazards.length > 0);
    if (!wanted) return;
    const request = this.#atHand();
    this.#recall(request, errno);
    this.#point(request, 'reply', null, KNOWN_AT.reply, errno);
  }

  /** What the tables have said in a lookup that nobody looked at, if the reply is made of it. */
  #recall(request: AtHand, errno: number): void {
    const { lookedUp } = request;
    if (lookedUp === null || !ANSWERS.has(lookedUp.op)) return;
    const { asked, rule } = this.tables;
    const { hit } = asked;
    const byIds = hit === 'fallback_hit' || hit === 'handleless_hit';
    request.trace = lookedUp;
    request.decided = lookedUp.asked;
    request.askedIds = lookedUp.asked && !(rule.byHandle === 'first' && hit === 'handle_hit');
    request.askedHandle =
      lookedUp.asked &&
      lookedUp.candidate.handleLength !== NO_HANDLE &&
      (rule.byHandle === 'first' || (rule.byHandle === 'second' && !byIds));
    // Whoever waits for any of it was asked when the tables were.
    if (errno === 0) request.before |= KNOWN_AT.inserted;
  }

  end(): void {
    this.#active = false;
    if (this.#request === null) return;
    if (this.#stepping.delete(this.#request)) this.#arm();
    this.#request = null;
    if (this.#held.length === 0) this.#passing = false;
  }

  /** How the request at hand is stepped through. */
  get #step(): 'over' | 'out' | null {
    return this.#request === null ? null : this.#request.step;
  }

  // --- lookups ----------------------------------------------------------------------------------

  stepsByName(nameAt: number, nameLength: number): boolean {
    if (!this.#active) return false;
    if (this.#into !== null || this.#step === 'over') return true;
    const book = this.#book;
    const opcode = this.#opcode;
    if (this.#faults.length === 0) {
      // Otherwise the name was looked at when the request came in.
      const listing = book.asksForListedNames && !this.naming.hasPath(opcode);
      if (!listing) return book.concernsLookup(opcode);
    }
    const source = this.#source;
    const hash = source === null ? 0 : hashName(source.bytes, nameAt, nameLength);
    for (const armed of this.#faults) {
      if (armed.usedUp || armed.fault.call === 'open_by_handle_at') continue;
      if (armed.hash === null || armed.hash === hash) return true;
    }
    return (
      book.concernsLookup(opcode) ||
      (!this.naming.hasPath(opcode) && book.concernsListed(opcode, hash))
    );
  }

  stepsByCandidate(trace: LookupTrace): boolean {
    if (!this.#active) return false;
    if (this.#into !== null || this.#step === 'over') return true;
    const { tables } = this;
    const book = this.#book;
    if (book.hazards.length > 0 && mayOpenHazard(trace, tables)) return true;
    if (book.concernsCandidate(this.#opcode, trace.candidate)) return true;
    return book.explains && this.#explained(trace);
  }

  /** Whether a breakpoint would be hit by what the walk would find, if it were made now. */
  #explained(trace: LookupTrace): boolean {
    const { tables } = this;
    const answer = tables.explain(trace.candidate);
    const request = this.#atHand();
    const before = { ...request };
    request.trace = Object.assign(new LookupTrace(), trace, { nodeid: answer });
    request.askedHandle = request.askedIds = request.decided = true;
    const point = answer === NO_NODEID ? 'inserted' : 'claimed';
    const facts = this.#facts(request, point, null, 0);
    const concerned = this.#book.concernsAnswer(request.opcode, answer, tables, facts);
    Object.assign(request, before);
    return concerned;
  }

  lookedUp(trace: LookupTrace): void {
    if (this.#request === null) this.#lookedUp = trace;
    else this.#request.lookedUp = trace;
  }

  lookup(trace: LookupTrace): void {
    if (!this.#active) return;
    const request = this.#atHand();
    request.lookedUp = null;
    request.trace = trace;
    request.lookup++;
    request.before = this.naming.hasPath(request.opcode) ? FACT.name : 0;
    this.#undecide(request);
    request.again = false;
  }

  again(): void {
    if (!this.#active) return;
    const request = this.#atHand();
    request.before = KNOWN_AT.handle;
    this.#undecide(request);
    request.again = true;
  }

  #undecide(request: AtHand): void {
    request.askedHandle = false;
    request.askedIds = false;
    request.decided = false;
  }

  at(point: StopPoint, accepted: boolean | null = null): boolean {
    if (!this.#active) return false;
    const request = this.#atHand();
    const { asked } = this.tables;
    if (point === 'by_handle') {
      request.askedHandle = true;
      request.decided = asked.hit === 'handle_hit' || (asked.hit === 'miss' && request.askedIds);
    } else if (point === 'by_ids') {
      request.askedIds = true;
      const last = this.tables.rule.byHandle !== 'second' || request.askedHandle;
      request.decided = asked.hit === 'miss' && last;
    } else if (point === 'fallback') request.decided = true;
    const known =
      KNOWN_AT[point] |
      (request.askedHandle ? FACT.byHandle : 0) |
      (request.askedIds ? FACT.byIds : 0) |
      (request.decided ? FACT.hit : 0);
    return this.#point(request, point, accepted, known);
  }

  // --- forgets ----------------------------------------------------------------------------------

  stepsForget(nodeid: Nodeid): boolean {
    if (!this.#active) return false;
    if (this.#into !== null || this.#step === 'over') return true;
    const { tables } = this;
    if (this.#book.hazards.length > 0 && takesKeysAlong(nodeid, tables)) return true;
    return this.#book.concernsForget(this.#opcode, nodeid, tables);
  }

  forget(point: StopPoint, forget: ForgetAtHand): boolean {
    if (!this.#active) return false;
    const request = this.#atHand();
    if (point === 'counted') {
      const entry = this.tables.entry(forget.nodeid);
      request.forgotten =
        entry === undefined
          ? null
          : { ...NOT_LOOKED_AT, ids: entry.ids, handle: entry.handle, mode: entry.mode };
    }
    const { trace } = request;
    request.trace = null;
    request.forget = forget;
    const held = this.#point(request, point, null, KNOWN_AT[point]);
    request.forget = null;
    request.trace = trace;
    return held;
  }

  // --- faults -----------------------------------------------------------------------------------

  fault(call: FaultCall): number {
    if (!this.#active || this.#faults.length === 0) return 0;
    const { trace } = this.#atHand();
    if (trace === null) return 0;
    return this.#strike(this.#atHand(), call, () => this.#pathBelow(trace.parent, nameOf(trace)));
  }

  faultOf(call: FaultCall, nodeid: Nodeid): number {
    if (!this.#active || this.#faults.length === 0) return 0;
    return this.#strike(this.#atHand(), call, () => this.#source?.pathOf(nodeid) ?? null);
  }

  #strike(request: AtHand, call: FaultCall, pathOf: () => Uint8Array | null): number {
    let path: string | null | undefined;
    for (const armed of this.#faults) {
      const { fault, glob } = armed;
      if (armed.usedUp || fault.call !== call) continue;
      if (glob !== null) {
        path ??= textOf(pathOf());
        if (path === null || !glob.matches(path)) continue;
      }
      armed.seen++;
      if (fault.when.kind === 'nth' && armed.seen !== fault.when.n) continue;
      armed.usedUp = fault.when.kind !== 'every';
      const { unique, opcode } = request;
      this.recorder.injected(this.naming.operation(opcode), unique, call, fault.errno, fault.id);
      request.faults.push(fault.id);
      this.report({ type: 'struck', fault: fault.id, usedUp: armed.usedUp });
      this.#arm();
      return fault.errno;
    }
    return 0;
  }

  // --- points -----------------------------------------------------------------------------------

  /** @returns whether the request was held */
  #point(
    request: AtHand,
    point: StopPoint,
    accepted: boolean | null,
    known: number,
    errno = 0,
  ): boolean {
    if (this.#passing) return false;
    const facts = this.#facts(request, point, accepted, errno);
    const hits: number[] = [];
    for (const rule of this.#book.all) {
      const { breakpoint } = rule;
      if (breakpoint.hazard || !isFor(breakpoint, request.opcode)) continue;
      if (!rule.isDue(point, accepted, known, request.before)) continue;
      if (!rule.matches(facts) || !rule.counts()) continue;
      if (rule.says === null) hits.push(breakpoint.id);
      else {
        const text = rule.says(facts);
        this.report({ type: 'output', category: 'log', text, breakpoint: breakpoint.id });
      }
    }
    request.before = known;
    const reason = this.#reason(request, point, hits);
    if (reason !== null) {
      this.#into = null;
      return this.#stop(request, point, reason, hits, facts);
    }
    return this.#judge(request, point, facts);
  }

  #reason(request: AtHand, point: StopPoint, hits: readonly number[]): PauseReason | null {
    if (hits.length > 0) return 'breakpoint';
    if (this.#into !== null) return this.#into;
    if (request.step === 'over') return 'step';
    return request.step === 'out' && point === 'reply' ? 'step' : null;
  }

  #stop(
    request: AtHand,
    point: StopPoint,
    reason: PauseReason,
    breakpoints: readonly number[],
    facts: Facts,
  ): boolean {
    const held = this.#take(request);
    if (held === null) return false;
    this.#sayStopped(held, point, reason, breakpoints, facts);
    this.#park(held);
    return true;
  }

  /** Waits for the main thread's word whether a hazard was opened that somebody waits for. */
  #judge(request: AtHand, point: StopPoint, facts: Facts): boolean {
    if (this.#book.hazards.length === 0 || !this.#mayHaveOpened(request, point, facts)) {
      return false;
    }
    const wanted = this.#book.hazards.filter(
      (rule) =>
        isFor(rule.breakpoint, request.opcode) &&
        (rule.breakpoint.decision === null || rule.breakpoint.decision === point) &&
        rule.matches(facts),
    );
    if (wanted.length === 0) return false;
    const held = this.#take(request);
    if (held === null) return false;
    const breakpoints = wanted.map((rule) => rule.breakpoint.id);
    this.report({ type: 'judge', request: request.id, breakpoints });
    this.#wait(held, () => held.verdict !== null || held.go !== null);
    const verdict = held.verdict ?? [];
    const hits = wanted.filter((rule) => verdict.includes(rule.breakpoint.id) && rule.counts());
    const stops = hits.filter((rule) => {
      if (rule.says === null) return true;
      const text = rule.says(facts);
      this.report({ type: 'output', category: 'log', text, breakpoint: rule.breakpoint.id });
      return false;
    });
    if (stops.length === 0 || held.go !== null) {
      this.#drop(held);
      return true;
    }
    this.#sayStopped(
      held,
      point,
      'hazard',
      stops.map((rule) => rule.breakpoint.id),
      facts,
    );
    this.#park(held);
    return true;
  }

  #mayHaveOpened(request: AtHand, point: StopPoint, facts: Facts): boolean {
    if (point === 'inserted' || point === 'claimed') {
      const { asked, inserted } = this.tables;
      return (
        request.trace !== null &&
        (request.trace.handleErrno !== 0 ||
          (asked.hit !== 'handle_hit' && asked.hit !== 'miss') ||
          (point === 'inserted' &&
            (inserted.idsStolenFrom + inserted.handleStolenFrom !== NO_NODEID ||
              someoneHasNoKey(this.tables))) ||
          (point === 'claimed' && asked.byIds !== NO_NODEID && asked.byIds !== facts.answer))
      );
    }
    if (point === 'keys_removed') {
      return facts.forgets?.idsLostBy != null || facts.forgets?.handleLostBy != null;
    }
    return point === 'reply' && facts.errno !== null && facts.errno !== 0;
  }

  /** A place for one more held request; null when there is none. */
  #take(request: AtHand): Held | null {
    if (request.id === 0) request.id = this.#nextId++;
    if (this.#held.length >= MAX_HELD) {
      const op = this.naming.operation(request.opcode);
      this.recorder.resumed(op, request.unique, 'limit');
      const text = `${op} ${request.unique} was not stopped: ${MAX_HELD} requests are held already.`;
      this.report({ type: 'output', category: 'note', text, breakpoint: null });
      return null;
    }
    const held: Held = { request, go: null, verdict: null };
    this.#held.push(held);
    return held;
  }

  #sayStopped(
    held: Held,
    point: StopPoint,
    reason: PauseReason,
    breakpoints: readonly number[],
    facts: Facts,
  ): void {
    const { request } = held;
    request.step = null;
    this.#stepping.delete(request);
    this.recorder.paused(facts.op, request.unique, point, reason);
    const { id, again, faults } = request;
    this.report({
      type: 'stopped',
      stop: { request: id, point, reason, breakpoints, again, faults, facts },
    });
  }

  #park(held: Held): void {
    this.#wait(held, () => held.go !== null);
    const { id, opcode, unique } = held.request;
    const reason = held.go ?? 'ended';
    this.recorder.resumed(this.naming.operation(opcode), unique, reason);
    this.report({ type: 'resumed', request: id, unique, reason });
    this.#drop(held);
  }

  /** Comes back when `until` says so, or when the session is over, with everything let go. */
  #wait(held: Held, until: () => boolean): void {
    this.#arm();
    this.#source?.park(until);
    const { request } = held;
    this.#active = true;
    this.#opcode = request.opcode;
    this.#unique = request.unique;
    this.#nodeid = request.nodeid;
    this.#request = request;
    if (!until()) this.#letGo('ended');
  }

  #drop(held: Held): void {
    this.#held.splice(this.#held.indexOf(held), 1);
    this.#sayReleased();
    this.#arm();
  }

  // --- facts ------------------------------------------------------------------------------------

  #facts(request: AtHand, point: StopPoint, accepted: boolean | null, errno: number): Facts {
    const facts = (request.facts ??= this.#source?.facts() ?? NO_FACTS);
    const { trace, forget, nodeid } = request;
    const { asked, inserted } = this.tables;
    const isReply = point === 'reply';
    const done = point === 'claimed' || point === 'inserted' || isReply;
    const parent = trace?.parent ?? facts.parent;
    const name = trace === null ? facts.name : nameOf(trace);
    const hit = request.decided ? asked.hit : null;
    const source = this.#source;
    const pathBelow = (directory: Nodeid, below: Uint8Array) => this.#pathBelow(directory, below);
    let path: Uint8Array | null | undefined;
    return {
      op: this.naming.operation(request.opcode),
      unique: request.unique,
      point,
      lookup: request.lookup,
      node: nodeid === NO_NODEID ? null : nodeid,
      uid: facts.uid,
      gid: facts.gid,
      pid: facts.pid,
      parent,
      name,
      newParent: facts.newParent,
      newName: facts.newName,
      size: facts.size,
      offset: facts.offset,
      /** Asked of the kernel, so only when somebody looks. */
      get path() {
        path ??=
          name !== null && parent !== null
            ? pathBelow(parent, name)
            : (source?.pathOf(forget?.nodeid ?? nodeid) ?? null);
        return path;
      },
      candidate:
        forget !== null
          ? request.forgotten
          : trace?.identified === true
            ? candidateOf(trace, point)
            : null,
      byHandle: request.askedHandle ? { node: asked.byHandle || null } : null,
      byIds: request.askedIds ? { node: asked.byIds || null } : null,
      accepted,
      hit: isReply && errno !== 0 && trace !== null && trace.nodeid === NO_NODEID ? 'error' : hit,
      answer: done && trace !== null ? trace.nodeid || null : null,
      idsStolenFrom: done && trace?.inserted === true ? inserted.idsStolenFrom || null : null,
      handleStolenFrom: done && trace?.inserted === true ? inserted.handleStolenFrom || null : null,
      forgets: forget === null ? null : forgetFacts(forget),
      errno: isReply ? errno : null,
      fds: facts.fds,
    };
  }

  #pathBelow(parent: Nodeid, name: Uint8Array): Uint8Array | null {
    const directory = this.#source?.pathOf(parent) ?? null;
    if (directory === null) return null;
    if (directory.length === 0) return name;
    const path = new Uint8Array(directory.length + 1 + name.length);
    path.set(directory);
    path[directory.length] = SLASH;
    path.set(name, directory.length + 1);
    return path;
  }
}

const SLASH = 0x2f;

/** Operations that answer with the entry of their only lookup. */
const ANSWERS: ReadonlySet<string> = new Set<LookupOp>([
  ...(['LOOKUP', 'CREATE', 'MKDIR', 'MKNOD', 'SYMLINK', 'LINK'] as const),
]);

const NO_FACTS: RequestFacts = {
  uid: 0,
  gid: 0,
  pid: 0,
  parent: null,
  name: null,
  newParent: null,
  newName: null,
  size: null,
  offset: null,
  fds: { used: 0, limit: 0 },
};

/** What a lookup would tell of an entry and the tables do not keep. */
const NOT_LOOKED_AT = { handleErrno: 0, nlink: 0, btime: null, subvol: null } as const;

function nameOf({ nameBuffer, nameAt, nameLength }: LookupTrace): Uint8Array {
  return nameBuffer.slice(nameAt, nameAt + nameLength);
}

function candidateOf(trace: LookupTrace, point: StopPoint): FoundCandidate {
  const { candidate, btimeSeconds } = trace;
  // At `identified` the handle has not been made.
  const handled = point !== 'identified';
  return {
    ids: idsOfCandidate(candidate),
    handle: handled ? handleOf(candidate) : null,
    handleErrno: handled ? trace.handleErrno : 0,
    mode: candidate.mode,
    nlink: trace.nlink,
    btime:
      btimeSeconds === -1 ? null : { seconds: btimeSeconds, nanoseconds: trace.btimeNanoseconds },
    subvol: trace.subvol === -1 ? null : trace.subvol,
  };
}

function idsOfCandidate(candidate: Candidate): Ids {
  const { inoLow, inoHigh, devMajor, devMinor, mntId } = candidate;
  return {
    ino: (BigInt(inoHigh >>> 0) << 32n) | BigInt(inoLow >>> 0),
    dev: { major: devMajor, minor: devMinor },
    mntId,
  };
}

function handleOf({ mntId, handleType, handleWords, handleLength }: Candidate): FileHandle | null {
  if (handleLength === NO_HANDLE) return null;
  const bytes = new Uint8Array(handleWords.buffer).slice(0, handleLength);
  return { mntId, type: handleType, bytes };
}

function forgetFacts({ nodeid, count, left, idsLostBy, handleLostBy }: ForgetAtHand): ForgetFacts {
  return {
    node: nodeid,
    count,
    left,
    idsLostBy: idsLostBy || null,
    handleLostBy: handleLostBy || null,
  };
}

/** Whether anything but the plainest answer is to be expected. */
function mayOpenHazard(trace: LookupTrace, tables: InodeTables): boolean {
  if (trace.handleErrno !== 0) return true;
  const answer = tables.explain(trace.candidate);
  const { byHandle, byIds } = tables.asked;
  return (
    (byIds !== NO_NODEID && byIds !== answer) ||
    (byHandle !== NO_NODEID && byHandle !== answer) ||
    tables.asked.hit === 'fallback_hit' ||
    (answer === NO_NODEID && someoneHasNoKey(tables))
  );
}

/** Each entry came with an ids key: one without is not found, and its file gets another (H5). */
function someoneHasNoKey({ size, idsKeys }: InodeTables): boolean {
  return size > idsKeys;
}

function takesKeysAlong(nodeid: Nodeid, tables: InodeTables): boolean {
  const idsOwner = tables.ownerOfIdsKey(nodeid);
  const handleOwner = tables.ownerOfHandleKey(nodeid);
  return (
    (idsOwner !== NO_NODEID && idsOwner !== nodeid) ||
    (handleOwner !== NO_NODEID && handleOwner !== nodeid)
  );
}

function isSameFault(a: Fault, b: Fault): boolean {
  return (
    a.id === b.id &&
    a.call === b.call &&
    a.errno === b.errno &&
    a.path === b.path &&
    JSON.stringify(a.when) === JSON.stringify(b.when)
  );
}
