import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ScrollArea } from '../../webview/scroll';
import {
  isScaled,
  lastTop,
  MAX_SCROLL_HEIGHT,
  scrollOfTop,
  spacerHeight,
  topOfScroll,
  topToShow,
  windowOf,
} from '../../webview/scroll';

const areas = fc
  .record({
    rowHeight: fc.constant(30),
    rows: fc.integer({ min: 0, max: 20_000_000 }),
    viewport: fc.integer({ min: 0, max: 2_000 }),
  })
  .map((area): ScrollArea => area);
const share = fc.double({ min: 0, max: 1, noNaN: true });

test('the scroll area never exceeds what browsers take', () => {
  fc.assert(
    fc.property(areas, (area) => {
      expect(spacerHeight(area)).toBeLessThanOrEqual(MAX_SCROLL_HEIGHT);
      expect(isScaled(area)).toBe(area.rows * area.rowHeight > MAX_SCROLL_HEIGHT);
    }),
  );
});

test('scroll bar and rows agree, from the first row to the last', () => {
  fc.assert(
    fc.property(areas, share, (area, at) => {
      const top = at * lastTop(area);
      const scroll = scrollOfTop(area, top);
      expect(scroll).toBeLessThanOrEqual(Math.max(0, spacerHeight(area) - area.viewport));
      expect(topOfScroll(area, scroll)).toBeCloseTo(top, 3);
    }),
  );
  const million: ScrollArea = { rowHeight: 30, rows: 1_000_000, viewport: 600 };
  expect(topOfScroll(million, MAX_SCROLL_HEIGHT - 600)).toBe(lastTop(million));
  expect(topOfScroll(million, 0)).toBe(0);
});

test('a row is brought wholly into sight with the least movement', () => {
  fc.assert(
    fc.property(areas, share, fc.nat(), (area, at, where) => {
      fc.pre(area.rows > 0 && area.viewport >= area.rowHeight);
      const row = where % area.rows;
      const before = at * lastTop(area);
      const top = topToShow(area, before, row);
      expect(row * area.rowHeight).toBeGreaterThanOrEqual(top - 1e-6);
      expect((row + 1) * area.rowHeight).toBeLessThanOrEqual(top + area.viewport + 1e-6);
      const wasInSight =
        row * area.rowHeight >= before && (row + 1) * area.rowHeight <= before + area.viewport;
      if (wasInSight) expect(top).toBeCloseTo(before, 6);
    }),
  );
});

test('a window covers what is in sight and stays within its limit', () => {
  fc.assert(
    fc.property(areas, share, (area, at) => {
      fc.pre(area.viewport <= 100 * area.rowHeight);
      const top = at * lastTop(area);
      const { offset, count } = windowOf(area, top, 16, 120);
      expect(count).toBeLessThanOrEqual(120);
      expect(offset).toBeGreaterThanOrEqual(0);
      expect(offset * area.rowHeight).toBeLessThanOrEqual(top);
      expect((offset + count) * area.rowHeight).toBeGreaterThanOrEqual(top + area.viewport);
    }),
  );
});
