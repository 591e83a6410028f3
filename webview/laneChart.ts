/**
 * The bars of the lanes in sight, on a canvas: SVG takes 1,000 marks with ease, and sixty lanes of
 * thirty-two bars are twice that.
 */

import type { ScaleTime } from 'd3';
import type { LaneBarJson, LaneJson } from '../daemon/protocol/lanes';
import type { LaneColors } from './laneColors';
import { ownerPaint } from './laneColors';
import type { PlacedBar } from './laneGeometry';
import { LANE_HEIGHT, LEAST_BAR, NOTCH, overlapsOf, placeBars } from './laneGeometry';

export interface ChartLane {
  readonly lane: LaneJson;
  /** Of the lane's top, in pixels from the canvas's. */
  readonly y: number;
  readonly isCursor: boolean;
  /** The node id of the bar that the keyboard is on. */
  readonly bar: string | undefined;
}

export interface Chart {
  readonly lanes: readonly ChartLane[];
  readonly x: ScaleTime<number, number>;
  readonly ticks: readonly Date[];
  readonly now: number;
  readonly width: number;
  readonly height: number;
  readonly colors: LaneColors;
}

/** Text is only drawn where it has room for a node id. */
const LEAST_TEXT = 26;

export function drawChart(canvas: HTMLCanvasElement, chart: Chart): void {
  const ratio = devicePixelRatio;
  const width = Math.max(1, Math.round(chart.width * ratio));
  const height = Math.max(1, Math.round(chart.height * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, chart.width, chart.height);
  context.font = `11px ${chart.colors.font}`;
  context.textBaseline = 'middle';

  context.fillStyle = chart.colors.line;
  for (const tick of chart.ticks) context.fillRect(Math.round(chart.x(tick)), 0, 1, chart.height);
  for (const one of chart.lanes) {
    context.fillStyle = chart.colors.line;
    context.fillRect(0, one.y + LANE_HEIGHT - 1, chart.width, 1);
    drawLane(context, one, chart);
  }
}

function drawLane(
  context: CanvasRenderingContext2D,
  { lane, y, isCursor, bar: chosen }: ChartLane,
  chart: Chart,
): void {
  const { x, now, colors } = chart;
  for (const { from, to } of overlapsOf(lane, now)) {
    const left = clamp(x(from), chart.width);
    const right = Math.max(clamp(x(to), chart.width), left + LEAST_BAR);
    context.fillStyle = colors.overlap;
    context.fillRect(left, y, right - left, LANE_HEIGHT - 1);
    // A bracket above, which is seen where bars cover the ground.
    context.fillStyle = colors.text;
    context.fillRect(left, y + 1, right - left, 2);
  }
  const placed = placeBars(lane, now);
  for (const one of placed) drawBar(context, one, y, chart);
  // On top of every bar: a wrong answer is never covered.
  for (const one of placed) drawNotches(context, one, y, chart);
  if (!isCursor) return;
  const at = placed.find(({ bar }) => bar.nodeid === chosen);
  if (at === undefined) return;
  const { left, right } = edgesOf(at, chart);
  context.strokeStyle = colors.focus;
  context.lineWidth = 2;
  context.strokeRect(left - 1.5, y + at.y - 1.5, right - left + 3, at.height + 3);
}

function drawBar(
  context: CanvasRenderingContext2D,
  placed: PlacedBar,
  laneY: number,
  chart: Chart,
): void {
  const { bar, height } = placed;
  const { colors, x } = chart;
  const { left, right } = edgesOf(placed, chart);
  if (right < 0 || left > chart.width) return;
  const y = laneY + placed.y;
  const paint = ownerPaint(colors, bar.owner);
  context.save();
  context.beginPath();
  context.rect(left, y, right - left, height);
  context.clip();
  context.fillStyle = paint.fill;
  context.fillRect(left, y, right - left, height);
  // From when another entry has the key, the bar is hatched: it is held, but no lookup finds it.
  if (bar.taken !== null)
    hatch(context, clamp(x(bar.taken), chart.width), right, y, height, paint.edge);
  context.restore();
  context.fillStyle = paint.edge;
  context.fillRect(left, y, Math.min(3, right - left), height);
  context.fillRect(left, y + height - 1, right - left, 1);
  context.fillRect(left, y, right - left, 1);
  if (bar.to !== null) context.fillRect(right - 1, y, 1, height);
  drawTexts(context, placed, y, { left, right }, chart);
}

/** Node id, name and generation; then the errno, from when the handle was stale. */
function drawTexts(
  context: CanvasRenderingContext2D,
  { bar, height }: PlacedBar,
  y: number,
  { left, right }: { readonly left: number; readonly right: number },
  { colors, x, width }: Chart,
): void {
  if (height < 11) return;
  const start = Math.max(0, left) + 7;
  const stale = bar.stale === null ? undefined : Math.max(start, clamp(x(bar.stale.time), width));
  const end = Math.min(width, right) - 4;
  const middle = y + height / 2 + 0.5;
  context.fillStyle = colors.text;
  let drawnTo = start;
  if (end - start >= LEAST_TEXT) {
    drawnTo += label(context, shortTitle(bar), start, middle, end, colors) + 10;
  }
  if (bar.stale !== null && stale !== undefined) {
    const at = Math.max(stale + 4, drawnTo);
    const text = `† ${bar.stale.errno}`;
    if (at + context.measureText(text).width < end) label(context, text, at, middle, end, colors);
  }
}

/** @returns the width of the text, which stands on a ground of its own so that hatching does not cross it */
function label(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  end: number,
  colors: LaneColors,
): number {
  const shown = shorten(context, text, end - x);
  const { width } = context.measureText(shown);
  context.save();
  context.globalAlpha = 0.8;
  context.fillStyle = colors.background;
  context.fillRect(x - 2, y - 7, width + 4, 13);
  context.restore();
  context.fillText(shown, x, y);
  return width;
}

function shortTitle(bar: LaneBarJson): string {
  const name = bar.path === null ? '' : ` ${bar.path.slice(bar.path.lastIndexOf('/') + 1)}`;
  const generation = bar.generation === null ? '' : `  gen ${bar.generation}`;
  return `${bar.nodeid}${name}${generation}${bar.to === null ? ' ►' : ''}`;
}

function shorten(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  let shown = text;
  while (shown.length > 1 && context.measureText(`${shown}…`).width > room) {
    shown = shown.slice(
      0,
      Math.max(1, Math.floor(shown.length * 0.9)) - (shown.length < 11 ? 1 : 0),
    );
  }
  return shown.length <= 1 ? '' : `${shown}…`;
}

function drawNotches(
  context: CanvasRenderingContext2D,
  { bar, y, height }: PlacedBar,
  laneY: number,
  { x, width, colors }: Chart,
): void {
  context.fillStyle = colors.wrong;
  for (const { time } of bar.wrong) {
    const at = x(time);
    if (at < -NOTCH || at > width + NOTCH) continue;
    const left = Math.max(0, Math.min(width - NOTCH, at - NOTCH / 2));
    context.fillRect(left, laneY + 2, NOTCH, LANE_HEIGHT - 5);
    const middle = left + NOTCH / 2;
    context.beginPath();
    context.moveTo(middle - 6, laneY + 1);
    context.lineTo(middle + 6, laneY + 1);
    context.lineTo(middle, laneY + y + height / 4 + 4);
    context.fill();
  }
}

function edgesOf(
  { span }: PlacedBar,
  { x, width }: Chart,
): { readonly left: number; readonly right: number } {
  const left = clamp(x(span.from), width);
  return { left, right: Math.max(clamp(x(span.to), width), left + LEAST_BAR) };
}

/** Far outside is just outside: a canvas does not like coordinates of millions. */
function clamp(at: number, width: number): number {
  return Math.max(-10, Math.min(width + 10, Number.isNaN(at) ? -10 : at));
}

function hatch(
  context: CanvasRenderingContext2D,
  from: number,
  to: number,
  y: number,
  height: number,
  color: string,
): void {
  const left = Math.max(-10, from);
  context.beginPath();
  for (let at = left - height; at < to; at += 6) {
    context.moveTo(Math.max(left, at), y + height - Math.max(0, left - at));
    context.lineTo(at + height, y);
  }
  context.strokeStyle = color;
  context.lineWidth = 1;
  context.globalAlpha = 0.7;
  context.stroke();
  context.globalAlpha = 1;
}
