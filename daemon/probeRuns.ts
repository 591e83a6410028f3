/**
 * Probes on demand: of an entry, a directory or all. The file system's thread tries a few entries at
 * a time, between two requests; the answers are judged once the model has seen what came before them.
 */

import type { Debugger } from './inspector/debugLease';
import type { LiveModel } from './inspector/liveModel';
import type { ProbesOnDemand } from './inspector/probesOnDemand';
import { RpcError } from './inspector/rpcError';
import type { HostView } from './passthrough/hostView';
import { mountIds } from './passthrough/hostView';
import type { ProbeAnswer } from './passthrough/probing';
import { hasOtherIds } from './hazards/hazard';
import type { ProbeProgress, ProbeRequest } from './protocol/probe';
import { RPC_ERRORS } from './protocol/rpc';
import type { Nodeid } from './tables/identity';
import { asNodeid } from './tables/identity';

/** Entries that the file system's thread tries in one go, some 5 µs each, and the pause after it. */
const BATCH = 64;
const PAUSE_MS = 5;
/** Rows of the tables that are looked through for a batch. */
const ROWS_AT_A_TIME = 65_536;
/** Milliseconds between two reports. */
const REPORT_INTERVAL = 250;

interface Run {
  readonly owner: Debugger;
  readonly wanted: (nodeid: Nodeid, row: number) => boolean;
  /** The row to go on with. */
  row: number;
  progress: ProbeProgress;
  reportedAt: number;
  /** What was asked of the file system's thread and is not answered; 0: nothing. */
  question: number;
}

export interface ProbeActions {
  /** Asks the file system's thread; the answers come back, with the number, through `answered`. */
  ask(question: number, nodeids: readonly Nodeid[]): void;
  /** Calls back when the model has everything that happened until now. */
  whenCaughtUp(then: () => void): void;
  changed(): void;
}

export class ProbeRuns implements ProbesOnDemand {
  #run: Run | null = null;
  #questions = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly model: LiveModel,
    private readonly view: HostView,
    private readonly actions: ProbeActions,
  ) {}

  start(owner: Debugger, request: ProbeRequest): { of: number } {
    if (this.#run !== null) {
      throw new RpcError(
        RPC_ERRORS.notProbed,
        `Entries are being probed for ${this.#run.owner.client}: wait for the end, or cancel there.`,
      );
    }
    const { of, from, wanted } = this.#target(request);
    const progress = { state: 'running', done: 0, of, failed: 0, different: 0 } as const;
    this.#run = { owner, wanted, row: from, progress, reportedAt: 0, question: 0 };
    // The answer goes first.
    this.#timer = setTimeout(() => this.#next(), 0);
    return { of };
  }

  stop(owner: Debugger): void {
    if (this.#run?.owner === owner) this.#end(this.#run, 'cancelled');
  }

  /** The file system's thread has answered. */
  answered(question: number, answers: readonly ProbeAnswer[]): void {
    this.actions.whenCaughtUp(() => this.#judge(question, answers));
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#run = null;
  }

  #target(request: ProbeRequest): Pick<Run, 'wanted'> & { of: number; from: number } {
    const { model } = this;
    if ('all' in request) return { of: model.tables.size, from: 0, wanted: () => true };
    const text = 'nodeid' in request ? request.nodeid : request.directory;
    const nodeid = asNodeid(Number(text));
    if (nodeid === undefined || !model.tables.has(nodeid)) {
      throw new RpcError(RPC_ERRORS.unknownEntry, `Node ${text} is not in the tables (any more).`);
    }
    if ('nodeid' in request) {
      return { of: 1, from: model.tables.rowOf(nodeid), wanted: (other) => other === nodeid };
    }
    return {
      of: model.directories.get(nodeid)?.all ?? 0,
      from: 0,
      wanted: (_, row) => model.paths.parentOf(row) === nodeid,
    };
  }

  #next(): void {
    this.#timer = null;
    const run = this.#run;
    if (run === null || run.question !== 0) return;
    const { tables } = this.model;
    const batch: Nodeid[] = [];
    const stop = Math.min(tables.rowLimit, run.row + ROWS_AT_A_TIME);
    while (run.row < stop && batch.length < BATCH && !this.#isFull(run, batch.length)) {
      const nodeid = tables.nodeidAt(run.row);
      if (nodeid !== 0 && run.wanted(nodeid, run.row)) batch.push(nodeid);
      run.row++;
    }
    if (batch.length > 0) {
      run.question = ++this.#questions;
      this.actions.ask(run.question, batch);
    } else if (run.row >= tables.rowLimit || this.#isFull(run, 0)) this.#end(run, 'done');
    else this.#again(0);
  }

  /** New entries may come faster than they are tried: a run ends all the same. */
  #isFull({ progress }: Run, waiting: number): boolean {
    return progress.done + waiting >= progress.of;
  }

  #judge(question: number, answers: readonly ProbeAnswer[]): void {
    const { model } = this;
    const mounts = mountIds(this.view);
    const run = this.#run;
    let failed = 0;
    let different = 0;
    for (const { nodeid, errno, held } of answers) {
      const entry = model.tables.entry(nodeid);
      if (entry === undefined) continue;
      if (errno !== 0) failed++;
      else if (held !== null && hasOtherIds(entry, held)) different++;
      model.probed({ nodeid, errno, held, because: null, mounted: mounts.has(entry.ids.mntId) });
    }
    this.actions.changed();
    // The run that wanted to know may have been cancelled.
    if (run?.question !== question) return;
    run.question = 0;
    const { progress } = run;
    run.progress = {
      ...progress,
      done: progress.done + answers.length,
      failed: progress.failed + failed,
      different: progress.different + different,
    };
    const now = performance.now();
    if (now - run.reportedAt >= REPORT_INTERVAL) {
      run.reportedAt = now;
      run.owner.notify('probe', run.progress);
    }
    this.#again(PAUSE_MS);
  }

  #again(wait: number): void {
    this.#timer ??= setTimeout(() => this.#next(), wait);
  }

  #end(run: Run, state: 'done' | 'cancelled'): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#run = null;
    run.owner.notify('probe', { ...run.progress, state });
  }
}
