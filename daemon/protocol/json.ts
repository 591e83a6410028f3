/**
 * The JSON shapes that leave the daemon: the snapshot and the event of docs/protocol.md, and what they are made
 * of. 64-bit values are decimal strings; unknown is `null`, never a guess.
 */

import * as v from 'valibot';
import { LOOKUP_OPS } from '../tables/events';
import { PROBE_FIELDS } from '../tables/held';
import { HIT_KINDS } from '../tables/hitKind';
import { LOOKUP_RULE_NAMES } from '../tables/lookupRule';
import { SEVERITIES } from '../hazards/hazard';

export const PROTOCOL_VERSION = 1;

/** A 64-bit unsigned number in decimal. */
export const decimal = v.pipe(v.string(), v.regex(/^(0|[1-9][0-9]{0,19})$/));

export const idsJson = v.object({
  ino: decimal,
  /** `major:minor`. */
  dev: v.pipe(v.string(), v.regex(/^[0-9]+:[0-9]+$/)),
  mntId: decimal,
});
export type IdsJson = v.InferOutput<typeof idsJson>;

export const handleJson = v.object({
  mntId: decimal,
  type: v.number(),
  /** f_handle in hex. */
  bytes: v.pipe(v.string(), v.regex(/^([0-9a-f]{2})*$/)),
});
export type HandleJson = v.InferOutput<typeof handleJson>;

export const handleMode = v.picklist(['never', 'prefer', 'mandatory']);
export type HandleMode = v.InferOutput<typeof handleMode>;

export const targetJson = v.object({
  kind: v.picklist(['serve', 'attach', 'replay']),
  pid: v.number(),
  implementation: v.string(),
  sharedDir: v.string(),
  lookupRule: v.picklist(LOOKUP_RULE_NAMES),
  inodeFileHandles: v.object({
    requested: handleMode,
    effective: handleMode,
    /** What failed at the start, when handles were asked for and are not used. */
    refused: v.optional(
      v.object({
        call: v.picklist(['name_to_handle_at', 'open_by_handle_at']),
        errno: v.string(),
      }),
    ),
  }),
  level: v.picklist(['proc', 'probe', 'syscalls', 'tap', 'memory', 'instrumented']),
  complete: v.boolean(),
  /** How the guest reaches the daemon, for people: `/dev/fuse on DIR` or `vhost-user SOCKET`. */
  transport: v.string(),
});
export type Target = v.InferOutput<typeof targetJson>;

export const entryJson = v.object({
  nodeid: decimal,
  kind: v.picklist(['file', 'handle', 'invalid']),
  lookups: decimal,
  mode: v.number(),
  /** By the name it was looked up with last, relative to the shared directory; null when unknown. */
  path: v.nullable(v.string()),
  ids: idsJson,
  handle: v.nullable(handleJson),
  /** The generation inside the handle, where the handle's type is one whose layout is known. */
  generation: v.nullable(decimal),
  fd: v.nullable(v.number()),
});
export type EntryJson = v.InferOutput<typeof entryJson>;

export const hazardJson = v.object({
  id: v.string(),
  name: v.string(),
  severity: v.picklist(SEVERITIES),
  state: v.picklist(['open', 'closed']),
  nodeids: v.array(decimal),
  seq: decimal,
  evidence: v.record(v.string(), v.nullable(v.union([v.string(), v.number(), v.boolean()]))),
  advice: v.string(),
});
export type HazardJson = v.InferOutput<typeof hazardJson>;

export const countersJson = v.object({
  lookups: v.object({
    handle_hit: decimal,
    fallback_hit: decimal,
    handleless_hit: decimal,
    fallback_rejected: decimal,
    miss: decimal,
    error: decimal,
  }),
  entries: v.object({ file: decimal, handle: decimal, invalid: decimal }),
  forgets: decimal,
  fds: v.object({ used: decimal, limit: decimal }),
});
export type Counters = v.InferOutput<typeof countersJson>;

export const snapshotJson = v.object({
  protocol: v.literal(PROTOCOL_VERSION),
  seq: decimal,
  time: v.string(),
  target: targetJson,
  entries: v.array(entryJson),
  inodes_by_ids: v.array(v.object({ ids: idsJson, nodeid: decimal })),
  inodes_by_handle: v.array(v.object({ handle: handleJson, nodeid: decimal })),
  hazards: v.array(hazardJson),
  counters: countersJson,
});
export type Snapshot = v.InferOutput<typeof snapshotJson>;

export const lookupJson = v.object({
  seq: decimal,
  time: v.string(),
  type: v.literal('lookup'),
  op: v.picklist(LOOKUP_OPS),
  unique: decimal,
  parent: decimal,
  name: v.string(),
  ids: v.nullable(idsJson),
  handle: v.optional(v.nullable(handleJson)),
  /** The errno's name, such as EOPNOTSUPP; instead of `handle`. */
  handleErrno: v.optional(v.string()),
  byHandle: v.nullable(decimal),
  byIds: v.nullable(decimal),
  hit: v.picklist(HIT_KINDS),
  nodeid: v.nullable(decimal),
  errno: v.nullable(v.string()),
  durationNs: v.number(),
  /** Of the file that was found; left out by older daemons. */
  mode: v.optional(v.number()),
  /** When the entry that answered was probed: whether it still is what was asked for. */
  probe: v.nullable(v.picklist(['same', 'different'])),
  /** What differs, and the values that the descriptor or handle gave; left out when nothing does. */
  probed: v.optional(
    v.object({
      /** Why the entry's own reference could not be asked; then nothing else is known. */
      errno: v.nullable(v.string()),
      fields: v.array(v.picklist(PROBE_FIELDS)),
      held: v.nullable(
        v.object({
          ids: idsJson,
          mode: v.number(),
          handle: v.nullable(handleJson),
          nlink: v.number(),
          btime: v.nullable(v.string()),
          subvol: v.nullable(decimal),
        }),
      ),
    }),
  ),
  spare: v.nullable(
    v.object({
      btime: v.nullable(v.string()),
      mntIdUnique: v.nullable(decimal),
      subvol: v.nullable(decimal),
      nlink: v.number(),
      fsType: v.nullable(v.string()),
    }),
  ),
});
export type LookupJson = v.InferOutput<typeof lookupJson>;

/** Every event but `lookup` is a small record; its fields are listed in docs/protocol.md. */
export const otherEventJson = v.looseObject({
  seq: decimal,
  time: v.string(),
  type: v.picklist([
    'insert',
    'key_stolen',
    'key_lost',
    'remove',
    'forget',
    'over_forget',
    'name_changed',
    'mount_changed',
    'open_by_handle',
    'hazard',
    'hazard_closed',
    'init',
    'destroy',
    'resync',
    'paused',
    'resumed',
    'injected',
  ]),
});
export const eventJson = v.union([lookupJson, otherEventJson]);
export type EventJson = v.InferOutput<typeof eventJson>;
