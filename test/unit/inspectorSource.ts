/** A daemon without a file system: tables that tell a live model what happens to them. */

import type { Probe } from '../../daemon/hazards/hazard';
import { EventHistory } from '../../daemon/inspector/eventHistory';
import { LiveModel } from '../../daemon/inspector/liveModel';
import type { InspectorEvent } from '../../daemon/protocol/eventJson';
import type { HandleMode } from '../../daemon/protocol/json';
import { Candidate, NO_FD, NO_HANDLE } from '../../daemon/tables/candidate';
import type { LookupEvent, LookupOp, TableEvent } from '../../daemon/tables/events';
import type { Ids, Nodeid } from '../../daemon/tables/identity';
import { ROOT_NODEID } from '../../daemon/tables/identity';
import { InodeTables } from '../../daemon/tables/inodeTables';
import type { LookupRuleName } from '../../daemon/tables/lookupRule';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import type { ProbeFinding } from '../../daemon/tables/held';
import type { ProbeResult } from '../../daemon/tables/hitKind';
import { targetOf } from './target';

export const ESTALE = 116;
export const EOPNOTSUPP = 95;
export const EOVERFLOW = 75;
export const ENOMEM = 12;
export const ENOENT = 2;

export interface File {
  readonly ino: number;
  /** Null: no handle can be made. */
  readonly generation: number | null;
  readonly mntId?: number;
  readonly mode?: number;
}

export interface LookupOptions {
  readonly parent?: Nodeid;
  readonly op?: LookupOp;
  readonly handleErrno?: number;
  readonly probe?: ProbeResult;
  readonly probed?: ProbeFinding;
  readonly nlink?: number;
  /** Seconds of the file's birth, where its file system keeps it. */
  readonly btime?: number;
  /** f_type. */
  readonly fsType?: number;
  readonly unique?: number;
  /** Since it was received; a microsecond. */
  readonly durationNs?: number;
}

type Unstamped = TableEvent extends infer E
  ? E extends TableEvent
    ? Omit<E, 'seq' | 'time'>
    : never
  : never;

export class Source {
  readonly tables: InodeTables;
  readonly history = new EventHistory(new Map());
  readonly events: InspectorEvent[] = [];
  /** Probes that were asked for and not yet answered. */
  readonly probes: Omit<Probe, 'errno'>[] = [];
  readonly model: LiveModel;
  /** Of the next event, in milliseconds since the epoch. */
  time = 1_795_000_000_000;
  /** Whether `events` collects them; for long runs it does not. */
  collects = true;
  readonly #candidate = new Candidate();

  constructor(mode: HandleMode = 'prefer', rule: LookupRuleName = 'handle-then-fd') {
    this.tables = new InodeTables(LOOKUP_RULES[rule]);
    this.model = new LiveModel(targetOf(mode, rule), {
      event: (event) => {
        this.history.push(event);
        if (this.collects) this.events.push(event);
      },
      probe: (nodeid, because) => void this.probes.push({ nodeid, because }),
    });
    this.init();
  }

  init(): void {
    this.tables.clear();
    this.#fold({ type: 'init' });
    const root = this.#fill({ ino: 1, generation: 0, mode: 0o040755 });
    this.tables.insertRoot(root);
    this.#inserted(ROOT_NODEID, 2);
  }

  destroy(): void {
    this.tables.clear();
    this.#fold({ type: 'destroy' });
  }

  /** Looks a name up as the daemon does; returns the node id. */
  lookup(name: string | Uint8Array, file: File, options: LookupOptions = {}): Nodeid {
    const candidate = this.#fill(file);
    const claimed = this.tables.claim(candidate);
    const asked = { ...this.tables.asked };
    const nodeid = claimed === 0 ? this.tables.insert(candidate) : claimed;
    const { idsStolenFrom, handleStolenFrom } = this.tables.inserted;
    this.#fold({
      ...this.#asked(name, options),
      ids: idsOf(file),
      handle: handleOf(file),
      byHandle: asked.byHandle === 0 ? null : asked.byHandle,
      byIds: asked.byIds === 0 ? null : asked.byIds,
      hit: asked.hit,
      nodeid,
      errno: 0,
      mode: candidate.mode,
    });
    if (claimed !== 0) return nodeid;
    this.#inserted(nodeid, 1);
    for (const [table, from] of [
      ['inodes_by_ids', idsStolenFrom],
      ['inodes_by_handle', handleStolenFrom],
    ] as const) {
      if (from !== 0) this.#fold({ type: 'key_stolen', table, from, by: nodeid });
    }
    return nodeid;
  }

  /** A lookup that the guest is told an errno for. */
  refuse(name: string, errno: number, options: LookupOptions = {}): void {
    this.#fold({
      ...this.#asked(name, options),
      ids: null,
      handle: null,
      byHandle: null,
      byIds: null,
      hit: 'error',
      nodeid: null,
      errno,
      mode: 0,
    });
  }

  forget(nodeid: Nodeid, count = 1): void {
    if (!this.tables.forget(nodeid, count)) throw new Error(`There is no node ${nodeid}.`);
    const { lookups, removed, idsLostBy, handleLostBy } = this.tables.forgotten;
    this.#fold({ type: 'forget', op: 'FORGET', nodeid, count, lookups });
    if (!removed) return;
    this.#fold({ type: 'remove', nodeid });
    for (const [table, victim] of [
      ['inodes_by_ids', idsLostBy],
      ['inodes_by_handle', handleLostBy],
    ] as const) {
      if (victim !== 0) this.#fold({ type: 'key_lost', table, nodeid: victim, with: nodeid });
    }
  }

  openByHandleFailed(nodeid: Nodeid, errno: number): void {
    this.#fold({ type: 'open_by_handle', nodeid, errno });
  }

  /** Answers every probe that was asked for. */
  answerProbes(errno: number): void {
    for (const probe of this.probes.splice(0)) this.model.probed({ ...probe, errno });
  }

  #asked(name: string | Uint8Array, options: LookupOptions) {
    const { parent, op, handleErrno, probe, probed, btime, fsType } = options;
    return {
      type: 'lookup',
      op: op ?? 'LOOKUP',
      unique: options.unique ?? 2,
      parent: parent ?? ROOT_NODEID,
      name: typeof name === 'string' ? Buffer.from(name) : name,
      handleErrno: handleErrno ?? 0,
      durationNs: options.durationNs ?? 1_000,
      probe: probe ?? 'not-probed',
      ...(probed === undefined ? {} : { probed }),
      spare:
        btime === undefined && fsType === undefined
          ? null
          : {
              btime: btime === undefined ? null : { seconds: btime, nanoseconds: 0 },
              subvol: null,
              nlink: options.nlink ?? 1,
              mntIdUnique: null,
              fsType: fsType ?? null,
            },
    } as const satisfies Partial<LookupEvent>;
  }

  #inserted(nodeid: Nodeid, lookups: number): void {
    const entry = this.tables.entry(nodeid);
    if (entry === undefined) throw new Error(`Node ${nodeid} was not inserted.`);
    this.#fold({ type: 'insert', ...entry, lookups });
  }

  #fold(event: Unstamped): void {
    const stamped = { ...event, seq: this.model.nextSeq++, time: this.time };
    this.model.fold(stamped);
  }

  /** As ext4 has it: a handle is the number and the generation. */
  #fill({ ino, generation, mntId, mode }: File): Candidate {
    const candidate = this.#candidate;
    candidate.inoLow = ino;
    candidate.devMajor = 7;
    candidate.mntId = mntId ?? 74;
    candidate.mode = mode ?? 0o100644;
    candidate.fd = generation === null ? 100 + ino : NO_FD;
    candidate.handleLength = generation === null ? NO_HANDLE : 8;
    candidate.handleType = 1;
    candidate.handleWords[0] = ino;
    candidate.handleWords[1] = generation ?? 0;
    return candidate;
  }
}

function idsOf({ ino, mntId }: File): Ids {
  return { ino: BigInt(ino), dev: { major: 7, minor: 0 }, mntId: mntId ?? 74 };
}

function handleOf({ ino, generation, mntId }: File): LookupEvent['handle'] {
  if (generation === null) return null;
  const bytes = new Uint8Array(new Int32Array([ino, generation]).buffer);
  return { mntId: mntId ?? 74, type: 1, bytes };
}
