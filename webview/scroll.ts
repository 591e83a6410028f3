/**
 * Which rows are in sight. A browser clamps the height of an element (Chromium at 33.5 M px,
 * Firefox at 17.8 M) and places things half a pixel off well before, so a long map gets a scroll area of at most
 * MAX_SCROLL_HEIGHT and its own position, of which the scroll bar shows the proportion.
 */

export const MAX_SCROLL_HEIGHT = 4_000_000;

export interface ScrollArea {
  readonly rowHeight: number;
  readonly rows: number;
  /** Height in which rows are seen, in CSS pixels. */
  readonly viewport: number;
}

/** Height of all rows, in CSS pixels, as if there were no limit. */
export function fullHeight(area: ScrollArea): number {
  return area.rows * area.rowHeight;
}

/** Height of the spacer. */
export function spacerHeight(area: ScrollArea): number {
  return Math.min(fullHeight(area), MAX_SCROLL_HEIGHT);
}

/** True when a pixel of the scroll bar stands for more than a pixel of rows. */
export function isScaled(area: ScrollArea): boolean {
  return fullHeight(area) > MAX_SCROLL_HEIGHT;
}

/** The furthest `top`. */
export function lastTop(area: ScrollArea): number {
  return Math.max(0, fullHeight(area) - area.viewport);
}

/** Position in the rows (px from the first row) for a position of the scroll bar. */
export function topOfScroll(area: ScrollArea, scrollTop: number): number {
  if (!isScaled(area)) return clamp(scrollTop, 0, lastTop(area));
  const range = MAX_SCROLL_HEIGHT - area.viewport;
  return clamp((scrollTop / range) * lastTop(area), 0, lastTop(area));
}

/** Position of the scroll bar for a position in the rows. */
export function scrollOfTop(area: ScrollArea, top: number): number {
  const clamped = clamp(top, 0, lastTop(area));
  if (!isScaled(area)) return clamped;
  return (clamped / lastTop(area)) * (MAX_SCROLL_HEIGHT - area.viewport);
}

/** The nearest `top` at which a row is wholly in sight. */
export function topToShow(area: ScrollArea, top: number, row: number): number {
  const start = row * area.rowHeight;
  const latest = start;
  const earliest = start + area.rowHeight - area.viewport;
  return clamp(clamp(top, earliest, latest), 0, lastTop(area));
}

/** The window of rows to ask for: what is in sight, with a margin on both sides. */
export function windowOf(
  area: ScrollArea,
  top: number,
  margin: number,
  most: number,
): { readonly offset: number; readonly count: number } {
  const inSight = Math.ceil(area.viewport / area.rowHeight) + 1;
  const count = Math.max(1, Math.min(most, inSight + 2 * margin));
  const first = Math.floor(top / area.rowHeight);
  return {
    offset: Math.max(0, first - Math.min(margin, Math.floor((count - inSight) / 2))),
    count,
  };
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}
