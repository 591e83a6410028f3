/** What a debugger says in JSON, as the gate takes it, and back. */

import { constants } from 'node:os';
import { ANY_ERRNO } from '../debug/spec';
import type {
  Breakpoint,
  Facts,
  Fault,
  Stop,
  TableKey,
  WantedHandle,
  WantedIds,
} from '../debug/spec';
import { compileGlob } from '../debug/glob';
import { compileRule } from '../debug/rules';
import { OPERATION_NAMES, opcodesOf } from '../fuse/opcodes';
import { SEVERITIES } from '../hazards/hazard';
import { HAZARD_RULES } from '../hazards/hazardBook';
import type { HazardJson } from '../protocol/json';
import type { BreakpointJson, FactsJson, FaultJson, StoppedJson } from '../protocol/debug';
import { isoTime } from '../protocol/eventJson';
import { handleToJson, idsToJson, nameText } from '../protocol/text';
import type { Nodeid } from '../tables/identity';
import { asNodeid } from '../tables/identity';
import { NAMING } from './debugNaming';
import { errnoName } from './errnoName';

/** @throws Error with a sentence when it asks for nothing, or for what there is not */
export function readBreakpoint(json: BreakpointJson): Breakpoint {
  const opcodes = json.operation === undefined ? null : opcodesOf(json.operation);
  if (opcodes?.length === 0) {
    const names = [...new Set(OPERATION_NAMES.values())].join(', ');
    throw new Error(`There is no operation ${json.operation ?? ''}; there are ${names}.`);
  }
  const { hazard: wanted } = json;
  if (wanted?.startsWith('H') === true && !HAZARD_RULES.some(({ id }) => id === wanted)) {
    const ids = HAZARD_RULES.map(({ id }) => id).join(', ');
    throw new Error(`There is no hazard ${wanted}; there are ${ids}, ${SEVERITIES.join(', ')}.`);
  }
  const breakpoint: Breakpoint = {
    id: json.id,
    opcodes,
    decision: json.decision ?? null,
    node: nodeidOf(json.node),
    ids: json.ids === undefined ? null : wantedIds(json.ids),
    handle: json.handle === undefined ? null : wantedHandle(json.handle),
    path: json.path ?? null,
    hit: json.hit ?? null,
    hazard: json.hazard !== undefined,
    errno: json.errno === undefined ? null : json.errno === '*' ? ANY_ERRNO : errnoOf(json.errno),
    fdsAbove: json.fdsAbove ?? null,
    key: json.key === undefined ? null : tableKey(json.key),
    entry: nodeidOf(json.entry),
    condition: json.condition ?? null,
    hits: json.hits ?? null,
    log: json.log ?? null,
  };
  const { id: _id, hits: _hits, log: _log, hazard, ...criteria } = breakpoint;
  if (!hazard && Object.values(criteria).every((criterion) => criterion === null)) {
    throw new Error('The breakpoint asks for nothing: give it at least one criterion.');
  }
  compileRule(breakpoint, NAMING);
  return breakpoint;
}

/** @throws Error as above */
export function readFault(json: FaultJson): Fault {
  const { id, call, when } = json;
  if (json.path !== undefined) compileGlob(json.path);
  return { id, call, errno: errnoOf(json.errno), path: json.path ?? null, when };
}

const ERRNOS = new Map<string, number>();
for (const [name, number] of Object.entries(constants.errno)) ERRNOS.set(name, number);
ERRNOS.set('EUCLEAN', 117).set('ENODATA', 61);

function errnoOf(name: string): number {
  const errno = ERRNOS.get(name);
  if (errno === undefined) throw new Error(`${name} is no errno of this host.`);
  return errno;
}

function nodeidOf(text: string | undefined): Nodeid | null {
  if (text === undefined) return null;
  const nodeid = asNodeid(Number(text));
  if (nodeid === undefined) throw new Error(`${text} cannot be a node id.`);
  return nodeid;
}

function wantedIds(ids: NonNullable<BreakpointJson['ids']>): WantedIds {
  return {
    ino: BigInt(ids.ino),
    dev: ids.dev === undefined ? null : device(ids.dev),
    mntId: ids.mntId === undefined ? null : Number(ids.mntId),
  };
}

function device(text: string): { major: number; minor: number } {
  const [major, minor] = text.split(':').map(Number);
  return { major: major ?? 0, minor: minor ?? 0 };
}

function wantedHandle(handle: NonNullable<BreakpointJson['handle']>): WantedHandle {
  return {
    bytes: Uint8Array.from(handle.bytes.match(/../g) ?? [], (byte) => parseInt(byte, 16)),
    type: handle.type ?? null,
    mntId: handle.mntId === undefined ? null : Number(handle.mntId),
  };
}

function tableKey(key: NonNullable<BreakpointJson['key']>): TableKey {
  return key.table === 'inodes_by_ids'
    ? { table: key.table, ids: wantedIds(key.ids) }
    : { table: key.table, handle: wantedHandle(key.handle) };
}

/** @param seq the newest event before the stop */
export function stopToJson(stop: Stop, seq: number, hazards: readonly HazardJson[]): StoppedJson {
  const { facts } = stop;
  return {
    request: stop.request,
    unique: String(facts.unique),
    op: facts.op,
    point: stop.point,
    reason: stop.reason,
    breakpoints: [...stop.breakpoints],
    seq: String(seq),
    time: isoTime(Date.now()),
    lookup: facts.lookup,
    again: stop.again,
    facts: factsToJson(facts),
    hazards: [...hazards],
    faults: [...stop.faults],
  };
}

const text = (value: number | null): string | null => (value === null ? null : String(value));
const named = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : nameText(bytes);

function factsToJson(facts: Facts): FactsJson {
  const { candidate, forgets, byHandle, byIds } = facts;
  return {
    node: text(facts.node),
    uid: facts.uid,
    gid: facts.gid,
    pid: facts.pid,
    parent: text(facts.parent),
    name: named(facts.name),
    path: named(facts.path),
    newParent: text(facts.newParent),
    newName: named(facts.newName),
    size: text(facts.size),
    offset: text(facts.offset),
    candidate:
      candidate === null
        ? null
        : {
            ids: idsToJson(candidate.ids),
            handle: candidate.handle === null ? null : handleToJson(candidate.handle),
            handleErrno: candidate.handleErrno === 0 ? null : errnoName(candidate.handleErrno),
            mode: candidate.mode,
            nlink: candidate.nlink,
            btime:
              candidate.btime === null
                ? null
                : `${candidate.btime.seconds}.${String(candidate.btime.nanoseconds).padStart(9, '0')}`,
            subvol: text(candidate.subvol),
          },
    byHandle: byHandle === null ? null : { node: text(byHandle.node) },
    byIds: byIds === null ? null : { node: text(byIds.node) },
    accepted: facts.accepted,
    hit: facts.hit,
    answer: text(facts.answer),
    idsStolenFrom: text(facts.idsStolenFrom),
    handleStolenFrom: text(facts.handleStolenFrom),
    forgets:
      forgets === null
        ? null
        : {
            node: String(forgets.node),
            count: String(forgets.count),
            left: String(forgets.left),
            idsLostBy: text(forgets.idsLostBy),
            handleLostBy: text(forgets.handleLostBy),
          },
    errno: facts.errno === null || facts.errno === 0 ? null : errnoName(facts.errno),
    fds: facts.fds,
  };
}
