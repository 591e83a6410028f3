/**
 * Every entry of the tables in one strip: a bitmap of one pixel a cell, scaled without smoothing.
 * A cell takes the worst state of the entries that it stands for (in the daemon) and is at least
 * one device pixel (here), so that a lone hazard among a million entries is seen at any zoom.
 */

import { select, zoom, zoomIdentity } from 'd3';
import type { D3ZoomEvent } from 'd3';
import type { Overview } from '../daemon/protocol/client';
import { CELL_STATES } from '../daemon/protocol/map';
import type { CellGrid, Span } from './cells';
import { fitCells, gridOf, rowsOfCell } from './cells';
import { el, setAttribute, setText } from './dom';
import { CELL_WORDS, countText, plural } from './words';

/** 10 Hz at most. */
const REFRESH_MS = 100;
/** Of overviewRequest. */
const MOST_CELLS = 65_000;
/** Edge of the largest cell, in CSS pixels. */
const LARGEST_CELL = 12;
/** Width of the marks beside the cells, in CSS pixels. */
const RULER = 6;
/** From this state on a cell gets a mark beside it: identity, error, data. */
const MARKED = CELL_STATES.indexOf('identity');
const MOST_ENLARGED = 500;

export interface OverviewActions {
  /** @throws InspectorError */
  cells(from: number, to: number, cells: number): Promise<Overview>;
  /** A cell that stands for one row of the tables was chosen. */
  choose(row: number): void;
  zoomed(zoom: { readonly k: number; readonly from: number }): void;
  dirty(): void;
  failed(error: unknown): void;
}

interface Picture {
  readonly cells: Uint8Array;
  readonly of: Span;
}

/** What was asked for: a picture of other rows, or of fewer cells than fit, is not the one to show. */
interface Question {
  readonly of: Span;
  readonly cells: number;
}

export class OverviewStrip {
  readonly element: HTMLElement;
  readonly #canvas = el('canvas', {
    class: 'overview-canvas',
    attributes: { 'aria-hidden': 'true' },
  });
  readonly #bitmap = document.createElement('canvas');
  readonly #caption = el('div', { class: 'overview-caption' });
  /** Where the pointer rests on the strip, while the tip speaks of it. */
  #pointer: PointerEvent | undefined;
  readonly #tip = el('div', { class: 'overview-tip', data: { testid: 'overview-tip' } });
  readonly #slider: HTMLElement;
  readonly #zoom = zoom<HTMLElement, unknown>();

  #rows = 0;
  #picture: Picture | undefined;
  #answered: Question | undefined;
  #grid: CellGrid = gridOf(0, 1, 1, 1, MOST_CELLS);
  #k: number;
  /** The first row in the strip, as a share of all rows. */
  #from: number;
  /** What was drawn last, for the pointer and the keyboard. */
  #shown: Picture = { cells: new Uint8Array(0), of: { from: 0, to: 1 } };
  #cursor = 0;
  #asking = false;
  #stale = true;
  #askedAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #palette: Uint32Array | undefined;
  #zooming = false;

  constructor(
    saved: { readonly k: number; readonly from: number },
    private readonly actions: OverviewActions,
  ) {
    this.#k = saved.k;
    this.#from = saved.from;
    this.#tip.hidden = true;
    this.#slider = el(
      'div',
      {
        class: 'overview-cells',
        data: { testid: 'overview' },
        attributes: {
          role: 'slider',
          tabindex: '0',
          'aria-orientation': 'vertical',
          'aria-label': 'Overview of all entries',
          'aria-valuemin': '0',
        },
      },
      this.#canvas,
    );
    this.element = el(
      'aside',
      { class: 'overview', attributes: { 'aria-label': 'Overview' } },
      this.#caption,
      this.#slider,
      this.#tip,
    );
    select(this.#slider).call(
      this.#zoom
        .scaleExtent([1, 1])
        .on('zoom', (event: D3ZoomEvent<HTMLElement, unknown>) => this.#zoomed(event)),
    );
    this.#slider.addEventListener('pointermove', (event) => this.#hover(event));
    this.#slider.addEventListener('pointerleave', () => this.#hideTip());
    this.#slider.addEventListener('click', (event) => this.#clicked(event));
    this.#slider.addEventListener('keydown', (event) => this.#key(event));
    this.#slider.addEventListener('focus', () => this.#tell(this.#cursor));
    this.#slider.addEventListener('blur', () => this.#hideTip());
    new ResizeObserver(() => this.#resized()).observe(this.#slider);
  }

  /** The tables changed; asks for cells again, but not faster than ten times a second. */
  changed(): void {
    this.#stale = true;
    this.#refresh();
  }

  /** Another connection: nothing of what is drawn counts any more. */
  reset(): void {
    this.#asking = false;
    this.#askedAt = -Infinity;
    this.changed();
  }

  /** Other colours: read them again from the style sheet. */
  repaint(): void {
    this.#palette = undefined;
    this.actions.dirty();
  }

  draw(): void {
    const box = this.#slider.getBoundingClientRect();
    const ratio = devicePixelRatio;
    const width = Math.max(1, Math.floor(box.width * ratio));
    const height = Math.max(1, Math.floor(box.height * ratio));
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    const span = this.#span();
    this.#grid = gridOf(
      span.to - span.from,
      width - RULER * ratio,
      height,
      LARGEST_CELL * ratio,
      MOST_CELLS,
    );
    const cells =
      this.#picture === undefined || this.#rows === 0
        ? new Uint8Array(0)
        : fitCells(this.#picture.cells, this.#picture.of, span, this.#grid.cells);
    this.#shown = { cells, of: span };
    this.#cursor = Math.min(this.#cursor, Math.max(0, cells.length - 1));
    this.#paint(cells, width, height, ratio);
    setText(
      this.#caption,
      this.#k > 1 ? `${this.#k < 10 ? this.#k.toFixed(1) : Math.round(this.#k)}×` : 'all',
    );
    this.#caption.title =
      this.#k > 1
        ? `Zoomed in ${Math.round(this.#k)} times: rows ${countText(span.from)} to ${countText(span.to - 1)} of ${countText(this.#rows)}`
        : `All ${plural(this.#rows, 'row', 'rows')} of the tables`;
    setAttribute(this.#slider, 'aria-valuemax', String(Math.max(0, this.#rows - 1)));
    const at = this.#rowsOf(this.#cursor);
    setAttribute(
      this.#slider,
      'aria-valuenow',
      String(Math.min(at.from, Math.max(0, this.#rows - 1))),
    );
    setAttribute(this.#slider, 'aria-valuetext', this.#words(this.#cursor));
    this.element.dataset['rows'] = String(this.#rows);
    this.element.dataset['cells'] = String(cells.length);
    this.element.dataset['size'] = String(this.#grid.size);
    this.element.dataset['columns'] = String(this.#grid.columns);
    this.#tellAgain();
    if (!this.#isAnswered({ of: span, cells: this.#grid.cells })) this.#refresh();
  }

  #span(): Span {
    if (this.#rows === 0) return { from: 0, to: 1 };
    const rows = Math.max(1, Math.round(this.#rows / this.#k));
    const from = Math.max(0, Math.min(Math.round(this.#from * this.#rows), this.#rows - rows));
    return { from, to: from + rows };
  }

  #isAnswered({ of, cells }: Question): boolean {
    const last = this.#answered;
    return last?.of.from === of.from && last.of.to === of.to && last.cells === cells;
  }

  #refresh(): void {
    if (this.#asking || document.hidden) return;
    const wait = this.#askedAt + REFRESH_MS - performance.now();
    if (wait > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#refresh();
      }, wait);
      return;
    }
    const question: Question = { of: this.#span(), cells: this.#grid.cells };
    if (!this.#stale && this.#isAnswered(question)) return;
    const { of } = question;
    this.#asking = true;
    this.#stale = false;
    this.#askedAt = performance.now();
    this.actions.cells(of.from, of.to, question.cells).then(
      ({ rows, cells }) => {
        this.#asking = false;
        const grown = rows !== this.#rows;
        this.#rows = rows;
        if (grown) this.#limitZoom();
        this.#picture = { cells, of };
        this.#answered = question;
        // The rows were not known yet, or became more: then these cells stand for a part only.
        if (grown) this.#stale = true;
        this.actions.dirty();
        if (this.#stale) this.#refresh();
      },
      (error: unknown) => {
        this.#asking = false;
        this.actions.failed(error);
      },
    );
  }

  #paint(cells: Uint8Array, width: number, height: number, ratio: number): void {
    const context = this.#canvas.getContext('2d');
    const bitmap = this.#bitmap.getContext('2d');
    if (context === null || bitmap === null) return;
    this.#palette ??= readPalette(this.#canvas);
    context.clearRect(0, 0, width, height);
    if (cells.length === 0) return;
    const { columns, lines, size } = this.#grid;
    if (this.#bitmap.width !== columns) this.#bitmap.width = columns;
    if (this.#bitmap.height !== lines) this.#bitmap.height = lines;
    const image = bitmap.createImageData(columns, lines);
    const pixels = new Uint32Array(image.data.buffer);
    for (let cell = 0; cell < cells.length; cell++) {
      pixels[cell] = this.#palette[cells[cell] ?? 0] ?? 0;
    }
    bitmap.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    const left = Math.floor(RULER * ratio);
    context.drawImage(this.#bitmap, left, 0, columns * size, lines * size);
    if (size >= 4 * ratio) {
      // Gaps between cells that are large enough to be told apart.
      const gap = Math.max(1, Math.floor(ratio));
      for (let column = 1; column <= columns; column++) {
        context.clearRect(left + column * size - gap, 0, gap, height);
      }
      for (let line = 1; line <= lines; line++) {
        context.clearRect(left, line * size - gap, columns * size, gap);
      }
    }
    this.#paintSerious(context, cells, left, ratio);
    this.#paintRuler(context, cells, ratio);
    if (document.activeElement === this.#slider) this.#paintCursor(context, left, ratio);
  }

  /** Where cells are smaller than the eye, a few serious ones are drawn larger, the worst on top. */
  #paintSerious(
    context: CanvasRenderingContext2D,
    cells: Uint8Array,
    left: number,
    ratio: number,
  ): void {
    const { columns, size } = this.#grid;
    const edge = 3 * ratio;
    if (size >= edge) return;
    const serious: number[] = [];
    cells.forEach((state, cell) => {
      if (state >= MARKED) serious.push(cell);
    });
    // Many are seen as they are.
    if (serious.length > MOST_ENLARGED) return;
    serious.sort((a, b) => (cells[a] ?? 0) - (cells[b] ?? 0));
    for (const cell of serious) {
      context.fillStyle = cssColor(this.#palette?.[cells[cell] ?? 0] ?? 0);
      const x = left + (cell % columns) * size + (size - edge) / 2;
      const y = Math.floor(cell / columns) * size + (size - edge) / 2;
      context.fillRect(Math.round(x), Math.max(0, Math.round(y)), edge, edge);
    }
  }

  /** A mark at the height of each line whose worst state is a serious one. */
  #paintRuler(context: CanvasRenderingContext2D, cells: Uint8Array, ratio: number): void {
    const { columns, lines, size } = this.#grid;
    const thickness = Math.max(size, 3 * ratio);
    for (let state = MARKED; state < CELL_STATES.length; state++) {
      context.fillStyle = cssColor(this.#palette?.[state] ?? 0);
      for (let line = 0; line < lines; line++) {
        let worst = 0;
        for (
          let cell = line * columns;
          cell < Math.min(cells.length, (line + 1) * columns);
          cell++
        ) {
          worst = Math.max(worst, cells[cell] ?? 0);
        }
        if (worst === state) {
          context.fillRect(0, line * size + (size - thickness) / 2, (RULER - 2) * ratio, thickness);
        }
      }
    }
  }

  #paintCursor(context: CanvasRenderingContext2D, left: number, ratio: number): void {
    const { columns, size } = this.#grid;
    const edge = Math.max(size, 5 * ratio);
    const x = left + (this.#cursor % columns) * size + (size - edge) / 2;
    const y = Math.floor(this.#cursor / columns) * size + (size - edge) / 2;
    context.strokeStyle = getComputedStyle(this.#slider).color;
    context.lineWidth = Math.max(1, 1.5 * ratio);
    context.strokeRect(x, y, edge, edge);
  }

  #resized(): void {
    const { width, height } = this.#slider.getBoundingClientRect();
    this.#zoom.extent([
      [0, 0],
      [width, height],
    ]);
    this.#zoom.translateExtent([
      [0, 0],
      [width, height],
    ]);
    this.#stale = true;
    this.#limitZoom();
    this.actions.dirty();
  }

  /** In as far as single cells of full size, and the saved zoom applied to the rows there are. */
  #limitZoom(): void {
    const { width, height } = this.#slider.getBoundingClientRect();
    const fit = Math.max(
      1,
      Math.floor((width - RULER) / LARGEST_CELL) * Math.floor(height / LARGEST_CELL),
    );
    const most = Math.max(1, this.#rows / fit);
    this.#zoom.scaleExtent([1, most]);
    if (this.#rows === 0) return;
    const k = Math.min(this.#k, most);
    this.#zooming = true;
    select(this.#slider).call((selection) =>
      this.#zoom.transform(selection, zoomIdentity.translate(0, -this.#from * height * k).scale(k)),
    );
    this.#zooming = false;
  }

  #zoomed(event: D3ZoomEvent<HTMLElement, unknown>): void {
    const { height } = this.#slider.getBoundingClientRect();
    const { k, y } = event.transform;
    this.#k = k;
    this.#from = height === 0 ? 0 : Math.max(0, -y / (height * k));
    if (this.#zooming) return;
    this.#hideTip();
    this.actions.zoomed({ k: this.#k, from: this.#from });
    this.actions.dirty();
  }

  #cellAt(event: MouseEvent): number | undefined {
    const box = this.#slider.getBoundingClientRect();
    const { columns, size } = this.#grid;
    const column = Math.floor(((event.clientX - box.left - RULER) * devicePixelRatio) / size);
    const line = Math.floor(((event.clientY - box.top) * devicePixelRatio) / size);
    const cell = line * columns + Math.max(0, column);
    if (column >= columns || cell >= this.#shown.cells.length) return undefined;
    // An enlarged cell is hit anywhere on its mark.
    const reach = size < 3 * devicePixelRatio ? Math.ceil((1.5 * devicePixelRatio) / size) : 0;
    let best = cell;
    for (let down = -reach; down <= reach; down++) {
      for (let right = -reach; right <= reach; right++) {
        const near = cell + down * columns + right;
        const state = this.#shown.cells[near] ?? 0;
        if (state >= MARKED && state > (this.#shown.cells[best] ?? 0)) best = near;
      }
    }
    return best;
  }

  #rowsOf(cell: number): Span {
    return rowsOfCell(cell, Math.max(1, this.#shown.cells.length), this.#shown.of);
  }

  #words(cell: number): string {
    if (this.#rows === 0) return 'The tables are empty.';
    const { from, to } = this.#rowsOf(cell);
    const state = CELL_STATES[this.#shown.cells[cell] ?? 0] ?? 'vacant';
    if (to - from === 1) return `Row ${countText(from)}: ${CELL_WORDS[state]}`;
    return `${countText(to - from)} rows of the tables, from ${countText(from)}; worst: ${CELL_WORDS[state]}`;
  }

  #hover(event: PointerEvent): void {
    if (event.buttons !== 0) return;
    this.#pointer = event;
    const cell = this.#cellAt(event);
    if (cell === undefined) this.#hideTip();
    else this.#tell(cell);
  }

  #tell(cell: number): void {
    const line = Math.floor(cell / this.#grid.columns);
    setText(this.#tip, this.#words(cell));
    this.#tip.hidden = false;
    const y = this.#slider.offsetTop + ((line + 0.5) * this.#grid.size) / devicePixelRatio;
    this.#tip.style.top = `${Math.max(14, Math.min(y, this.element.clientHeight - 14))}px`;
  }

  /** What the tip speaks of may have changed under the pointer that rests. */
  #tellAgain(): void {
    if (this.#tip.hidden) return;
    const cell = this.#pointer === undefined ? this.#cursor : this.#cellAt(this.#pointer);
    if (cell === undefined) this.#hideTip();
    else this.#tell(cell);
  }

  #hideTip(): void {
    this.#pointer = undefined;
    this.#tip.hidden = true;
  }

  #clicked(event: MouseEvent): void {
    // A drag is a movement of the strip, which d3 marks so.
    if (event.defaultPrevented) return;
    const cell = this.#cellAt(event);
    if (cell === undefined) return;
    this.#cursor = cell;
    this.#press();
  }

  /** A single row is shown in the map; a cell of many rows is looked at closer. */
  #press(): void {
    if (this.#rows === 0) return;
    const { from, to } = this.#rowsOf(this.#cursor);
    if (to - from === 1) this.actions.choose(from);
    else this.#zoomTo(from / this.#rows, this.#k * 8);
  }

  #zoomTo(share: number, k: number): void {
    const { height } = this.#slider.getBoundingClientRect();
    const [, most] = this.#zoom.scaleExtent();
    const to = Math.max(1, Math.min(k, most));
    select(this.#slider).call((selection) =>
      this.#zoom.transform(
        selection,
        zoomIdentity.translate(0, Math.min(0, height / 2 - share * height * to)).scale(to),
      ),
    );
  }

  #key(event: KeyboardEvent): void {
    this.#pointer = undefined;
    const { columns, lines } = this.#grid;
    const moves: Readonly<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      PageUp: -columns * Math.max(1, Math.floor(lines / 10)),
      PageDown: columns * Math.max(1, Math.floor(lines / 10)),
      Home: -Infinity,
      End: Infinity,
    };
    const move = moves[event.key];
    if (move !== undefined) {
      this.#cursor = Math.max(0, Math.min(this.#cursor + move, this.#shown.cells.length - 1));
    } else if (event.key === '+' || event.key === '=') {
      this.#zoomTo(this.#rowsOf(this.#cursor).from / Math.max(1, this.#rows), this.#k * 2);
    } else if (event.key === '-') {
      this.#zoomTo(this.#rowsOf(this.#cursor).from / Math.max(1, this.#rows), this.#k / 2);
    } else if (event.key === '0') {
      this.#zoomTo(0, 1);
    } else if (event.key === 'Enter' || event.key === ' ') {
      this.#press();
    } else return;
    event.preventDefault();
    event.stopPropagation();
    this.#tell(this.#cursor);
    this.actions.dirty();
  }
}

/**
 * The colours of the states, as the style sheet and the theme have them (`--cell-…`), in the byte
 * order of ImageData. A style may give any CSS colour; a canvas turns it into bytes.
 */
function readPalette(inside: HTMLElement): Uint32Array {
  const probe = el('span');
  inside.parentElement?.append(probe);
  const canvas = document.createElement('canvas');
  canvas.width = 1;
  canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const palette = new Uint32Array(CELL_STATES.length);
  CELL_STATES.forEach((state, index) => {
    if (context === null) return;
    probe.style.color = `var(--cell-${state})`;
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = getComputedStyle(probe).color;
    context.fillRect(0, 0, 1, 1);
    palette[index] = new Uint32Array(context.getImageData(0, 0, 1, 1).data.buffer)[0] ?? 0;
  });
  probe.remove();
  return palette;
}

function cssColor(pixel: number): string {
  const [red, green, blue, alpha] = new Uint8Array(Uint32Array.of(pixel).buffer);
  return `rgb(${red} ${green} ${blue} / ${(alpha ?? 255) / 255})`;
}
