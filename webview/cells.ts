/** From the overview's cells to pixels. A worse state is never averaged or sampled away. */

/** Rows [from, to) of the tables. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * Fits cells that stand for the rows `of` to `count` cells (or pixels) that stand for the rows
 * `onto`: each takes the worst of the cells that it touches. So every cell within `onto` is seen in
 * at least one of them, and none shows a state that is not there. Rows outside `of` are vacant (0).
 */
export function fitCells(cells: Uint8Array, of: Span, onto: Span, count: number): Uint8Array {
  const out = new Uint8Array(count);
  const cellRows = (of.to - of.from) / cells.length;
  const outRows = (onto.to - onto.from) / count;
  if (cells.length === 0 || !(cellRows > 0) || !(outRows > 0)) return out;
  for (let index = 0; index < count; index++) {
    const start = (onto.from + index * outRows - of.from) / cellRows;
    const end = (onto.from + (index + 1) * outRows - of.from) / cellRows;
    // Where a quotient misses a whole number by rounding, the cell beside it is not touched.
    const first = Math.floor(start + ROUNDING);
    const last = Math.min(cells.length, Math.max(first + 1, Math.ceil(end - ROUNDING)));
    let worst = 0;
    for (let cell = Math.max(0, first); cell < last; cell++) {
      worst = Math.max(worst, cells[cell] ?? 0);
    }
    out[index] = worst;
  }
  return out;
}

const ROUNDING = 1e-6;

export interface CellGrid {
  readonly columns: number;
  /** Lines that hold a cell; the last may be short. */
  readonly lines: number;
  /** Edge of a cell in device pixels, at least 1. */
  readonly size: number;
  /** How many cells to ask for. */
  readonly cells: number;
}

/**
 * The largest square cells with which `rows` rows of the tables fill a strip; when even cells of
 * one pixel are too few, a cell stands for several rows.
 *
 * @param width of the strip, @param height of the strip, @param largest edge: device pixels
 */
export function gridOf(
  rows: number,
  width: number,
  height: number,
  largest: number,
  mostCells: number,
): CellGrid {
  const usableWidth = Math.max(1, Math.floor(width));
  const usableHeight = Math.max(1, Math.floor(height));
  const capacity = (size: number): number =>
    Math.floor(usableWidth / size) * Math.floor(usableHeight / size);
  const wanted = Math.max(1, Math.min(rows, mostCells));
  let size = Math.max(1, Math.min(Math.floor(largest), usableWidth, usableHeight));
  while (size > 1 && capacity(size) < wanted) size--;
  const columns = Math.max(1, Math.floor(usableWidth / size));
  const cells = Math.min(wanted, capacity(size));
  return { columns, lines: Math.ceil(cells / columns), size, cells };
}

/** The rows [from, to) that a cell stands for, as the daemon divides [from, to) among cells. */
export function rowsOfCell(cell: number, cells: number, of: Span): Span {
  const rows = of.to - of.from;
  const from = of.from + Math.floor((cell * rows) / cells);
  return { from, to: Math.max(from + 1, of.from + Math.floor(((cell + 1) * rows) / cells)) };
}
