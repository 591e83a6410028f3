/**
 * The one debugger that a daemon can have at a time, on the main thread: who it is, whether it still
 * lives, what it has armed, what is held. The gate itself is on the file system's thread; commands
 * go there, reports come back.
 */

import { randomBytes } from 'node:crypto';
import { compileExpression, valueText } from '../debug/expression';
import type { Breakpoint, DebugCommand, DebugReport, Facts, Fault, StepHow } from '../debug/spec';
import type { OpenFilesPage } from '../tables/gate';
import type { Hazard } from '../hazards/hazard';
import { SEVERITIES } from '../hazards/hazard';
import type {
  BreakpointJson,
  DebuggerStatus,
  FaultJson,
  FaultStateJson,
  StoppedJson,
} from '../protocol/debug';
import { MAX_HELD } from '../protocol/debug';
import { hazardToJson, isoTime } from '../protocol/eventJson';
import type { NotificationName, NotificationOf, ResultOf } from '../protocol/rpc';
import { RPC_ERRORS } from '../protocol/rpc';
import type { ResumeReason } from '../tables/stops';
import { NAMING } from './debugNaming';
import { readBreakpoint, readFault, stopToJson } from './debugSpecs';
import { RpcError } from './rpcError';

/** A connection that debugs. */
export interface Debugger {
  readonly client: string;
  notify<N extends NotificationName>(name: N, params: NotificationOf<N>): void;
}

/** The daemon that is debugged. */
export interface Debuggee {
  send(command: DebugCommand): void;
  /** Some of the files that the guest has open. */
  openFiles(from: number, count: number): Promise<OpenFilesPage>;
  /** Calls back when the model has everything that happened until now; at once, if it can. */
  whenCaughtUp(then: () => void): void;
  /** Resolves when the handles that somebody asked about have been tried. */
  probed(): Promise<void>;
  /** The newest event's position. */
  readonly seq: number;
  /** The debugger's state has changed: observers see it in the status. */
  changed(): void;
  log(text: string): void;
}

interface Lease {
  readonly token: string;
  readonly owner: Debugger;
  readonly since: number;
  readonly timeoutMs: number;
  /** All connections that debug together, the owner's as well. */
  readonly members: Set<Debugger>;
  heardAt: number;
  readonly timer: NodeJS.Timeout;
  breakpoints: { readonly json: BreakpointJson; readonly armed: Breakpoint }[];
  faults: FaultState[];
}

interface FaultState {
  readonly json: FaultJson;
  readonly armed: Fault;
  struck: number;
  usedUp: boolean;
}

interface HeldRequest {
  readonly json: StoppedJson;
  readonly facts: Facts;
}

const WHY: Readonly<Partial<Record<ResumeReason, string>>> = {
  detached: 'The debugger has detached.',
  disconnected: 'The debugger’s connection was closed.',
  ended: 'The daemon ends.',
};

export class DebugLease {
  #lease: Lease | null = null;
  /** Held requests, in the order of their stops. */
  readonly #held = new Map<number, HeldRequest>();
  /** Hazards opened since the last time that somebody asked. */
  #opened: Hazard[] = [];
  #released: (() => void)[] = [];
  /** Who is told of the end once nothing is held. */
  readonly #leaving: (NotificationOf<'debug.ended'> & { members: ReadonlySet<Debugger> })[] = [];

  constructor(private readonly debuggee: Debuggee) {}

  get status(): DebuggerStatus | null {
    const lease = this.#lease;
    if (lease === null) return null;
    return {
      client: lease.owner.client,
      since: isoTime(lease.since),
      held: this.#held.size,
      breakpoints: lease.breakpoints.length,
      faults: lease.faults.map(faultStateToJson),
    };
  }

  // --- methods ------------------------------------------------------------------------------------

  attach(who: Debugger, timeoutMs: number, token: string | undefined): ResultOf<'debug.attach'> {
    const lease = this.#lease;
    if (lease === null) {
      if (token !== undefined) {
        throw new RpcError(RPC_ERRORS.notAttached, 'The debugger with this lease is gone.');
      }
      return this.#attached(this.#begin(who, timeoutMs));
    }
    if (lease.members.has(who) || lease.token === token) {
      lease.members.add(who);
      return this.#attached(lease);
    }
    throw new RpcError(
      RPC_ERRORS.debuggerBusy,
      `${lease.owner.client} debugs this daemon since ${isoTime(lease.since)}; ` +
        'there can be one debugger at a time.',
    );
  }

  #begin(owner: Debugger, timeoutMs: number): Lease {
    const lease: Lease = {
      token: randomBytes(16).toString('hex'),
      owner,
      since: Date.now(),
      timeoutMs,
      members: new Set([owner]),
      heardAt: performance.now(),
      timer: setInterval(() => this.#watch(lease), Math.min(1_000, timeoutMs / 4)),
      breakpoints: [],
      faults: [],
    };
    lease.timer.unref();
    this.#lease = lease;
    this.#opened = [];
    this.debuggee.log(`${owner.client} debugs: requests may be held.`);
    this.debuggee.changed();
    return lease;
  }

  #attached({ token, timeoutMs }: Lease): ResultOf<'debug.attach'> {
    return { lease: token, timeoutMs, maxHeld: MAX_HELD, ...this.inspect() };
  }

  /** Notes a sign of life. @throws RpcError when this connection does not debug */
  heard(who: Debugger): Lease {
    const lease = this.#lease;
    if (!lease?.members.has(who)) {
      throw new RpcError(
        RPC_ERRORS.notAttached,
        'You do not debug this daemon (any more): call debug.attach.',
      );
    }
    lease.heardAt = performance.now();
    return lease;
  }

  inspect(): ResultOf<'debug.inspect'> {
    const lease = this.#lease;
    return {
      held: [...this.#held.values()].map(({ json }) => json),
      breakpoints: lease?.breakpoints.map(({ json }) => json) ?? [],
      faults: lease?.faults.map(faultStateToJson) ?? [],
    };
  }

  setBreakpoints(
    who: Debugger,
    wanted: readonly BreakpointJson[],
  ): ResultOf<'debug.setBreakpoints'> {
    const lease = this.heard(who);
    lease.breakpoints = [];
    const breakpoints = wanted.map((json) =>
      trying(json.id, () => lease.breakpoints.push({ json, armed: readBreakpoint(json) })),
    );
    this.debuggee.send({
      type: 'breakpoints',
      breakpoints: lease.breakpoints.map(({ armed }) => armed),
    });
    this.debuggee.changed();
    return { breakpoints };
  }

  setFaults(who: Debugger, wanted: readonly FaultJson[]): ResultOf<'debug.setFaults'> {
    const lease = this.heard(who);
    const before = lease.faults;
    lease.faults = [];
    const faults = wanted.map((json) =>
      trying(json.id, () => {
        const same = before.find((fault) => JSON.stringify(fault.json) === JSON.stringify(json));
        lease.faults.push(same ?? { json, armed: readFault(json), struck: 0, usedUp: false });
      }),
    );
    this.debuggee.send({ type: 'faults', faults: lease.faults.map(({ armed }) => armed) });
    this.debuggee.changed();
    return { faults };
  }

  pause(who: Debugger): void {
    this.heard(who);
    this.debuggee.send({ type: 'pause' });
  }

  continue(who: Debugger, request: number | undefined): ResultOf<'debug.continue'> {
    this.heard(who);
    if (request !== undefined) this.#find(request);
    this.debuggee.send({ type: 'continue', request: request ?? null });
    return { waiting: this.#waiting(request) };
  }

  step(who: Debugger, request: number, how: StepHow): ResultOf<'debug.step'> {
    this.heard(who);
    this.#find(request);
    this.debuggee.send({ type: 'step', request, how });
    return { waiting: this.#waiting(request) };
  }

  evaluate(who: Debugger, request: number, expression: string): ResultOf<'debug.evaluate'> {
    this.heard(who);
    const { facts } = this.#find(request);
    try {
      const value = compileExpression(expression, NAMING).evaluate(facts);
      const type = typeof value;
      return {
        value: valueText(value),
        type:
          value === null
            ? 'null'
            : type === 'bigint'
              ? 'number'
              : type === 'string'
                ? type
                : 'boolean',
      };
    } catch (error) {
      throw new RpcError(RPC_ERRORS.invalidParams, messageOf(error));
    }
  }

  openFiles(who: Debugger, from: number, count: number): Promise<OpenFilesPage> {
    this.heard(who);
    return this.debuggee.openFiles(from, count);
  }

  #find(request: number): HeldRequest {
    const held = this.#held.get(request);
    if (held === undefined) {
      throw new RpcError(RPC_ERRORS.notHeld, `Request ${request} is not held (any more).`);
    }
    return held;
  }

  /** The request, when others were stopped after it: it waits for them. */
  #waiting(request: number | undefined): number[] {
    return request === undefined || [...this.#held.keys()].at(-1) === request ? [] : [request];
  }

  // --- the end ------------------------------------------------------------------------------------

  /** A connection is over, or has had enough. When it is the one that began, the debugging ends. */
  leave(who: Debugger, reason: 'detached' | 'disconnected'): void {
    const lease = this.#lease;
    if (!lease?.members.has(who)) return;
    if (lease.owner === who) this.#end(lease, reason, WHY[reason] ?? '');
    else lease.members.delete(who);
  }

  /**
   * Lets everything go on before the session ends. Resolves when nothing is held, or after a second:
   * an end must not depend on a thread that may be stuck.
   */
  async end(): Promise<void> {
    const lease = this.#lease;
    if (lease === null) return;
    const released = new Promise<void>((resolve) => {
      this.#released.push(resolve);
      setTimeout(resolve, 1_000).unref();
    });
    this.#end(lease, 'ended', WHY.ended ?? '');
    await released;
  }

  #watch(lease: Lease): void {
    if (performance.now() - lease.heardAt < lease.timeoutMs) return;
    const seconds = Math.round(lease.timeoutMs / 1_000);
    this.#end(lease, 'timeout', `The debugger was not heard of for ${seconds} seconds.`);
  }

  /**
   * The file system's thread has ended by itself, as with its virtual machine: nothing is held any
   * more, and nobody takes commands.
   */
  over(): void {
    if (this.#lease !== null) this.#conclude(this.#lease, 'ended', WHY.ended ?? '');
    this.#held.clear();
    this.#take({ type: 'released' });
  }

  #end(lease: Lease, reason: ResumeReason, message: string): void {
    this.#conclude(lease, reason, message);
    this.debuggee.send({ type: 'release', reason });
    this.debuggee.changed();
  }

  #conclude(lease: Lease, reason: ResumeReason, message: string): void {
    clearInterval(lease.timer);
    this.#lease = null;
    const left = this.#held.size === 0 ? '' : ` ${this.#held.size} held requests go on.`;
    this.debuggee.log(`${message}${left} Nothing is armed any more.`);
    this.#leaving.push({ members: lease.members, reason, message });
  }

  // --- reports ------------------------------------------------------------------------------------

  /** A hazard was opened. */
  opened(hazard: Hazard): void {
    if (this.#lease?.breakpoints.some(({ armed }) => armed.hazard) !== true) return;
    this.#opened.push(hazard);
  }

  /** Takes what the gate says. What came into the event ring before belongs to it. */
  report(report: DebugReport): void {
    if (report.type === 'judge') {
      void this.#judge(report.request, report.breakpoints);
      return;
    }
    this.debuggee.whenCaughtUp(() => this.#take(report));
  }

  #take(report: Exclude<DebugReport, { type: 'judge' }>): void {
    const { seq } = this.debuggee;
    switch (report.type) {
      case 'stopped': {
        const { stop } = report;
        const hazards = stop.reason === 'hazard' ? this.#opened.map(hazardToJson) : [];
        if (stop.reason === 'hazard') this.#opened = [];
        const json = stopToJson(stop, seq, hazards);
        this.#held.set(stop.request, { json, facts: stop.facts });
        this.#tell('debug.stopped', json);
        break;
      }
      case 'resumed': {
        const { request, unique, reason } = report;
        this.#held.delete(request);
        this.#tell('debug.resumed', { request, unique: String(unique), reason, seq: String(seq) });
        break;
      }
      case 'output': {
        const { category, text, breakpoint } = report;
        this.#tell('debug.output', { category, text, breakpoint });
        break;
      }
      case 'struck': {
        const fault = this.#lease?.faults.find(({ json }) => json.id === report.fault);
        if (fault === undefined) return;
        fault.struck++;
        fault.usedUp = report.usedUp;
        this.#tell('debug.faults', { faults: this.#lease?.faults.map(faultStateToJson) ?? [] });
        break;
      }
      case 'released':
        for (const { members, reason, message } of this.#leaving.splice(0)) {
          for (const member of members) member.notify('debug.ended', { reason, message });
        }
        for (const resolve of this.#released.splice(0)) resolve();
        break;
    }
    this.debuggee.changed();
  }

  /** Says which breakpoints wait for a hazard that was just opened. */
  async #judge(request: number, ids: readonly number[]): Promise<void> {
    await new Promise<void>((resolve) => this.debuggee.whenCaughtUp(resolve));
    await this.debuggee.probed();
    const breakpoints = ids.filter((id) => {
      const wanted = this.#lease?.breakpoints.find(({ json }) => json.id === id)?.json.hazard;
      return wanted !== undefined && this.#opened.some((hazard) => isWanted(hazard, wanted));
    });
    // What nobody waits for must not be told of the next request.
    if (breakpoints.length === 0) this.#opened = [];
    this.debuggee.send({ type: 'verdict', request, breakpoints });
  }

  #tell<N extends NotificationName>(name: N, params: NotificationOf<N>): void {
    const leaving = this.#leaving.flatMap(({ members }) => [...members]);
    for (const member of [...leaving, ...(this.#lease?.members ?? [])]) member.notify(name, params);
  }
}

function isWanted({ id, severity }: Hazard, wanted: string): boolean {
  if (wanted === '*') return true;
  return SEVERITIES.some((known) => known === wanted) ? severity === wanted : id === wanted;
}

function faultStateToJson({ json, struck, usedUp }: FaultState): FaultStateJson {
  return { ...json, struck, usedUp };
}

function trying(
  id: number,
  arm: () => unknown,
): { id: number; armed: boolean; message: string | null } {
  try {
    arm();
    return { id, armed: true, message: null };
  } catch (error) {
    return { id, armed: false, message: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
