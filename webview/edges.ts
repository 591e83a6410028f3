/**
 * Where the edges of a window run: from the keys on both sides to the entry in the middle. A
 * healthy edge is a straight horizontal line, so that whatever is not one stands out (views.md
 * 6.2 A). Pure geometry; webview/links.ts draws it.
 */

import type { EntryRow, KeyState, MapRow } from '../daemon/protocol/map';

export type Side = 'ids' | 'handle';

/** Where the columns begin and end, in CSS pixels from the left of the map. */
export interface Columns {
  readonly idsEnd: number;
  readonly entryStart: number;
  readonly entryEnd: number;
  readonly handleStart: number;
}

export type EdgeShape =
  /** Straight: the key leads here. */
  | 'owned'
  /** Dashed, from the place of the key's owner: the key led here once. */
  | 'ghost'
  /** A dashed end, because the owner is out of sight. */
  | 'stub'
  /** Only an empty socket where the key was. */
  | 'lost';

export interface Edge {
  /** Stable for as long as the edge keeps its shape. */
  readonly id: string;
  readonly nodeid: string;
  readonly side: Side;
  readonly shape: EdgeShape;
  /** From the key to the entry. */
  readonly path: string;
  /** Where a cross would stand if the lookup refused this edge. */
  readonly cross: { readonly x: number; readonly y: number };
  /** The empty socket of a lost key. */
  readonly socket: { readonly x: number; readonly y: number } | undefined;
  readonly label: { readonly text: string; readonly x: number; readonly y: number } | undefined;
}

/** From the cell's text to the key's dot, and from the arrow's tip to the entry's card. */
const KEY_GAP = 9;
const ENTRY_GAP = 3;
const CORNER = 5;
/** Between the trunks of ghosts that pass each other. */
const LANE = 7;
/** Narrower gaps have no room for a label; the cell says the same. */
const LABEL_GAP = 70;

/**
 * @param rows of the window, @param first y of the first row's upper edge
 */
export function edgesOf(
  rows: readonly MapRow[],
  columns: Columns,
  rowHeight: number,
  first: number,
): Edge[] {
  const yOf = new Map<string, number>();
  rows.forEach((row, index) => {
    if (row.row === 'entry') yOf.set(row.entry.nodeid, first + (index + 0.5) * rowHeight);
  });
  return (['ids', 'handle'] as const).flatMap((side) => sideEdges(rows, side, columns, yOf));
}

function sideEdges(
  rows: readonly MapRow[],
  side: Side,
  columns: Columns,
  yOf: ReadonlyMap<string, number>,
): Edge[] {
  // From left to right on the ids side, mirrored on the handle side.
  const direction = side === 'ids' ? 1 : -1;
  const keyX = side === 'ids' ? columns.idsEnd + KEY_GAP : columns.handleStart - KEY_GAP;
  const entryX = side === 'ids' ? columns.entryStart - ENTRY_GAP : columns.entryEnd + ENTRY_GAP;
  const gap = Math.abs(entryX - keyX);
  const lanes = trunkLanes(rows, side, yOf, Math.max(1, Math.floor((gap - 24) / LANE)));

  const edges: Edge[] = [];
  for (const row of rows) {
    if (row.row !== 'entry') continue;
    const { nodeid } = row.entry;
    const y = yOf.get(nodeid);
    const key = keyOf(row, side);
    if (y === undefined || key.state === 'none') continue;
    const cross = { x: (keyX + entryX) / 2, y };
    const base = { nodeid, side, cross, socket: undefined, label: undefined };
    switch (key.state) {
      case 'owned':
        edges.push({
          ...base,
          id: `${nodeid}:${side}:owned`,
          shape: 'owned',
          path: `M${keyX} ${y}L${entryX} ${y}`,
        });
        break;
      case 'lost':
        edges.push({
          ...base,
          id: `${nodeid}:${side}:lost`,
          shape: 'lost',
          path: '',
          socket: { x: keyX, y },
        });
        break;
      case 'stolen': {
        const ownerY = yOf.get(key.owner);
        if (ownerY === undefined) {
          const labelled = gap >= LABEL_GAP;
          const text = side === 'ids' ? `→ node ${key.owner}` : `node ${key.owner} ←`;
          edges.push({
            ...base,
            id: `${nodeid}:${side}:stub`,
            shape: 'stub',
            path: `M${keyX} ${y}L${entryX} ${y}`,
            label: labelled ? { text, x: (keyX + entryX) / 2, y: y - 5 } : undefined,
          });
          break;
        }
        const trunkX = keyX + direction * LANE * (lanes.get(nodeid) ?? 0);
        const turn = ownerY < y ? -1 : 1;
        edges.push({
          ...base,
          id: `${nodeid}:${side}:ghost`,
          shape: 'ghost',
          cross: { x: (trunkX + entryX) / 2, y },
          path:
            `M${trunkX} ${ownerY}L${trunkX} ${y + turn * CORNER}` +
            `Q${trunkX} ${y} ${trunkX + direction * CORNER} ${y}L${entryX} ${y}`,
        });
        break;
      }
    }
  }
  return edges;
}

function keyOf(row: EntryRow, side: Side): KeyState {
  return side === 'ids' ? row.idsKey : row.handleKey;
}

/**
 * Ghosts of one owner share a trunk; trunks of different owners that pass each other get lanes of
 * their own, as far as the gap has room.
 */
function trunkLanes(
  rows: readonly MapRow[],
  side: Side,
  yOf: ReadonlyMap<string, number>,
  most: number,
): ReadonlyMap<string, number> {
  const spans = new Map<string, { low: number; high: number; nodeids: string[] }>();
  for (const row of rows) {
    if (row.row !== 'entry') continue;
    const key = keyOf(row, side);
    const y = yOf.get(row.entry.nodeid);
    if (key.state !== 'stolen' || y === undefined) continue;
    const ownerY = yOf.get(key.owner);
    if (ownerY === undefined) continue;
    const span = spans.get(key.owner) ?? { low: ownerY, high: ownerY, nodeids: [] };
    span.low = Math.min(span.low, y);
    span.high = Math.max(span.high, y);
    span.nodeids.push(row.entry.nodeid);
    spans.set(key.owner, span);
  }
  const lanes = new Map<string, number>();
  const ends: number[] = [];
  for (const span of [...spans.values()].sort((a, b) => a.low - b.low)) {
    const free = ends.findIndex((end) => end < span.low);
    const lane = free === -1 ? ends.length : free;
    ends[lane] = span.high;
    for (const nodeid of span.nodeids) lanes.set(nodeid, Math.min(lane, most - 1));
  }
  return lanes;
}
