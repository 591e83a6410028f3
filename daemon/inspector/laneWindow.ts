/** The order of the lanes, and the windows that viewers see of them (protocol/lanes.ts). */

import type {
  LaneBarJson,
  LaneClass,
  LaneJson,
  LanesRequest,
  LanesWindow,
} from '../protocol/lanes';
import { LANE_CLASSES, STRIP_BINS } from '../protocol/lanes';
import { errnoName } from './errnoName';
import type { LiveModel } from './liveModel';
import type { Lane, LaneBar } from './numberLanes';
import type { IdsKey } from './formerOwners';

interface Plan {
  readonly lanes: readonly Lane[];
  readonly counts: Record<LaneClass, number>;
  readonly strip: LanesWindow['strip'];
  readonly version: number;
  readonly madeAt: number;
  /** How long it took; a plan of many lanes is not made twenty times a second. */
  readonly cost: number;
}

/** One viewer's look at the lanes. */
export class LanesView {
  #plan: Plan | null = null;
  #version = 0;

  constructor(
    private model: LiveModel,
    private request: LanesRequest,
  ) {}

  /** A replay has begun anew. */
  startOver(model: LiveModel): void {
    this.model = model;
    this.#plan = null;
  }

  /** Looks elsewhere. */
  move(request: LanesRequest): void {
    const { offset: _offset, count: _count, ...rows } = this.request;
    const { offset: _newOffset, count: _newCount, ...newRows } = request;
    if (JSON.stringify(rows) !== JSON.stringify(newRows)) this.#plan = null;
    this.request = request;
  }

  /** The version of the lanes that the last window shows. */
  get shown(): number {
    return this.#plan?.version ?? -1;
  }

  /** When the next window can show a newer one (performance.now). */
  get freshAt(): number {
    return this.#plan === null ? 0 : this.#plan.madeAt + this.#plan.cost * 10;
  }

  window(): LanesWindow {
    const { model, request } = this;
    const { lanes: lanesKept } = model;
    const now = model.now;
    const plan = this.#currentPlan(now);
    const at = this.#revealed(plan.lanes);
    const last = Math.max(0, plan.lanes.length - request.count);
    const offset =
      at === null
        ? Math.min(request.offset, last)
        : Math.max(0, Math.min(last, at - Math.floor(request.count / 2)));
    return {
      version: ++this.#version,
      seq: String(model.nextSeq - 1),
      now,
      offset,
      total: plan.lanes.length,
      lanes: plan.lanes.slice(offset, offset + request.count).map((lane) => this.#lane(lane, now)),
      counts: plan.counts,
      strip: plan.strip,
      dropped: {
        lanes: lanesKept.lanesDropped,
        bars: lanesKept.barsDropped,
        former: lanesKept.formerDropped,
      },
      revealed: at,
    };
  }

  #revealed(lanes: readonly Lane[]): number | null {
    const { reveal, ...rest } = this.request;
    if (reveal === undefined) return null;
    this.request = rest;
    const nodeid = Number(reveal);
    const at = lanes.findIndex(({ bars }) => bars.some((bar) => bar.nodeid === nodeid));
    return at === -1 ? null : at;
  }

  #currentPlan(time: number): Plan {
    const { version } = this.model.lanes;
    const old = this.#plan;
    const now = performance.now();
    // A costly plan is kept a while: what happened in its lanes is shown, new lanes wait.
    if (old !== null && (old.version === version || now < this.freshAt)) return old;
    const plan = { ...this.#makePlan(time), version, madeAt: now, cost: performance.now() - now };
    this.#plan = plan;
    return plan;
  }

  #makePlan(now: number): Pick<Plan, 'lanes' | 'counts' | 'strip'> {
    const { model, request } = this;
    const test = laneTest(request.query, model);
    const counts = { wrong: 0, held: 0, was_held: 0, twice: 0, sequential: 0 };
    const wanted = new Set<LaneClass>(
      request.classes.length === 0 ? LANE_CLASSES : request.classes,
    );
    const found: { lane: Lane; rank: number; overlap: number }[] = [];
    const all: Lane[] = [];
    for (const lane of model.lanes.lanes()) {
      if (!test(lane)) continue;
      all.push(lane);
      const laneClass = classOf(lane);
      counts[laneClass]++;
      if (!wanted.has(laneClass) || !isWithin(lane, request, now)) continue;
      found.push({ lane, rank: LANE_CLASSES.indexOf(laneClass), overlap: overlapOf(lane, now) });
    }
    if (request.order === 'newest') found.sort((a, b) => b.lane.changed - a.lane.changed);
    else {
      found.sort(
        (a, b) => a.rank - b.rank || b.overlap - a.overlap || b.lane.changed - a.lane.changed,
      );
    }
    return { lanes: found.map(({ lane }) => lane), counts, strip: stripOf(all, now) };
  }

  #lane(lane: Lane, now: number): LaneJson {
    const { from, to } = this.request;
    return {
      ids: idsOf(lane.key),
      class: classOf(lane),
      owners: lane.owners,
      wrongAnswers: lane.wrongAnswers,
      overlap: lane.overlap,
      overlapSince: lane.overlapSince,
      bars: lane.bars.filter((bar) => isBarWithin(bar, from, to, now)).map((bar) => this.#bar(bar)),
      barsDropped: lane.barsDropped,
    };
  }

  #bar(bar: LaneBar): LaneBarJson {
    return {
      nodeid: String(bar.nodeid),
      kind: bar.kind,
      path: bar.to === null ? this.model.path(bar.nodeid) : bar.path,
      from: bar.from,
      to: bar.to,
      taken: bar.taken,
      stale: bar.stale === null ? null : { ...bar.stale, errno: errnoName(bar.stale.errno) },
      generation: bar.generation === null ? null : String(bar.generation),
      owner: bar.owner,
      wrong: bar.wrong.map((answer) => ({ ...answer })),
      wrongAnswers: bar.wrongAnswers,
    };
  }
}

export function classOf(lane: Lane): LaneClass {
  if (lane.wrongAnswers > 0) return 'wrong';
  if (lane.overlapSince !== null) return 'held';
  if (lane.overlap > 0) return 'was_held';
  return lane.owners > 1 ? 'sequential' : 'twice';
}

/** For the order, which is the same at any time: an event may be a fraction newer than `now`. */
function overlapOf(lane: Lane, now: number): number {
  return lane.overlap + (lane.overlapSince === null ? 0 : now - lane.overlapSince);
}

function isWithin(lane: Lane, { from, to }: LanesRequest, now: number): boolean {
  if (from === null && to === null) return true;
  return lane.bars.some((bar) => isBarWithin(bar, from, to, now));
}

function isBarWithin(bar: LaneBar, from: number | null, to: number | null, now: number): boolean {
  return (bar.to ?? now) >= (from ?? -Infinity) && (bar.from ?? -Infinity) <= (to ?? Infinity);
}

function stripOf(lanes: readonly Lane[], now: number): LanesWindow['strip'] {
  let from = now;
  for (const { bars } of lanes) {
    for (const bar of bars) from = Math.min(from, bar.from ?? bar.to ?? now);
  }
  const bins = () => Array.from({ length: STRIP_BINS }, () => 0);
  const strip = { from, to: now, overlaps: bins(), wrong: bins(), harmless: bins() };
  const width = Math.max(1, now - from) / STRIP_BINS;
  const count = (into: number[], time: number): void => {
    const bin = Math.max(0, Math.min(STRIP_BINS - 1, Math.floor((time - from) / width)));
    into[bin] = (into[bin] ?? 0) + 1;
  };
  for (const { bars } of lanes) {
    bars.forEach((bar, at) => {
      for (const { time } of bar.wrong) count(strip.wrong, time);
      if (bar.taken !== null) count(strip.overlaps, bar.taken);
      const { from: start } = bar;
      const before = bars[at - 1]?.to ?? null;
      if (start !== null && before !== null && before <= start) count(strip.harmless, start);
    });
  }
  return strip;
}

function idsOf(key: IdsKey): LaneJson['ids'] {
  const ino = (BigInt(key.inoHigh >>> 0) << 32n) | BigInt(key.inoLow >>> 0);
  return {
    ino: String(ino),
    dev: `${key.devMajor}:${key.devMinor}`,
    mntId: String(key.mntId),
  };
}

type LaneTest = (lane: Lane) => boolean;

/** Reads a query; one that means nothing matches names. */
function laneTest(query: string, model: LiveModel): LaneTest {
  const text = query.trim();
  if (text === '') return () => true;
  const [, field, number] = /^(?:(ino|node|mount|gen)\w*\s+)?([0-9]{1,20})$/i.exec(text) ?? [];
  const named = pathTest(text, model);
  if (number === undefined) return named;
  const isIno = ({ key }: Lane): boolean => idsOf(key).ino === number;
  const isNode = ({ bars }: Lane): boolean => bars.some((bar) => String(bar.nodeid) === number);
  switch (field?.toLowerCase() ?? '') {
    case 'ino':
      return isIno;
    case 'node':
      return isNode;
    case 'mount':
      return ({ key }) => String(key.mntId) === number;
    case 'gen':
      return ({ bars }) => bars.some(({ generation }) => String(generation) === number);
    default:
      return (lane) => isIno(lane) || isNode(lane) || named(lane);
  }
}

function pathTest(text: string, model: LiveModel): LaneTest {
  const wanted = text.toLowerCase();
  return ({ bars }) =>
    bars.some((bar) => {
      const path = bar.to === null ? model.path(bar.nodeid) : bar.path;
      return path?.toLowerCase().includes(wanted) === true;
    });
}
