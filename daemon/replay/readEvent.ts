/** Reads events back that `events --json` has written (docs/protocol.md). */

import * as v from 'valibot';
import { errnoNumber } from '../inspector/errnoName';
import { fsTypeNumber } from '../protocol/eventJson';
import type { HazardJson } from '../protocol/json';
import { decimal, handleJson, hazardJson, idsJson, lookupJson } from '../protocol/json';
import type { TableEvent } from '../tables/events';
import { LOOKUP_OPS } from '../tables/events';
import type { ProbeFinding } from '../tables/held';
import { PROBE_FIELDS } from '../tables/held';
import type { FileHandle, Ids, Nodeid } from '../tables/identity';
import { asNodeid } from '../tables/identity';
import { FAULT_CALLS, PAUSE_REASONS, RESUME_REASONS, STOP_POINTS } from '../tables/stops';

/** What the daemon found at the time. */
export interface RecordedHazard {
  readonly type: 'hazard' | 'hazard_closed';
  readonly seq: number;
  readonly time: number;
  readonly hazard: HazardJson;
}

/** What the recorded model derived from the events before, as the replayed one does. */
export interface RecordedNote {
  readonly type: 'name_changed' | 'mount_changed';
  readonly seq: number;
  readonly time: number;
}

export type RecordedEvent = TableEvent | RecordedHazard | RecordedNote;

const number = v.pipe(decimal, v.transform(Number), v.safeInteger());
const nodeid = v.pipe(
  decimal,
  v.transform((text) => asNodeid(Number(text))),
  v.custom<Nodeid>((value) => value !== undefined, 'is no node id'),
);
const errno = v.pipe(v.string(), v.transform(errnoNumber), v.number('is no errno of this system'));
const ids = v.pipe(
  idsJson,
  v.transform(({ ino, dev, mntId }): Ids => {
    const [major = 0, minor = 0] = dev.split(':').map(Number);
    return { ino: BigInt(ino), dev: { major, minor }, mntId: Number(mntId) };
  }),
);
const handle = v.pipe(
  handleJson,
  v.transform(({ mntId, type, bytes }): FileHandle => ({
    mntId: Number(mntId),
    type,
    bytes: Uint8Array.from(Buffer.from(bytes, 'hex')),
  })),
);
const table = v.picklist(['inodes_by_ids', 'inodes_by_handle']);
const btime = v.pipe(
  v.string(),
  v.regex(/^-?[0-9]{1,15}\.[0-9]{9}$/),
  v.transform((text) => {
    const [seconds = '0', nanoseconds = '0'] = text.split('.');
    return { seconds: Number(seconds), nanoseconds: Number(nanoseconds) };
  }),
);
const probed = v.pipe(
  v.object({
    errno: v.nullable(errno),
    fields: v.array(v.picklist(PROBE_FIELDS)),
    held: v.nullable(
      v.object({
        ids,
        mode: v.number(),
        handle: v.nullable(handle),
        nlink: v.number(),
        btime: v.nullable(btime),
        subvol: v.nullable(number),
      }),
    ),
  }),
  v.transform(({ errno: refused, fields, held }): ProbeFinding =>
    held === null ? { errno: refused ?? 0, fields: [], held } : { errno: 0, fields, held },
  ),
);
const spare = v.pipe(
  v.object({
    btime: v.nullable(btime),
    mntIdUnique: v.nullable(number),
    subvol: v.nullable(number),
    nlink: v.number(),
    fsType: v.nullable(
      v.pipe(v.string(), v.transform(fsTypeNumber), v.number('is no file system that is known')),
    ),
  }),
);

type Unstamped<T extends TableEvent['type']> = Omit<
  Extract<TableEvent, { type: T }>,
  'seq' | 'time' | 'type'
>;

/** What each event has beside its stamp and type. */
const FIELDS: {
  readonly [T in TableEvent['type']]: v.GenericSchema<unknown, Unstamped<T>>;
} = {
  lookup: v.pipe(
    v.object({
      ...lookupJson.entries,
      unique: number,
      parent: nodeid,
      name: v.pipe(v.string(), v.transform(nameBytes)),
      ids: v.nullable(ids),
      handle: v.optional(v.nullable(handle), null),
      handleErrno: v.optional(errno),
      byHandle: v.nullable(nodeid),
      byIds: v.nullable(nodeid),
      nodeid: v.nullable(nodeid),
      errno: v.nullable(errno),
      probed: v.optional(probed),
      spare: v.nullable(spare),
    }),
    v.transform(({ seq: _seq, time: _time, type: _type, probed: finding, ...lookup }) => ({
      ...lookup,
      ...(finding === undefined ? {} : { probed: finding }),
      handleErrno: lookup.handleErrno ?? 0,
      errno: lookup.errno ?? 0,
      probe: lookup.probe ?? ('not-probed' as const),
      // Events of older recordings do not say it; of a new entry its insert does.
      mode: lookup.mode ?? 0,
    })),
  ),
  insert: v.object({
    nodeid,
    kind: v.picklist(['file', 'handle', 'invalid']),
    lookups: number,
    mode: v.number(),
    ids,
    handle: v.nullable(handle),
    fd: v.nullable(v.number()),
  }),
  key_stolen: v.object({ table, from: nodeid, by: nodeid }),
  key_lost: v.object({ table, nodeid, with: nodeid }),
  forget: v.object({
    op: v.picklist([...LOOKUP_OPS, 'FORGET']),
    nodeid,
    count: number,
    lookups: number,
  }),
  over_forget: v.object({ nodeid, count: number, lookups: number }),
  remove: v.object({ nodeid }),
  open_by_handle: v.object({ nodeid, errno }),
  init: v.object({}),
  destroy: v.object({}),
  paused: v.object({
    op: v.string(),
    unique: number,
    point: v.picklist(STOP_POINTS),
    reason: v.picklist(PAUSE_REASONS),
  }),
  resumed: v.object({ op: v.string(), unique: number, reason: v.picklist(RESUME_REASONS) }),
  injected: v.object({
    op: v.string(),
    unique: number,
    call: v.picklist(FAULT_CALLS),
    errno,
    fault: v.number(),
  }),
};

const stamp = v.object({
  seq: number,
  time: v.pipe(v.string(), v.isoTimestamp(), v.transform(Date.parse)),
  type: v.string(),
});
const recordedHazard = v.object({ hazard: hazardJson });

/**
 * @param line one event of `events --json`, parsed as JSON
 * @throws Error that says what about it is wrong
 */
export function readEvent(line: unknown): RecordedEvent {
  const { type, ...stamped } = parsed(stamp, line);
  if (type === 'hazard' || type === 'hazard_closed') {
    return { ...stamped, type, ...parsed(recordedHazard, line) };
  }
  if (type === 'name_changed' || type === 'mount_changed') return { ...stamped, type };
  if (type === 'resync') {
    throw new Error(
      'events were lost before it and the tables read anew, which a recording cannot do',
    );
  }
  if (!isTableEvent(type)) throw new Error(`no event has the type “${type}”`);
  // The fields are those of this type: that is what FIELDS promises.
  return { ...parsed<object>(FIELDS[type], line), ...stamped, type } as TableEvent;
}

function isTableEvent(type: string): type is TableEvent['type'] {
  return Object.hasOwn(FIELDS, type);
}

function parsed<T>(schema: v.GenericSchema<unknown, T>, value: unknown): T {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(`${v.getDotPath(issue) ?? 'the line'}: ${issue.message}`);
}

/** The bytes that `nameText` has written. */
function nameBytes(text: string): Uint8Array {
  const parts = text.split(/(\\\\|\\x[0-9a-f]{2})/).map((part) => {
    if (part === '\\\\') return Buffer.from('\\');
    return /^\\x[0-9a-f]{2}$/.test(part) ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part);
  });
  return Uint8Array.from(Buffer.concat(parts));
}
