/** Hand-made maps: what the daemon would send, kept as rows from which windows are cut. */

import type { Severity } from '../../daemon/hazards/hazard';
import type { EventJson, HazardJson, LookupJson, Target } from '../../daemon/protocol/json';
import type {
  EntryRow,
  KeyState,
  MapRequest,
  MapRow,
  MapWindow,
  Status,
} from '../../daemon/protocol/map';
import type { BudgetJson } from '../../daemon/protocol/budget';
import type { LaneJson } from '../../daemon/protocol/lanes';
import type { EntryDetail } from '../../daemon/protocol/rpc';
import type { WhyJson, WhySubject } from '../../daemon/protocol/why';
import { someBudget } from './budgetScenes';
import { someLanes } from './laneScenes';

export interface Scene {
  target: Target;
  attention: EntryRow[];
  directories: { nodeid: string; path: string; children: EntryRow[] }[];
  lastLookup: LookupJson | null;
  status: Status;
  seq: number;
  hazards: HazardJson[];
  history: EventJson[];
  /** One byte a row of the tables. */
  cells: Uint8Array;
  lanes: readonly LaneJson[];
  budget: BudgetJson;
  /** Node ids of the tables' rows, where a test asks for one. */
  nodeidOfRow: (row: number) => string | null;
  /** What is said to «why?»; left out: a daemon that does not know the question. */
  why?: (about: WhySubject) => WhyJson | string;
}

const TIME = '2026-11-22T06:24:41.113Z';
const OWNED: KeyState = { state: 'owned' };

interface EntryParts {
  readonly nodeid: string;
  readonly path: string | null;
  readonly ino: string;
  readonly mntId?: string;
  readonly kind?: 'file' | 'handle' | 'invalid';
  readonly handle?: string | null;
  readonly generation?: string;
  readonly fd?: number;
  readonly idsKey?: KeyState;
  readonly handleKey?: KeyState;
  readonly hazards?: readonly (readonly [id: string, name: string, severity: Severity])[];
  readonly probeErrno?: string;
  readonly attention?: boolean;
  readonly fresh?: boolean;
}

export function entry(parts: EntryParts): EntryRow {
  const handle = parts.handle === undefined ? handleBytes(parts.ino) : parts.handle;
  const mntId = parts.mntId ?? '74';
  return {
    row: 'entry',
    entry: {
      nodeid: parts.nodeid,
      kind: parts.kind ?? 'handle',
      lookups: '1',
      mode: 0o100644,
      path: parts.path,
      ids: { ino: parts.ino, dev: '7:0', mntId },
      handle: handle === null ? null : { mntId, type: 1, bytes: handle },
      generation: parts.generation ?? null,
      fd: parts.fd ?? null,
    },
    idsKey: parts.idsKey ?? OWNED,
    handleKey: parts.handleKey ?? (handle === null ? { state: 'none', why: 'EOPNOTSUPP' } : OWNED),
    attention: parts.attention ?? false,
    hazards: (parts.hazards ?? []).map(([id, name, severity]) => ({ id, name, severity })),
    probeErrno: parts.probeErrno ?? null,
    fresh: parts.fresh ?? false,
  };
}

/** FILEID_INO32_GEN: the inode number and a generation, little-endian. */
function handleBytes(ino: string): string {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(Number(BigInt(ino) & 0xffffffffn), 0);
  bytes.writeUInt32LE(Math.imul(Number(BigInt(ino) & 0xffffn) + 1, 2654435761) >>> 0, 4);
  return bytes.toString('hex');
}

export const TARGET: Target = {
  kind: 'serve',
  pid: 4711,
  implementation: 'virtiofsd-inspector 0.1.0',
  sharedDir: '/srv/share',
  lookupRule: 'handle-then-fd',
  inodeFileHandles: { requested: 'prefer', effective: 'prefer' },
  level: 'instrumented',
  complete: true,
  transport: '/dev/fuse on /mnt/share',
};

export const STOLEN_BY_3: KeyState = { state: 'stolen', owner: '3', time: TIME };

export function rejectedLookup(seq: string): LookupJson {
  return {
    seq,
    time: TIME,
    type: 'lookup',
    op: 'LOOKUP',
    unique: '40',
    parent: '1',
    name: 'f',
    ids: { ino: '12', dev: '7:0', mntId: '74' },
    handle: { mntId: '74', type: 1, bytes: '0c00000022ea51a9' },
    byHandle: null,
    byIds: '2',
    hit: 'fallback_rejected',
    nodeid: '3',
    errno: null,
    durationNs: 21_000,
    probe: null,
    spare: null,
  };
}

export function handleHit(seq: string, nodeid: string, name: string): LookupJson {
  return {
    ...rejectedLookup(seq),
    name,
    byHandle: nodeid,
    byIds: nodeid,
    hit: 'handle_hit',
    nodeid,
  };
}

const FOLDERS = ['', 'docs', 'src', 'src/lib', 'src/lib/codec', 'test', 'build/debug/objects'];

/** The examples of the design document: a caught reuse, a fallback, twins, a lost key. */
export function hazardScene(): Scene {
  const attention: EntryRow[] = [
    entry({
      nodeid: '3',
      path: 'f',
      ino: '12',
      handle: '0c00000022ea51a9',
      generation: '2840717858',
      attention: true,
      hazards: [['H1', 'INODE-NUMBER REUSE', 'information']],
    }),
    entry({
      nodeid: '2',
      path: 'f',
      ino: '12',
      handle: '0c00000005520fe1',
      generation: '3775877637',
      idsKey: STOLEN_BY_3,
      probeErrno: 'ESTALE',
      attention: true,
      hazards: [
        ['H2', 'STALE-HANDLE ENTRY', 'error'],
        ['H1', 'INODE-NUMBER REUSE', 'information'],
        ['H7', 'BY_IDS KEY STOLEN', 'information'],
      ],
    }),
    entry({
      nodeid: '31',
      path: 't2/f',
      ino: '257',
      kind: 'file',
      fd: 21,
      handle: null,
      attention: true,
      hazards: [['H11', 'UNPINNED ALIAS', 'data']],
    }),
    entry({
      nodeid: '5',
      path: 'foo-link.txt',
      ino: '20',
      kind: 'file',
      fd: 19,
      handle: null,
      attention: true,
      hazards: [
        ['H5', 'DUPLICATE INODE', 'identity'],
        ['H4', 'HANDLE-LESS LOOKUP', 'identity'],
      ],
    }),
    entry({
      nodeid: '4',
      path: 'foo.txt',
      ino: '20',
      handle: '14000000321bcba0',
      idsKey: { state: 'stolen', owner: '5', time: '2026-11-22T06:25:02.000Z' },
      attention: true,
      hazards: [
        ['H5', 'DUPLICATE INODE', 'identity'],
        ['H7', 'BY_IDS KEY STOLEN', 'identity'],
      ],
    }),
    entry({
      nodeid: '9',
      path: 'v',
      ino: '13',
      kind: 'file',
      fd: 23,
      handle: null,
      idsKey: { state: 'lost', with: '2', time: TIME },
      attention: true,
      hazards: [['H8', 'BY_IDS KEY LOST', 'identity']],
    }),
    entry({
      nodeid: '12',
      path: 'src/lib/old.ts',
      ino: '44',
      idsKey: { state: 'stolen', owner: '9000', time: TIME },
      probeErrno: 'ESTALE',
      attention: true,
      hazards: [['H2', 'STALE-HANDLE ENTRY', 'information']],
    }),
  ];
  const directories = FOLDERS.map((path, index) => ({
    nodeid: index === 0 ? '1' : String(100 + index),
    path,
    children: Array.from({ length: [4, 6, 9, 46, 3, 12, 31][index] ?? 1 }, (_, child) =>
      entry({
        nodeid: String(1_000 + index * 100 + child),
        path: `${path === '' ? '' : `${path}/`}${CHILD_NAMES[child % CHILD_NAMES.length] ?? 'x'}${child >= CHILD_NAMES.length ? `-${child}` : ''}.ts`,
        ino: String(131_072 + index * 1_000 + child),
      }),
    ),
  }));
  const healthy = directories.reduce((sum, { children }) => sum + children.length, 0);
  const cells = new Uint8Array(healthy + attention.length).fill(1);
  cells.set([4, 7, 8, 6, 6, 6, 4], 2);
  return {
    target: TARGET,
    attention,
    directories,
    lastLookup: rejectedLookup('120'),
    status: status(
      { file: '3', handle: String(healthy + 4), invalid: '0' },
      { data: 1, error: 1, identity: 4, resource: 0, information: 3 },
    ),
    seq: 120,
    hazards: HAZARDS,
    history: HISTORY,
    cells,
    lanes: someLanes(),
    budget: someBudget(),
    nodeidOfRow: (row) => (row < 2 ? '1' : (attention[row - 2]?.entry.nodeid ?? '1302')),
  };
}

const CHILD_NAMES = ['index', 'table', 'lookup', 'forget', 'handle', 'mount', 'codec', 'ring'];

export function status(
  entries: Status['counters']['entries'],
  open: Status['open'],
  fds = { used: '812', limit: '1024' },
): Status {
  return {
    seq: '120',
    counters: {
      lookups: {
        handle_hit: '12345',
        fallback_hit: '3',
        handleless_hit: '1',
        fallback_rejected: '2',
        miss: '1204',
        error: '17',
      },
      entries,
      forgets: '88',
      fds,
    },
    open,
  };
}

const HAZARDS: HazardJson[] = [
  {
    id: 'H2',
    name: 'STALE-HANDLE ENTRY',
    severity: 'error',
    state: 'open',
    nodeids: ['2'],
    seq: '119',
    evidence: { node: '2', guestSaw: 'ESTALE' },
    advice:
      'The guest still counts a file that the host removed or replaced. Use `--cache=auto` or `never`, or do the deletion inside the guest.',
  },
  {
    id: 'H1',
    name: 'INODE-NUMBER REUSE',
    severity: 'information',
    state: 'open',
    nodeids: ['3', '2'],
    seq: '118',
    evidence: { ids: '12/7:0/74', oldGeneration: '3775877637', newGeneration: '2840717858' },
    advice:
      'Number 12 now belongs to a different file (generation 3775877637 → 2840717858). The handle told them apart. Nothing to do.',
  },
];

const HISTORY: EventJson[] = [
  { seq: '119', time: TIME, type: 'open_by_handle', nodeid: '2', errno: 'ESTALE' },
  { seq: '117', time: TIME, type: 'key_stolen', table: 'inodes_by_ids', from: '2', by: '3' },
  rejectedLookup('116'),
  { ...handleHit('30', '2', 'f'), time: '2026-11-22T06:20:07.000Z' },
  {
    ...handleHit('12', '2', 'f'),
    time: '2026-11-22T06:20:01.500Z',
    byHandle: null,
    byIds: null,
    hit: 'miss',
  },
];

/** A table of a million rows, with one wrong one in the middle and one folder of many entries. */
export function millionScene(rows: number): Scene {
  const scene = hazardScene();
  const cells = new Uint8Array(rows).fill(1);
  // A folder whose files have no handles, and entries that were forgotten.
  cells.fill(2, Math.floor(rows * 0.22), Math.floor(rows * 0.25));
  cells.fill(0, Math.floor(rows * 0.93));
  cells[Math.floor(rows * 0.41)] = 8;
  return {
    ...scene,
    directories: [
      ...scene.directories.slice(0, 3),
      {
        nodeid: '150',
        path: 'corpus',
        children: Array.from({ length: Math.min(rows, 400_000) }, (_, child) =>
          entry({
            nodeid: String(10_000 + child),
            path: `corpus/${child}.json`,
            ino: String(500_000 + child),
          }),
        ),
      },
    ],
    cells,
    status: status(
      { file: '27000', handle: String(rows - 27_000), invalid: '0' },
      { data: 1, error: 1, identity: 4, resource: 0, information: 425 },
      { used: '27014', limit: '1048576' },
    ),
  };
}

/** No entry but what a fresh daemon has: none. */
export function emptyScene(): Scene {
  return {
    ...hazardScene(),
    attention: [],
    directories: [],
    lastLookup: null,
    lanes: [],
    cells: new Uint8Array(0),
    status: status(
      { file: '0', handle: '0', invalid: '0' },
      { data: 0, error: 0, identity: 0, resource: 0, information: 0 },
      { used: '12', limit: '1024' },
    ),
  };
}

/** The daemon's part of a window: order, fold, filter, cut. */
export function windowOf(scene: Scene, request: MapRequest, version: number): MapWindow {
  const rows: MapRow[] = [];
  const query = request.query.trim();
  let unfolded = request.unfolded;
  if (query !== '') {
    const all = [...scene.attention, ...scene.directories.flatMap(({ children }) => children)];
    rows.push(...all.filter((row) => matches(row, query)));
  } else {
    if (request.reveal !== undefined) {
      const home = scene.directories.find(({ children }) =>
        children.some((row) => row.entry.nodeid === request.reveal),
      );
      if (home !== undefined) unfolded = [...unfolded, home.nodeid];
    }
    rows.push(...scene.attention);
    for (const { nodeid, path, children } of scene.directories) {
      const open = unfolded.includes(nodeid);
      rows.push({ row: 'directory', nodeid, path, healthy: children.length, unfolded: open });
      if (open) for (const child of children) rows.push(child);
    }
  }
  const at = rows.findIndex((row) => row.row === 'entry' && row.entry.nodeid === request.reveal);
  const last = Math.max(0, rows.length - request.count);
  const offset =
    at === -1
      ? Math.min(request.offset, last)
      : Math.max(0, Math.min(last, at - Math.floor(request.count / 2)));
  return {
    version,
    seq: String(scene.seq),
    offset,
    total: rows.length,
    attention: query === '' ? scene.attention.length : 0,
    entries: scene.attention.length + scene.directories.reduce((n, d) => n + d.children.length, 0),
    rows: rows.slice(offset, offset + request.count),
    lastLookup: scene.lastLookup,
    revealed: at === -1 ? null : at,
  };
}

function matches(row: EntryRow, query: string): boolean {
  const [field, value] = query.split(/\s+/);
  if (field === 'ino') return row.entry.ids.ino === value;
  if (field === 'node') return row.entry.nodeid === value;
  if (field === 'handle') return row.entry.handle?.bytes.startsWith(value ?? '') === true;
  return row.entry.path?.includes(query) === true;
}

export function detailOf(scene: Scene, nodeid: string): EntryDetail | undefined {
  const row = [...scene.attention, ...scene.directories.flatMap(({ children }) => children)].find(
    ({ entry: { nodeid: id } }) => id === nodeid,
  );
  if (row === undefined) return undefined;
  return {
    row,
    hazards: scene.hazards.filter((hazard) => hazard.nodeids.includes(nodeid)),
    history:
      nodeid === '2'
        ? scene.history
        : [{ ...handleHit('90', nodeid, 'x'), parent: parentOf(scene, nodeid) }],
  };
}

function parentOf(scene: Scene, nodeid: string): string {
  return (
    scene.directories.find(({ children }) => children.some((row) => row.entry.nodeid === nodeid))
      ?.nodeid ?? '1'
  );
}
