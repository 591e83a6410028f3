/**
 * Records of the event ring: written on the file system's thread without allocating, read on the
 * inspector's thread as events. One record becomes one to three events: a lookup with what it
 * inserted and stole, a forget with what it removed and lost.
 */

import { Candidate, NO_FD, NO_HANDLE } from '../tables/candidate';
import type { LookupOp, TableEvent, TableName } from '../tables/events';
import { LOOKUP_OPS } from '../tables/events';
import type { HeldTrace, ProbeFinding } from '../tables/held';
import { fieldsOf } from '../tables/held';
import type { HitKind } from '../tables/hitKind';
import { HIT_KINDS, PROBE_RESULTS } from '../tables/hitKind';
import type { FileHandle, Ids, Nodeid } from '../tables/identity';
import { ROOT_NODEID } from '../tables/identity';
import type { DebugRecorder } from '../tables/gate';
import type { InodeTables } from '../tables/inodeTables';
import type { LookupTrace, Recorder, VolumeFacts } from '../tables/recorder';
import type { FaultCall, PauseReason, ResumeReason, StopPoint } from '../tables/stops';
import { FAULT_CALLS, PAUSE_REASONS, RESUME_REASONS, STOP_POINTS } from '../tables/stops';
import type { RingWriter } from './eventRing';
import { recordHead, recordLength, recordType } from './eventRing';

const INIT = 1;
const DESTROY = 2;
const LOOKUP = 3;
const FORGET = 4;
const OPEN_BY_HANDLE = 5;
const VOLUME = 6;
const PAUSED = 7;
const RESUMED = 8;
const INJECTED = 9;
const OVER_FORGET = 10;

const HIT_NUMBER = new Map(HIT_KINDS.map((hit, number) => [hit, number]));
const FORGET_OPS: readonly (LookupOp | 'FORGET')[] = [...LOOKUP_OPS, 'FORGET'];
const OP_NUMBER = new Map(FORGET_OPS.map((op, number) => [op, number]));

const FLAG_IDENTIFIED = 1;
const FLAG_INSERTED = 2;
const FLAG_ASKED = 4;
/** The probe has something to tell; it stands after the name. */
const FLAG_PROBED = 8;

// Doubles are split through shared memory rather than by arithmetic.
const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

function putDouble(words: Int32Array, at: number, value: number): void {
  double[0] = value;
  words[at] = halves[0] ?? 0;
  words[at + 1] = halves[1] ?? 0;
}

function getDouble(words: Int32Array, at: number): number {
  halves[0] = words[at] ?? 0;
  halves[1] = words[at + 1] ?? 0;
  return double[0] ?? 0;
}

// Every record: head, then the time in two words.
const TIME = 1;
const BODY = 3;

/** Where the fields of a candidate stand, relative to its start. */
const C = {
  inoLow: 0,
  inoHigh: 1,
  devMajor: 2,
  devMinor: 3,
  mntId: 4,
  mode: 6,
  fd: 7,
  handleType: 8,
  handleLength: 9,
  handleWords: 10,
} as const;

function candidateLength(candidate: Candidate): number {
  return C.handleWords + handleWordCount(candidate.handleLength);
}

function handleWordCount(length: number): number {
  return length === NO_HANDLE ? 0 : (length + 3) >> 2;
}

function putCandidate(words: Int32Array, at: number, candidate: Candidate): void {
  words[at + C.inoLow] = candidate.inoLow;
  words[at + C.inoHigh] = candidate.inoHigh;
  words[at + C.devMajor] = candidate.devMajor;
  words[at + C.devMinor] = candidate.devMinor;
  putDouble(words, at + C.mntId, candidate.mntId);
  words[at + C.mode] = candidate.mode;
  words[at + C.fd] = candidate.fd;
  words[at + C.handleType] = candidate.handleType;
  words[at + C.handleLength] = candidate.handleLength;
  const count = handleWordCount(candidate.handleLength);
  for (let i = 0; i < count; i++) {
    words[at + C.handleWords + i] = candidate.handleWords[i] ?? 0;
  }
}

interface ReadCandidate {
  readonly ids: Ids;
  readonly handle: FileHandle | null;
  readonly mode: number;
  readonly fd: number | null;
  /** The index after it. */
  readonly end: number;
}

function getCandidate(words: Int32Array, at: number): ReadCandidate {
  const mntId = getDouble(words, at + C.mntId);
  const length = words[at + C.handleLength] ?? NO_HANDLE;
  const start = at + C.handleWords;
  const end = start + handleWordCount(length);
  const low = BigInt((words[at + C.inoLow] ?? 0) >>> 0);
  const high = BigInt((words[at + C.inoHigh] ?? 0) >>> 0);
  const fd = words[at + C.fd] ?? NO_FD;
  return {
    ids: {
      ino: (high << 32n) | low,
      dev: {
        major: (words[at + C.devMajor] ?? 0) >>> 0,
        minor: (words[at + C.devMinor] ?? 0) >>> 0,
      },
      mntId,
    },
    handle:
      length === NO_HANDLE
        ? null
        : { mntId, type: words[at + C.handleType] ?? 0, bytes: bytesOf(words, start, length) },
    mode: words[at + C.mode] ?? 0,
    fd: fd === NO_FD ? null : fd,
    end,
  };
}

/** A copy of bytes inside shared words. */
function bytesOf(words: Int32Array, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(new Uint8Array(words.buffer, words.byteOffset + at * 4, length));
  return bytes;
}

/** Where the fields of a lookup stand, relative to its body. */
const L = {
  op: 0,
  flags: 1,
  unique: 2,
  parent: 4,
  nodeid: 6,
  byHandle: 8,
  byIds: 10,
  idsStolenFrom: 12,
  handleStolenFrom: 14,
  hit: 16,
  errno: 17,
  handleErrno: 18,
  probe: 19,
  durationNs: 20,
  nlink: 22,
  btimeSeconds: 23,
  btimeNanoseconds: 25,
  subvol: 26,
  nameLength: 28,
  candidate: 29,
} as const;

/** Where the fields of what a probe found stand, relative to its start. */
const P = {
  differences: 0,
  errno: 1,
  nlink: 2,
  btimeSeconds: 3,
  btimeNanoseconds: 5,
  subvol: 6,
  candidate: 8,
} as const;

/** Where the fields of what a debugger did stand, relative to the body. */
const D = { unique: 0, numbers: 2, opLength: 5, op: 6 } as const;

function putHeld(words: Int32Array, at: number, held: HeldTrace): void {
  words[at + P.differences] = held.differences;
  words[at + P.errno] = held.errno;
  words[at + P.nlink] = held.nlink;
  putDouble(words, at + P.btimeSeconds, held.btimeSeconds);
  words[at + P.btimeNanoseconds] = held.btimeNanoseconds;
  putDouble(words, at + P.subvol, held.subvol);
  putCandidate(words, at + P.candidate, held.candidate);
}

function getHeld(words: Int32Array, at: number): ProbeFinding {
  const errno = words[at + P.errno] ?? 0;
  if (errno !== 0) return { errno, fields: [], held: null };
  const { ids, mode, handle } = getCandidate(words, at + P.candidate);
  const seconds = getDouble(words, at + P.btimeSeconds);
  const nanoseconds = words[at + P.btimeNanoseconds] ?? 0;
  const subvol = getDouble(words, at + P.subvol);
  return {
    errno: 0,
    fields: fieldsOf(words[at + P.differences] ?? 0),
    held: {
      ids,
      mode,
      handle,
      nlink: words[at + P.nlink] ?? 0,
      btime: seconds === -1 ? null : { seconds, nanoseconds },
      subvol: subvol === -1 ? null : subvol,
    },
  };
}

/** The recorder that writes to a ring. */
export class RingRecorder implements Recorder, DebugRecorder {
  readonly #bytes: Uint8Array;

  constructor(
    private readonly ring: RingWriter,
    private readonly tables: InodeTables,
  ) {
    this.#bytes = new Uint8Array(ring.words.buffer, ring.words.byteOffset);
  }

  init(root: Candidate): void {
    const length = BODY + candidateLength(root);
    const at = this.#begin(INIT, length);
    if (at === -1) return;
    putCandidate(this.ring.words, at + BODY, root);
    this.ring.publish(length);
  }

  destroy(): void {
    const at = this.#begin(DESTROY, BODY);
    if (at !== -1) this.ring.publish(BODY);
  }

  lookup(trace: LookupTrace): void {
    const { candidate, nameLength } = trace;
    const { asked, inserted } = this.tables;
    const nameWords = (nameLength + 3) >> 2;
    const candidateWords = trace.identified ? candidateLength(candidate) : 0;
    const { held } = trace;
    const probed = held.differences !== 0 || held.errno !== 0;
    const probedWords = probed ? P.candidate + candidateLength(held.candidate) : 0;
    const length = BODY + L.candidate + candidateWords + nameWords + probedWords;
    const start = this.#begin(LOOKUP, length);
    if (start === -1) return;
    const { words } = this.ring;
    const at = start + BODY;
    words[at + L.op] = OP_NUMBER.get(trace.op) ?? 0;
    words[at + L.flags] =
      (trace.identified ? FLAG_IDENTIFIED : 0) |
      (trace.inserted ? FLAG_INSERTED : 0) |
      (trace.asked ? FLAG_ASKED : 0) |
      (probed ? FLAG_PROBED : 0);
    putDouble(words, at + L.unique, trace.unique);
    putDouble(words, at + L.parent, trace.parent);
    putDouble(words, at + L.nodeid, trace.nodeid);
    putDouble(words, at + L.byHandle, trace.asked ? asked.byHandle : 0);
    putDouble(words, at + L.byIds, trace.asked ? asked.byIds : 0);
    putDouble(words, at + L.idsStolenFrom, trace.inserted ? inserted.idsStolenFrom : 0);
    putDouble(words, at + L.handleStolenFrom, trace.inserted ? inserted.handleStolenFrom : 0);
    words[at + L.hit] = HIT_NUMBER.get(trace.asked ? asked.hit : 'error') ?? 5;
    words[at + L.errno] = trace.errno;
    words[at + L.handleErrno] = trace.handleErrno;
    words[at + L.probe] = PROBE_RESULTS.indexOf(trace.probe);
    putDouble(words, at + L.durationNs, trace.durationNs);
    words[at + L.nlink] = trace.nlink;
    putDouble(words, at + L.btimeSeconds, trace.btimeSeconds);
    words[at + L.btimeNanoseconds] = trace.btimeNanoseconds;
    putDouble(words, at + L.subvol, trace.subvol);
    words[at + L.nameLength] = nameLength;
    let end = at + L.candidate;
    if (trace.identified) {
      putCandidate(words, end, candidate);
      end += candidateWords;
    }
    const { nameBuffer, nameAt } = trace;
    for (let i = 0; i < nameLength; i++) this.#bytes[end * 4 + i] = nameBuffer[nameAt + i] ?? 0;
    if (probed) putHeld(words, end + nameWords, held);
    this.ring.publish(length);
  }

  forget(nodeid: Nodeid, count: number, op: LookupOp | 'FORGET'): void {
    const length = BODY + 12;
    const start = this.#begin(FORGET, length);
    if (start === -1) return;
    const { words } = this.ring;
    const { forgotten } = this.tables;
    const at = start + BODY;
    words[at] = OP_NUMBER.get(op) ?? 0;
    words[at + 1] = forgotten.removed ? 1 : 0;
    putDouble(words, at + 2, nodeid);
    putDouble(words, at + 4, count);
    putDouble(words, at + 6, forgotten.lookups);
    putDouble(words, at + 8, forgotten.idsLostBy);
    putDouble(words, at + 10, forgotten.handleLostBy);
    this.ring.publish(length);
  }

  overForget(nodeid: Nodeid, count: number, lookups: number): void {
    const length = BODY + 6;
    const start = this.#begin(OVER_FORGET, length);
    if (start === -1) return;
    const { words } = this.ring;
    putDouble(words, start + BODY, nodeid);
    putDouble(words, start + BODY + 2, count);
    putDouble(words, start + BODY + 4, lookups);
    this.ring.publish(length);
  }

  openByHandleFailed(nodeid: Nodeid, errno: number): void {
    const length = BODY + 3;
    const start = this.#begin(OPEN_BY_HANDLE, length);
    if (start === -1) return;
    putDouble(this.ring.words, start + BODY, nodeid);
    this.ring.words[start + BODY + 2] = errno;
    this.ring.publish(length);
  }

  volume(facts: VolumeFacts): void {
    const length = BODY + 6;
    const start = this.#begin(VOLUME, length);
    if (start === -1) return;
    const { words } = this.ring;
    putDouble(words, start + BODY, facts.mntId);
    putDouble(words, start + BODY + 2, facts.mntIdUnique ?? -1);
    putDouble(words, start + BODY + 4, facts.fsType);
    this.ring.publish(length);
  }

  paused(op: string, unique: number, point: StopPoint, reason: PauseReason): void {
    this.#debugged(
      PAUSED,
      op,
      unique,
      STOP_POINTS.indexOf(point),
      PAUSE_REASONS.indexOf(reason),
      0,
    );
  }

  resumed(op: string, unique: number, reason: ResumeReason): void {
    this.#debugged(RESUMED, op, unique, RESUME_REASONS.indexOf(reason), 0, 0);
  }

  injected(op: string, unique: number, call: FaultCall, errno: number, fault: number): void {
    this.#debugged(INJECTED, op, unique, FAULT_CALLS.indexOf(call), errno, fault);
  }

  #debugged(type: number, op: string, unique: number, ...numbers: [number, number, number]): void {
    const length = BODY + D.op + ((op.length + 3) >> 2);
    const start = this.#begin(type, length);
    if (start === -1) return;
    const { words } = this.ring;
    const at = start + BODY;
    putDouble(words, at + D.unique, unique);
    for (let i = 0; i < numbers.length; i++) words[at + D.numbers + i] = numbers[i] ?? 0;
    words[at + D.opLength] = op.length;
    // Operations have ASCII names.
    for (let i = 0; i < op.length; i++) this.#bytes[(at + D.op) * 4 + i] = op.charCodeAt(i);
    this.ring.publish(length);
  }

  #begin(type: number, length: number): number {
    const at = this.ring.reserve(length);
    if (at === -1) return -1;
    this.ring.words[at] = recordHead(type, length);
    putDouble(this.ring.words, at + TIME, performance.timeOrigin + performance.now());
    return at;
  }
}

/**
 * A record read in place, for a reader that has to keep up with the file system: one such object is
 * used over and over, and nothing is allocated. Events are made of a record only when somebody
 * wants to see them.
 */
export class RecordGlance {
  /** Nothing stolen, lost, failed or probed: the tables changed as they do all day. */
  plain = false;
  kind: 'lookup' | 'forget' | 'other' = 'other';
  op: LookupOp | 'FORGET' = 'LOOKUP';
  /** Of a lookup: what the guest was told instead of a node id, or 0. */
  errno = 0;
  /** How many events the record makes. */
  events = 0;
  /** Milliseconds since the epoch. */
  time = 0;
  nodeid = 0 as Nodeid;
  /** Of a lookup. */
  parent = 0 as Nodeid;
  byHandle = 0 as Nodeid;
  byIds = 0 as Nodeid;
  hit: HitKind = 'error';
  inserted = false;
  /** st_mode of what was found, or 0. */
  mode = 0;
  /** The candidate that was inserted; only valid when `inserted`. */
  readonly candidate = new Candidate();
  /** When the inserted file was born; -1 seconds: unknown. Only valid when `inserted`. */
  birthSeconds = -1;
  birthNanoseconds = 0;
  nameAt = 0;
  nameLength = 0;
  /** The bytes that `nameAt` counts in. */
  readonly bytes: Uint8Array;
  /** Of a forget. */
  count = 0;
  lookups = 0;
  removed = false;
  byGuest = false;

  /** @param words the words that every record looked at stands in */
  constructor(private readonly words: Int32Array) {
    this.bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  }

  look(at: number): void {
    const { words } = this;
    this.time = getDouble(words, at + TIME);
    const type = recordType(words[at] ?? 0);
    if (type === LOOKUP) this.#lookup(at + BODY);
    else if (type === FORGET) this.#forget(at + BODY);
    else {
      this.kind = 'other';
      this.plain = false;
    }
  }

  #lookup(at: number): void {
    const { words } = this;
    const flags = words[at + L.flags] ?? 0;
    this.kind = 'lookup';
    this.op = FORGET_OPS[words[at + L.op] ?? 0] ?? 'LOOKUP';
    this.errno = words[at + L.errno] ?? 0;
    this.nodeid = getDouble(words, at + L.nodeid) as Nodeid;
    this.parent = getDouble(words, at + L.parent) as Nodeid;
    this.byHandle = getDouble(words, at + L.byHandle) as Nodeid;
    this.byIds = getDouble(words, at + L.byIds) as Nodeid;
    this.hit =
      (flags & FLAG_ASKED) === 0 ? 'error' : (HIT_KINDS[words[at + L.hit] ?? 5] ?? 'error');
    this.inserted = (flags & FLAG_INSERTED) !== 0;
    const idsStolen = getDouble(words, at + L.idsStolenFrom) !== 0;
    const handleStolen = getDouble(words, at + L.handleStolenFrom) !== 0;
    this.events = 1 + (this.inserted ? 1 + Number(idsStolen) + Number(handleStolen) : 0);
    this.plain =
      !idsStolen &&
      !handleStolen &&
      words[at + L.handleErrno] === 0 &&
      (flags & FLAG_PROBED) === 0 &&
      (this.byIds === 0 || this.byIds === this.nodeid) &&
      (this.byHandle === 0 || this.byHandle === this.nodeid);
    let end = at + L.candidate;
    this.mode = 0;
    if ((flags & FLAG_IDENTIFIED) !== 0) {
      this.mode = words[end + C.mode] ?? 0;
      const length = words[end + C.handleLength] ?? NO_HANDLE;
      if (this.inserted) {
        this.#read(end, length);
        this.birthSeconds = getDouble(words, at + L.btimeSeconds);
        this.birthNanoseconds = words[at + L.btimeNanoseconds] ?? 0;
      }
      end += C.handleWords + handleWordCount(length);
    }
    this.nameAt = end * 4;
    this.nameLength = words[at + L.nameLength] ?? 0;
  }

  #read(at: number, length: number): void {
    const { words, candidate } = this;
    candidate.inoLow = words[at + C.inoLow] ?? 0;
    candidate.inoHigh = words[at + C.inoHigh] ?? 0;
    candidate.devMajor = (words[at + C.devMajor] ?? 0) >>> 0;
    candidate.devMinor = (words[at + C.devMinor] ?? 0) >>> 0;
    candidate.mntId = getDouble(words, at + C.mntId);
    candidate.mode = words[at + C.mode] ?? 0;
    candidate.fd = words[at + C.fd] ?? NO_FD;
    candidate.handleType = words[at + C.handleType] ?? 0;
    candidate.handleLength = length;
    const count = handleWordCount(length);
    for (let i = 0; i < count; i++) {
      candidate.handleWords[i] = words[at + C.handleWords + i] ?? 0;
    }
  }

  #forget(at: number): void {
    const { words } = this;
    this.kind = 'forget';
    this.byGuest = FORGET_OPS[words[at] ?? 0] === 'FORGET';
    this.removed = words[at + 1] !== 0;
    this.nodeid = getDouble(words, at + 2) as Nodeid;
    this.count = getDouble(words, at + 4);
    this.lookups = getDouble(words, at + 6);
    const idsLost = getDouble(words, at + 8) !== 0;
    const handleLost = getDouble(words, at + 10) !== 0;
    this.events = 1 + (this.removed ? 1 + Number(idsLost) + Number(handleLost) : 0);
    this.plain = !idsLost && !handleLost;
  }
}

/** Who takes what a record says. */
export interface RecordSink {
  /** The position of the next event. What a sink makes of one event may take positions too. */
  nextSeq(): number;
  event(event: TableEvent): void;
  volume(facts: VolumeFacts): void;
}

/** Reads the record at an index. */
export function readRecord(
  words: Int32Array,
  at: number,
  volumes: ReadonlyMap<number, VolumeFacts>,
  sink: RecordSink,
): void {
  const time = getDouble(words, at + TIME);
  const body = at + BODY;
  switch (recordType(words[at] ?? 0)) {
    case INIT: {
      sink.event({ type: 'init', seq: sink.nextSeq(), time });
      const root = getCandidate(words, body);
      sink.event({
        type: 'insert',
        seq: sink.nextSeq(),
        time,
        nodeid: ROOT_NODEID,
        kind: kindOf(root),
        lookups: 2,
        mode: root.mode,
        ids: root.ids,
        handle: root.handle,
        fd: root.fd,
      });
      break;
    }
    case DESTROY:
      sink.event({ type: 'destroy', seq: sink.nextSeq(), time });
      break;
    case LOOKUP:
      readLookup(words, body, time, volumes, sink);
      break;
    case FORGET:
      readForget(words, body, time, sink);
      break;
    case OVER_FORGET:
      sink.event({
        type: 'over_forget',
        seq: sink.nextSeq(),
        time,
        nodeid: getDouble(words, body) as Nodeid,
        count: getDouble(words, body + 2),
        lookups: getDouble(words, body + 4),
      });
      break;
    case OPEN_BY_HANDLE:
      sink.event({
        type: 'open_by_handle',
        seq: sink.nextSeq(),
        time,
        nodeid: getDouble(words, body) as Nodeid,
        errno: words[body + 2] ?? 0,
      });
      break;
    case VOLUME: {
      const unique = getDouble(words, body + 2);
      sink.volume({
        mntId: getDouble(words, body),
        mntIdUnique: unique === -1 ? null : unique,
        fsType: getDouble(words, body + 4),
      });
      break;
    }
    case PAUSED:
    case RESUMED:
    case INJECTED:
      readDebugged(recordType(words[at] ?? 0), words, body, time, sink);
      break;
    default:
      throw new Error(
        `The event ring holds a record of unknown type ${recordType(words[at] ?? 0)} and length ${recordLength(words[at] ?? 0)}.`,
      );
  }
}

function kindOf(candidate: ReadCandidate): 'file' | 'handle' | 'invalid' {
  if (candidate.handle !== null) return 'handle';
  return candidate.fd === null ? 'invalid' : 'file';
}

function nodeOrNull(words: Int32Array, at: number): Nodeid | null {
  const nodeid = getDouble(words, at);
  return nodeid === 0 ? null : (nodeid as Nodeid);
}

function readLookup(
  words: Int32Array,
  at: number,
  time: number,
  volumes: ReadonlyMap<number, VolumeFacts>,
  sink: RecordSink,
): void {
  const flags = words[at + L.flags] ?? 0;
  const found = (flags & FLAG_IDENTIFIED) === 0 ? null : getCandidate(words, at + L.candidate);
  const nameAt = found?.end ?? at + L.candidate;
  const seconds = getDouble(words, at + L.btimeSeconds);
  const subvol = getDouble(words, at + L.subvol);
  const volume = found === null ? undefined : volumes.get(found.ids.mntId);
  const nodeid = nodeOrNull(words, at + L.nodeid);
  const asked = (flags & FLAG_ASKED) !== 0;
  const errno = words[at + L.errno] ?? 0;
  const nameLength = words[at + L.nameLength] ?? 0;
  const probed = (flags & FLAG_PROBED) !== 0;
  sink.event({
    type: 'lookup',
    seq: sink.nextSeq(),
    time,
    op: LOOKUP_OPS[words[at + L.op] ?? 0] ?? 'LOOKUP',
    unique: getDouble(words, at + L.unique),
    parent: getDouble(words, at + L.parent) as Nodeid,
    name: bytesOf(words, nameAt, nameLength),
    ids: found?.ids ?? null,
    handle: found?.handle ?? null,
    handleErrno: words[at + L.handleErrno] ?? 0,
    byHandle: nodeOrNull(words, at + L.byHandle),
    byIds: nodeOrNull(words, at + L.byIds),
    hit: asked ? (HIT_KINDS[words[at + L.hit] ?? 5] ?? 'error') : 'error',
    nodeid,
    errno,
    durationNs: getDouble(words, at + L.durationNs),
    mode: found?.mode ?? 0,
    probe: PROBE_RESULTS[words[at + L.probe] ?? 0] ?? 'not-probed',
    ...(probed ? { probed: getHeld(words, nameAt + ((nameLength + 3) >> 2)) } : {}),
    spare:
      found === null
        ? null
        : {
            btime:
              seconds === -1 ? null : { seconds, nanoseconds: words[at + L.btimeNanoseconds] ?? 0 },
            subvol: subvol === -1 ? null : subvol,
            nlink: words[at + L.nlink] ?? 0,
            mntIdUnique: volume?.mntIdUnique ?? null,
            fsType: volume?.fsType ?? null,
          },
  });
  if ((flags & FLAG_INSERTED) === 0 || found === null || nodeid === null) return;
  sink.event({
    type: 'insert',
    seq: sink.nextSeq(),
    time,
    nodeid,
    kind: kindOf(found),
    lookups: 1,
    mode: found.mode,
    ids: found.ids,
    handle: found.handle,
    fd: found.handle === null ? found.fd : null,
  });
  for (const [table, from] of [
    ['inodes_by_ids', nodeOrNull(words, at + L.idsStolenFrom)],
    ['inodes_by_handle', nodeOrNull(words, at + L.handleStolenFrom)],
  ] as const satisfies readonly (readonly [TableName, Nodeid | null])[]) {
    if (from !== null)
      sink.event({ type: 'key_stolen', seq: sink.nextSeq(), time, table, from, by: nodeid });
  }
}

function readForget(words: Int32Array, at: number, time: number, sink: RecordSink): void {
  const nodeid = getDouble(words, at + 2) as Nodeid;
  sink.event({
    type: 'forget',
    seq: sink.nextSeq(),
    time,
    op: FORGET_OPS[words[at] ?? 0] ?? 'FORGET',
    nodeid,
    count: getDouble(words, at + 4),
    lookups: getDouble(words, at + 6),
  });
  if ((words[at + 1] ?? 0) === 0) return;
  sink.event({ type: 'remove', seq: sink.nextSeq(), time, nodeid });
  for (const [table, victim] of [
    ['inodes_by_ids', nodeOrNull(words, at + 8)],
    ['inodes_by_handle', nodeOrNull(words, at + 10)],
  ] as const) {
    if (victim !== null) {
      sink.event({
        type: 'key_lost',
        seq: sink.nextSeq(),
        time,
        table,
        nodeid: victim,
        with: nodeid,
      });
    }
  }
}

function readDebugged(
  type: number,
  words: Int32Array,
  at: number,
  time: number,
  sink: RecordSink,
): void {
  const op = String.fromCharCode(...bytesOf(words, at + D.op, words[at + D.opLength] ?? 0));
  const unique = getDouble(words, at + D.unique);
  const first = words[at + D.numbers] ?? 0;
  const second = words[at + D.numbers + 1] ?? 0;
  const stamp = { seq: sink.nextSeq(), time, op, unique };
  if (type === PAUSED) {
    const point = STOP_POINTS[first] ?? 'request';
    sink.event({ ...stamp, type: 'paused', point, reason: PAUSE_REASONS[second] ?? 'pause' });
  } else if (type === RESUMED) {
    sink.event({ ...stamp, type: 'resumed', reason: RESUME_REASONS[first] ?? 'continue' });
  } else {
    const call = FAULT_CALLS[first] ?? 'name_to_handle_at';
    const fault = words[at + D.numbers + 2] ?? 0;
    sink.event({ ...stamp, type: 'injected', call, errno: second, fault });
  }
}
