/** Events as JSON lines (docs/protocol.md). */

import type { LookupEvent, TableEvent } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import type { ProbeFinding } from '../tables/held';
import { birthTimeText } from '../tables/held';
import type { Hazard } from '../hazards/hazard';
import type { EventJson, HazardJson, LookupJson } from './json';
import { handleToJson, idsToJson, nameText } from './text';

/** What the inspector adds to a source's events. */
export type InspectorEvent =
  | TableEvent
  | {
      readonly type: 'hazard' | 'hazard_closed';
      readonly seq: number;
      readonly time: number;
      readonly hazard: Hazard;
    }
  /** The guest looked a name up again, and it leads to another node id than before. */
  | {
      readonly type: 'name_changed';
      readonly seq: number;
      readonly time: number;
      readonly parent: Nodeid;
      readonly name: Uint8Array;
      readonly from: Nodeid;
      readonly to: Nodeid;
    }
  /** A mount with entries has left mountinfo, or is there again. */
  | {
      readonly type: 'mount_changed';
      readonly seq: number;
      readonly time: number;
      readonly mntId: number;
      readonly mounted: boolean;
      /** Where it is or was; null when that was never known. */
      readonly point: string | null;
    }
  /** Events were lost and the tables read anew from the source. */
  | {
      readonly type: 'resync';
      readonly seq: number;
      readonly time: number;
      readonly entries: number;
    };

/** Names an errno, such as ESTALE for 116. */
export type ErrnoName = (errno: number) => string;

export function eventToJson(event: InspectorEvent, errnoName: ErrnoName): EventJson {
  const stamp = { seq: String(event.seq), time: isoTime(event.time) };
  switch (event.type) {
    case 'lookup':
      return lookupToJson(event, errnoName);
    case 'insert':
      return {
        ...stamp,
        type: 'insert',
        nodeid: String(event.nodeid),
        kind: event.kind,
        lookups: String(event.lookups),
        mode: event.mode,
        ids: idsToJson(event.ids),
        handle: event.handle === null ? null : handleToJson(event.handle),
        fd: event.fd,
      };
    case 'key_stolen':
      return {
        ...stamp,
        type: 'key_stolen',
        table: event.table,
        from: String(event.from),
        by: String(event.by),
      };
    case 'key_lost':
      return {
        ...stamp,
        type: 'key_lost',
        table: event.table,
        nodeid: String(event.nodeid),
        with: String(event.with),
      };
    case 'forget':
      return {
        ...stamp,
        type: 'forget',
        op: event.op,
        nodeid: String(event.nodeid),
        count: String(event.count),
        lookups: String(event.lookups),
      };
    case 'over_forget':
      return {
        ...stamp,
        type: 'over_forget',
        nodeid: String(event.nodeid),
        count: String(event.count),
        lookups: String(event.lookups),
      };
    case 'name_changed':
      return {
        ...stamp,
        type: 'name_changed',
        parent: String(event.parent),
        name: nameText(event.name),
        from: String(event.from),
        to: String(event.to),
      };
    case 'mount_changed':
      return {
        ...stamp,
        type: 'mount_changed',
        mntId: String(event.mntId),
        mounted: event.mounted,
        point: event.point,
      };
    case 'remove':
      return { ...stamp, type: 'remove', nodeid: String(event.nodeid) };
    case 'open_by_handle':
      return {
        ...stamp,
        type: 'open_by_handle',
        nodeid: String(event.nodeid),
        errno: errnoName(event.errno),
      };
    case 'init':
    case 'destroy':
      return { ...stamp, type: event.type };
    case 'paused':
      return {
        ...stamp,
        type: 'paused',
        op: event.op,
        unique: String(event.unique),
        point: event.point,
        reason: event.reason,
      };
    case 'resumed':
      return {
        ...stamp,
        type: 'resumed',
        op: event.op,
        unique: String(event.unique),
        reason: event.reason,
      };
    case 'injected':
      return {
        ...stamp,
        type: 'injected',
        op: event.op,
        unique: String(event.unique),
        call: event.call,
        errno: errnoName(event.errno),
        fault: event.fault,
      };
    case 'resync':
      return { ...stamp, type: 'resync', entries: String(event.entries) };
    case 'hazard':
    case 'hazard_closed':
      return { ...stamp, type: event.type, hazard: hazardToJson(event.hazard) };
  }
}

export function lookupToJson(event: LookupEvent, errnoName: ErrnoName): LookupJson {
  const { spare } = event;
  return {
    seq: String(event.seq),
    time: isoTime(event.time),
    type: 'lookup',
    op: event.op,
    unique: String(event.unique),
    parent: String(event.parent),
    name: nameText(event.name),
    ids: event.ids === null ? null : idsToJson(event.ids),
    ...(event.handleErrno === 0
      ? { handle: event.handle === null ? null : handleToJson(event.handle) }
      : { handleErrno: errnoName(event.handleErrno) }),
    byHandle: event.byHandle === null ? null : String(event.byHandle),
    byIds: event.byIds === null ? null : String(event.byIds),
    hit: event.errno !== 0 && event.nodeid === null ? 'error' : event.hit,
    nodeid: event.nodeid === null ? null : String(event.nodeid),
    errno: event.errno === 0 ? null : errnoName(event.errno),
    durationNs: event.durationNs,
    mode: event.mode,
    probe: event.probe === 'not-probed' ? null : event.probe,
    ...(event.probed === undefined ? {} : { probed: probedToJson(event.probed, errnoName) }),
    spare:
      spare === null
        ? null
        : {
            btime: spare.btime === null ? null : birthTimeText(spare.btime),
            mntIdUnique: spare.mntIdUnique === null ? null : String(spare.mntIdUnique),
            subvol: spare.subvol === null ? null : String(spare.subvol),
            nlink: spare.nlink,
            fsType: spare.fsType === null ? null : fsTypeName(spare.fsType),
          },
  };
}

function probedToJson({ errno, fields, held }: ProbeFinding, errnoName: ErrnoName) {
  return {
    errno: errno === 0 ? null : errnoName(errno),
    fields: [...fields],
    held:
      held === null
        ? null
        : {
            ids: idsToJson(held.ids),
            mode: held.mode,
            handle: held.handle === null ? null : handleToJson(held.handle),
            nlink: held.nlink,
            btime: held.btime === null ? null : birthTimeText(held.btime),
            subvol: held.subvol === null ? null : String(held.subvol),
          },
  };
}

export function hazardToJson(hazard: Hazard): HazardJson {
  return {
    id: hazard.id,
    name: hazard.name,
    severity: hazard.severity,
    state: hazard.state,
    nodeids: hazard.nodeids.map(String),
    seq: String(hazard.seq),
    evidence: { ...hazard.evidence },
    advice: hazard.advice,
  };
}

/** @param time milliseconds since the epoch */
export function isoTime(time: number): string {
  return new Date(time).toISOString();
}

/** f_type values of statfs(2) that a share is likely to have. */
const FS_TYPES: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlay'],
  [0x65735546, 'fuse'],
  [0x6969, 'nfs'],
  [0x73717368, 'squashfs'],
  [0xe0f5e1e2, 'erofs'],
  [0x2fc12fc1, 'zfs'],
  [0xca451a4e, 'bcachefs'],
  [0x9fa0, 'proc'],
]);

/** Such as `ext4`; a number for one that is not known. */
export function fsTypeName(type: number): string {
  return FS_TYPES.get(type) ?? `0x${type.toString(16)}`;
}

/** The number that stands behind the name of a file system in `spare`; undefined for other words. */
export function fsTypeNumber(name: string): number | undefined {
  if (/^0x[0-9a-f]{1,8}$/.test(name)) return Number(name);
  for (const [type, known] of FS_TYPES) if (known === name) return type;
  return undefined;
}
