/** Where the bars of a lane stand: which of them share a line, where files overlap, what is hit. */

import type { LaneBarJson, LaneJson } from '../daemon/protocol/lanes';

export const LANE_HEIGHT = 44;
/** Above and below the bars of a lane. */
const PADDING = 6;
const GAP = 2;
/** A bar is never narrower, and a wrong answer's notch neither. */
export const LEAST_BAR = 2;
export const NOTCH = 3;

export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface PlacedBar {
  readonly bar: LaneBarJson;
  /** Within the lane, in pixels from its top. */
  readonly y: number;
  readonly height: number;
  /** An open beginning lies at -Infinity, a living bar's end at `now`. */
  readonly span: Span;
}

export function spanOf(bar: LaneBarJson, now: number): Span {
  return { from: bar.from ?? -Infinity, to: bar.to ?? now };
}

/** Bars that overlap stand below each other, each in the first line that is free. */
export function placeBars(lane: LaneJson, now: number): PlacedBar[] {
  const ends: number[] = [];
  const lines = lane.bars.map((bar) => {
    const { from, to } = spanOf(bar, now);
    const free = ends.findIndex((end) => end <= from);
    const line = free === -1 ? ends.length : free;
    ends[line] = bar.to === null ? Infinity : to;
    return line;
  });
  const count = Math.max(1, ends.length);
  const height = (LANE_HEIGHT - 2 * PADDING - (count - 1) * GAP) / count;
  return lane.bars.map((bar, at) => ({
    bar,
    y: PADDING + (lines[at] ?? 0) * (height + GAP),
    height,
    span: spanOf(bar, now),
  }));
}

/** The times in which entries lived that are not known to be one file. */
export function overlapsOf(lane: LaneJson, now: number): Span[] {
  const spans: Span[] = [];
  lane.bars.forEach((a, at) => {
    for (const b of lane.bars.slice(at + 1)) {
      if (a.owner !== null && a.owner === b.owner) continue;
      const from = Math.max(a.from ?? -Infinity, b.from ?? -Infinity);
      const to = Math.min(a.to ?? now, b.to ?? now);
      if (from < to) spans.push({ from, to });
    }
  });
  spans.sort((a, b) => a.from - b.from);
  const merged: Span[] = [];
  for (const span of spans) {
    const last = merged.at(-1);
    if (last === undefined || last.to < span.from) merged.push(span);
    else merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, span.to) };
  }
  return merged;
}

/** The bar at a place of the lane, or the one that is at most `reach` pixels beside it. */
export function barAt(
  placed: readonly PlacedBar[],
  x: (time: number) => number,
  at: { readonly x: number; readonly y: number },
  reach = 4,
): PlacedBar | undefined {
  let best: PlacedBar | undefined;
  let distance = reach;
  for (const one of placed) {
    if (at.y < one.y - GAP || at.y > one.y + one.height + GAP) continue;
    const left = x(one.span.from);
    const right = Math.max(x(one.span.to), left + LEAST_BAR);
    const away = Math.max(0, left - at.x, at.x - right);
    if (away < distance || (away === distance && best === undefined)) {
      best = one;
      distance = away;
    }
  }
  return best;
}

/** A domain of at least a millisecond, inside the whole. */
export function clampDomain(domain: Span, whole: Span): Span {
  const width = Math.min(Math.max(1, domain.to - domain.from), whole.to - whole.from);
  const from = Math.max(whole.from, Math.min(domain.from, whole.to - width));
  return { from, to: from + width };
}
