/**
 * The order of the Key Map's rows and the windows that viewers see of it (protocol/map.ts).
 *
 * A plan is the list of all rows as numbers: a node id, or minus the node id of a directory. It is
 * made anew only when rows came, went or moved.
 */

import type { MapRequest, MapRow, MapWindow } from '../protocol/map';
import { lookupToJson } from '../protocol/eventJson';
import type { LookupJson } from '../protocol/json';
import { SEVERITIES } from '../hazards/hazard';
import type { Nodeid } from '../tables/identity';
import { asNodeid, NO_NODEID } from '../tables/identity';
import { entryRow } from './entryJson';
import { errnoName } from './errnoName';
import type { EventHistory } from './eventHistory';
import type { DirectoryCount, LiveModel } from './liveModel';
import { entryTest } from './mapQuery';

/** Above this many, entries are left in the order of their rows instead of by name. */
const SORTED_CHILDREN = 5_000;

interface Plan {
  readonly rows: readonly number[];
  readonly attention: number;
  /** Healthy entries that stand in the attention part beside what they took, by directory. */
  readonly lent: ReadonlyMap<Nodeid, number>;
  readonly structure: number;
  readonly madeAt: number;
  /** How long it took; a plan of a million rows is not made twenty times a second. */
  readonly cost: number;
}

/** One viewer's look at the map. */
export class KeyMapView {
  #plan: Plan | null = null;
  #version = 0;
  #seenSeq: number;

  constructor(
    private model: LiveModel,
    private history: EventHistory,
    private request: MapRequest,
  ) {
    this.#seenSeq = model.nextSeq - 1;
  }

  /** Looks at another model, which has begun anew. */
  startOver(model: LiveModel, history: EventHistory): void {
    this.model = model;
    this.history = history;
    this.#plan = null;
    this.#seenSeq = 0;
  }

  /** Looks elsewhere. */
  move(request: MapRequest): void {
    const sameRows =
      request.query === this.request.query &&
      request.reveal === undefined &&
      request.unfolded.join() === this.request.unfolded.join();
    this.request = request;
    if (!sameRows) this.#plan = null;
  }

  window(): MapWindow {
    const { model, request } = this;
    const revealed = this.#revealed();
    const plan = this.#currentPlan();
    const at = revealed === null ? -1 : plan.rows.indexOf(revealed);
    const last = Math.max(0, plan.rows.length - request.count);
    const offset =
      at === -1
        ? Math.min(request.offset, last)
        : Math.max(0, Math.min(last, at - Math.floor(request.count / 2)));
    const touched = model.touchedSince(this.#seenSeq);
    this.#seenSeq = model.nextSeq - 1;
    const rows = plan.rows
      .slice(offset, offset + request.count)
      .flatMap((row) => this.#row(row, plan, touched) ?? []);
    return {
      version: ++this.#version,
      seq: String(model.nextSeq - 1),
      offset,
      total: plan.rows.length,
      attention: plan.attention,
      entries: model.tables.size,
      rows,
      lastLookup: this.#lastLookup(),
      revealed: at === -1 ? null : at,
    };
  }

  #lastLookup(): LookupJson | null {
    const { lastLookupSeq } = this.model;
    const [event] = lastLookupSeq === 0 ? [] : this.history.from(lastLookupSeq, 1);
    return event?.type === 'lookup' ? lookupToJson(event, errnoName) : null;
  }

  #row(row: number, plan: Plan, touched: ReadonlySet<Nodeid>): MapRow | undefined {
    const { model } = this;
    if (row > 0) {
      const entry = model.tables.entry(row as Nodeid);
      return entry === undefined ? undefined : entryRow(entry, model, touched.has(entry.nodeid));
    }
    const directory = Math.abs(row) as Nodeid;
    const count = model.directories.get(directory);
    return {
      row: 'directory',
      nodeid: String(directory),
      path: model.path(directory) ?? `(directory of node ${directory}, forgotten)`,
      healthy: healthy(count, plan.lent.get(directory)),
      unfolded: this.request.unfolded.includes(String(directory)),
    };
  }

  /** The entry to bring into view; its directory is unfolded for it. Asked for once. */
  #revealed(): Nodeid | null {
    const { reveal } = this.request;
    if (reveal === undefined) return null;
    const nodeid = asNodeid(Number(reveal)) ?? NO_NODEID;
    const row = this.model.tables.rowOf(nodeid);
    const { reveal: _once, ...rest } = this.request;
    this.request = rest;
    this.#plan = null;
    if (row === -1) return null;
    const directory = String(this.model.paths.parentOf(row));
    const { unfolded } = rest;
    if (!this.model.attention.has(nodeid) && !unfolded.includes(directory) && rest.query === '') {
      this.request = { ...rest, unfolded: [...unfolded, directory] };
    }
    return nodeid;
  }

  #currentPlan(): Plan {
    const { model } = this;
    const old = this.#plan;
    const now = performance.now();
    if (old !== null) {
      if (old.structure === model.structure) return old;
      // A costly plan is kept a while: rows that went are left out, rows that came wait.
      if (now - old.madeAt < old.cost * 10) return old;
    }
    const rows: number[] = [];
    const lent = new Map<Nodeid, number>();
    const attention = this.#planRows(rows, lent);
    const cost = performance.now() - now;
    const plan = { rows, attention, lent, structure: model.structure, madeAt: now, cost };
    this.#plan = plan;
    return plan;
  }

  #planRows(rows: number[], lent: Map<Nodeid, number>): number {
    const { model, request } = this;
    if (request.query.trim() !== '') {
      const test = entryTest(request.query, model);
      for (let row = 0; row < model.tables.rowLimit; row++) {
        const nodeid = model.tables.nodeidAt(row);
        if (nodeid !== 0 && test(row, nodeid)) rows.push(nodeid);
      }
      return 0;
    }
    for (const nodeid of this.#attentionGroups()) {
      rows.push(nodeid);
      if (model.attention.has(nodeid)) continue;
      const directory = model.paths.parentOf(model.tables.rowOf(nodeid));
      lent.set(directory, (lent.get(directory) ?? 0) + 1);
    }
    const attention = rows.length;
    const shown = new Set(rows);
    const children = this.#unfoldedChildren(shown);
    for (const directory of this.#sortedDirectories(lent)) {
      rows.push(0 - directory);
      for (const child of children.get(directory) ?? []) rows.push(child);
    }
    return attention;
  }

  /**
   * The entries that need attention, worst and newest first, each ids key's group together: the
   * entry that owns the key, then those that it was stolen from.
   */
  #attentionGroups(): Nodeid[] {
    const { model } = this;
    const groups = new Map<Nodeid, { rank: number; seq: number; victims: Nodeid[] }>();
    for (const [nodeid, seq] of model.attention) {
      const owner = model.tables.ownerOfIdsKey(nodeid);
      const head = owner === 0 ? nodeid : owner;
      const worst = model.hazards.worstOf(nodeid) ?? 'information';
      const rank = SEVERITIES.indexOf(worst);
      const group = groups.get(head) ?? { rank, seq, victims: [] };
      group.rank = Math.min(group.rank, rank);
      group.seq = Math.max(group.seq, seq);
      if (nodeid !== head) group.victims.push(nodeid);
      groups.set(head, group);
    }
    return [...groups]
      .sort(([, a], [, b]) => a.rank - b.rank || b.seq - a.seq)
      .flatMap(([head, { victims }]) => [head, ...victims.sort((a, b) => b - a)]);
  }

  #sortedDirectories(lent: ReadonlyMap<Nodeid, number>): Nodeid[] {
    const { model } = this;
    return [...model.directories]
      .filter(([nodeid, count]) => healthy(count, lent.get(nodeid)) > 0)
      .map(([nodeid]) => ({ nodeid, path: model.path(nodeid) ?? '…' }))
      .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.nodeid - b.nodeid))
      .map(({ nodeid }) => nodeid);
  }

  #unfoldedChildren(shown: ReadonlySet<number>): Map<Nodeid, Nodeid[]> {
    const { model, request } = this;
    const children = new Map<Nodeid, Nodeid[]>();
    for (const text of request.unfolded) {
      const directory = asNodeid(Number(text));
      if (directory !== undefined) children.set(directory, []);
    }
    if (children.size === 0) return children;
    for (let row = 0; row < model.tables.rowLimit; row++) {
      const nodeid = model.tables.nodeidAt(row);
      if (nodeid !== 0 && !shown.has(nodeid)) children.get(model.paths.parentOf(row))?.push(nodeid);
    }
    for (const list of children.values()) {
      if (list.length > SORTED_CHILDREN) continue;
      const path = new Map(list.map((nodeid) => [nodeid, model.path(nodeid) ?? '']));
      list.sort((a, b) => ((path.get(a) ?? '') < (path.get(b) ?? '') ? -1 : 1));
    }
    return children;
  }
}

function healthy(count: DirectoryCount | undefined, lent = 0): number {
  return count === undefined ? 0 : count.all - count.attention - lent;
}
