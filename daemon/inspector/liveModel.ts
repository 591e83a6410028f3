/**
 * The inspector's copy of a daemon's tables, folded from its events, with what the tables do not
 * hold: names, hazards, counters, what is wrong with each key and since when.
 */

import { isZeroGeneration } from '../hazards/generation';
import type { Hazard, HazardView, NameChange, Probe, RecycledMount } from '../hazards/hazard';
import { idsText } from '../hazards/hazard';
import { FUSE_SUPER_MAGIC } from '../hazards/handles';
import { HazardBook } from '../hazards/hazardBook';
import { mountKey } from '../hazards/mountIdentity';
import type { InspectorEvent } from '../protocol/eventJson';
import { isoTime } from '../protocol/eventJson';
import type { Counters, Target } from '../protocol/json';
import { CELL_STATES } from '../protocol/map';
import type { CellState, KeyState } from '../protocol/map';
import { nameText } from '../protocol/text';
import type { InsertEvent, LookupEvent, LookupOp, TableEvent } from '../tables/events';
import { applyEvent, DriftError } from '../tables/events';
import type { Candidate } from '../tables/candidate';
import { NO_FD, NO_HANDLE } from '../tables/candidate';
import type { EntryKind, Nodeid } from '../tables/identity';
import { NO_NODEID, ROOT_NODEID } from '../tables/identity';
import type { VolumeFacts } from '../tables/recorder';
import type { HitKind } from '../tables/hitKind';
import type { Entry, TablesImage } from '../tables/inodeTables';
import { InodeTables } from '../tables/inodeTables';
import { LOOKUP_RULES } from '../tables/lookupRule';
import type { RecordGlance } from '../trace/record';
import type { HostFacts, MountChange } from './budget';
import { Budget } from './budget';
import { errnoName } from './errnoName';
import { birthHash, keyOf, NumberLanes } from './numberLanes';
import { PathTable } from './pathTable';
import { SeverityPyramid } from './severityPyramid';

/** What is wrong with an entry's keys, and since when (milliseconds since the epoch). */
interface Anomaly {
  idsChanged?: { time: number; by: Nodeid };
  handleChanged?: { time: number; by: Nodeid };
  probeErrno?: number;
  /** With which the guest met the entry's handle. */
  guestErrno?: number;
}

/** Entries of one directory by their newest name. */
export interface DirectoryCount {
  all: number;
  attention: number;
  /** Entries that hold a descriptor. */
  files: number;
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** Lookups that a viewer may still want to see flash. */
const RECENT = 512;
/** Forgotten node ids that are remembered. */
const FORGOTTEN_KEPT = 100_000;
const ENOENT = 2;
const ESTALE = 116;

/** Requests that find a name as it is; the others make it, or are about to take it away. */
const ONLY_LOOKS: ReadonlySet<LookupOp | 'FORGET'> = new Set(['LOOKUP', 'READDIRPLUS']);
const TAKE_AWAY: ReadonlySet<LookupOp | 'FORGET'> = new Set(['UNLINK', 'RMDIR', 'RENAME']);

export interface ModelListener {
  /** An event has its place in the stream, from the source or from the hazards. */
  event(event: InspectorEvent): void;
  /** An entry's handle should be tried; the answer comes back through `probed`. */
  probe(nodeid: Nodeid, because: LookupEvent | null): void;
  /** The file of an entry of kind file may have lost its last name. */
  mayBeZombie?(nodeid: Nodeid): void;
}

export class LiveModel {
  readonly tables: InodeTables;
  readonly paths = new PathTable();
  readonly hazards: HazardBook;
  readonly budget: Budget;
  readonly overview = new SeverityPyramid();
  readonly lanes: NumberLanes;
  /** Entries that stand above the folded directories, with the event that brought them there. */
  readonly attention = new Map<Nodeid, number>();
  readonly directories = new Map<Nodeid, DirectoryCount>();
  /** Grows with every change of what a map shows. */
  version = 0;
  /** Grows when rows come, go, or move between the parts of the map. */
  structure = 0;
  /** The newest lookup's position in the stream; 0 before the first. */
  lastLookupSeq = 0;
  /** Position of the next event. */
  nextSeq = 1;
  readonly #anomalies = new Map<Nodeid, Anomaly>();
  readonly #recent: { nodeid: Nodeid; seq: number }[] = [];
  readonly #hits: Record<HitKind, number> = {
    handle_hit: 0,
    fallback_hit: 0,
    handleless_hit: 0,
    fallback_rejected: 0,
    miss: 0,
    error: 0,
  };
  /** Living file entries that lost their ids key, by those ids. */
  readonly #filesWithoutKey = new Map<string, Nodeid>();
  /** What was heard of mounts; the newest is believed. */
  readonly #volumes = new Map<number, Pick<VolumeFacts, 'mntIdUnique' | 'fsType'>>();
  /** Mounts whose id was another mount's before, until a lookup there has told so. */
  readonly #recycled = new Map<number, RecycledMount>();
  #forgets = 0;
  #staleReplies = 0;
  /** Node ids that were forgotten, the oldest first; of sources that might give one twice. */
  readonly #forgotten = new Set<Nodeid>();
  /** The lookup whose insert comes next. */
  #newest: LookupEvent | null = null;
  #time = Date.now();

  constructor(
    readonly target: Target,
    private readonly listener: ModelListener,
    volumes: ReadonlyMap<number, VolumeFacts> = new Map(),
  ) {
    this.tables = new InodeTables(LOOKUP_RULES[target.lookupRule]);
    this.budget = new Budget(this, volumes);
    const staleReplies = () => this.#staleReplies;
    this.lanes = new NumberLanes(this.tables, this.paths);
    const view: HazardView = {
      tables: this.tables,
      handlesExpected: target.inodeFileHandles.effective !== 'never',
      handlesRefused: target.inodeFileHandles.refused ?? null,
      fsTypeOf: (mntId) => this.#volumes.get(mntId)?.fsType ?? null,
      recycledMount: (mntId) => this.#recycled.get(mntId) ?? null,
      guestErrno: (nodeid) => this.#anomalies.get(nodeid)?.guestErrno ?? 0,
      mountHasHandles: (mntId) => this.budget.mounts.hasHandles(mntId),
      wasNamed: (nodeid, parent, name) => {
        const row = this.tables.rowOf(nodeid);
        return row !== -1 && this.paths.is(row, parent, name);
      },
      fileWithoutKey: (ids) =>
        this.#filesWithoutKey.size === 0 ? null : (this.#filesWithoutKey.get(idsText(ids)) ?? null),
      wasForgotten: (nodeid) => this.#forgotten.has(nodeid),
      get staleReplies() {
        return staleReplies();
      },
      text: nameText,
      errnoName,
    };
    this.hazards = new HazardBook(view, {
      opened: (hazard) => this.#hazardChanged('hazard', hazard),
      closed: (hazard) => this.#hazardChanged('hazard_closed', hazard),
      probe: (nodeid, because) => this.listener.probe(nodeid, because),
    });
  }

  /** Takes the next event of the source, whose `seq` was taken from `nextSeq`. */
  fold(event: TableEvent): void {
    this.#time = event.time;
    this.version++;
    if (event.type === 'init' || event.type === 'destroy') {
      this.lanes.ended(event.time);
      this.#forgetAll();
    }
    if (event.type === 'forget') this.#beforeForget(event.nodeid, event.lookups);
    applyEvent(this.tables, event);
    this.listener.event(event);
    this.#note(event);
    this.hazards.judge(event);
    if (event.type === 'lookup' && event.nodeid !== null && event.ids !== null) {
      this.#recycled.delete(event.ids.mntId);
    }
    if (event.type === 'lookup' && event.probe === 'different') this.#noteAlias(event);
    this.#name(event);
  }

  /** Hears of a mount, before the lookup that has met it. */
  volume({ mntId, mntIdUnique, fsType }: VolumeFacts): void {
    const before = this.#volumes.get(mntId)?.mntIdUnique ?? null;
    if (before !== null && mntIdUnique !== null && before !== mntIdUnique) {
      this.#recycled.set(mntId, { before, now: mntIdUnique });
    }
    this.#volumes.set(mntId, { mntIdUnique, fsType });
  }

  /**
   * Takes a record without making events of it, when there is nothing in it that a hazard could be
   * or end. Otherwise nothing happens, and its events are to be folded.
   *
   * @returns whether it was taken
   */
  foldPlain(record: RecordGlance): boolean {
    if (!record.plain || this.#filesWithoutKey.size > 0 || this.#recycled.size > 0) return false;
    if (record.kind === 'lookup') {
      const ordinary = record.hit !== 'fallback_hit' && record.hit !== 'fallback_rejected';
      if (!ordinary || this.hazards.waitsForLookups) return false;
      if (this.#isNews(record) || this.#changesType(record)) return false;
      if (record.inserted && this.#isFirstOfZeroGeneration(record)) return false;
      this.#foldPlainLookup(record);
    } else if (record.kind === 'forget') {
      const { removed, nodeid } = record;
      if (removed && (nodeid === ROOT_NODEID || this.hazards.concern(nodeid))) return false;
      this.#time = record.time;
      this.#foldPlainForget(record);
    } else return false;
    this.#time = record.time;
    this.version++;
    return true;
  }

  /** An entry answers with another kind of object than it was made for (H30). */
  #changesType({ nodeid, inserted, mode }: RecordGlance): boolean {
    if (nodeid === 0 || inserted) return false;
    return ((this.tables.modeOf(nodeid) ^ mode) & S_IFMT) !== 0;
  }

  /** Its mount makes handles without generations, and nobody has said so yet (H15). */
  #isFirstOfZeroGeneration({ candidate, mode }: RecordGlance): boolean {
    const { handleType, handleLength, handleWords, mntId } = candidate;
    if (!isZeroGeneration(handleType, handleLength, handleWords)) return false;
    if ((mode & S_IFMT) === S_IFDIR) return false;
    if (this.#volumes.get(mntId)?.fsType === FUSE_SUPER_MAGIC) return false;
    return !this.hazards.isOpen('H15', mountKey(mntId));
  }

  #foldPlainLookup(record: RecordGlance): void {
    const { tables } = this;
    const { nodeid, inserted, candidate } = record;
    const seq = this.nextSeq;
    this.lastLookupSeq = seq;
    this.nextSeq += record.events;
    this.#hits[nodeid === 0 ? 'error' : record.hit]++;
    const takesAway = takesNameAway(record.op, record.errno);
    if (nodeid === 0) {
      if (takesAway) this.#unname(record.parent, record.bytes, record.nameAt, record.nameLength);
      return;
    }
    this.#touch(nodeid, seq);
    if (inserted) {
      if (tables.has(nodeid)) throw new DriftError(`node ${nodeid} is inserted a second time`);
      tables.insertAs(nodeid, 1, candidate);
      this.structure++;
      this.budget.mounts.came(nodeid, candidate.mntId, kindOf(candidate));
    } else if (!tables.count(nodeid)) {
      throw new DriftError(`a lookup found node ${nodeid}, which is unknown here`);
    }
    const row = tables.rowOf(nodeid);
    if (record.nameLength > 0) {
      const before = this.paths.parentOf(row);
      this.paths.note(row, record.parent, record.bytes, record.nameAt, record.nameLength);
      this.#moved(nodeid, row, before, record.parent);
      if (takesAway) this.#unname(record.parent, record.bytes, record.nameAt, record.nameLength);
    }
    if (inserted) {
      this.overview.set(row, CELL_STATES.indexOf(tables.kindAt(row)));
      const birth = birthHash(record.birthSeconds, record.birthNanoseconds);
      this.lanes.inserted(row, candidate, record.time, birth, NO_NODEID);
    }
  }

  #foldPlainForget(record: RecordGlance): void {
    this.nextSeq += record.events;
    if (record.byGuest) this.#forgets++;
    if (record.lookups === 0) this.#forgetRow(record.nodeid);
    if (!this.tables.forget(record.nodeid, record.count)) {
      throw new DriftError(`node ${record.nodeid} is forgotten, which is unknown here`);
    }
    if (record.removed) this.structure++;
  }

  /** Starts anew from the source's own tables, after events were lost. */
  restore(image: TablesImage): void {
    this.#forgetAll();
    this.tables.restore(image);
    this.lanes.restored(this.#time);
    this.hazards.judge({ type: 'init', seq: this.nextSeq, time: this.#time });
    for (const entry of this.tables.entries()) {
      this.refresh(entry.nodeid);
    }
    this.budget.mounts.recount();
    this.version++;
    this.#emit({ type: 'resync', entries: this.tables.size });
  }

  /** Takes the answer of a probe. */
  probed(probe: Probe): void {
    if (probe.errno !== 0 && this.tables.has(probe.nodeid)) {
      this.#anomaly(probe.nodeid).probeErrno = probe.errno;
      this.lanes.stale(probe.nodeid, probe.errno, this.#time);
    } else delete this.#anomalies.get(probe.nodeid)?.probeErrno;
    this.hazards.probed(probe, this.nextSeq - 1);
    this.refresh(probe.nodeid);
    this.version++;
  }

  /** Takes what the host says of the share's costs, and judges them; about once a second. */
  observe(facts: HostFacts): void {
    this.#time = Math.max(this.#time, facts.time);
    for (const change of this.budget.observe(facts)) {
      this.#emit({ type: 'mount_changed', ...change });
    }
    this.#judgeResources(facts.time);
  }

  /** Takes what a look at the descriptor of an entry of kind file said. */
  looked(nodeid: Nodeid, nlink: number, bytes: number, time: number): void {
    const row = this.tables.rowOf(nodeid);
    if (row !== -1) {
      this.budget.zombies.looked(nodeid, this.paths.parentOf(row), nlink, bytes, time);
    }
  }

  /** FORGETs of the guest so far. */
  get forgets(): number {
    return this.#forgets;
  }

  get counters(): Counters {
    const hits = this.#hits;
    const { used, limit } = this.budget.descriptors;
    return {
      lookups: {
        handle_hit: String(hits.handle_hit),
        fallback_hit: String(hits.fallback_hit),
        handleless_hit: String(hits.handleless_hit),
        fallback_rejected: String(hits.fallback_rejected),
        miss: String(hits.miss),
        error: String(hits.error),
      },
      entries: {
        file: String(this.tables.entriesOfKind('file')),
        handle: String(this.tables.entriesOfKind('handle')),
        invalid: String(this.tables.entriesOfKind('invalid')),
      },
      forgets: String(this.#forgets),
      fds: { used: String(used), limit: String(limit) },
    };
  }

  /** Milliseconds since the epoch; a recording's clock stands where it has been played to. */
  get now(): number {
    return this.target.kind === 'replay' ? this.#time : Date.now();
  }

  /** Bytes that the model takes for the tables, the names and the overview. */
  get byteLength(): number {
    return (
      this.tables.byteLength +
      this.paths.byteLength +
      this.overview.byteLength +
      this.lanes.byteLength
    );
  }

  path(nodeid: Nodeid): string | null {
    return this.paths.pathOf(nodeid, this.tables);
  }

  idsKey(nodeid: Nodeid): KeyState {
    const owner = this.tables.ownerOfIdsKey(nodeid);
    if (owner === nodeid) return { state: 'owned' };
    return changedKey(owner, this.#anomalies.get(nodeid)?.idsChanged);
  }

  handleKey(entry: Entry): KeyState {
    if (entry.kind !== 'handle') {
      const { effective } = this.target.inodeFileHandles;
      return { state: 'none', why: effective === 'never' ? 'file handles are off' : null };
    }
    const owner = this.tables.ownerOfHandleKey(entry.nodeid);
    if (owner === entry.nodeid) return { state: 'owned' };
    return changedKey(owner, this.#anomalies.get(entry.nodeid)?.handleChanged);
  }

  probeErrno(nodeid: Nodeid): string | null {
    const errno = this.#anomalies.get(nodeid)?.probeErrno;
    return errno === undefined ? null : errnoName(errno);
  }

  /** Entries touched by the events after `seq`, as far back as is kept. */
  touchedSince(seq: number): ReadonlySet<Nodeid> {
    const touched = new Set<Nodeid>();
    for (let i = this.#recent.length - 1; i >= 0; i--) {
      const recent = this.#recent[i];
      if (recent === undefined || recent.seq <= seq) break;
      touched.add(recent.nodeid);
    }
    return touched;
  }

  // --- following the events ---------------------------------------------------------------------

  #note(event: TableEvent): void {
    switch (event.type) {
      case 'lookup':
        this.lastLookupSeq = event.seq;
        this.#newest = event;
        this.#noteVolume(event);
        this.#hits[event.nodeid === null ? 'error' : event.hit]++;
        if (event.nodeid !== null) this.#touch(event.nodeid, event.seq);
        else this.#noteRefusal(event);
        return;
      case 'insert':
        this.structure++;
        this.budget.mounts.came(event.nodeid, event.ids.mntId, event.kind);
        this.#noteOwner(event);
        return;
      case 'key_stolen': {
        const change = { time: event.time, by: event.by };
        const anomaly = this.#anomaly(event.from);
        if (event.table === 'inodes_by_ids') anomaly.idsChanged = change;
        else anomaly.handleChanged = change;
        this.refresh(event.from);
        return;
      }
      case 'key_lost': {
        const change = { time: event.time, by: event.with };
        const anomaly = this.#anomaly(event.nodeid);
        const entry = this.tables.entry(event.nodeid);
        if (event.table === 'inodes_by_ids' && entry?.kind === 'file') {
          this.#filesWithoutKey.set(idsText(entry.ids), entry.nodeid);
        }
        if (event.table === 'inodes_by_ids') anomaly.idsChanged = change;
        else anomaly.handleChanged = change;
        this.refresh(event.nodeid);
        return;
      }
      case 'open_by_handle':
        if (event.errno === ESTALE) this.#staleReplies++;
        if (this.tables.has(event.nodeid)) {
          const anomaly = this.#anomaly(event.nodeid);
          anomaly.probeErrno = event.errno;
          anomaly.guestErrno = event.errno;
          this.lanes.stale(event.nodeid, event.errno, event.time);
          this.refresh(event.nodeid);
        }
        return;
      case 'forget':
        if (event.op === 'FORGET') this.#forgets++;
        return;
      case 'remove':
        this.#noteForgotten(event.nodeid);
        this.structure++;
        return;
      case 'init':
      case 'destroy':
        this.structure++;
        return;
      case 'over_forget':
      case 'paused':
      case 'resumed':
      case 'injected':
        return;
    }
  }

  /** A recording tells of mounts only beside its lookups. */
  #noteVolume({ ids, spare }: LookupEvent): void {
    if (ids === null || spare?.fsType == null) return;
    const { mntIdUnique, fsType } = spare;
    this.volume({ mntId: ids.mntId, mntIdUnique, fsType });
  }

  /** A number has a new owner. */
  #noteOwner(event: InsertEvent): void {
    const lookup = this.#newest;
    const btime = lookup?.nodeid === event.nodeid ? lookup.spare?.btime : undefined;
    const birth = birthHash(btime?.seconds ?? -1, btime?.nanoseconds ?? 0);
    const row = this.tables.rowOf(event.nodeid);
    const victim = this.tables.inserted.idsStolenFrom;
    this.lanes.inserted(row, keyOf(event.ids), event.time, birth, victim);
  }

  /** An entry that is known to be another file has answered again. */
  #noteAlias(event: LookupEvent): void {
    const [hazard] = event.nodeid === null ? [] : this.hazards.of(event.nodeid);
    if (hazard?.severity === 'data' && hazard.seq < event.seq) this.#noteWrongAnswer(hazard);
  }

  #noteWrongAnswer({ id, name, nodeids }: Hazard): void {
    const [nodeid] = nodeids;
    if (nodeid === undefined) return;
    const lookup = this.#newest?.nodeid === nodeid ? this.#newest : null;
    const folder = lookup === null ? null : this.path(lookup.parent);
    const asked =
      lookup === null
        ? null
        : `${folder === '.' ? '' : `${folder ?? '…'}/`}${nameText(lookup.name)}`;
    this.lanes.answeredWrongly(nodeid, { time: this.#time, hazard: `${id} ${name}`, asked });
  }

  /** Names an entry after the hazards have seen the name it had before. */
  #name(event: TableEvent): void {
    if (event.type === 'lookup') {
      if (event.nodeid !== null) this.#nameAs(event.nodeid, event);
      if (takesNameAway(event.op, event.errno)) this.#unname(event.parent, event.name);
    }
    if (event.type !== 'insert') return;
    const lookup = this.#newest;
    if (lookup?.nodeid === event.nodeid) this.#nameAs(event.nodeid, lookup);
    this.refresh(event.nodeid);
  }

  #nameAs(nodeid: Nodeid, lookup: LookupEvent): void {
    const row = this.tables.rowOf(nodeid);
    if (row === -1 || lookup.name.length === 0) return;
    const before = this.paths.parentOf(row);
    const other = this.paths.rowNamed(lookup.parent, lookup.name);
    this.paths.note(row, lookup.parent, lookup.name);
    this.#moved(nodeid, row, before, lookup.parent);
    if (other === -1 || other === row || !ONLY_LOOKS.has(lookup.op)) return;
    const { parent, name } = lookup;
    const change = { parent, name, from: this.tables.nodeidAt(other), to: nodeid };
    this.#emit({ type: 'name_changed', ...change });
    this.hazards.nameChanged(change, this.nextSeq - 1);
    this.#askIfZombie(other);
  }

  #moved(nodeid: Nodeid, row: number, before: Nodeid, parent: Nodeid): void {
    if (before === parent) return;
    this.structure++;
    this.#countIn(before, nodeid, row, -1);
    this.#countIn(parent, nodeid, row, 1);
  }

  #touch(nodeid: Nodeid, seq: number): void {
    this.#recent.push({ nodeid, seq });
    if (this.#recent.length > 2 * RECENT) this.#recent.splice(0, RECENT);
  }

  #beforeForget(nodeid: Nodeid, left: number): void {
    // The row goes with the forget, so that its name and counts must go before.
    if (left === 0) this.#forgetRow(nodeid);
  }

  #forgetRow(nodeid: Nodeid): void {
    const row = this.tables.rowOf(nodeid);
    if (row === -1) return;
    const entry = this.tables.entryAt(row);
    this.budget.mounts.goes(nodeid, entry.ids.mntId, entry.kind);
    this.budget.zombies.drop(nodeid);
    this.lanes.removed(row, entry, this.#time);
    this.#countIn(this.paths.parentOf(row), nodeid, row, -1);
    this.attention.delete(nodeid);
    this.#anomalies.delete(nodeid);
    if (this.#filesWithoutKey.size > 0) {
      const ids = idsText(entry.ids);
      if (this.#filesWithoutKey.get(ids) === nodeid) this.#filesWithoutKey.delete(ids);
    }
    this.paths.drop(row);
    this.overview.set(row, 0);
  }

  #forgetAll(): void {
    this.structure++;
    this.attention.clear();
    this.directories.clear();
    this.#anomalies.clear();
    this.budget.clear();
    this.#forgotten.clear();
    this.#staleReplies = 0;
    this.#filesWithoutKey.clear();
    this.#recent.length = 0;
    this.paths.clear();
    this.overview.clear();
    this.lastLookupSeq = 0;
    this.#newest = null;
  }

  /**
   * Whether a plain lookup is more than that for the model: a name that leads elsewhere than
   * before, or a mount that refuses.
   */
  #isNews(record: RecordGlance): boolean {
    const { nodeid, parent, bytes, nameAt, nameLength } = record;
    if (nodeid === 0) return record.hit !== 'error';
    if (nameLength === 0 || !ONLY_LOOKS.has(record.op)) return false;
    const named = this.paths.rowNamed(parent, bytes, nameAt, nameLength);
    return named !== -1 && this.tables.nodeidAt(named) !== nodeid;
  }

  /** A file was found, has a handle, and yet the lookup failed: its mount's handles cannot be opened. */
  #noteRefusal(event: LookupEvent): void {
    if (event.ids === null || event.handle === null || event.hit === 'error') return;
    const { mounts } = this.budget;
    const name = nameText(event.name);
    mounts.refuses(event.ids.mntId, { errno: event.errno, parent: event.parent, name });
    this.#judgeResources(event.time);
  }

  #judgeResources(time: number): void {
    this.hazards.standing(this.budget.resources(time), this.nextSeq - 1);
  }

  #noteForgotten(nodeid: Nodeid): void {
    // This daemon's own node ids only grow.
    if (this.target.kind === 'serve') return;
    this.#forgotten.add(nodeid);
    if (this.#forgotten.size <= FORGOTTEN_KEPT) return;
    for (const oldest of this.#forgotten) {
      this.#forgotten.delete(oldest);
      return;
    }
  }

  #unname(parent: Nodeid, name: Uint8Array, from = 0, length = name.length): void {
    const row = this.paths.rowNamed(parent, name, from, length);
    if (row === -1) return;
    this.paths.unname(parent, name, from, length);
    this.#askIfZombie(row);
  }

  #askIfZombie(row: number): void {
    if (this.tables.kindAt(row) === 'file') this.listener.mayBeZombie?.(this.tables.nodeidAt(row));
  }

  #countIn(directory: Nodeid, nodeid: Nodeid, row: number, by: number): void {
    if (directory === 0) return;
    const count = this.directories.get(directory) ?? { all: 0, attention: 0, files: 0 };
    count.all += by;
    if (this.tables.kindAt(row) === 'file') count.files += by;
    if (this.attention.has(nodeid)) count.attention += by;
    if (count.all <= 0) this.directories.delete(directory);
    else this.directories.set(directory, count);
  }

  #anomaly(nodeid: Nodeid): Anomaly {
    let anomaly = this.#anomalies.get(nodeid);
    if (anomaly === undefined) {
      anomaly = {};
      this.#anomalies.set(nodeid, anomaly);
    }
    return anomaly;
  }

  /** Works out again whether an entry needs attention, and its cell in the overview. */
  refresh(nodeid: Nodeid): void {
    const row = this.tables.rowOf(nodeid);
    if (row === -1) return;
    const entry = this.tables.entryAt(row);
    const worst = this.hazards.worstOf(nodeid);
    const odd =
      this.tables.ownerOfIdsKey(nodeid) !== nodeid ||
      (entry.kind === 'handle' && this.tables.ownerOfHandleKey(nodeid) !== nodeid) ||
      this.#anomalies.get(nodeid)?.probeErrno !== undefined;
    const needsAttention = odd || (worst !== null && worst !== 'information');
    if (needsAttention !== this.attention.has(nodeid)) {
      this.structure++;
      const directory = this.directories.get(this.paths.parentOf(row));
      if (needsAttention) this.attention.set(nodeid, this.nextSeq - 1);
      else this.attention.delete(nodeid);
      if (directory !== undefined) directory.attention += needsAttention ? 1 : -1;
    }
    const state: CellState = worst ?? (odd ? 'information' : entry.kind);
    this.overview.set(row, CELL_STATES.indexOf(state));
  }

  // --- hazards ------------------------------------------------------------------------------------

  #hazardChanged(type: 'hazard' | 'hazard_closed', hazard: Hazard): void {
    this.version++;
    this.#emit({ type, hazard });
    if (type === 'hazard' && hazard.severity === 'data') this.#noteWrongAnswer(hazard);
    for (const nodeid of hazard.nodeids) this.refresh(nodeid);
  }

  #emit(
    event:
      | { type: 'hazard' | 'hazard_closed'; hazard: Hazard }
      | ({ type: 'name_changed' } & NameChange)
      | ({ type: 'mount_changed' } & MountChange)
      | { type: 'resync'; entries: number },
  ): void {
    this.listener.event({ ...event, seq: this.nextSeq++, time: this.#time });
  }
}

/** Whether the guest itself changes what a name means, or was told that it means nothing. */
function takesNameAway(op: LookupOp | 'FORGET', errno: number): boolean {
  return TAKE_AWAY.has(op) || errno === ENOENT;
}

function kindOf({ handleLength, fd }: Candidate): EntryKind {
  if (handleLength !== NO_HANDLE) return 'handle';
  return fd === NO_FD ? 'invalid' : 'file';
}

function changedKey(owner: Nodeid, change: { time: number; by: Nodeid } | undefined): KeyState {
  const time = change === undefined ? null : isoTime(change.time);
  if (owner !== 0) return { state: 'stolen', owner: String(owner), time };
  return { state: 'lost', with: change === undefined ? null : String(change.by), time };
}
