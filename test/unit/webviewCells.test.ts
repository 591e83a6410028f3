import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fitCells, gridOf, rowsOfCell } from '../../webview/cells';

const states = (most: number) => fc.uint8Array({ min: 0, max: 8, minLength: 1, maxLength: most });

describe('cells to pixels', () => {
  test('show every state somewhere, and none that is not there', () => {
    fc.assert(
      fc.property(states(3_000), fc.integer({ min: 1, max: 3_000 }), (cells, pixels) => {
        const span = { from: 0, to: cells.length };
        const out = fitCells(cells, span, span, pixels);
        expect(out.length).toBe(pixels);
        expect(Math.max(...out)).toBe(Math.max(...cells));
        const present = new Set(cells);
        for (const state of out) expect(present.has(state)).toBe(true);
      }),
    );
  });

  test('keep one bad row among many in sight at any zoom that has it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20_000 }),
        fc.nat(),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 700 }),
        (rows, where, start, length, pixels) => {
          const cells = new Uint8Array(rows).fill(1);
          const bad = where % rows;
          cells[bad] = 8;
          const from = start % (bad + 1);
          const to = bad + 1 + (length % (rows - bad));
          const out = fitCells(cells, { from: 0, to: rows }, { from, to }, pixels);
          expect(Math.max(...out)).toBe(8);
        },
      ),
    );
  });

  test('say nothing about rows that are not known', () => {
    const out = fitCells(Uint8Array.of(8, 8), { from: 10, to: 12 }, { from: 0, to: 40 }, 20);
    expect([...out].flatMap((state, pixel) => (state === 0 ? [] : [pixel]))).toEqual([5]);
    expect([...fitCells(new Uint8Array(0), { from: 0, to: 1 }, { from: 0, to: 1 }, 3)]).toEqual([
      0, 0, 0,
    ]);
  });

  test('are the same cells when there are as many', () => {
    fc.assert(
      fc.property(
        states(5_000),
        fc.nat(1_000_000),
        fc.integer({ min: 1, max: 50 }),
        (cells, from, each) => {
          const span = { from, to: from + cells.length * each };
          expect(fitCells(cells, span, span, cells.length)).toEqual(cells);
        },
      ),
    );
  });
});

describe('the grid of cells', () => {
  test('fits the strip, with cells of at least a pixel, and as large as they can be', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2_000_000 }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 2_000 }),
        fc.integer({ min: 1, max: 24 }),
        (rows, width, height, largest) => {
          const grid = gridOf(rows, width, height, largest, 65_000);
          expect(grid.size).toBeGreaterThanOrEqual(1);
          expect(grid.columns * grid.size).toBeLessThanOrEqual(width);
          expect(grid.lines * grid.size).toBeLessThanOrEqual(height);
          expect(grid.cells).toBeLessThanOrEqual(Math.min(rows, 65_000));
          expect(grid.cells).toBeLessThanOrEqual(grid.columns * grid.lines);
          const larger = grid.size + 1;
          if (larger <= Math.min(largest, width, height)) {
            const capacity = Math.floor(width / larger) * Math.floor(height / larger);
            expect(capacity).toBeLessThan(Math.min(rows, 65_000));
          }
        },
      ),
    );
  });
});

describe('the rows of a cell', () => {
  test('are all rows, each in one cell, in order', () => {
    fc.assert(
      fc.property(
        fc.nat(1_000_000),
        fc.integer({ min: 1, max: 3_000 }),
        fc.integer({ min: 1, max: 3_000 }),
        (from, rows, wanted) => {
          const cells = Math.min(rows, wanted);
          let next = from;
          for (let cell = 0; cell < cells; cell++) {
            const span = rowsOfCell(cell, cells, { from, to: from + rows });
            expect(span.from).toBe(next);
            expect(span.to).toBeGreaterThan(span.from);
            next = span.to;
          }
          expect(next).toBe(from + rows);
        },
      ),
      { numRuns: 50 },
    );
  });
});
