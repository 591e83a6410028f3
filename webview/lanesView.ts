/**
 * The Number Lanes: a lane a number, its entries as bars over time. Lanes scroll as the rows of the
 * Key Map do; the time is zoomed with Ctrl and the wheel, moved by dragging, and chosen in the strip.
 */

import { axisTop, scaleTime, select, zoom, zoomIdentity } from 'd3';
import type { D3ZoomEvent } from 'd3';
import type { LaneBarJson, LaneClass, LaneJson } from '../daemon/protocol/lanes';
import type { LanesRequest, LanesWindow } from '../daemon/protocol/lanes';
import { LANE_CLASSES, MAX_WINDOW_LANES } from '../daemon/protocol/lanes';
import { el, setAttribute, setText, svg } from './dom';
import { severityGlyph } from './glyphs';
import { drawChart } from './laneChart';
import type { LaneColors } from './laneColors';
import { readLaneColors } from './laneColors';
import type { Span } from './laneGeometry';
import { barAt, clampDomain, LANE_HEIGHT, placeBars } from './laneGeometry';
import { laneStrip } from './laneStrip';
import { barLines, barTitle, LANE_CLASS_WORDS, laneSentence, laneText } from './laneWords';
import type { ScrollArea } from './scroll';
import { isScaled, lastTop, scrollOfTop, spacerHeight, topOfScroll } from './scroll';
import { topToShow, windowOf } from './scroll';
import { countText, idsText, plural } from './words';

/** Lanes asked for above and below those in sight. */
const MARGIN = 8;
/** How often the bars of living entries grow. */
const TICK_MS = 1_000;
/** Times closer than this are not told apart by a zoom. */
const LEAST_MS = 1;
/** Room at the right, for half of the axis's last word. */
const RIGHT = 24;

export interface SavedLanes {
  readonly top: number;
  readonly classes: readonly LaneClass[];
  readonly order: 'overlap' | 'newest';
  readonly domain: Span | null;
}

export interface LanesActions {
  /** Other lanes are looked at: `wanted` says which. */
  moved(): void;
  changed(saved: SavedLanes): void;
  dirty(): void;
  /** Shows an entry in the Key Map. */
  open(nodeid: string): void;
  say(text: string): void;
}

export interface LanesState {
  /** False when nothing more comes: the clock stands. */
  readonly live: boolean;
  readonly query: string;
}

export class LanesView {
  readonly element: HTMLElement;
  readonly #classes: ReadonlyMap<LaneClass, { button: HTMLButtonElement; count: HTMLElement }>;
  readonly #order: HTMLButtonElement;
  readonly #all: HTMLButtonElement;
  readonly #dropped = el('span', { class: 'lanes-dropped muted' });
  readonly #grid: HTMLElement;
  readonly #spacer = el('div', { class: 'lanes-spacer' });
  readonly #rows = el('div', { class: 'lanes-rows', attributes: { role: 'rowgroup' } });
  readonly #canvas = el('canvas', { class: 'lanes-canvas', attributes: { 'aria-hidden': 'true' } });
  readonly #axis = svg('svg', { class: 'lanes-axis', 'aria-hidden': 'true' });
  readonly #tip = el('div', { class: 'lanes-tip', data: { testid: 'lane-tip' } });
  readonly #empty = el('div', { class: 'lanes-empty', data: { testid: 'lanes-empty' } });
  readonly #strip = laneStrip((domain) => this.#show(domain));
  readonly #zoom = zoom<HTMLCanvasElement, unknown>();

  #saved: SavedLanes;
  #window: LanesWindow | undefined;
  #receivedAt = 0;
  #state: LanesState = { live: false, query: '' };
  #viewport = { width: 0, height: 0, chartLeft: 0 };
  #colors: LaneColors | undefined;
  #cursor = 0;
  /** The bar that the keyboard is on, by its place in the lane. */
  #bar = 0;
  #zooming = false;
  /** What d3's transform is relative to. */
  #base: Span = { from: 0, to: 1 };
  #ownScroll: number | undefined;
  #pointer: { readonly x: number; readonly y: number } | undefined;

  constructor(
    saved: SavedLanes,
    private readonly actions: LanesActions,
  ) {
    this.#saved = saved;
    this.#tip.hidden = true;
    this.#classes = new Map(LANE_CLASSES.map((name) => [name, this.#classButton(name)]));
    this.#order = button('lanes-order', '', () =>
      this.#save({ order: this.#saved.order === 'overlap' ? 'newest' : 'overlap', top: 0 }),
    );
    this.#all = button('lanes-all', 'All of the time', () => this.#show(null));
    this.#grid = el(
      'div',
      {
        class: 'lanes-grid',
        data: { testid: 'lanes' },
        attributes: {
          role: 'grid',
          tabindex: '0',
          'aria-label': 'Number Lanes: keys of inodes_by_ids and the entries that had them',
        },
      },
      // Both stand still while the browser scrolls, and move together with the next drawing.
      el('div', { class: 'lanes-layer' }, this.#canvas, this.#rows),
      this.#spacer,
    );
    this.element = el(
      'section',
      {
        class: 'lanes',
        attributes: { id: 'view-lanes', role: 'tabpanel', 'aria-labelledby': 'tab-lanes' },
      },
      el(
        'div',
        { class: 'lanes-tools', attributes: { role: 'toolbar', 'aria-label': 'Which lanes' } },
        ...[...this.#classes.values()].map(({ button: one }) => one),
        this.#order,
        this.#all,
        this.#dropped,
      ),
      el(
        'div',
        { class: 'lanes-time' },
        el(
          'div',
          { class: 'lanes-corner' },
          el('span', { text: 'inodes_by_ids' }),
          el('span', { class: 'muted', text: 'ino / dev / mount' }),
        ),
        el('div', { class: 'lanes-scale' }, this.#strip.element, this.#axis),
      ),
      el('div', { class: 'lanes-area' }, this.#grid, this.#empty, this.#tip),
    );
    this.#listen();
  }

  get top(): number {
    return this.#saved.top;
  }

  wanted(query: string): LanesRequest {
    const { classes, order, domain, top } = this.#saved;
    return {
      ...windowOf(this.#area(), top, MARGIN, MAX_WINDOW_LANES),
      query,
      classes: [...classes],
      order,
      from: domain?.from ?? null,
      to: domain?.to ?? null,
    };
  }

  /** True when lanes in sight are not in the window. */
  needsLanes(): boolean {
    const loaded = this.#window;
    if (loaded === undefined) return true;
    const first = Math.floor(this.#saved.top / LANE_HEIGHT);
    const end = Math.ceil((this.#saved.top + this.#viewport.height) / LANE_HEIGHT);
    const last = Math.min(loaded.total, end);
    return first < loaded.offset || last > loaded.offset + loaded.lanes.length;
  }

  setWindow(window: LanesWindow): void {
    this.#window = window;
    this.#receivedAt = performance.now();
    this.#cursor = Math.max(0, Math.min(this.#cursor, window.total - 1));
    this.#setTop(this.#saved.top);
    this.actions.dirty();
  }

  /** Another connection. */
  reset(): void {
    this.#window = this.#window === undefined ? undefined : { ...this.#window, version: 0 };
  }

  get version(): number {
    return this.#window?.version ?? -1;
  }

  /** Other colours: read them again from the style sheet. */
  repaint(): void {
    this.#colors = undefined;
    this.actions.dirty();
  }

  /** Another query has other lanes. */
  toTop(): void {
    this.#cursor = 0;
    this.#save({ top: 0 });
  }

  focus(): void {
    this.#grid.focus();
  }

  draw(state: LanesState): void {
    this.#state = state;
    const window = this.#window;
    this.#measure();
    this.#colors ??= readLaneColors(this.element);
    this.#drawTools(window);
    const { width } = this.#viewport;
    const domain = this.#domain();
    this.#strip.draw(window?.strip, this.#whole(), this.#saved.domain, width, this.#colors);
    this.#drawAxis(domain, width);
    this.#drawLanes(domain, width);
    this.#empty.hidden = window === undefined || window.total > 0;
    if (!this.#empty.hidden) setText(this.#empty, this.#emptyText());
    this.#drawTip();
    const data = this.element.dataset;
    if (window !== undefined) {
      data['version'] = String(window.version);
      data['total'] = String(window.total);
      data['offset'] = String(window.offset);
    }
  }

  /** True while bars grow by themselves. */
  get ticks(): boolean {
    return this.#state.live && this.#window?.lanes.some(isLiving) === true;
  }

  // --- what is drawn ------------------------------------------------------------------------------

  #drawTools(window: LanesWindow | undefined): void {
    const { classes, order, domain } = this.#saved;
    for (const [name, { button: one, count }] of this.#classes) {
      const number = window?.counts[name] ?? 0;
      setText(count, countText(number));
      one.classList.toggle('zero', number === 0);
      setAttribute(one, 'aria-pressed', String(classes.length === 0 || classes.includes(name)));
    }
    setText(this.#order, order === 'overlap' ? 'Longest overlap first' : 'Newest first');
    this.#order.title =
      order === 'overlap' ? 'Show the newest lanes first' : 'Show the longest overlaps first';
    this.#all.hidden = domain === null;
    const { lanes = 0, bars = 0, former = 0 } = window?.dropped ?? {};
    this.#dropped.hidden = lanes + bars + former === 0;
    setText(this.#dropped, lanes + bars === 0 ? 'older entries not kept' : 'older lanes not kept');
    this.#dropped.title = [
      `${plural(lanes, 'lane', 'lanes')} and ${plural(bars, 'bar', 'bars')} made room for newer ones.`,
      `${plural(former, 'forgotten entry is', 'forgotten entries are')} not remembered any more: should their numbers come back, that is not seen.`,
    ].join('\n');
  }

  #drawAxis(domain: Span, width: number): void {
    const x = scaleTime([domain.from, domain.to], [0, width]);
    const axis = axisTop<Date>(x)
      .ticks(Math.max(2, Math.floor(width / 90)))
      .tickSizeOuter(0);
    select(this.#axis)
      .attr('width', width)
      .selectAll<SVGGElement, unknown>('g')
      .data([0])
      .join('g')
      .attr('transform', 'translate(0,19)')
      .call(axis as never);
  }

  #drawLanes(domain: Span, width: number): void {
    const area = this.#area();
    const { height } = this.#viewport;
    this.#spacer.style.height = `${Math.max(spacerHeight(area), height)}px`;
    this.#alignScrollBar(area);
    const window = this.#window;
    const lanes = window?.lanes ?? [];
    const { top } = this.#saved;
    const offset = window?.offset ?? 0;
    const now = this.#now();
    const x = scaleTime([domain.from, domain.to], [0, width]);
    const inSight = lanes
      .map((lane, at) => ({ lane, index: offset + at, y: (offset + at) * LANE_HEIGHT - top }))
      .filter(({ y }) => y > -LANE_HEIGHT && y < height);
    const isFocused = document.activeElement === this.#grid;
    if (this.#colors !== undefined) {
      drawChart(this.#canvas, {
        lanes: inSight.map(({ lane, index, y }) => ({
          lane,
          y,
          isCursor: isFocused && index === this.#cursor,
          bar: lane.bars[this.#bar]?.nodeid,
        })),
        x,
        ticks: x.ticks(Math.max(2, Math.floor(width / 90))),
        now,
        width,
        height,
        colors: this.#colors,
      });
    }
    setAttribute(this.#grid, 'aria-rowcount', String(window?.total ?? 0));
    select(this.#rows)
      .selectAll<HTMLDivElement, (typeof inSight)[number]>('div.lane')
      .data(inSight, ({ lane }) => laneKey(lane))
      .join((enter) => enter.append('div').attr('class', 'lane').attr('role', 'row'))
      .attr('id', ({ lane }) => laneKey(lane))
      .attr('aria-rowindex', ({ index }) => index + 1)
      .attr('data-ino', ({ lane }) => lane.ids.ino)
      .attr('data-class', ({ lane }) => lane.class)
      .classed('cursor', ({ index }) => isFocused && index === this.#cursor)
      .style('transform', ({ y }) => `translateY(${y}px)`)
      .each(function ({ lane }) {
        fillLane(this, lane, now);
      });
    const cursor = this.#cursorLane();
    const bar = cursor?.bars[this.#bar];
    if (cursor === undefined) this.#grid.removeAttribute('aria-activedescendant');
    else {
      const id = bar === undefined ? laneKey(cursor) : `${laneKey(cursor)}-${bar.nodeid}`;
      setAttribute(this.#grid, 'aria-activedescendant', id);
    }
  }

  #emptyText(): string {
    if (this.#state.query !== '') return `No lane matches “${this.#state.query}”.`;
    if (this.#saved.domain !== null) return 'No lane has anything in this time.';
    if (this.#saved.classes.length > 0) return 'No lane is of this kind.';
    return 'No number has had a second owner yet. A lane appears as soon as an inode number comes back with another file.';
  }

  #drawTip(): void {
    const bar = this.#pointer === undefined ? undefined : this.#barUnder(this.#pointer)?.bar;
    this.#tip.hidden = bar === undefined;
    if (bar === undefined || this.#pointer === undefined) return;
    const text = barLines(bar, this.#now()).join('\n');
    setText(this.#tip, text);
    const { width, height, chartLeft } = this.#viewport;
    const x = this.#pointer.x + chartLeft;
    const left = Math.max(4, Math.min(x + 12, chartLeft + width - this.#tip.offsetWidth - 4));
    const below = this.#pointer.y + 18;
    const top =
      below + this.#tip.offsetHeight > height
        ? this.#pointer.y - this.#tip.offsetHeight - 8
        : below;
    this.#tip.style.left = `${left}px`;
    this.#tip.style.top = `${Math.max(2, top)}px`;
  }

  // --- time ---------------------------------------------------------------------------------------

  #now(): number {
    if (this.#window === undefined) return Date.now();
    const since = this.#state.live ? performance.now() - this.#receivedAt : 0;
    return this.#window.now + since;
  }

  /** With a little room at the left, so that the first bars show where they begin. */
  #whole(): Span {
    const to = this.#now();
    const from = Math.min(this.#window?.strip.from ?? to, to - LEAST_MS);
    return { from: from - (to - from) * 0.02, to };
  }

  #domain(): Span {
    return this.#saved.domain ?? this.#whole();
  }

  /** Shows a part of the time; null: all of it. */
  #show(domain: Span | null): void {
    const whole = this.#whole();
    const next = domain === null ? null : clampDomain(domain, whole);
    const isAll = next === null || next.to - next.from >= (whole.to - whole.from) * 0.999;
    this.#save({ domain: isAll ? null : next });
    this.#placeZoom();
  }

  /** Tells d3 which part is shown. */
  #placeZoom(): void {
    const { width } = this.#viewport;
    const whole = this.#whole();
    const domain = this.#saved.domain ?? whole;
    const most = Math.max(1, (whole.to - whole.from) / LEAST_MS);
    this.#zoom
      .scaleExtent([1, most])
      .extent([
        [0, 0],
        [width, 1],
      ])
      .translateExtent([
        [0, -Infinity],
        [width, Infinity],
      ]);
    const k = (whole.to - whole.from) / (domain.to - domain.from);
    const share = (domain.from - whole.from) / (whole.to - whole.from);
    this.#base = whole;
    this.#zooming = true;
    select(this.#canvas).call((canvas) =>
      this.#zoom.transform(canvas, zoomIdentity.translate(-share * width * k, 0).scale(k)),
    );
    this.#zooming = false;
  }

  #zoomed({ transform }: D3ZoomEvent<HTMLCanvasElement, unknown>): void {
    if (this.#zooming) return;
    const { width } = this.#viewport;
    const x = scaleTime([this.#base.from, this.#base.to], [0, width]);
    const [from, to] = transform.rescaleX(x).domain();
    if (from === undefined || to === undefined) return;
    this.#pointer = undefined;
    this.#save({
      domain: transform.k <= 1.001 ? null : { from: from.getTime(), to: to.getTime() },
    });
  }

  #zoomBy(factor: number): void {
    const { from, to } = this.#domain();
    const middle = (from + to) / 2;
    const half = (to - from) / 2 / factor;
    this.#show({ from: middle - half, to: middle + half });
  }

  #pan(share: number): void {
    const { from, to } = this.#domain();
    const by = (to - from) * share;
    this.#show({ from: from + by, to: to + by });
  }

  // --- lanes --------------------------------------------------------------------------------------

  #area(): ScrollArea {
    const { height } = this.#viewport;
    return { rowHeight: LANE_HEIGHT, rows: this.#window?.total ?? 0, viewport: height };
  }

  #setTop(top: number): void {
    if (this.#window === undefined) return;
    const limited = Math.max(0, Math.min(top, lastTop(this.#area())));
    if (limited !== this.#saved.top) this.#saved = { ...this.#saved, top: limited };
  }

  #alignScrollBar(area: ScrollArea): void {
    if (this.#window === undefined) return;
    const wanted = scrollOfTop(area, this.#saved.top);
    if (Math.abs(this.#grid.scrollTop - wanted) < 1) return;
    this.#grid.scrollTop = wanted;
    this.#ownScroll = this.#grid.scrollTop;
  }

  #scrolled(): void {
    const { scrollTop } = this.#grid;
    const own = this.#ownScroll;
    this.#ownScroll = undefined;
    if (own !== undefined && Math.abs(own - scrollTop) < 1) return;
    const area = this.#area();
    if (Math.abs(scrollOfTop(area, this.#saved.top) - scrollTop) < 1) return;
    this.#setTop(topOfScroll(area, scrollTop));
    this.#save({});
  }

  #wheel(event: WheelEvent): void {
    const area = this.#area();
    if (event.ctrlKey || event.metaKey) return;
    // Browsers turn the wheel sideways with Shift.
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.#pan((event.deltaX * unitOf(event)) / this.#viewport.width);
      return;
    }
    if (!isScaled(area)) return;
    event.preventDefault();
    this.#setTop(this.#saved.top + event.deltaY * unitOf(event));
    this.#save({});
  }

  #cursorLane(): LaneJson | undefined {
    const window = this.#window;
    return window?.lanes[this.#cursor - window.offset];
  }

  #moveTo(index: number): void {
    const total = this.#window?.total ?? 0;
    if (total === 0) return;
    this.#cursor = Math.max(0, Math.min(index, total - 1));
    this.#bar = 0;
    this.#pointer = undefined;
    const area = this.#area();
    this.#setTop(topToShow(area, this.#saved.top, this.#cursor));
    // At once: a scroll event that is still on its way would lead back to where it was sent.
    this.#alignScrollBar(area);
    this.#save({});
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.#pressed(event.key, event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #pressed(key: string, shift: boolean): boolean {
    const page = Math.max(1, Math.floor(this.#viewport.height / LANE_HEIGHT) - 1);
    const moves: Readonly<Record<string, number>> = {
      ArrowUp: -1,
      ArrowDown: 1,
      PageUp: -page,
      PageDown: page,
      Home: -Infinity,
      End: Infinity,
    };
    const move = moves[key];
    if (move !== undefined) {
      this.#moveTo(this.#cursor + move);
      return true;
    }
    const bars = this.#cursorLane()?.bars ?? [];
    switch (key) {
      case 'ArrowLeft':
      case 'ArrowRight': {
        const step = key === 'ArrowLeft' ? -1 : 1;
        if (shift) this.#pan(step * 0.2);
        else this.#bar = Math.max(0, Math.min(bars.length - 1, this.#bar + step));
        this.actions.dirty();
        return true;
      }
      case '+':
      case '=':
        this.#zoomBy(2);
        return true;
      case '-':
        this.#zoomBy(0.5);
        return true;
      case '0':
        this.#show(null);
        return true;
      case 'Enter': {
        const bar = bars[this.#bar];
        if (bar !== undefined) this.#open(bar);
        return true;
      }
      default:
        return false;
    }
  }

  #open(bar: LaneBarJson): void {
    if (bar.to === null) this.actions.open(bar.nodeid);
    else this.actions.say(`Node ${barTitle(bar)} is forgotten: it is not in the tables any more.`);
  }

  #barUnder(at: { readonly x: number; readonly y: number }) {
    const window = this.#window;
    if (window === undefined || at.x < 0) return undefined;
    const index = Math.floor((at.y + this.#saved.top) / LANE_HEIGHT);
    const lane = window.lanes[index - window.offset];
    if (lane === undefined) return undefined;
    const domain = this.#domain();
    const x = scaleTime([domain.from, domain.to], [0, this.#viewport.width]);
    const inLane = { x: at.x, y: at.y + this.#saved.top - index * LANE_HEIGHT };
    const found = barAt(placeBars(lane, this.#now()), x, inLane);
    return found === undefined ? undefined : { index, bar: found.bar, lane };
  }

  // --- what the user does -------------------------------------------------------------------------

  #classButton(name: LaneClass): { button: HTMLButtonElement; count: HTMLElement } {
    const words = LANE_CLASS_WORDS[name];
    const count = el('span', { class: 'number' });
    const one = button(`lanes-${name}`, '', () => this.#toggle(name));
    one.classList.add('lane-class', name);
    one.title = words.means;
    if (name === 'wrong') one.append(severityGlyph('data'));
    one.append(count, ` ${words.name}`);
    return { button: one, count };
  }

  /** The first choice of a class leaves out the others; then each is put in and out. */
  #toggle(name: LaneClass): void {
    const { classes } = this.#saved;
    const next =
      classes.length === 0
        ? [name]
        : classes.includes(name)
          ? classes.filter((one) => one !== name)
          : [...classes, name];
    this.#cursor = 0;
    this.#save({ classes: next.length === LANE_CLASSES.length ? [] : next, top: 0 });
  }

  #save(part: Partial<SavedLanes>): void {
    this.#saved = { ...this.#saved, ...part };
    this.actions.changed(this.#saved);
    this.actions.moved();
    this.actions.dirty();
  }

  #listen(): void {
    const grid = this.#grid;
    grid.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    grid.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    grid.addEventListener('keydown', (event) => this.#key(event));
    grid.addEventListener('focus', () => this.actions.dirty());
    grid.addEventListener('blur', () => this.actions.dirty());
    grid.addEventListener('pointermove', (event) => {
      this.#pointer = event.buttons === 0 ? this.#placeOf(event) : undefined;
      this.actions.dirty();
    });
    grid.addEventListener('pointerleave', () => {
      this.#pointer = undefined;
      this.actions.dirty();
    });
    grid.addEventListener('click', (event) => {
      // A drag is a movement in time, which d3 marks so.
      if (event.defaultPrevented) return;
      const found = this.#barUnder(this.#placeOf(event));
      if (found === undefined) return;
      this.#cursor = found.index;
      this.#bar = found.lane.bars.indexOf(found.bar);
      this.#open(found.bar);
    });
    // Before d3 hears of it: the whole of the time has grown meanwhile.
    for (const event of ['mousedown', 'wheel', 'touchstart'] as const) {
      this.#canvas.addEventListener(event, () => this.#placeZoom(), { passive: true });
    }
    select(this.#canvas).call(
      this.#zoom
        .filter((event: MouseEvent | TouchEvent | WheelEvent) =>
          event.type === 'wheel'
            ? event.ctrlKey || event.metaKey
            : event.type !== 'dblclick' && !(event instanceof MouseEvent && event.button !== 0),
        )
        // Two fingers on a touchpad come as a wheel with Ctrl and small steps.
        .wheelDelta((event: WheelEvent) => {
          const isPinch = event.ctrlKey && Math.abs(event.deltaY) < 20;
          return -event.deltaY * unitOf(event) * (isPinch ? 0.02 : 0.002);
        })
        .on('zoom', (event: D3ZoomEvent<HTMLCanvasElement, unknown>) => this.#zoomed(event)),
    );
    new ResizeObserver(() => {
      this.actions.moved();
      this.actions.dirty();
    }).observe(grid);
    setInterval(() => {
      if (!document.hidden && !this.element.hidden && this.ticks) this.actions.dirty();
    }, TICK_MS);
  }

  #placeOf(event: MouseEvent): { readonly x: number; readonly y: number } {
    const box = this.#grid.getBoundingClientRect();
    return { x: event.clientX - box.left - this.#viewport.chartLeft, y: event.clientY - box.top };
  }

  #measure(): void {
    const { clientWidth, clientHeight } = this.#grid;
    const chartLeft = this.#canvas.offsetLeft;
    const width = Math.max(1, clientWidth - chartLeft - RIGHT);
    const wasWide = this.#viewport.width;
    this.#viewport = { width, height: clientHeight, chartLeft };
    this.#canvas.style.width = `${width}px`;
    this.#canvas.style.height = `${clientHeight}px`;
    if (wasWide !== width) this.#placeZoom();
  }
}

function unitOf({ deltaMode }: WheelEvent): number {
  return deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : LANE_HEIGHT;
}

function isLiving({ bars }: LaneJson): boolean {
  return bars.some(({ to }) => to === null);
}

function laneKey({ ids }: LaneJson): string {
  return `lane-${ids.ino}-${ids.dev.replace(':', '.')}-${ids.mntId}`;
}

/** What stands in a lane's element, so that an unchanged one is left alone. */
const contents = new WeakMap<HTMLElement, string>();

function fillLane(element: HTMLElement, lane: LaneJson, now: number): void {
  const words = laneText(lane, now);
  const sentence = laneSentence(lane, now);
  const bars = lane.bars.map((bar) => ({ bar, text: barLines(bar, now).join('. ') }));
  const content = JSON.stringify([sentence, bars.map(({ text }) => text)]);
  if (contents.get(element) === content) return;
  contents.set(element, content);
  element.replaceChildren(
    el(
      'div',
      { class: 'lane-label', attributes: { role: 'rowheader', 'aria-label': sentence } },
      el('div', { class: 'lane-ids mono', text: idsText(lane.ids), title: sentence }),
      el(
        'div',
        { class: 'lane-words' },
        ...(lane.class === 'wrong' ? [severityGlyph('data')] : []),
        el('span', { text: words }),
      ),
    ),
    el(
      'div',
      { class: 'visually-hidden lane-bars', attributes: { role: 'presentation' } },
      ...bars.map(({ bar, text }) =>
        el('span', {
          text,
          attributes: { role: 'gridcell', id: `${laneKey(lane)}-${bar.nodeid}` },
        }),
      ),
    ),
  );
}

function button(testId: string, text: string, press: () => void): HTMLButtonElement {
  const made = el('button', {
    class: 'chip-button',
    text,
    data: { testid: testId },
    attributes: { type: 'button' },
  });
  made.addEventListener('click', press);
  return made;
}
