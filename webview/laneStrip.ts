/**
 * All of the time in one strip above the lanes: overlaps that began, wrong answers, and what is
 * harmless, by bin; a brush over the part that the lanes show.
 */

import { brushX, scaleTime, select } from 'd3';
import type { D3BrushEvent } from 'd3';
import type { LanesWindow } from '../daemon/protocol/lanes';
import { el, svg } from './dom';
import type { LaneColors } from './laneColors';
import { NOTCH } from './laneGeometry';
import type { Span } from './laneGeometry';

const HEIGHT = 34;

export interface LaneStrip {
  readonly element: HTMLElement;
  draw(
    strip: LanesWindow['strip'] | undefined,
    whole: Span,
    domain: Span | null,
    width: number,
    colors: LaneColors,
  ): void;
}

/** @param choose null: all of the time */
export function laneStrip(choose: (domain: Span | null) => void): LaneStrip {
  const canvas = el('canvas', { class: 'strip-canvas', attributes: { 'aria-hidden': 'true' } });
  const brushed = svg('g');
  const overlay = svg('svg', { class: 'strip-brush', 'aria-hidden': 'true' }, brushed);
  const group = select<SVGGElement, unknown>(brushed);
  const element = el(
    'div',
    { class: 'lane-strip', data: { testid: 'lane-strip' } },
    canvas,
    overlay,
  );
  let whole: Span = { from: 0, to: 1 };
  let width = 1;
  let drawn = '';
  /** The page moves the brush itself. */
  let own = false;
  let isDragged = false;
  const brush = brushX<unknown>();
  brush.on('start', () => {
    if (!own) isDragged = true;
  });
  brush.on('end', (event: D3BrushEvent<unknown>) => {
    if (own) return;
    isDragged = false;
    const { selection } = event;
    if (!Array.isArray(selection)) {
      choose(null);
      return;
    }
    const [left, right] = selection;
    if (typeof left !== 'number' || typeof right !== 'number') return;
    const x = scaleTime([whole.from, whole.to], [0, width]);
    choose({ from: x.invert(left).getTime(), to: x.invert(right).getTime() });
  });

  return {
    element,
    draw(strip, nextWhole, domain, nextWidth, colors) {
      whole = nextWhole;
      width = nextWidth;
      paint(canvas, strip, whole, width, colors);
      const x = scaleTime([whole.from, whole.to], [0, width]);
      const selection = domain === null ? null : ([x(domain.from), x(domain.to)] as const);
      const what = JSON.stringify([width, selection]);
      if (what === drawn || isDragged) return;
      drawn = what;
      own = true;
      brush.extent([
        [0, 0],
        [width, HEIGHT],
      ]);
      select(overlay).attr('width', width).attr('height', HEIGHT);
      brush(group);
      brush.move(group, selection === null ? null : [...selection]);
      own = false;
    },
  };
}

function paint(
  canvas: HTMLCanvasElement,
  strip: LanesWindow['strip'] | undefined,
  whole: Span,
  width: number,
  colors: LaneColors,
): void {
  const ratio = devicePixelRatio;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.round(HEIGHT * ratio);
  const context = canvas.getContext('2d');
  if (context === null || strip === undefined) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const bins = strip.overlaps.length;
  const x = scaleTime([whole.from, whole.to], [0, width]);
  const start = x(strip.from);
  const bin = (x(strip.to) - start) / bins;
  const most = Math.max(1, ...strip.overlaps, ...strip.harmless);
  // A logarithm: one overlap is seen beside a thousand.
  const heightOf = (count: number): number =>
    count === 0 ? 0 : 3 + ((HEIGHT - 12) * Math.log1p(count)) / Math.log1p(most);
  const bars = (counts: readonly number[], color: string, share: number, at: number): void => {
    context.fillStyle = color;
    counts.forEach((count, index) => {
      const height = heightOf(count);
      if (height > 0) {
        const barWidth = Math.max(2, bin * share - 0.5);
        context.fillRect(start + index * bin + bin * at, HEIGHT - height, barWidth, height);
      }
    });
  };
  bars(strip.harmless, colors.muted, 0.5, 0);
  bars(strip.overlaps, colors.owners[0]?.edge ?? colors.text, 0.5, 0.5);
  context.fillStyle = colors.wrong;
  strip.wrong.forEach((count, index) => {
    if (count === 0) return;
    const middle = start + (index + 0.5) * bin;
    context.fillRect(middle - NOTCH / 2, 0, NOTCH, HEIGHT);
    context.beginPath();
    context.moveTo(middle - 5, 0);
    context.lineTo(middle + 5, 0);
    context.lineTo(middle, 8);
    context.fill();
  });
}
